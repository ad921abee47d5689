//! Hears marks that were turned down, mixed, cut and drowned in noise, and says when they were.

use super::*;
use crate::verify::stamp::chirp::{MARK, mark};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn spoken(participant: u8, marks: std::ops::Range<u32>) -> Vec<f32> {
    marks.flat_map(|number| mark(MarkStamp { participant, number })).collect()
}

/// Heard in pieces of 20 ms, the first `from` seconds in.
fn hear(sound: &[f32], from: f64) -> Listener {
    let mut listener = Listener::new();
    for (index, piece) in sound.chunks(960).enumerate() {
        listener.push(from + index as f64 * 0.02, piece);
    }
    listener.finish();
    listener
}

/// Of `participant`: the numbers that were heard, and how far at most from half a second each after `start`, in ms.
fn times(listener: &Listener, participant: u8, start: f64) -> (Vec<u32>, f64) {
    let mine: Vec<_> = listener.heard.iter().filter(|h| h.stamp.participant == participant).collect();
    let off = |h: &&Heard| (h.at - start - f64::from(h.stamp.number) * 0.5).abs() * 1000.0;
    (mine.iter().map(|h| h.stamp.number).collect(), mine.iter().map(off).fold(0.0, f64::max))
}

#[test]
fn every_mark_is_heard_at_its_time() {
    for participant in [0, 5, 7, 255] {
        let listener = hear(&spoken(participant, 0..6), 3.25);
        let (numbers, off) = times(&listener, participant, 3.25);
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "{participant}");
        assert!(off < 0.2, "{participant}: {off} ms");
        assert_eq!(listener.heard.len(), 6);
        assert_eq!(listener.silences, []);
    }
}

#[test]
fn soft_loud_and_noisy_marks_are_heard() {
    let mut rng = StdRng::seed_from_u64(1);
    for (gain, noise) in [(0.1, 0.0), (2.0, 0.0), (6.0, 0.0), (0.1, 0.02), (1.0, 0.5)] {
        let mut sound = spoken(3, 10..16);
        sound.iter_mut().for_each(|s| *s = (*s * gain + rng.random_range(-1.0..1.0f32) * noise).clamp(-1.0, 1.0));
        let (numbers, off) = times(&hear(&sound, 0.0), 3, -5.0);
        assert_eq!(numbers, [10, 11, 12, 13, 14, 15], "gain {gain}, noise {noise}");
        assert!(off < 1.0, "gain {gain}, noise {noise}: {off} ms");
    }
}

#[test]
fn five_people_talk_at_once() {
    let mut mix = vec![0.0f32; 6 * MARK];
    for (index, participant) in [1u8, 2, 3, 4, 5].into_iter().enumerate() {
        // None begins with another.
        for (to, sample) in mix.iter_mut().skip(index * 4321).zip(spoken(participant, 0..5)) {
            *to += sample;
        }
    }
    mix.iter_mut().for_each(|s| *s = s.clamp(-1.0, 1.0));
    let listener = hear(&mix, 0.0);
    for (index, participant) in [1u8, 2, 3, 4, 5].into_iter().enumerate() {
        let (numbers, off) = times(&listener, participant, index as f64 * 4321.0 / 48_000.0);
        assert_eq!(numbers, [0, 1, 2, 3, 4], "{participant}");
        assert!(off < 1.0, "{participant}: {off} ms");
    }
}

#[test]
fn missing_sound_is_a_silence() {
    let sound = spoken(2, 0..6);
    for missing in [0.06, 0.25, 1.0] {
        let (from, until) = (52_000, 52_000 + (missing * 48_000.0) as usize);
        // Once as zeros, once as a hole in time.
        let mut zeros = sound.clone();
        zeros[from..until].fill(0.0);
        let mut hole = Listener::new();
        hole.push(0.0, &sound[..from]);
        hole.push(until as f64 / 48_000.0, &sound[until..]);
        hole.finish();
        for listener in [hear(&zeros, 0.0), hole] {
            let [silence] = listener.silences.as_slice() else { panic!("{missing}: {:?}", listener.silences) };
            assert_eq!(silence.band, 2);
            assert!((silence.from - 52.0 / 48.0).abs() < 0.012, "{missing}: {silence:?}");
            assert!((silence.until - silence.from - missing).abs() < 0.015, "{missing}: {silence:?}");
            let (numbers, off) = times(&listener, 2, 0.0);
            assert!(numbers.len() >= 3 && off < 0.5, "{numbers:?} {off}");
        }
    }
}

#[test]
fn sound_that_stops_is_not_a_silence_and_one_that_jumps_is_followed() {
    let sound = spoken(2, 0..3);
    assert_eq!(hear(&sound[..70_000], 0.0).silences, []);
    let mut listener = hear(&sound, 0.0);
    assert_eq!(listener.silences, []);
    // A clock that steps back, and one that goes far ahead.
    listener = Listener::new();
    listener.push(0.0, &sound);
    listener.push(1.0, &sound);
    listener.push(5000.0, &sound);
    listener.finish();
    assert!(listener.heard.iter().filter(|h| h.at >= 5000.0).count() == 3, "{:?}", listener.heard);
}

#[test]
fn noise_speech_and_silence_are_no_marks() {
    let mut rng = StdRng::seed_from_u64(2);
    let noise: Vec<f32> = (0..10 * 48_000).map(|_| rng.random_range(-0.5..0.5f32)).collect();
    assert_eq!(hear(&noise, 0.0).heard, []);
    let sweep: Vec<f32> = (0..10 * 48_000).map(|n| (n as f32 * n as f32 * 1e-7).sin() * 0.5).collect();
    assert_eq!(hear(&sweep, 0.0).heard, []);
    assert_eq!(hear(&[0.0; 48_000], 0.0).heard, []);
    let mut nothing = Listener::new();
    nothing.finish();
    assert_eq!((nothing.heard, nothing.silences), (vec![], vec![]));
}

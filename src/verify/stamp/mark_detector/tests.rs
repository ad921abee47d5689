//! Marks in attenuated, mixed, cut and noisy audio are detected with their times.

use super::*;
use crate::verify::stamp::chirp::{MARK_SAMPLES, mark_samples};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn marks(participant: u8, marks: std::ops::Range<u32>) -> Vec<f32> {
    marks.flat_map(|number| mark_samples(MarkStamp { participant, number })).collect()
}

/// Detects marks in chunks of 20 ms, the first at `from` seconds.
fn detect(sound: &[f32], from: f64) -> MarkDetector {
    let mut detector = MarkDetector::new();
    for (index, piece) in sound.chunks(960).enumerate() {
        detector.push(from + index as f64 * 0.02, piece);
    }
    detector.finish();
    detector
}

/// Mark numbers of `participant`, and the largest deviation from their expected times since `start`, ms.
fn times(detector: &MarkDetector, participant: u8, start: f64) -> (Vec<u32>, f64) {
    let mine: Vec<_> = detector.marks.iter().filter(|h| h.stamp.participant == participant).collect();
    let off = |h: &&DetectedMark| (h.at - start - f64::from(h.stamp.number) * 0.5).abs() * 1000.0;
    (mine.iter().map(|h| h.stamp.number).collect(), mine.iter().map(off).fold(0.0, f64::max))
}

#[test]
fn each_mark_is_detected_at_its_time() {
    for participant in [0, 5, 7, 255] {
        let detector = detect(&marks(participant, 0..6), 3.25);
        let (numbers, off) = times(&detector, participant, 3.25);
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "{participant}");
        assert!(off < 0.2, "{participant}: {off} ms");
        assert_eq!(detector.marks.len(), 6);
        assert_eq!(detector.silences, []);
    }
}

#[test]
fn quiet_loud_and_noisy_marks_are_detected() {
    let mut rng = StdRng::seed_from_u64(1);
    for (gain, noise) in [(0.1, 0.0), (2.0, 0.0), (6.0, 0.0), (0.1, 0.02), (1.0, 0.5)] {
        let mut sound = marks(3, 10..16);
        sound.iter_mut().for_each(|s| *s = (*s * gain + rng.random_range(-1.0..1.0f32) * noise).clamp(-1.0, 1.0));
        let (numbers, off) = times(&detect(&sound, 0.0), 3, -5.0);
        assert_eq!(numbers, [10, 11, 12, 13, 14, 15], "gain {gain}, noise {noise}");
        assert!(off < 1.0, "gain {gain}, noise {noise}: {off} ms");
    }
}

#[test]
fn five_participants_can_be_mixed() {
    let mut mix = vec![0.0f32; 6 * MARK_SAMPLES];
    for (index, participant) in [1u8, 2, 3, 4, 5].into_iter().enumerate() {
        // All start at different times.
        for (to, sample) in mix.iter_mut().skip(index * 4321).zip(marks(participant, 0..5)) {
            *to += sample;
        }
    }
    mix.iter_mut().for_each(|s| *s = s.clamp(-1.0, 1.0));
    let detector = detect(&mix, 0.0);
    for (index, participant) in [1u8, 2, 3, 4, 5].into_iter().enumerate() {
        let (numbers, off) = times(&detector, participant, index as f64 * 4321.0 / 48_000.0);
        assert_eq!(numbers, [0, 1, 2, 3, 4], "{participant}");
        assert!(off < 1.0, "{participant}: {off} ms");
    }
}

#[test]
fn missing_sound_is_a_silence() {
    let sound = marks(2, 0..6);
    for missing in [0.06, 0.25, 1.0] {
        let (from, until) = (52_000, 52_000 + (missing * 48_000.0) as usize);
        // Once as zeros, once as a gap in timestamps.
        let mut zeros = sound.clone();
        zeros[from..until].fill(0.0);
        let mut hole = MarkDetector::new();
        hole.push(0.0, &sound[..from]);
        hole.push(until as f64 / 48_000.0, &sound[until..]);
        hole.finish();
        for detector in [detect(&zeros, 0.0), hole] {
            let [silence] = detector.silences.as_slice() else { panic!("{missing}: {:?}", detector.silences) };
            assert_eq!(silence.band, 2);
            assert!((silence.from - 52.0 / 48.0).abs() < 0.012, "{missing}: {silence:?}");
            assert!((silence.until - silence.from - missing).abs() < 0.015, "{missing}: {silence:?}");
            let (numbers, off) = times(&detector, 2, 0.0);
            assert!(numbers.len() >= 3 && off < 0.5, "{numbers:?} {off}");
        }
    }
}

#[test]
fn the_end_is_not_a_silence_and_time_jumps_are_followed() {
    let sound = marks(2, 0..3);
    assert_eq!(detect(&sound[..70_000], 0.0).silences, []);
    let mut detector = detect(&sound, 0.0);
    assert_eq!(detector.silences, []);
    // Time steps back, then far ahead.
    detector = MarkDetector::new();
    detector.push(0.0, &sound);
    detector.push(1.0, &sound);
    detector.push(5000.0, &sound);
    detector.finish();
    assert!(detector.marks.iter().filter(|h| h.at >= 5000.0).count() == 3, "{:?}", detector.marks);
}

#[test]
fn noise_sweeps_and_silence_are_no_marks() {
    let mut rng = StdRng::seed_from_u64(2);
    let noise: Vec<f32> = (0..10 * 48_000).map(|_| rng.random_range(-0.5..0.5f32)).collect();
    assert_eq!(detect(&noise, 0.0).marks, []);
    let sweep: Vec<f32> = (0..10 * 48_000).map(|n| (n as f32 * n as f32 * 1e-7).sin() * 0.5).collect();
    assert_eq!(detect(&sweep, 0.0).marks, []);
    assert_eq!(detect(&[0.0; 48_000], 0.0).marks, []);
    let mut empty = MarkDetector::new();
    empty.finish();
    assert_eq!((empty.marks, empty.silences), (vec![], vec![]));
}

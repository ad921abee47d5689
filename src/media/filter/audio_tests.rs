//! Audio filters: levels, spectra, impulse responses.

use super::video_tests::ends_run;
use super::*;
use crate::media::{check_filter, filter_samples};
use std::f64::consts::TAU;

/// Sample pairs per second.
const RATE: usize = 48_000;

fn run(name: &str, values: &[(&str, &str)], samples: &[f32]) -> Vec<f32> {
    let values: Vec<_> = values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let filter = Filter::resolve(&Library::default(), MediaKind::Audio, name, &values).unwrap();
    filter_samples(&filter, samples).unwrap()
}

/// A tone on both sides.
fn tone(frequency: f64, amplitude: f64, seconds: f64) -> Vec<f32> {
    let pairs = (seconds * RATE as f64) as usize;
    let value = |n: usize| (amplitude * (TAU * frequency * n as f64 / RATE as f64).sin()) as f32;
    (0..pairs).flat_map(|n| [value(n); 2]).collect()
}

/// One loud sample on both sides, then silence.
fn impulse(seconds: f64) -> Vec<f32> {
    let mut samples = vec![0.0; (seconds * RATE as f64) as usize * 2];
    samples[..2].fill(1.0);
    samples
}

/// One side.
fn side(samples: &[f32], side: usize) -> Vec<f32> {
    samples.iter().skip(side).step_by(2).copied().collect()
}

/// The amplitude of `frequency` in the sound's left side, its first half second left out (filters need to settle).
fn amplitude(samples: &[f32], frequency: f64) -> f64 {
    let left = &side(samples, 0)[RATE / 2..];
    // A window, or a loud tone leaks into the frequencies beside it.
    let (mut re, mut im, mut weights) = (0.0, 0.0, 0.0);
    for (n, sample) in left.iter().enumerate() {
        let weight = 0.5 - 0.5 * (TAU * n as f64 / left.len() as f64).cos();
        let angle = TAU * frequency * n as f64 / RATE as f64;
        re += f64::from(*sample) * angle.cos() * weight;
        im += f64::from(*sample) * angle.sin() * weight;
        weights += weight;
    }
    2.0 * re.hypot(im) / weights
}

fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.log10()
}

fn loudness(samples: &[f32]) -> f64 {
    (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
}

/// Hiss: the same each time.
fn hiss(amplitude: f32, seconds: f64) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..(seconds * RATE as f64) as usize * 2).map(|_| amplitude * next()).collect()
}

#[test]
fn none_changes_nothing_and_gain_multiplies() {
    let sound = tone(440.0, 0.2, 1.0);
    assert_eq!(run("none", &[], &sound), sound);
    let loud = run("gain", &[("factor", "3.0")], &sound);
    assert!(loud.iter().zip(&sound).all(|(l, s)| (l - 3.0 * s).abs() < 1e-4));
    assert!(run("gain", &[("factor", "0.0")], &sound).iter().all(|s| *s == 0.0));
}

#[test]
fn low_and_high_pass_keep_one_side_of_the_cutoff() {
    let of = |name, cutoff, frequency| {
        decibels(amplitude(&run(name, &[("cutoff", cutoff)], &tone(frequency, 0.5, 2.0)), frequency) / 0.5)
    };
    let low = of("low-pass", "800.0", 200.0);
    assert!(low.abs() < 1.0, "{low} dB");
    let high = of("low-pass", "800.0", 3200.0);
    assert!(high < -40.0, "two octaves above: {high} dB");
    let high = of("high-pass", "800.0", 3200.0);
    assert!(high.abs() < 1.0, "{high} dB");
    let low = of("high-pass", "800.0", 200.0);
    assert!(low < -40.0, "two octaves below: {low} dB");
}

#[test]
fn an_echo_comes_back_again_and_again() {
    let left = side(&run("echo", &[("delay", "100"), ("strength", "0.5")], &impulse(0.5)), 0);
    let loud: Vec<(usize, f32)> =
        left.iter().enumerate().filter(|(_, s)| s.abs() > 0.05).map(|(n, s)| (n, *s)).collect();
    let expected = [(0, 1.0), (4800, 0.5), (9600, 0.25), (14_400, 0.125), (19_200, 0.0625)];
    assert_eq!(loud.len(), expected.len(), "{loud:?}");
    for ((at, value), (expected_at, expected)) in loud.iter().zip(expected) {
        assert!(at.abs_diff(expected_at) <= 1 && (value - expected).abs() < 0.01, "{loud:?}");
    }
}

#[test]
fn reverb_has_a_tail_that_dies_away() {
    let left = side(&run("reverb", &[], &impulse(4.0)), 0);
    let part = |from: f64, to: f64| loudness(&left[(from * RATE as f64) as usize..(to * RATE as f64) as usize]);
    let (early, later, late) = (part(0.1, 0.3), part(0.6, 0.8), part(3.5, 3.9));
    assert!(early > 1e-4 && later < early * 0.5 && late < early * 0.02, "{early} {later} {late}");
    let busy = left[4800..9600].iter().filter(|s| s.abs() > 1e-6).count();
    assert!(busy > 2400, "a room, not an echo: {busy}");
}

#[test]
fn pitch_moves_a_tone_and_keeps_its_length() {
    let sound = tone(440.0, 0.5, 3.0);
    let higher = run("pitch", &[("ratio", "1.5")], &sound);
    let peak = (300u32..1400).step_by(4).max_by_key(|f| (amplitude(&higher, f64::from(*f)) * 1e6) as u64);
    assert!(peak.is_some_and(|p| p.abs_diff(660) <= 8), "{peak:?}");
    assert!(higher.len().abs_diff(sound.len()) < RATE / 2, "{} of {}", higher.len(), sound.len());
}

#[test]
fn mono_has_both_sides_on_both_sides() {
    let mut sound = tone(440.0, 0.5, 1.0);
    sound.iter_mut().skip(1).step_by(2).for_each(|right| *right = 0.0);
    let mono = run("mono", &[], &sound);
    assert_eq!(side(&mono, 0), side(&mono, 1));
    assert!((amplitude(&mono, 440.0) - 0.25).abs() < 0.01);
}

#[test]
fn delay_is_exact() {
    let sound = hiss(0.5, 0.5);
    let late = run("delay", &[("milliseconds", "100")], &sound);
    assert_eq!(late.len(), sound.len());
    assert!(late[..9600].iter().all(|s| *s == 0.0));
    assert_eq!(late[9600..], sound[..sound.len() - 9600]);
    assert_eq!(run("delay", &[("milliseconds", "0")], &sound), sound);
}

#[test]
fn a_robot_has_side_bands_and_no_tone_of_its_own() {
    let robot = run("robot", &[("frequency", "100.0")], &tone(1000.0, 0.5, 2.0));
    let [below, itself, above] = [900.0, 1000.0, 1100.0].map(|f| amplitude(&robot, f));
    assert!((below - 0.25).abs() < 0.01 && (above - 0.25).abs() < 0.01, "{below} {above}");
    assert!(itself < 0.002, "{itself}");
}

#[test]
fn the_gate_shuts_hiss_and_lets_a_voice_through() {
    let gate = |sound: &[f32]| run("noise-gate", &[("threshold", "-40.0")], sound);
    // -54 dB at most.
    assert!(gate(&hiss(0.002, 1.0)).iter().all(|s| s.abs() < 1e-6));
    let voice = tone(300.0, 0.2, 1.0);
    let passed = gate(&voice);
    assert!(decibels(amplitude(&passed, 300.0) / 0.2).abs() < 0.1);
    // After the voice it holds 150 ms, and shuts in 80.
    let passed = gate(&[voice, hiss(0.002, 1.0)].concat());
    let after = &passed[RATE * 2..];
    let at = |seconds: f64| loudness(&after[(seconds * 2.0 * RATE as f64) as usize..][..960]);
    assert!(at(0.05) > 5e-4 && at(0.4) == 0.0, "{} {}", at(0.05), at(0.4));
}

#[test]
fn every_filter_takes_the_ends_of_every_parameter() {
    ends_run(MediaKind::Audio, |filter| {
        check_filter(filter).unwrap();
        let sound = filter_samples(filter, &tone(500.0, 0.3, 0.4)).unwrap();
        assert!(sound.iter().all(|s| s.is_finite()), "{}", filter.name());
    });
}

//! The stamp in audio: a mark of twelve consecutive chirps every half second. Four falling chirps are the preamble, eight rising ones
//! encode participant and mark number. Each participant has one of eight frequency bands, so participants can be mixed.

use super::code::MarkStamp;
use std::f64::consts::TAU;

/// Sample rate, Hz.
pub const SAMPLE_RATE: usize = 48_000;
/// Samples of a mark: half a second.
pub const MARK_SAMPLES: usize = SAMPLE_RATE / 2;
/// Samples of a chirp.
pub const CHIRP_SAMPLES: usize = 2000;
/// Chirps of a mark.
pub const CHIRPS_PER_MARK: usize = MARK_SAMPLES / CHIRP_SAMPLES;
/// Number of frequency bands; participant `n` has band `n % BANDS`.
pub const BANDS: usize = 8;
/// Sweep of a chirp, Hz: 16 times the frequency resolution of its length, so each encodes four bits.
const SWEEP: f64 = 384.0;
/// Centre of the lowest band, and distance between bands, Hz.
const LOWEST: usize = 600;
const APART: usize = 450;
/// Start of each falling chirp within the sweep, in sixteenths. All differ, so the start of the mark is unambiguous.
pub const PREAMBLE: [u8; 4] = [0, 5, 11, 2];
/// Amplitude: -12 dBFS, so that four participants can be mixed without clipping.
const AMPLITUDE: f64 = 0.25;

/// The band of a participant, 0 to 7.
pub fn band(participant: u8) -> usize {
    usize::from(participant) % BANDS
}

/// The centre frequency of a band, Hz; a multiple of 50.
pub fn centre(band: usize) -> usize {
    LOWEST + APART * band
}

/// The phase of a chirp relative to its band's centre, in turns, at the share `at` (0 to 1) of its length. It begins `shift` sixteenths into the
/// sweep, wraps at the end of the band, and returns to phase 0.
pub fn phase(rises: bool, shift: u8, at: f64) -> f64 {
    let start = f64::from(shift) / 16.0;
    // The integral of a repeated sweep from -1/2 to 1/2, up to `x`.
    let swept = |x: f64| (x.fract() * x.fract() - x.fract()) / 2.0;
    let turns = (swept(start + at) - swept(start)) * SWEEP * CHIRP_SAMPLES as f64 / SAMPLE_RATE as f64;
    if rises { turns } else { -turns }
}

/// The chirps of a mark: whether each rises, and its shift in sixteenths.
pub fn chirps(stamp: MarkStamp) -> [(bool, u8); CHIRPS_PER_MARK] {
    let data = stamp.symbols();
    std::array::from_fn(|i| match PREAMBLE.get(i) {
        Some(shift) => (false, *shift),
        None => (true, data.get(i - PREAMBLE.len()).copied().unwrap_or(0)),
    })
}

/// The samples of a mark, -1.0 to 1.0. Phase is continuous from one mark to the next.
pub fn mark_samples(stamp: MarkStamp) -> Vec<f32> {
    let centre = centre(band(stamp.participant)) as f64;
    let mut samples = Vec::with_capacity(MARK_SAMPLES);
    for (index, (rises, shift)) in chirps(stamp).into_iter().enumerate() {
        for n in 0..CHIRP_SAMPLES {
            let carrier = centre * (index * CHIRP_SAMPLES + n) as f64 / SAMPLE_RATE as f64;
            let turns = carrier + phase(rises, shift, n as f64 / CHIRP_SAMPLES as f64);
            samples.push((AMPLITUDE * (TAU * turns.fract()).sin()) as f32);
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phase_is_continuous_within_and_between_marks() {
        let mut sound = mark_samples(MarkStamp { participant: 7, number: 4095 });
        sound.extend(mark_samples(MarkStamp { participant: 7, number: 0 }));
        assert_eq!(sound.len(), 2 * MARK_SAMPLES);
        let highest = (centre(7) as f32 + 192.0) / SAMPLE_RATE as f32 * TAU as f32 * AMPLITUDE as f32;
        let step = sound.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(step < highest * 1.02, "{step} {highest}");
        assert!(sound.iter().all(|s| s.abs() <= AMPLITUDE as f32));
    }

    #[test]
    fn each_chirp_returns_to_phase_0() {
        for shift in 0..16 {
            assert!(phase(true, shift, 1.0 - 1e-9).abs() < 1e-6);
            assert!((phase(true, shift, 0.5) + phase(false, shift, 0.5)).abs() < 1e-12);
        }
    }
}

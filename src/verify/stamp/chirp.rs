//! The stamp in sound: every half second a mark of twelve chirps, one after the other without a pause. Four fall and say when it
//! begins, eight rise and say whose it is and which. Each participant has one of eight bands, so that people can be mixed.

use super::code::MarkStamp;
use std::f64::consts::TAU;

/// Samples a second.
pub const RATE: usize = 48_000;
/// Samples from one mark to the next: half a second.
pub const MARK: usize = RATE / 2;
/// Samples of one chirp, and how many a mark has.
pub const CHIRP: usize = 2000;
pub const CHIRPS: usize = MARK / CHIRP;
/// Frequency bands; participant `n` speaks in band `n % BANDS`.
pub const BANDS: usize = 8;
/// How far a chirp sweeps, Hz: 16 times what its length can tell apart, so each says four bits.
const SWEEP: f64 = 384.0;
/// The middle of the lowest band, and from one to the next, Hz.
const LOWEST: usize = 600;
const APART: usize = 450;
/// The falling chirps, as where in the sweep each begins (sixteenths): no two alike, so the mark has one beginning.
pub const PREAMBLE: [u8; 4] = [0, 5, 11, 2];
/// How loud it is: -12 dB below overload, so that four of them can be added, and one doubled.
const AMPLITUDE: f64 = 0.25;

/// The band of a participant.
pub fn band(participant: u8) -> usize {
    usize::from(participant) % BANDS
}

/// The middle of a band, Hz; a multiple of 50.
pub fn centre(band: usize) -> usize {
    LOWEST + APART * band
}

/// The phase of a chirp against its band's middle, in turns, `at` (0 to 1) of its length. `shift` is where in the sweep it begins, in
/// sixteenths; it sweeps the whole band, from there to the end and from the other end to there, and comes back to phase 0.
pub fn phase(rises: bool, shift: u8, at: f64) -> f64 {
    let start = f64::from(shift) / 16.0;
    // The integral of the sweep from -1/2 to 1/2 until `x`, the sweep being repeated.
    let swept = |x: f64| (x.fract() * x.fract() - x.fract()) / 2.0;
    let turns = (swept(start + at) - swept(start)) * SWEEP * CHIRP as f64 / RATE as f64;
    if rises { turns } else { -turns }
}

/// The chirps of a mark: whether each rises, and its shift.
pub fn chirps(stamp: MarkStamp) -> [(bool, u8); CHIRPS] {
    let data = stamp.symbols();
    std::array::from_fn(|i| match PREAMBLE.get(i) {
        Some(shift) => (false, *shift),
        None => (true, data.get(i - PREAMBLE.len()).copied().unwrap_or(0)),
    })
}

/// The samples of a mark, -1.0 to 1.0. A mark ends in the phase in which the next begins.
pub fn mark(stamp: MarkStamp) -> Vec<f32> {
    let centre = centre(band(stamp.participant)) as f64;
    let mut samples = Vec::with_capacity(MARK);
    for (index, (rises, shift)) in chirps(stamp).into_iter().enumerate() {
        for n in 0..CHIRP {
            let carrier = centre * (index * CHIRP + n) as f64 / RATE as f64;
            let turns = carrier + phase(rises, shift, n as f64 / CHIRP as f64);
            samples.push((AMPLITUDE * (TAU * turns.fract()).sin()) as f32);
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_smooth_from_beginning_to_end_and_into_the_next() {
        let mut sound = mark(MarkStamp { participant: 7, number: 4095 });
        sound.extend(mark(MarkStamp { participant: 7, number: 0 }));
        assert_eq!(sound.len(), 2 * MARK);
        let highest = (centre(7) as f32 + 192.0) / RATE as f32 * TAU as f32 * AMPLITUDE as f32;
        let step = sound.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(step < highest * 1.02, "{step} {highest}");
        assert!(sound.iter().all(|s| s.abs() <= AMPLITUDE as f32));
    }

    #[test]
    fn every_chirp_comes_back_to_its_phase() {
        for shift in 0..16 {
            assert!(phase(true, shift, 1.0 - 1e-9).abs() < 1e-6);
            assert!((phase(true, shift, 0.5) + phase(false, shift, 0.5)).abs() < 1e-12);
        }
    }
}

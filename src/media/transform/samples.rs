//! Audio filters that GStreamer has no element for, or not a good one. Each is a function of samples; none waits or reads a clock.

use super::api::SampleFilter;
use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::time::Duration;

/// Samples of one channel a second.
const RATE: f64 = 48_000.0;

/// Ring modulation: multiplies the audio with a tone.
pub struct RingModulator {
    step: f64,
    phase: f64,
}

impl RingModulator {
    /// `frequency` of the tone in Hz.
    pub fn new(frequency: f64) -> RingModulator {
        RingModulator { step: frequency / RATE, phase: 0.0 }
    }
}

impl SampleFilter for RingModulator {
    fn apply(&mut self, samples: &mut [f32], _: Duration) {
        for pair in samples.chunks_mut(2) {
            let tone = (self.phase * TAU).sin() as f32;
            pair.iter_mut().for_each(|sample| *sample *= tone);
            self.phase = (self.phase + self.step).fract();
        }
    }
}

/// A noise gate: mutes audio below a threshold. It opens for a while after each loud moment, so quiet parts of speech pass.
pub struct NoiseGate {
    threshold: f32,
    /// How long it stays open after the last loud sample, in sample pairs.
    hold: u32,
    /// Decay of the measured level for each sample pair.
    fall: f32,
    /// Decrease of the gain for each sample pair while it closes.
    shut: f32,
    level: f32,
    open_for: u32,
    gain: f32,
}

impl NoiseGate {
    /// It opens within 2 ms.
    const OPEN: f32 = 1.0 / 96.0;

    /// `threshold` in dBFS (zero or negative). It stays open for `hold` after the last loud sample and closes within `release`.
    pub fn new(threshold: f64, hold: Duration, release: Duration) -> NoiseGate {
        let pairs = |time: Duration| (time.as_secs_f64() * RATE).max(1.0);
        NoiseGate {
            threshold: 10f64.powf(threshold / 20.0) as f32,
            hold: pairs(hold) as u32,
            fall: (-1.0 / (0.01 * RATE)).exp() as f32,
            shut: (1.0 / pairs(release)) as f32,
            level: 0.0,
            open_for: 0,
            gain: 0.0,
        }
    }
}

impl SampleFilter for NoiseGate {
    fn apply(&mut self, samples: &mut [f32], _: Duration) {
        for pair in samples.chunks_mut(2) {
            let loudest = pair.iter().fold(0.0, |most: f32, s| most.max(s.abs()));
            self.level = loudest.max(self.level * self.fall);
            self.open_for = if self.level >= self.threshold { self.hold } else { self.open_for.saturating_sub(1) };
            let step = if self.open_for > 0 { Self::OPEN } else { -self.shut };
            self.gain = (self.gain + step).clamp(0.0, 1.0);
            pair.iter_mut().for_each(|sample| *sample *= self.gain);
        }
    }
}

/// Delays the audio; silence at first.
pub struct SoundDelay {
    /// As many samples as the delay is long.
    held: VecDeque<f32>,
}

impl SoundDelay {
    /// `by` is some seconds at most: each holds 384 kB.
    pub fn new(by: Duration) -> SoundDelay {
        SoundDelay { held: std::iter::repeat_n(0.0, (by.as_secs_f64() * RATE) as usize * 2).collect() }
    }
}

impl SampleFilter for SoundDelay {
    fn apply(&mut self, samples: &mut [f32], _: Duration) {
        for sample in samples {
            self.held.push_back(*sample);
            *sample = self.held.pop_front().unwrap_or_default();
        }
    }
}

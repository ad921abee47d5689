//! Filters of sound that no element makes, or not well. Each is a function of samples; none waits or asks for the time.

use super::SampleFilter;
use std::f64::consts::TAU;
use std::time::Duration;

/// Samples of one channel a second.
const RATE: f64 = 48_000.0;

/// Multiplies the sound with a tone: every tone in it becomes two, above and below, which sounds like a robot.
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

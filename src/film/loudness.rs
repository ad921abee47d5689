//! The loudness of a programme by EBU R 128 and ITU-R BS.1770-4, in LUFS. It changes no sound.

use super::sound::RATE;
use crate::error::{Error, Result};
use ebur128::{EbuR128, Mode};

/// The target loudness of EBU R 128, in LUFS.
pub const R128: f64 = -23.0;
/// The most that sound is amplified, in dB: enough for whispers, too little for noise.
const MAX_GAIN: f64 = 20.0;

/// A measurement that sound is added to. It keeps one number for each tenth of a second.
pub struct Loudness {
    meter: EbuR128,
}

impl Loudness {
    /// A measurement without sound.
    ///
    /// # Errors
    /// Ours.
    pub fn new() -> Result<Loudness> {
        Ok(Loudness { meter: EbuR128::new(2, RATE as u32, Mode::I).map_err(failed)? })
    }

    /// Adds sound: left and right samples in turn at 48 kHz, full scale is 1.0.
    ///
    /// # Errors
    /// Ours.
    pub fn add(&mut self, samples: &[f32]) -> Result<()> {
        self.meter.add_frames_f32(samples).map_err(failed)
    }

    /// The integrated loudness in LUFS; `None` of silence.
    pub fn integrated(&self) -> Option<f64> {
        self.meter.loudness_global().ok().filter(|loudness| loudness.is_finite())
    }

    /// The factor that makes the sound as loud as `target` LUFS.
    pub fn gain_to(&self, target: f64) -> f32 {
        let decibels = self.integrated().map_or(0.0, |loudness| target - loudness).min(MAX_GAIN);
        10f64.powf(decibels / 20.0) as f32
    }
}

fn failed(error: ebur128::Error) -> Error {
    Error::internal("the loudness cannot be measured").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(loudness: &mut Loudness, hertz: f64, decibels: f64, seconds: f64) {
        let amplitude = 10f64.powf(decibels / 20.0);
        let samples: Vec<f32> = (0..(seconds * RATE as f64) as i64)
            .map(|n| (amplitude * (n as f64 * hertz * std::f64::consts::TAU / RATE as f64).sin()) as f32)
            .flat_map(|s| [s, s])
            .collect();
        loudness.add(&samples).unwrap();
    }

    #[test]
    fn it_measures_what_the_standards_test_signals_say() {
        // EBU Tech 3341, 2.9, cases 1 and 2: 1000 Hz at -23 and -33 dBFS in both channels, within 0.1 LU.
        for level in [-23.0, -33.0] {
            let mut loudness = Loudness::new().unwrap();
            tone(&mut loudness, 1000.0, level, 5.0);
            assert!((loudness.integrated().unwrap() - level).abs() < 0.1, "{:?}", loudness.integrated());
        }
        // Case 3: what is 13 LU quieter before and after is not counted.
        let mut loudness = Loudness::new().unwrap();
        for (level, seconds) in [(-36.0, 3.0), (-23.0, 12.0), (-36.0, 3.0)] {
            tone(&mut loudness, 1000.0, level, seconds);
        }
        assert!((loudness.integrated().unwrap() + 23.0).abs() < 0.1, "{:?}", loudness.integrated());
        assert!((loudness.gain_to(-17.0) - 2.0).abs() < 0.05);
    }

    #[test]
    fn silence_stays_silent_and_whispers_do_not_become_hiss() {
        let mut loudness = Loudness::new().unwrap();
        loudness.add(&vec![0.0; 200_000]).unwrap();
        assert_eq!((loudness.integrated(), loudness.gain_to(R128)), (None, 1.0));
        tone(&mut loudness, 1000.0, -60.0, 3.0);
        assert!((loudness.gain_to(R128) - 10.0).abs() < 1e-3);
    }
}

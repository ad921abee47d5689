//! How loud a programme is, as EBU R 128 and ITU-R BS.1770-4 measure it: K-weighted, gated, in LUFS. It changes no sound.

use super::sound::RATE;

/// What broadcasters agreed on, in LUFS.
pub const R128: f64 = -23.0;
/// Quieter than this is no programme, in LUFS.
const SILENCE: f64 = -70.0;
/// So much quieter than the mean is not counted, in LU.
const GATE: f64 = 10.0;
/// Blocks of 400 ms overlap by three quarters: one is four of these steps.
const STEP: usize = (RATE / 10) as usize;
/// The most that sound is made louder, in dB: whispers, not hiss.
const MOST_GAIN: f64 = 20.0;

/// A filter of second order: coefficients b0, b1, b2, a1, a2 for 48 kHz (BS.1770-4, tables 1 and 2).
#[derive(Debug, Clone, Copy)]
struct Biquad([f64; 5], [f64; 2]);

const SHELF: [f64; 5] = [1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585];
const HIGH_PASS: [f64; 5] = [1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621];

impl Biquad {
    fn pass(&mut self, x: f64) -> f64 {
        let [b0, b1, b2, a1, a2] = self.0;
        let y = b0 * x + self.1[0];
        self.1 = [b1 * x - a1 * y + self.1[1], b2 * x - a2 * y];
        y
    }
}

/// A measurement that goes on as sound comes in. It keeps one number for each tenth of a second.
#[derive(Debug, Clone)]
pub struct Loudness {
    filters: [[Biquad; 2]; 2],
    sum: f64,
    count: usize,
    /// The energy of each step.
    steps: Vec<f64>,
}

impl Default for Loudness {
    fn default() -> Loudness {
        let chain = [Biquad(SHELF, [0.0; 2]), Biquad(HIGH_PASS, [0.0; 2])];
        Loudness { filters: [chain, chain], sum: 0.0, count: 0, steps: Vec::new() }
    }
}

impl Loudness {
    /// Measures more sound: left and right in turn at 48 kHz, 1.0 is full scale.
    pub fn hear(&mut self, samples: &[f32]) {
        for pair in samples.chunks_exact(2) {
            for (filters, sample) in self.filters.iter_mut().zip(pair) {
                let weighted = filters.iter_mut().fold(f64::from(*sample), |x, filter| filter.pass(x));
                self.sum += weighted * weighted;
            }
            self.count += 1;
            if self.count == STEP {
                self.steps.push(self.sum / STEP as f64);
                (self.sum, self.count) = (0.0, 0);
            }
        }
    }

    /// The integrated loudness in LUFS; `None` of silence.
    pub fn integrated(&self) -> Option<f64> {
        let blocks: Vec<f64> = self.steps.windows(4).map(|steps| steps.iter().sum::<f64>() / 4.0).collect();
        let mean_above = |least: f64| {
            let loud = blocks.iter().filter(|block| lufs(**block) > least);
            let (sum, count) = loud.fold((0.0, 0u32), |(sum, count), block| (sum + block, count + 1));
            (count > 0).then(|| lufs(sum / f64::from(count)))
        };
        let first = mean_above(SILENCE)?;
        mean_above((first - GATE).max(SILENCE))
    }

    /// What to multiply the sound with, so that it becomes as loud as `target` LUFS.
    pub fn gain_to(&self, target: f64) -> f32 {
        let decibels = self.integrated().map_or(0.0, |loudness| target - loudness).min(MOST_GAIN);
        10f64.powf(decibels / 20.0) as f32
    }
}

fn lufs(energy: f64) -> f64 {
    -0.691 + 10.0 * energy.max(1e-12).log10()
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
        loudness.hear(&samples);
    }

    #[test]
    fn it_measures_what_the_standards_test_signals_say() {
        // EBU Tech 3341, 2.9, cases 1 and 2: 1000 Hz at -23 and -33 dBFS in both channels, within 0.1 LU.
        for level in [-23.0, -33.0] {
            let mut loudness = Loudness::default();
            tone(&mut loudness, 1000.0, level, 5.0);
            assert!((loudness.integrated().unwrap() - level).abs() < 0.1, "{:?}", loudness.integrated());
        }
        // Case 3: what is 13 LU quieter before and after is not counted.
        let mut loudness = Loudness::default();
        for (level, seconds) in [(-36.0, 3.0), (-23.0, 12.0), (-36.0, 3.0)] {
            tone(&mut loudness, 1000.0, level, seconds);
        }
        assert!((loudness.integrated().unwrap() + 23.0).abs() < 0.1, "{:?}", loudness.integrated());
        assert!((loudness.gain_to(-17.0) - 2.0).abs() < 0.05);
    }

    #[test]
    fn silence_stays_silent_and_whispers_do_not_become_hiss() {
        let mut loudness = Loudness::default();
        loudness.hear(&vec![0.0; 200_000]);
        assert_eq!((loudness.integrated(), loudness.gain_to(R128)), (None, 1.0));
        tone(&mut loudness, 1000.0, -60.0, 3.0);
        assert!((loudness.gain_to(R128) - 10.0).abs() < 1e-3);
    }
}

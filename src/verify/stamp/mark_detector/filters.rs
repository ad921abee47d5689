//! From audio to bands: mixes each band down to 960 complex samples a second and filters out its neighbours.

use crate::verify::stamp::chirp::{self, BANDS, CHIRP_SAMPLES, PREAMBLE, SAMPLE_RATE};
use std::f32::consts::TAU;

/// Decimation: audio samples per sample of a band.
pub const STEP: usize = 50;
/// Samples of a band in a chirp.
pub const LONG: usize = CHIRP_SAMPLES / STEP;
/// Taps of the filter before decimation.
pub const FIRST: usize = 361;
/// Taps of the filter after decimation, which separates the bands.
pub const SECOND: usize = 49;
/// Delay of both filters, audio samples.
pub const DELAY: usize = (FIRST - 1) / 2 + (SECOND - 1) / 2 * STEP;
/// Period of the oscillators, samples: every centre frequency is a multiple of 50 Hz.
const PERIOD: usize = SAMPLE_RATE / 50;

/// A complex sample.
#[derive(Debug, Clone, Copy, Default)]
pub struct Complex {
    pub re: f32,
    pub im: f32,
}

/// Filters, and reference chirps for correlation.
pub struct Filters {
    /// The first filter of each band, multiplied by the band's oscillator.
    first: Vec<Vec<Complex>>,
    /// One period of a 50 Hz oscillator, backwards.
    oscillator: Vec<Complex>,
    pub second: Vec<f32>,
    /// The falling chirps.
    pub head: Vec<Complex>,
    /// The rising chirps.
    pub symbols: Vec<Vec<Complex>>,
}

impl Filters {
    pub fn new() -> Filters {
        let low = low_pass(FIRST, 480.0 / SAMPLE_RATE as f64);
        let first = (0..BANDS).map(|band| {
            let turn = |n: usize| Complex::turned(-((chirp::centre(band) * n) as f64) / SAMPLE_RATE as f64);
            low.iter().enumerate().map(|(n, tap)| turn(n).scaled(*tap)).collect()
        });
        let chirp = |rises: bool, shift: u8| {
            (0..LONG).map(move |n| Complex::turned(chirp::phase(rises, shift, n as f64 / LONG as f64)))
        };
        Filters {
            first: first.collect(),
            oscillator: (0..PERIOD).map(|n| Complex::turned(-(n as f64) / PERIOD as f64)).collect(),
            second: low_pass(SECOND, 225.0 * STEP as f64 / SAMPLE_RATE as f64),
            head: PREAMBLE.iter().flat_map(|shift| chirp(false, *shift)).collect(),
            symbols: (0..16).map(|shift| chirp(true, shift).collect()).collect(),
        }
    }

    /// Sample `number` of a band, from the window of audio that ends with it.
    pub fn decimate(&self, band: usize, window: &[f32], number: usize) -> Complex {
        let mut sum = Complex::default();
        for (tap, sample) in self.first.get(band).into_iter().flatten().zip(window) {
            sum.re += tap.re * sample;
            sum.im += tap.im * sample;
        }
        // The filter's oscillator starts with the window, but the band's started with the audio.
        let start = number * STEP + PERIOD - (FIRST - 1);
        let turn = start % PERIOD * (chirp::centre(band) / 50) % PERIOD;
        sum.times(self.oscillator.get(turn).copied().unwrap_or_default())
    }
}

impl Complex {
    pub fn turned(turns: f64) -> Complex {
        let angle = turns.fract() as f32 * TAU;
        Complex { re: angle.cos(), im: angle.sin() }
    }
    pub fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
    pub fn conjugate(self) -> Complex {
        Complex { re: self.re, im: -self.im }
    }
    pub fn scaled(self, by: f32) -> Complex {
        Complex { re: self.re * by, im: self.im * by }
    }
    pub fn plus(self, other: Complex) -> Complex {
        Complex { re: self.re + other.re, im: self.im + other.im }
    }
    pub fn times(self, other: Complex) -> Complex {
        Complex { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }
}

/// Taps of a low-pass filter (windowed sinc, Hamming); `edge` is a share of the sample rate.
fn low_pass(taps: usize, edge: f64) -> Vec<f32> {
    use std::f64::consts::PI;
    let middle = (taps - 1) as f64 / 2.0;
    let tap = |n: usize| {
        let x = n as f64 - middle;
        let sinc = if x == 0.0 { 2.0 * edge } else { (2.0 * PI * edge * x).sin() / (PI * x) };
        sinc * (0.54 - 0.46 * (2.0 * PI * n as f64 / (taps - 1) as f64).cos())
    };
    let all: Vec<f64> = (0..taps).map(tap).collect();
    let sum: f64 = all.iter().sum();
    all.iter().map(|tap| (tap / sum) as f32).collect()
}

//! A picture of sound for the page about the filters: time from left to right, pitch from bottom to top, bright where it is loud.

use image::{Rgb, RgbImage};
use std::f32::consts::TAU;

/// Samples of one channel that one column looks at: 21 ms.
const WINDOW: usize = 1024;
/// Up to where it is drawn, in Hz.
const HIGHEST: f32 = 6000.0;
const RATE: f32 = 48_000.0;

/// Draws the left side of `samples`, left and right in turn at 48 kHz, over the whole width.
pub fn draw(samples: &[f32], (width, height): (u32, u32)) -> RgbImage {
    let left: Vec<f32> = samples.iter().step_by(2).copied().collect();
    let mut picture = RgbImage::from_pixel(width, height, colour(0.0));
    for x in 0..width {
        let start = left.len().saturating_sub(WINDOW) * x as usize / width.max(1) as usize;
        let Some(window) = left.get(start..start + WINDOW) else { continue };
        for y in 0..height {
            let frequency = HIGHEST * (height - y) as f32 / height as f32;
            let decibels = 20.0 * amplitude(window, frequency).max(1e-9).log10();
            // From -75 dB, black, to -20 dB, white.
            picture[(x, y)] = colour(((decibels + 75.0) / 55.0).clamp(0.0, 1.0));
        }
    }
    picture
}

/// How loud `frequency` is in the window (Goertzel, Hann-weighted).
fn amplitude(window: &[f32], frequency: f32) -> f32 {
    let turn = TAU * frequency / RATE;
    let (mut last, mut before) = (0.0f32, 0.0f32);
    for (n, sample) in window.iter().enumerate() {
        let weight = 0.5 - 0.5 * (TAU * n as f32 / window.len() as f32).cos();
        let next = sample * weight + 2.0 * turn.cos() * last - before;
        before = last;
        last = next;
    }
    let power = last * last + before * before - 2.0 * turn.cos() * last * before;
    4.0 * power.max(0.0).sqrt() / window.len() as f32
}

/// From a dark blue over red to a pale yellow.
fn colour(share: f32) -> Rgb<u8> {
    const STOPS: [[f32; 3]; 4] = [[14.0, 16.0, 34.0], [104.0, 32.0, 108.0], [232.0, 96.0, 64.0], [252.0, 244.0, 190.0]];
    let at = share * 3.0;
    let index = (at as usize).min(2);
    let part = at - index as f32;
    Rgb(std::array::from_fn(|c| (STOPS[index][c] * (1.0 - part) + STOPS[index + 1][c] * part) as u8))
}

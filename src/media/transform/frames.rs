//! Video filters on RGBA that GStreamer has no element for, or not a good one. Each is a function of pixels; none waits or reads a clock.

use super::api::FrameFilter;
use super::scaled::cover;
use image::RgbaImage;
use std::sync::Arc;
use std::time::Duration;

/// Grey of equal weights: (R + G + B) / 3, rounded, as a web page computes it on a canvas.
pub struct AverageGrey;

impl FrameFilter for AverageGrey {
    fn apply(&mut self, frame: &mut RgbaImage, _: Duration) {
        for [r, g, b, _] in frame.as_chunks_mut::<4>().0 {
            // Adding 1 before the division by 3 rounds to the nearest.
            let average = ((u16::from(*r) + u16::from(*g) + u16::from(*b) + 1) / 3) as u8;
            (*r, *g, *b) = (average, average, average);
        }
    }
}

/// The negative: 255 less each of red, green and blue.
pub struct Invert;

impl FrameFilter for Invert {
    fn apply(&mut self, frame: &mut RgbaImage, _: Duration) {
        for pixel in frame.as_chunks_mut::<4>().0 {
            *pixel = (u32::from_le_bytes(*pixel) ^ 0x00ff_ffff).to_le_bytes();
        }
    }
}

/// Edges by the Sobel operator on the green channel (the main part of luma), white on black.
pub struct Edges {
    /// The gain of an edge, in sixteenths.
    strength: i32,
    /// The input with its border doubled; the allocation is reused.
    luma: Vec<i32>,
}

impl Edges {
    pub fn new(strength: f64) -> Edges {
        Edges { strength: (strength * 16.0) as i32, luma: Vec::new() }
    }
}

impl FrameFilter for Edges {
    fn apply(&mut self, frame: &mut RgbaImage, _: Duration) {
        let row = frame.width() as usize + 2;
        let pixels = frame.as_chunks_mut::<4>().0;
        self.luma.clear();
        for line in pixels.chunks(row - 2) {
            let (first, last) = (line[0][1], line[row - 3][1]);
            self.luma.push(first.into());
            self.luma.extend(line.iter().map(|pixel| i32::from(pixel[1])));
            self.luma.push(last.into());
        }
        let rows: Vec<&[i32]> = self.luma.chunks(row).collect();
        for (y, line) in pixels.chunks_mut(row - 2).enumerate() {
            let (above, here, below) = (rows[y.saturating_sub(1)], rows[y], rows[(y + 1).min(rows.len() - 1)]);
            // Three columns at a time: weighted sums for the horizontal gradient, differences for the vertical one.
            let column = |x: usize| (above[x] + 2 * here[x] + below[x], below[x] - above[x]);
            let ((mut left, mut left_down), (mut middle, mut middle_down)) = (column(0), column(1));
            for (x, pixel) in line.iter_mut().enumerate() {
                let (right, right_down) = column(x + 2);
                let steepness = (right - left).abs() + (left_down + 2 * middle_down + right_down).abs();
                let edge = (steepness * self.strength / 64).min(255) as u8;
                *pixel = [edge, edge, edge, 255];
                (left, left_down, middle, middle_down) = (middle, middle_down, right, right_down);
            }
        }
    }
}

/// Sepia, mixed with the input.
pub struct Sepia {
    /// The share of sepia, of 256.
    strength: u32,
    /// The brown for each brightness.
    browns: [[u8; 3]; 256],
}

impl Sepia {
    /// `strength` from 0 (unchanged) to 1 (sepia only).
    pub fn new(strength: f64) -> Sepia {
        // The usual sepia matrix applied to grey.
        let brown = |light: usize| [1.351, 1.203, 0.937].map(|c| (light as f64 * c * 0.96).min(255.0) as u8);
        Sepia { strength: (strength * 256.0) as u32, browns: std::array::from_fn(brown) }
    }
}

impl FrameFilter for Sepia {
    fn apply(&mut self, frame: &mut RgbaImage, _: Duration) {
        let (new, old) = (self.strength, 256 - self.strength);
        for [r, g, b, _] in frame.as_chunks_mut::<4>().0 {
            let light = (77 * u32::from(*r) + 150 * u32::from(*g) + 29 * u32::from(*b)) / 256;
            let brown = self.browns[light as usize];
            for (value, brown) in [r, g, b].into_iter().zip(brown) {
                *value = ((u32::from(*value) * old + u32::from(brown) * new) / 256) as u8;
            }
        }
    }
}

/// Chroma key: replaces a green or blue screen by another image.
pub struct ChromaKey {
    /// Which channel the screen is: 1 green, 2 blue.
    pub channel: usize,
    /// By how much the channel must exceed the others to be the screen, 0 to 1.
    pub tolerance: f64,
    /// The range above it over which foreground and background are mixed, 0 to 1.
    pub softness: f64,
    /// `None`: a plain dark wall.
    pub background: Option<Arc<RgbaImage>>,
    /// The background in the size of the input.
    pub fitted: RgbaImage,
}

const WALL: [u8; 4] = [38, 46, 58, 255];

impl FrameFilter for ChromaKey {
    fn apply(&mut self, frame: &mut RgbaImage, _: Duration) {
        if self.fitted.dimensions() != frame.dimensions() {
            let (width, height) = frame.dimensions();
            let plain = || RgbaImage::from_pixel(width, height, image::Rgba(WALL));
            self.fitted = self.background.as_ref().map_or_else(plain, |image| cover(image, (width, height)));
        }
        let from = (self.tolerance * 255.0) as i32;
        let range = ((self.softness * 255.0) as i32).max(1);
        let others = if self.channel == 1 { [0, 2] } else { [0, 1] };
        let behind = self.fitted.as_chunks::<4>().0;
        for (pixel, behind) in frame.as_chunks_mut::<4>().0.iter_mut().zip(behind) {
            let other = pixel[others[0]].max(pixel[others[1]]);
            let excess = i32::from(pixel[self.channel]) - i32::from(other);
            if excess <= 0 {
                continue;
            }
            let screen = ((excess - from) * 256 / range).clamp(0, 256);
            // Remove the spill of the screen from the foreground.
            if excess * 2 > from {
                pixel[self.channel] = other;
            }
            for (value, behind) in pixel.iter_mut().zip(behind) {
                *value = ((i32::from(*value) * (256 - screen) + i32::from(*behind) * screen) / 256) as u8;
            }
        }
    }
}

//! Filters of RGBA pictures that no element makes, or not well. Each is a function of pixels; none waits or asks for the time.

use super::FrameFilter;
use super::pictures::cover;
use image::RgbaImage;
use std::sync::Arc;
use std::time::Duration;

/// Grey of equal weights: (R + G + B) / 3, to the nearest, as a page computes it on a canvas.
pub struct AverageGrey;

impl FrameFilter for AverageGrey {
    fn apply(&mut self, frame: &mut RgbaImage, _: Duration) {
        for [r, g, b, _] in frame.as_chunks_mut::<4>().0 {
            // A sum of three bytes leaves 0, 1 or 2: one more is the nearest.
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

/// Edges by Sobel's operator over the green channel (most of what is bright), white on black.
pub struct Edges {
    /// What the steepness of an edge is multiplied with.
    pub strength: f64,
    /// The picture as it was, reused.
    luma: Vec<u8>,
}

impl Edges {
    pub fn new(strength: f64) -> Edges {
        Edges { strength, luma: Vec::new() }
    }
}

impl FrameFilter for Edges {
    fn apply(&mut self, frame: &mut RgbaImage, _: Duration) {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let pixels = frame.as_chunks_mut::<4>().0;
        self.luma.clear();
        self.luma.extend(pixels.iter().map(|pixel| pixel[1]));
        // Sixteenths, so that the loop needs no fractions.
        let strength = (self.strength * 16.0) as i32;
        let luma = self.luma.as_slice();
        for y in 0..height {
            // Beyond the border lies what lies on it.
            let (above, below) = (y.saturating_sub(1) * width, (y + 1).min(height - 1) * width);
            let here = y * width;
            for x in 0..width {
                let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
                let at = |row: usize, column: usize| i32::from(luma[row + column]);
                let across =
                    at(above, right) - at(above, left) + 2 * (at(here, right) - at(here, left)) + at(below, right)
                        - at(below, left);
                let down = at(below, left) - at(above, left) + 2 * (at(below, x) - at(above, x)) + at(below, right)
                    - at(above, right);
                let edge = ((across.abs() + down.abs()) * strength / 64).min(255) as u8;
                pixels[here + x] = [edge, edge, edge, 255];
            }
        }
    }
}

/// Puts another picture where this one has the colour of a screen that stands behind people.
pub struct ChromaKey {
    /// Which channel the screen is: 1 green, 2 blue.
    pub channel: usize,
    /// How much the channel must outweigh the others to be the screen, 0 to 1.
    pub tolerance: f64,
    /// Over what range above it people fade into the screen.
    pub softness: f64,
    /// Absent: a plain dark wall.
    pub background: Option<Arc<RgbaImage>>,
    /// The background as large as the pictures are.
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
            // What the screen shines on people (spill) goes, where they are.
            if excess * 2 > from {
                pixel[self.channel] = other;
            }
            for (value, behind) in pixel.iter_mut().zip(behind) {
                *value = ((i32::from(*value) * (256 - screen) + i32::from(*behind) * screen) / 256) as u8;
            }
        }
    }
}

//! Filters of RGBA pictures that no element makes, or not well. Each is a function of pixels; none waits or asks for the time.

use super::FrameFilter;
use image::RgbaImage;
use std::time::Duration;

/// Grey of equal weights: (R + G + B) / 3, to the nearest, as a page computes it on a canvas.
pub struct AverageGrey;

impl FrameFilter for AverageGrey {
    fn apply(&mut self, frame: &mut RgbaImage, _: Duration) {
        let (pixels, _) = frame.as_chunks_mut::<4>();
        for [r, g, b, _] in pixels {
            // A third more is the nearest: the sum of three bytes leaves 0, 1 or 2.
            let average = ((u16::from(*r) + u16::from(*g) + u16::from(*b) + 1) / 3) as u8;
            (*r, *g, *b) = (average, average, average);
        }
    }
}

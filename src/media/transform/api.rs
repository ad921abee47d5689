//! What a filter in Rust implements.

use image::RgbaImage;
use std::time::Duration;

/// Changes pictures one after the other, in Rust. One is made for each stream, so it may keep what it has seen.
///
/// It runs on the thread that the pictures flow through: what it takes longer than a picture lasts is lost frames.
pub trait FrameFilter: Send {
    /// Changes `frame` (not premultiplied RGBA), which is due at `at` on the stream's time; that only grows. Assigning a picture of
    /// another size is allowed: what follows adapts, but each change costs a key frame.
    fn apply(&mut self, frame: &mut RgbaImage, at: Duration);
}

/// Changes sound piece by piece, in Rust. One is made for each stream, so it may keep what it has heard.
pub trait SampleFilter: Send {
    /// Changes `samples`, left and right in turn, 48,000 of each a second, 1.0 the loudest. A piece is some 10 to 60 ms long,
    /// its first sample due at `at` on the stream's time.
    fn apply(&mut self, samples: &mut [f32], at: Duration);
}

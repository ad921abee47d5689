//! The traits of filters in Rust.

use image::RgbaImage;
use std::time::Duration;

/// A video filter in Rust. One is made for each stream, so it may keep state.
///
/// It runs on the streaming thread: if it takes longer than the duration of a frame, frames are dropped.
pub trait FrameFilter: Send {
    /// Changes `frame` (RGBA, not premultiplied) with the stream time `at`, which only increases. Assigning an image of another size is
    /// allowed; each change of the size costs a key frame.
    fn apply(&mut self, frame: &mut RgbaImage, at: Duration);
}

/// An audio filter in Rust. One is made for each stream, so it may keep state.
pub trait SampleFilter: Send {
    /// Changes `samples`: stereo, interleaved, 48 kHz, full scale is 1.0. A block is about 10 to 60 ms long; `at` is the stream time of
    /// its first sample.
    fn apply(&mut self, samples: &mut [f32], at: Duration);
}

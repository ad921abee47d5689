//! Container formats: readers and writers of Matroska/WebM, MP4 and WebVTT. They know no clock, no network, and neither
//! recordings nor films.
#![deny(missing_docs)]

mod chapter;
pub mod matroska;
#[cfg(feature = "film")]
pub mod mp4;
pub mod webvtt;

pub use chapter::Chapter;

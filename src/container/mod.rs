//! Container formats: Matroska/WebM and MP4, readers and writers. No clock, no network.

mod chapter;
pub mod ebml;
pub mod matroska;
#[cfg(feature = "film")]
pub mod matroska_interleaved;
pub mod matroska_reader;
pub mod matroska_writer;
#[cfg(feature = "film")]
pub mod mp4;
#[cfg(feature = "film")]
pub mod mp4_tracks;

pub use chapter::Chapter;

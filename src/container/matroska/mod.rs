//! Matroska and WebM (RFC 9559): a crash-safe writer for one track, a writer for several tracks, a reader for files of one
//! track. Nothing is decoded.

pub mod ebml;

mod cluster;
mod cues;
mod elements;
mod format;
mod header;
#[cfg(feature = "film")]
mod interleaved;
mod opus;
mod reader;
mod writer;

pub(crate) use cluster::MAX_CLUSTER_BYTES;
pub use elements::MAX_FRAME_BYTES;
pub use format::TrackFormat;
#[cfg(feature = "film")]
pub use interleaved::InterleavedWriter;
#[cfg(feature = "server")]
pub use opus::packet_quarter_ms;
pub use reader::{Block, Scan, StoredFrame, TrackReader, scan};
pub use writer::TrackWriter;

//! Recordings: track files, timeline, manifest, recovery. It never decodes and never waits for the network.

mod attachments;
pub mod complete;
mod connection;
mod disk;
pub mod ebml;
pub mod folder;
pub mod happening;
pub mod intervals;
mod log;
pub mod manifest;
pub mod matroska;
pub mod muxer;
pub mod names;
pub mod placement;
pub mod recorder;
pub mod recover;
pub mod scan;
pub mod status;
mod stream;
pub mod subtitles;
#[cfg(test)]
pub(crate) mod testing;
pub mod timeline;
pub mod track;

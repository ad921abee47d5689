//! Recordings: track files, timeline, manifest, recovery. It never decodes and never waits for the network.

pub mod complete;
pub mod ebml;
pub mod folder;
pub mod intervals;
pub mod manifest;
pub mod matroska;
pub mod muxer;
pub mod names;
pub mod recover;
pub mod scan;
#[cfg(test)]
pub(crate) mod testing;
pub mod timeline;
pub mod track;

//! A recording folder as it lies on the disk: manifest, timeline, track files, and how a folder that was cut short is finished. It
//! knows no room and no connection.

pub(crate) mod attachments;
pub mod complete;
pub mod folder;
pub mod intervals;
pub mod manifest;
pub mod names;
pub mod placement;
pub mod recover;
pub mod subtitles;
#[cfg(test)]
pub(crate) mod testing;
pub mod timeline;
pub mod track;

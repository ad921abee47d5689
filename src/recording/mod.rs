//! The format of a recording folder: manifest, timeline, track files, and the recovery of recordings that were interrupted. It knows
//! no room and no connection.
#![deny(missing_docs)]

pub mod account;
pub(crate) mod attachments;
pub(crate) mod boot;
pub mod chapters;
mod event;
pub mod folder;
pub mod frozen;
pub mod intervals;
pub mod manifest;
pub mod names;
pub mod parts;
pub mod placement;
pub mod purge;
pub mod reconcile;
pub mod recover;
pub mod report;
pub mod resume;
pub mod subtitles;
#[cfg(test)]
pub(crate) mod testing;
pub mod timeline;
pub mod track;
mod track_entry;
pub(crate) mod utc_ms;

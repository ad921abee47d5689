//! MP4 (ISO 14496-12): a writer for several tracks, and the rewriting of a finished file with its index in front and chapters.
//! Atoms come from `mp4-atom`; nothing is decoded.

mod index;
mod writer;

pub use index::{count_video_samples, move_index_to_front};
pub use writer::{Mp4Writer, SampleEntry, sample_entry};

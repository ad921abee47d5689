//! Rust code that changes the buffers within a pipeline: the filters of this program that no element of GStreamer offers, and those
//! that users of the library write.

mod api;
mod delay;
mod frames;
pub(super) mod probe;
pub(super) mod registry;
mod samples;
mod scaled;

pub use api::{FrameFilter, SampleFilter};

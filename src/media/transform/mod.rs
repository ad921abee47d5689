//! Rust code that changes buffers within a pipeline: built-in filters that GStreamer has no element for, and those of users of the
//! library.

mod api;
mod delay;
mod frames;
pub(super) mod probe;
pub(super) mod registry;
mod samples;
mod scaled;

pub use api::{FrameFilter, SampleFilter};

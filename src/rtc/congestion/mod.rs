//! What a path carries, and how fast it is filled. Pure: told the time, names no socket.

pub(crate) mod control;
pub(crate) mod estimate;
pub(crate) mod pace;
pub(crate) mod window;

pub use estimate::BandwidthEstimate;

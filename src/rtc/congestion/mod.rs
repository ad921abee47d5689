//! What a path carries, and how fast it is filled. Pure: told the time, names no socket.

pub(crate) mod estimate;
pub(crate) mod pacing;
pub(crate) mod rate_control;
pub(crate) mod window;
pub(crate) mod windowed_min;

pub use estimate::BandwidthEstimate;

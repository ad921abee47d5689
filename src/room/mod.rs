//! Pure values of a room: who is there, which tracks they send, frames, clocks. No tokio, GStreamer or webrtc.

pub mod clock;
pub mod description;
pub mod media;
pub mod names;
pub mod participant;
pub mod policy;
pub mod speaker;

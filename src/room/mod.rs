//! Pure values of a room: who is there, which tracks they send, frames, clocks. No tokio, GStreamer or webrtc.

pub mod clock;
pub mod exchange;
pub mod layout;
pub mod manner;
pub mod media;
pub mod names;
pub mod people;
pub mod speaker;

//! Pure values and rules of a room: who is there, which tracks they send, what happens, how it ends, clocks. No tokio, GStreamer or webrtc.

pub mod clock;
pub mod description;
pub mod end;
pub mod event;
pub mod file;
pub mod media;
pub mod names;
pub mod participant;
pub mod policy;
pub mod sdp;
pub mod speaker;
pub mod speech;

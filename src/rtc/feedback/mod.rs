//! RTCP feedback as arithmetic and policy: when to ask for key frames, what reports say. Pure: told the time, knows no socket and no
//! library.

pub mod key_frames;

pub use key_frames::{KeyFrameNeed, KeyFrameRequests, KeyFrameTiming};

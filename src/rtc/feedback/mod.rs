//! RTCP feedback as arithmetic and policy: when to request key frames, what reports say. Pure: told the time, knows no socket and no
//! library. (Which packets are requested again is decided by the library's NACK generator.)

pub mod key_frames;
pub(crate) mod receiver_report;
pub(crate) mod sender_report;

pub use key_frames::{KeyFrameNeed, KeyFrameRequests, KeyFrameTiming};

//! From RTP packets to encoded frames: reordering with room for retransmission, depayloading, key-frame gating. Pure:
//! time is passed in, nothing waits, nothing is decoded.
//!
//! ```text
//! RtpPacket -> reorder -> assemble (vp8 | vp9 | av1 | h264 | opus; dependencies says what a loss makes undecodable) -> Received
//! ```
//!
//! The payload parsers are our own. Those of the `rtc` crate join every packet into a new buffer (this path hands the
//! payloads on as they are), and bytes from outside can make them panic (a STAP-A that ends in half a length, an AV1
//! OBU shorter than its header) or lose frames (VP9: a third P_DIFF is an error, the G bit is read from three bits).

mod assemble;
mod av1;
mod dependencies;
mod formats;
mod frame_builder;
mod h264;
mod opus;
mod payload;
mod pending_gap;
mod received;
mod reorder_buffer;
mod sequence_history;
#[cfg(test)]
mod tests;
mod timestamps;
mod vp8;
mod vp9;

pub use assemble::FrameAssembler;
pub use received::{AssemblerConfig, ReceiveStats, Received};

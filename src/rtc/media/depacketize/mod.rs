//! From RTP packets to encoded frames: reordering with room for retransmission, depayloading, key-frame gating. Pure:
//! time is passed in, nothing waits, nothing is decoded.
//!
//! ```text
//! RtpPacket -> reorder -> assemble (vp8 | vp9 | av1 | h264 | opus; depend says what a loss spoils) -> Received
//! ```
//!
//! The payload parsers are our own. Those of the `rtc` crate join every packet into a new buffer (this path hands the
//! payloads on as they are), and bytes from outside can make them panic (a STAP-A that ends in half a length, an AV1
//! OBU shorter than its header) or lose frames (VP9: a third P_DIFF is an error, the G bit is read from three bits).

mod assemble;
mod av1;
mod depend;
mod formats;
mod h264;
mod opus;
mod payload;
mod received;
mod reorder;
mod seen;
#[cfg(test)]
mod tests;
mod vp8;
mod vp9;

pub(crate) use crate::rtc::media::inspect::bits::leb128;
pub use assemble::FrameAssembler;
pub(crate) use av1::{obu, put_leb128};
pub(crate) use h264::nal;
pub use received::{AssemblerConfig, ReceiveStats, Received};

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
mod h264;
mod opus;
mod reorder;
#[cfg(test)]
mod tests;
mod vp8;
mod vp9;

pub(crate) use crate::rtc::media::inspect::bits::leb128;
pub use assemble::FrameAssembler;
pub(crate) use av1::{obu, put_leb128};
pub(crate) use h264::nal;

use crate::room::media::Frame;
use bytes::Bytes;
use depend::Deps;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What comes out of a [`FrameAssembler`].
#[derive(Debug, Clone)]
pub enum Received {
    /// A whole frame that can be decoded after those before it.
    Frame(Frame),
    /// Something between two frames will not come any more: packets were lost for good, or frames were thrown away
    /// because they are incomplete or depend on one that is. It stands before the frame that ends the gap.
    Gap {
        /// RTP time of the last frame before the gap.
        from: i64,
        /// RTP time of the frame after the gap.
        to: i64,
        lost_packets: u32,
        /// Frames of which something came and that were thrown away (frames lost without a trace are not counted).
        dropped_frames: u32,
    },
    /// Decoding cannot go on without a key frame: ask the sender. Said once per need; the caller repeats the request.
    NeedKeyFrame,
    /// The sender began anew under the same SSRC. The next frame's time has nothing to do with those before: it counts
    /// from its own 32-bit timestamp, and (video) is a key frame. A new file and a new clock begin here.
    Discontinuity,
}

/// Limits of a [`FrameAssembler`].
#[derive(Debug, Clone, Copy)]
pub struct AssemblerConfig {
    /// How long a hole waits for its retransmission once a later packet is there.
    pub hold: Duration,
    /// How many packets a hole may hold back, 16 to 16,384; a sequence number further ahead than this is a restart.
    pub max_packets: usize,
    /// How many bytes a hole may hold back, and the largest frame.
    pub max_bytes: usize,
}

impl Default for AssemblerConfig {
    fn default() -> Self {
        Self { hold: Duration::from_millis(400), max_packets: 2048, max_bytes: 8 << 20 }
    }
}

/// What a [`FrameAssembler`] has seen since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveStats {
    /// Packets pushed, of any sort.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets that were there already.
    pub duplicates: u64,
    /// Packets that came after their hole had been given up.
    pub late: u64,
    /// Packets whose hole was given up.
    pub lost: u64,
    /// Packets that came after one with a higher sequence number (repaired and late ones included, duplicates not).
    pub reordered: u64,
    /// Those of them that filled a hole in time.
    pub repaired: u64,
    /// Frames given out.
    pub frames: u64,
    /// Frames of which something came and that were not given out.
    pub dropped_frames: u64,
    /// Key frames given out (video).
    pub key_frames: u64,
    /// Packets or frames that do not follow their codec's payload format, or that are not recorded (VP9 spatial layers
    /// above the first).
    pub malformed: u64,
}

/// The bytes do not follow the payload format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed;

/// Whether a packet is the first of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Starts {
    Yes,
    No,
    /// If the packet before it, in sequence, ended a frame; the payload alone does not tell.
    AfterEnd,
}

/// What a payload's header says.
#[derive(Debug, Clone, Copy)]
struct Head {
    starts: Starts,
    /// The packet is the last of its frame whatever its marker bit says.
    ends: bool,
    /// Whether the frame is a key frame, where its first packet says so.
    key: Option<bool>,
    deps: Deps,
    /// Where the codec's bytes begin in the payload.
    body: usize,
}

/// What a whole frame turned out to be.
#[derive(Debug, Clone, Default)]
struct Picture {
    key: bool,
    size: Option<(u32, u32)>,
    config: Option<Bytes>,
}

/// One codec's RTP payload format. Packets of a frame come in order and without holes, from its first one.
trait Depayload: Send {
    /// Reads the header of a payload that is not empty. `None`: the packet is to be ignored (and counted).
    fn head(&mut self, payload: &Bytes) -> Result<Option<Head>, Malformed>;
    /// Adds the packet's bytes to the frame.
    fn add(&mut self, head: &Head, payload: &Bytes, parts: &mut Vec<Bytes>) -> Result<(), Malformed>;
    /// The frame has all its packets. `None`: there is no picture in it (parameter sets by themselves).
    fn finish(&mut self, parts: &mut Vec<Bytes>) -> Result<Option<Picture>, Malformed>;
    /// The frame is given up: forget what was begun.
    fn reset(&mut self) {}
}

//! What the payload formats of all codecs have in common.

use crate::rtc::media::depacketize::dependencies::FrameDependencies;
use bytes::Bytes;

pub(crate) use crate::rtc::media::inspect::inspected::Malformed;

/// Whether a packet is the first of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Starts {
    Yes,
    No,
    /// If the packet before it, in sequence, ended a frame; the payload alone does not tell.
    AfterEnd,
}

/// What a payload's header says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub starts: Starts,
    /// The packet is the last of its frame whatever its marker bit says.
    pub ends: bool,
    /// Whether the frame is a key frame, where its first packet says so.
    pub key: Option<bool>,
    pub dependencies: FrameDependencies,
    /// Where the codec's bytes begin in the payload.
    pub body: usize,
}

/// One codec's RTP payload format. Packets of a frame come in order and without holes, from its first one.
pub(crate) trait Depayload: Send {
    /// Reads the header of a payload that is not empty. `None`: the packet is to be ignored (and counted).
    fn head(&mut self, payload: &Bytes) -> Result<Option<Head>, Malformed>;
    /// Adds the packet's bytes to the frame.
    fn add(&mut self, head: &Head, payload: &Bytes, parts: &mut Vec<Bytes>) -> Result<(), Malformed>;
    /// Whether a packet that [`Starts::AfterEnd`] shows by itself that it is the first of its frame, where nothing came before it.
    fn may_begin(&self, _payload: &Bytes) -> bool {
        false
    }
    /// The frame has all its packets: completes its bytes.
    fn finish(&mut self, parts: &mut Vec<Bytes>) -> Result<(), Malformed>;
    /// The frame is given up: forget what was begun.
    fn reset(&mut self) {}
}

//! What a `FrameAssembler` is given and gives: limits, frames and gaps, counters.

use crate::room::media::{Codec, Frame};
use crate::rtc::media::packet_counts::PacketCounts;
use std::time::Duration;

/// What comes out of a [`FrameAssembler`](super::FrameAssembler).
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
        /// Packets that were lost for good.
        lost_packets: u32,
        /// Frames of which something came and that were thrown away (frames lost without a trace are not counted).
        dropped_frames: u32,
    },
    /// Decoding cannot go on without a key frame: ask the sender. Once per need; the caller repeats the request.
    NeedKeyFrame,
    /// The sender began anew under the same SSRC. The next frame's time has nothing to do with those before: it counts
    /// from its own 32-bit timestamp, and (video) is a key frame. A new file and a new clock begin here.
    Discontinuity,
    /// The sender goes on in another codec, which begins with a key frame. The frames before were of the codec before.
    Codec(Codec),
}

/// Limits of a [`FrameAssembler`](super::FrameAssembler).
#[derive(Debug, Clone, Copy)]
pub struct AssemblerConfig {
    /// How long a hole waits for its retransmission once a later packet is there.
    pub hold: Duration,
    /// How many packets a hole may hold back, 16 to 16,384; a sequence number further ahead than this is a restart.
    pub max_packets: usize,
    /// How many bytes a hole may hold back, and the largest frame.
    pub max_bytes: usize,
}

impl ReceiveStats {
    /// What was counted since `base`, an earlier state of these counts.
    pub fn since(&self, base: &ReceiveStats) -> ReceiveStats {
        let since = |now: u64, before: u64| now.saturating_sub(before);
        ReceiveStats {
            packets: since(self.packets, base.packets),
            bytes: since(self.bytes, base.bytes),
            duplicates: since(self.duplicates, base.duplicates),
            late: since(self.late, base.late),
            lost: since(self.lost, base.lost),
            reordered: since(self.reordered, base.reordered),
            repaired: since(self.repaired, base.repaired),
            frames: since(self.frames, base.frames),
            dropped_frames: since(self.dropped_frames, base.dropped_frames),
            key_frames: since(self.key_frames, base.key_frames),
            malformed: since(self.malformed, base.malformed),
            counts: self.counts.since(&base.counts),
        }
    }
}

impl Default for AssemblerConfig {
    fn default() -> Self {
        Self { hold: Duration::from_millis(400), max_packets: 2048, max_bytes: 8 << 20 }
    }
}

/// What a [`FrameAssembler`](super::FrameAssembler) has seen since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    /// Where the packets went.
    pub counts: PacketCounts,
}

impl ReceiveStats {
    /// Adds the counts of other packets.
    pub(crate) fn add(&mut self, other: &ReceiveStats) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.lost += other.lost;
        self.reordered += other.reordered;
        self.repaired += other.repaired;
        self.frames += other.frames;
        self.dropped_frames += other.dropped_frames;
        self.key_frames += other.key_frames;
        self.malformed += other.malformed;
        self.counts.add(&other.counts);
    }
}

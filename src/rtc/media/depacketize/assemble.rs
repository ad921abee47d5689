//! Packets of one SSRC to frames: into sequence, then into frames. Never waits for anything but a hole in the sequence.

use crate::room::media::{Codec, RtpPacket};
use crate::rtc::media::depacketize::frame_builder::FrameBuilder;
use crate::rtc::media::depacketize::received::{AssemblerConfig, ReceiveStats, Received};
use crate::rtc::media::depacketize::reorder_buffer::{ReorderBuffer, Reordered};
use std::time::{Duration, Instant};

/// RTP packets of one media SSRC, in the order of their arrival, to encoded frames (RFC 7741, 9628, 6184, 7587, AOM AV1).
///
/// Without loss nothing is delayed: a frame comes out with the push of its last packet. A hole delays what follows it
/// until the missing packet comes or [`AssemblerConfig::hold`] is over. Video begins with a key frame; after a loss,
/// frames that depend on what was lost are dropped. Audio is never held to anything but the sequence.
///
/// The codec may change at any packet: [`Received::Codec`]. The first packet's sequence number is the beginning: what a network reorders before it is late.
pub struct FrameAssembler {
    reorder: ReorderBuffer,
    builder: FrameBuilder,
}

impl FrameAssembler {
    /// An assembler for one SSRC that sends `codec`, until its packets say otherwise.
    pub fn new(codec: Codec, config: AssemblerConfig) -> Self {
        Self { reorder: ReorderBuffer::new(&config), builder: FrameBuilder::new(codec, &config) }
    }

    /// The codec of the frames that come out next.
    pub fn codec(&self) -> Codec {
        self.builder.codec
    }

    /// Takes a packet as it arrives; what it completes is appended to `out`.
    pub fn push(&mut self, packet: RtpPacket, out: &mut Vec<Received>) {
        let now = packet.arrival;
        let stats = &mut self.builder.stats;
        stats.packets += 1;
        stats.bytes += packet.payload.len() as u64;
        if let Some(packet) = self.reorder.push(packet, stats) {
            self.builder.take(packet, out);
        }
        if self.reorder.is_waiting() {
            self.tick(now, out);
        }
    }

    /// Gives up holes older than [`AssemblerConfig::hold`]. Needed only when no packet comes: `push` does it too.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Received>) {
        self.drain(out);
        self.reorder.expire(now);
        self.drain(out);
    }

    /// From now on a hole waits so long for its retransmission.
    pub fn set_hold(&mut self, hold: Duration) {
        self.reorder.hold = hold;
    }

    /// From now on frames are not inspected, and given out whether or not they can be decoded: they are encrypted.
    pub fn set_opaque(&mut self) {
        self.builder.set_opaque();
    }

    /// When `tick` has something to do; none while nothing is held back.
    pub fn deadline(&self) -> Option<Instant> {
        self.reorder.deadline()
    }

    /// Gives out what is whole and held back behind holes, and the last gap. A frame whose end was not seen is dropped.
    pub fn finish(&mut self, out: &mut Vec<Received>) {
        self.reorder.finish(&mut self.builder.stats);
        self.drain(out);
        self.builder.finish(out);
    }

    /// Packets that are neither in a frame nor dropped yet.
    #[cfg(test)]
    pub(crate) fn held(&self) -> u64 {
        self.reorder.held() + self.builder.held()
    }

    /// Counts since the beginning.
    pub fn stats(&self) -> ReceiveStats {
        self.builder.stats
    }

    fn drain(&mut self, out: &mut Vec<Received>) {
        while let Some(reordered) = self.reorder.pop() {
            match reordered {
                Reordered::Packet(packet) => self.builder.take(packet, out),
                Reordered::Lost(count) => self.builder.on_lost(count, out),
                Reordered::SequenceJump(ahead) => self.builder.on_sequence_jump(ahead, out),
            }
        }
    }
}

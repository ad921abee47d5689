//! RTP that looks like a sender's, made without an encoder: VP8 frames with a valid payload descriptor and key-frame header.

use bytes::{BufMut, Bytes, BytesMut};
use roombot::room::media::{MediaKind, RtpPacket, Source};
use roombot::room::participant::TrackLabel;
use std::time::Instant;

/// A label for a synthetic track.
pub fn label(stream: &str, source: Source) -> TrackLabel {
    let kind = match source {
        Source::Mic | Source::ScreenAudio => MediaKind::Audio,
        Source::Camera | Source::Screen => MediaKind::Video,
    };
    TrackLabel { stream: stream.into(), kind, source, muted: false }
}

/// A sender of VP8-shaped frames: every `key_every`th is a key frame of `size`, each of `packets` packets.
pub struct Vp8Sender {
    pub sequence: u16,
    pub timestamp: u32,
    pub frame: u64,
    pub key_every: u64,
    pub packets: usize,
    pub size: (u16, u16),
    pub ticks: u32,
}

impl Default for Vp8Sender {
    fn default() -> Self {
        Self { sequence: 0, timestamp: 0, frame: 0, key_every: 30, packets: 4, size: (640, 360), ticks: 3000 }
    }
}

impl Vp8Sender {
    /// The packets of the next frame. The frame's number is in its last eight bytes.
    pub fn next(&mut self) -> Vec<RtpPacket> {
        let key = self.frame.is_multiple_of(self.key_every);
        let packets = (0..self.packets)
            .map(|index| {
                let mut payload = BytesMut::new();
                // RFC 7741: S bit on the first packet, no extensions.
                payload.put_u8(if index == 0 { 0x10 } else { 0x00 });
                if index == 0 {
                    payload.put_slice(&[if key { 0x10 } else { 0x11 }, 0x02, 0x00]);
                    if key {
                        payload.put_slice(&[0x9d, 0x01, 0x2a]);
                        payload.put_u16_le(self.size.0);
                        payload.put_u16_le(self.size.1);
                    }
                }
                payload.put_bytes(index as u8, 600);
                payload.put_u64(self.frame);
                packet(
                    self.sequence.wrapping_add(index as u16),
                    self.timestamp,
                    index + 1 == self.packets,
                    payload.freeze(),
                )
            })
            .collect();
        self.sequence = self.sequence.wrapping_add(self.packets as u16);
        self.timestamp = self.timestamp.wrapping_add(self.ticks);
        self.frame += 1;
        packets
    }
}

/// One packet; the connection puts its own SSRC and payload type on it.
pub fn packet(sequence: u16, timestamp: u32, marker: bool, payload: Bytes) -> RtpPacket {
    RtpPacket {
        ssrc: 0,
        payload_type: 0,
        format: Default::default(),
        sequence,
        timestamp,
        marker,
        audio_level: None,
        arrival: Instant::now(),
        payload,
    }
}

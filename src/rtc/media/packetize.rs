//! From encoded frames to RTP packets: the reverse of `depacketize`. Pure; it knows no network.
//!
//! The payload formats are our own code, as those of `depacketize`: the `rtc` crate's payloaders write VP9 packets that all
//! claim to be key frames, take H.264 in Annex B form only, and can panic on a cut AV1 OBU.

mod av1;
mod h264;
mod payload;
#[cfg(test)]
pub(crate) mod tests;

use crate::room::media::{Codec, Frame, PacketFormat, RtpPacket};
use bytes::{BufMut, Bytes};
use payload::{joined, split};
use std::time::Instant;

/// Splits the frames of one stream into RTP packets (RFC 7741, 9628, 6184 mode 1, 7587, AOM AV1).
pub struct Packetizer {
    codec: Codec,
    format: PacketFormat,
    ssrc: u32,
    sequence: u16,
    /// Frame number: VP8 and VP9 picture id (15 bits), VP9 TL0PICIDX (8 bits).
    frame: u16,
}

impl Packetizer {
    /// A packetizer whose first sequence number and picture id come from the SSRC, which is random already (RFC 3550, 5.1).
    pub fn new(codec: Codec, ssrc: u32) -> Self {
        let seed = ssrc.wrapping_mul(0x9e37_79b9);
        Self { codec, format: codec.into(), ssrc, sequence: (seed >> 17) as u16, frame: seed as u16 }
    }

    /// The packets of one frame, payload type 0 (the connection fills it in). The timestamp is the low 32 bits of
    /// `frame.rtp_time`, and `arrival` is when the frame was captured; the marker bit is on the last packet of a picture. A frame whose
    /// bytes are not in the form that [`Frame::parts`] prescribes gives none.
    pub fn packetize(&mut self, frame: &Frame, captured: Instant) -> Vec<RtpPacket> {
        let bytes = joined(&frame.parts);
        let payloads = match self.codec {
            Codec::Opus => Some(bytes).filter(|bytes| !bytes.is_empty()).into_iter().collect(),
            Codec::Vp8 => self.vp8(&bytes),
            Codec::Vp9 => self.vp9(&bytes, frame),
            Codec::Av1 => av1::payloads(&bytes, frame.key).unwrap_or_default(),
            Codec::H264 => {
                let config = frame.config.as_ref().filter(|_| frame.key);
                h264::payloads(&bytes, config).unwrap_or_default()
            }
        };
        self.frame = self.frame.wrapping_add(1);
        let count = payloads.len();
        let picture = self.codec != Codec::Opus;
        let packet = |(index, payload): (usize, Bytes)| {
            let sequence = self.sequence;
            self.sequence = sequence.wrapping_add(1);
            RtpPacket {
                ssrc: self.ssrc,
                payload_type: 0,
                format: self.format.clone(),
                sequence,
                timestamp: frame.rtp_time as u32,
                marker: picture && index + 1 == count,
                audio_level: frame.audio_level,
                arrival: captured,
                payload,
            }
        };
        payloads.into_iter().enumerate().map(packet).collect()
    }

    /// RFC 7741, 4.2: picture id of 15 bits, one partition.
    fn vp8(&self, bytes: &Bytes) -> Vec<Bytes> {
        let id = self.frame | 0x8000;
        split(bytes, 4, |first, _, out| {
            out.put_slice(&[if first { 0x90 } else { 0x80 }, 0x80]);
            out.put_u16(id);
        })
    }

    /// RFC 9628, 4.2: non-flexible mode, one layer. Key frames carry the scalability structure: Chromium drops those
    /// without one, and any frame without TL0PICIDX.
    fn vp9(&self, bytes: &Bytes, frame: &Frame) -> Vec<Bytes> {
        let id = self.frame | 0x8000;
        let size = frame.size.and_then(|(w, h)| Some((u16::try_from(w).ok()?, u16::try_from(h).ok()?)));
        split(bytes, 13, |first, last, out| {
            let structured = first && frame.key;
            let flags = [(!frame.key, 0x40), (first, 0x08), (last, 0x04), (structured, 0x02)];
            out.put_u8(flags.iter().filter(|(set, _)| *set).fold(0xa0, |flags, (_, bit)| flags | bit));
            out.put_u16(id);
            out.put_slice(&[0, id as u8]);
            if structured {
                out.put_u8(if size.is_some() { 0x18 } else { 0x08 });
                if let Some((width, height)) = size {
                    out.put_u16(width);
                    out.put_u16(height);
                }
                // A picture group of one, which refers to the picture before.
                out.put_slice(&[1, 0x14, 1]);
            }
        })
    }
}

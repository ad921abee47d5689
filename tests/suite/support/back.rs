//! What comes back to a [`Writer`], put together to frames.

use super::writer::Writer;
use roombot::room::media::{Codec, Frame, MediaKind, RtpPacket};
use roombot::rtc::media::depacketize::{AssemblerConfig, FrameAssembler, Received};
use rtc::rtp::Packet;
use std::time::Instant;

/// The streams that came so far.
pub struct Back {
    pub streams: Vec<BackStream>,
}

/// One stream of it.
pub struct BackStream {
    pub ssrc: u32,
    pub codec: Codec,
    pub frames: Vec<Frame>,
}

impl Back {
    pub fn of(writer: &Writer) -> Back {
        let mut streams: Vec<(FrameAssembler, BackStream, Vec<Received>)> = Vec::new();
        for Packet { header, payload } in writer.came() {
            let Some(codec) = writer.codec_of(header.payload_type) else { continue };
            let at = streams.iter().position(|(_, stream, _)| (stream.ssrc, stream.codec) == (header.ssrc, codec));
            let at = at.unwrap_or_else(|| {
                let stream = BackStream { ssrc: header.ssrc, codec, frames: Vec::new() };
                streams.push((FrameAssembler::new(codec, AssemblerConfig::default()), stream, Vec::new()));
                streams.len() - 1
            });
            let packet = RtpPacket {
                ssrc: header.ssrc,
                payload_type: header.payload_type,
                format: codec.into(),
                sequence: header.sequence_number,
                timestamp: header.timestamp,
                marker: header.marker,
                audio_level: None,
                arrival: Instant::now(),
                payload,
            };
            let (assembler, _, out) = &mut streams[at];
            assembler.push(packet, out);
        }
        let streams = streams.into_iter().map(|(_, stream, out)| {
            let frames = out.into_iter().filter_map(|one| match one {
                Received::Frame(frame) => Some(frame),
                _ => None,
            });
            BackStream { frames: frames.collect(), ..stream }
        });
        Back { streams: streams.collect() }
    }

    /// Pictures of all streams.
    pub fn pictures(&self) -> usize {
        let pictures = self.streams.iter().filter(|stream| stream.codec.kind() == MediaKind::Video);
        pictures.map(|stream| stream.frames.len()).sum()
    }
}

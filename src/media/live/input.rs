//! Frames in the form that decoders take: their caps, and their bytes in one buffer. Decodes nothing.

use crate::media::encoded_frame::TEMPORAL_DELIMITER;
use crate::media::runtime::Gst;
use crate::room::media::{Codec, Frame};
use gstreamer as gst;
use gstreamer_app::{AppLeakyType, AppSrc};

/// What stands before each NAL unit in an H.264 byte stream (Annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The source of a pipeline that takes frames of `codec`. Queues at most `max_frames` (policy DropOldest).
pub(super) fn source(gst: Gst, codec: Codec, max_frames: u64) -> AppSrc {
    let caps = match codec {
        Codec::Vp8 => gst.caps("video/x-vp8"),
        Codec::Vp9 => gst.caps("video/x-vp9").field("alignment", "super-frame"),
        Codec::Av1 => gst.caps("video/x-av1").field("stream-format", "obu-stream").field("alignment", "tu"),
        Codec::H264 => gst.caps("video/x-h264").field("stream-format", "byte-stream").field("alignment", "au"),
        Codec::Opus => {
            gst.caps("audio/x-opus").field("channel-mapping-family", 0).field("channels", 2).field("rate", 48_000)
        }
    };
    // Encoders need a nominal rate; frames need not keep to it.
    let caps = if codec == Codec::Opus { caps } else { caps.field("framerate", gst::Fraction::new(30, 1)) };
    let caps = caps.build();
    let source = gst.app_src().format(gst::Format::Time).is_live(true).caps(&caps).max_buffers(max_frames).max_bytes(0);
    source.leaky_type(AppLeakyType::Downstream).build()
}

/// The bytes of a frame; `None` if they are not valid for its codec.
pub(super) fn buffer(gst: Gst, codec: Codec, frame: &Frame) -> Option<gst::Buffer> {
    let mut bytes = Vec::with_capacity(frame.len() + 128);
    match codec {
        Codec::H264 => annex_b(frame, &mut bytes)?,
        Codec::Av1 => {
            bytes.extend_from_slice(&TEMPORAL_DELIMITER);
            frame.parts.iter().for_each(|part| bytes.extend_from_slice(part));
        }
        _ => frame.parts.iter().for_each(|part| bytes.extend_from_slice(part)),
    }
    if bytes.is_empty() {
        return None;
    }
    let mut buffer = gst.buffer(bytes);
    if !frame.key {
        buffer.get_mut()?.set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    Some(buffer)
}

/// The parameter sets of the decoder configuration (ISO 14496-15, 5.3.3.1), then the NAL units, each after a start code.
fn annex_b(frame: &Frame, out: &mut Vec<u8>) -> Option<()> {
    if let Some(config) = &frame.config {
        let mut rest = config.get(5..)?;
        // Sequence parameter sets are counted in five bits, picture parameter sets in eight.
        for mask in [0x1f, 0xff] {
            let (count, sets) = rest.split_first()?;
            rest = sets;
            for _ in 0..count & mask {
                let (length, body) = rest.split_first_chunk::<2>()?;
                let (set, behind) = body.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
                out.extend_from_slice(&START_CODE);
                out.extend_from_slice(set);
                rest = behind;
            }
        }
    }
    let joined = frame.parts.concat();
    let mut rest = joined.as_slice();
    while !rest.is_empty() {
        let (length, body) = rest.split_first_chunk::<4>()?;
        let (unit, behind) = body.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        out.extend_from_slice(&START_CODE);
        out.extend_from_slice(unit);
        rest = behind;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::time::Instant;

    fn frame(parts: &[&[u8]], config: Option<&[u8]>) -> Frame {
        Frame {
            rtp_time: 0,
            arrival: Instant::now(),
            parts: parts.iter().map(|part| Bytes::copy_from_slice(part)).collect(),
            key: true,
            size: None,
            config: config.map(Bytes::copy_from_slice),
            audio_level: None,
            packets: 0,
        }
    }

    #[test]
    fn parameter_sets_and_nal_units_get_start_codes() {
        let config = [1, 66, 0, 31, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 1, 0x68];
        let mut out = Vec::new();
        // A NAL unit may lie across two parts.
        annex_b(&frame(&[&[0, 0, 0, 2, 0x65], &[7, 0, 0, 0, 1, 9]], Some(&config)), &mut out).unwrap();
        assert_eq!(out, [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 0, 0, 0, 1, 0x65, 7, 0, 0, 0, 1, 9]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..64), config in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut out = Vec::new();
            let _ = annex_b(&frame(&[&body], Some(&config)), &mut out);
            prop_assert!(out.len() <= 5 * (body.len() + config.len()));
        }
    }
}

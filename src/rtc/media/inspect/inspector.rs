//! Inspects the frames of one stream, whatever its codec.

use crate::room::media::Codec;
use crate::rtc::media::inspect::av1::Av1;
use crate::rtc::media::inspect::h264::H264;
use crate::rtc::media::inspect::inspected::{Inspected, Malformed};
use crate::rtc::media::inspect::vp8;
use crate::rtc::media::inspect::vp9::Vp9;
use bytes::Bytes;

/// Inspects frames in their order: what they say may rest on those before.
pub(crate) enum Inspector {
    Vp8,
    Vp9(Vp9),
    Av1(Av1),
    H264(H264),
    Opus,
    /// Encrypted: nothing can be known of them.
    Opaque {
        video: bool,
    },
}

impl Inspector {
    pub fn new(codec: Codec) -> Inspector {
        match codec {
            Codec::Vp8 => Inspector::Vp8,
            Codec::Vp9 => Inspector::Vp9(Vp9::default()),
            Codec::Av1 => Inspector::Av1(Av1::default()),
            Codec::H264 => Inspector::H264(H264::default()),
            Codec::Opus => Inspector::Opus,
        }
    }

    /// Inspects a frame in the form of [`crate::room::media::Frame::parts`]. None: there is no picture in it (parameter sets by themselves).
    pub fn inspect(&mut self, parts: &[Bytes]) -> Result<Option<Inspected>, Malformed> {
        match self {
            Inspector::Vp8 => vp8::inspect(parts).map(Some),
            Inspector::Vp9(vp9) => vp9.inspect(parts).map(Some),
            Inspector::Av1(av1) => av1.inspect(parts),
            Inspector::H264(h264) => h264.inspect(parts),
            Inspector::Opus => Ok(Some(Inspected { key: true, ..Inspected::default() })),
            Inspector::Opaque { video } => Ok(Some(Inspected { key: !*video, ..Inspected::default() })),
        }
    }

    /// Parameter sets that did not come with the frames (H.264 `sprop-parameter-sets`, RFC 6184, 8.1), each with its NAL header.
    pub fn add_parameter_sets(&mut self, sets: &[Bytes]) {
        if let Inspector::H264(h264) = self {
            h264.add_parameter_sets(sets);
        }
    }
}

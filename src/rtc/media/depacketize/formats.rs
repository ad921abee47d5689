//! The payload format of each codec.

use crate::room::media::Codec;
use crate::rtc::media::depacketize::av1::Av1;
use crate::rtc::media::depacketize::h264::H264;
use crate::rtc::media::depacketize::opus::Opus;
use crate::rtc::media::depacketize::payload::Depayload;
use crate::rtc::media::depacketize::vp8::Vp8;
use crate::rtc::media::depacketize::vp9::Vp9;

/// The payload format of a codec.
pub(crate) fn depayloader(codec: Codec) -> Box<dyn Depayload> {
    match codec {
        Codec::Vp8 => Box::new(Vp8),
        Codec::Vp9 => Box::new(Vp9::default()),
        Codec::Av1 => Box::new(Av1::default()),
        Codec::H264 => Box::new(H264::default()),
        Codec::Opus => Box::new(Opus),
    }
}

//! The format of a track, and the TrackEntry that describes it (RFC 9559, 5.1.4). It never touches a file.

use super::ebml::{Children, float, put, put_float, put_master, put_uint, uint};
use super::elements as id;
use crate::error::{Error, Result};
use crate::room::media::{Codec, MediaKind};
use bytes::Bytes;

/// The format of a track, as its file describes it in front of the first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackFormat {
    /// The codec of all its frames.
    pub codec: Codec,
    /// H.264: `avcC` (with NAL lengths of four bytes); AV1: `av1C`. Needed by these two, not used by the others.
    pub config: Option<Bytes>,
    /// Pixels of the first key frame; needed by video.
    pub size: Option<(u32, u32)>,
    /// Sound: 1 or 2. Not used by video.
    pub channels: u8,
    /// What a player shows as the track's name: `alice camera`.
    pub name: String,
}

impl TrackFormat {
    /// `webm` where the WebM guidelines allow the codec, else `mkv`.
    pub fn extension(codec: Codec) -> &'static str {
        match codec {
            Codec::H264 => "mkv",
            _ => "webm",
        }
    }

    /// An error of ours where something is missing that players need.
    pub(crate) fn check(&self) -> Result<()> {
        let missing = match self.codec {
            Codec::H264 | Codec::Av1 if self.config.as_ref().is_none_or(Bytes::is_empty) => "a decoder configuration",
            Codec::Opus if !(1..=2).contains(&self.channels) => "one or two channels",
            Codec::Opus => return Ok(()),
            _ if !matches!(self.size, Some((1.., 1..))) => "a picture size",
            _ => return Ok(()),
        };
        Err(Error::internal(format!("a {} file was begun without {missing}", self.codec.name())))
    }
}

/// The Matroska codec id.
fn codec_id(codec: Codec) -> &'static str {
    match codec {
        Codec::Vp8 => "V_VP8",
        Codec::Vp9 => "V_VP9",
        Codec::Av1 => "V_AV1",
        Codec::H264 => "V_MPEG4/ISO/AVC",
        Codec::Opus => "A_OPUS",
    }
}

/// The children of the TrackEntry of track `number` (from 1).
pub(super) fn put_track_entry(entry: &mut Vec<u8>, number: u64, format: &TrackFormat) {
    let sound = format.codec.kind() == MediaKind::Audio;
    put_uint(entry, id::TRACK_NUMBER, number);
    put_uint(entry, id::TRACK_UID, number);
    put_uint(entry, id::TRACK_TYPE, if sound { 2 } else { 1 });
    put_uint(entry, id::FLAG_LACING, 0);
    put(entry, id::LANGUAGE, b"und");
    put(entry, id::NAME, format.name.as_bytes());
    put(entry, id::CODEC_ID, codec_id(format.codec).as_bytes());
    if sound {
        // OpusHead (RFC 7845, 5.1). Pre-skip 0: a recording begins within a stream, the encoder's first samples are not in the file.
        let mut head = *b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0";
        head[9] = format.channels;
        put(entry, id::CODEC_PRIVATE, &head);
        put_uint(entry, id::CODEC_DELAY, 0); // the pre-skip
        put_uint(entry, id::SEEK_PRE_ROLL, 80_000_000); // Opus converges within 80 ms
        put_master(entry, id::AUDIO, |audio| {
            put_float(audio, id::SAMPLING_FREQUENCY, 48_000.0);
            put_uint(audio, id::CHANNELS, u64::from(format.channels));
        });
        return;
    }
    if let Some(config) = format.config.as_ref().filter(|_| matches!(format.codec, Codec::H264 | Codec::Av1)) {
        put(entry, id::CODEC_PRIVATE, config);
    }
    let (width, height) = format.size.unwrap_or((1, 1));
    put_master(entry, id::VIDEO, |video| {
        put_uint(video, id::PIXEL_WIDTH, u64::from(width));
        put_uint(video, id::PIXEL_HEIGHT, u64::from(height));
    });
}

/// The Duration in an Info element, in milliseconds.
pub(super) fn info_duration(info: &[u8]) -> Option<u64> {
    let duration = Children(info).find(|(child, _)| *child == id::DURATION).and_then(|(_, data)| float(data))?;
    (duration >= 0.0).then_some(duration as u64)
}

/// The format that a TrackEntry element describes; `None` where its codec is unknown or something is missing.
pub(super) fn track_format(entry: &[u8]) -> Option<TrackFormat> {
    let child = |wanted: u32| Children(entry).find(|(child, _)| *child == wanted).map(|(_, data)| data);
    let number = |of: Option<&[u8]>, wanted: u32| {
        Children(of?).find(|(child, _)| *child == wanted).and_then(|(_, data)| uint(data))
    };
    let name = child(id::CODEC_ID)?;
    let codec = Codec::ALL.into_iter().find(|codec| codec_id(*codec).as_bytes() == name)?;
    let video = codec.kind() == MediaKind::Video;
    let pixels = |wanted| number(child(id::VIDEO), wanted).and_then(|pixels| u32::try_from(pixels).ok());
    let format = TrackFormat {
        codec,
        config: child(id::CODEC_PRIVATE).filter(|_| video).map(Bytes::copy_from_slice),
        size: pixels(id::PIXEL_WIDTH).zip(pixels(id::PIXEL_HEIGHT)),
        channels: number(child(id::AUDIO), id::CHANNELS).and_then(|channels| u8::try_from(channels).ok()).unwrap_or(0),
        name: child(id::NAME).map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default(),
    };
    format.check().is_ok().then_some(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(codec: Codec) -> TrackFormat {
        let config = Some(Bytes::from_static(b"\x81\x00\x0c\x00"));
        TrackFormat { codec, config, size: Some((1280, 720)), channels: 2, name: "alice camera".into() }
    }

    #[test]
    fn what_players_need_is_asked_for() {
        assert!(TrackFormat { size: None, ..format(Codec::Vp8) }.check().is_err());
        assert!(TrackFormat { size: Some((0, 4)), ..format(Codec::Vp9) }.check().is_err());
        assert!(TrackFormat { config: None, ..format(Codec::H264) }.check().is_err());
        assert!(TrackFormat { channels: 0, ..format(Codec::Opus) }.check().is_err());
        assert!(TrackFormat { size: None, config: None, ..format(Codec::Opus) }.check().is_ok());
    }
}

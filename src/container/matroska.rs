//! What a Matroska or WebM file of one track says of itself (RFC 9559): ids, the track's format, the header. It never touches a file.

use crate::container::ebml::{
    Children, float, put, put_float, put_id, put_master, put_uint, put_void, put_wide_uint, uint, wide_size,
};
use crate::error::{Error, Result};
use crate::room::media::{Codec, MediaKind};
use bytes::Bytes;

/// Element ids (RFC 9559, 5.1).
pub(crate) mod id {
    pub const EBML: u32 = 0x1A45_DFA3;
    pub const DOC_TYPE: u32 = 0x4282;
    pub const SEGMENT: u32 = 0x1853_8067;
    pub const SEEK_HEAD: u32 = 0x114D_9B74;
    pub const INFO: u32 = 0x1549_A966;
    pub const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
    pub const DURATION: u32 = 0x4489;
    pub const TRACKS: u32 = 0x1654_AE6B;
    pub const TRACK_ENTRY: u32 = 0xAE;
    pub const NAME: u32 = 0x536E;
    pub const CODEC_ID: u32 = 0x86;
    pub const CODEC_PRIVATE: u32 = 0x63A2;
    pub const VIDEO: u32 = 0xE0;
    pub const PIXEL_WIDTH: u32 = 0xB0;
    pub const PIXEL_HEIGHT: u32 = 0xBA;
    pub const AUDIO: u32 = 0xE1;
    pub const CHANNELS: u32 = 0x9F;
    pub const CLUSTER: u32 = 0x1F43_B675;
    pub const TIMESTAMP: u32 = 0xE7;
    pub const SIMPLE_BLOCK: u32 = 0xA3;
    pub const CUES: u32 = 0x1C53_BB6B;
}

/// The largest frame that is written or read: far above any real one, so that a length in a file cannot ask for more.
pub const LARGEST_FRAME: usize = 32 << 20;

/// What a file says of its track before the first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackFormat {
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

    pub(crate) fn check(&self) -> Result<()> {
        let missing = match self.codec {
            Codec::H264 | Codec::Av1 if self.config.as_ref().is_none_or(Bytes::is_empty) => "a decoder configuration",
            Codec::Opus if !(1..=2).contains(&self.channels) => "one or two channels",
            Codec::Opus => return Ok(()),
            _ if !matches!(self.size, Some((1.., 1..))) => "a picture size",
            _ => return Ok(()),
        };
        Err(Error::us(format!("a {} file was begun without {missing}", self.codec.name())))
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

/// What is only known at the end; positions and sizes count from the segment's data, as the format wants.
pub(crate) struct Ending {
    pub segment_size: u64,
    pub cues: u64,
    pub duration_ms: u64,
}

/// Bytes reserved in front for the SeekHead: three entries of 21 bytes and its own head.
const SEEK_HEAD_ROOM: usize = 96;
/// The bytes of a Duration element: id, size and a 64-bit float.
const DURATION_ROOM: usize = 11;

/// The file up to its first cluster, and the position of the segment's data in it. Its length does not depend on `ending`.
pub(crate) fn header(format: &TrackFormat, ending: Option<&Ending>) -> (Vec<u8>, u64) {
    let mut out = Vec::with_capacity(512);
    put_master(&mut out, id::EBML, |ebml| {
        put_uint(ebml, 0x4286, 1); // EBMLVersion
        put_uint(ebml, 0x42F7, 1); // EBMLReadVersion
        put_uint(ebml, 0x42F2, 4); // EBMLMaxIDLength
        put_uint(ebml, 0x42F3, 8); // EBMLMaxSizeLength
        let doc_type: &[u8] = if format.codec == Codec::H264 { b"matroska" } else { b"webm" };
        put(ebml, id::DOC_TYPE, doc_type);
        put_uint(ebml, 0x4287, 4); // DocTypeVersion
        put_uint(ebml, 0x4285, 2); // DocTypeReadVersion: SimpleBlock
    });
    put_id(&mut out, id::SEGMENT);
    out.extend_from_slice(&wide_size(ending.map(|ending| ending.segment_size)));
    let segment = out.len() as u64;

    let mut info = Vec::new();
    put_master(&mut info, id::INFO, |info| {
        put_uint(info, id::TIMESTAMP_SCALE, 1_000_000);
        // In the Info's first place, always of the same length: see the test.
        match ending {
            Some(ending) => put_float(info, id::DURATION, ending.duration_ms as f64),
            None => put_void(info, DURATION_ROOM),
        }
        let app = concat!("roombot ", env!("CARGO_PKG_VERSION"));
        put(info, 0x4D80, app.as_bytes()); // MuxingApp
        put(info, 0x5741, app.as_bytes()); // WritingApp
    });
    match ending {
        Some(ending) => {
            let before = out.len();
            let first = SEEK_HEAD_ROOM as u64;
            put_master(&mut out, id::SEEK_HEAD, |seek_head| {
                for (target, position) in
                    [(id::INFO, first), (id::TRACKS, first + info.len() as u64), (id::CUES, ending.cues)]
                {
                    put_master(seek_head, 0x4DBB, |seek| {
                        put(seek, 0x53AB, &target.to_be_bytes()); // SeekID
                        put_wide_uint(seek, 0x53AC, position); // SeekPosition
                    });
                }
            });
            let used = out.len() - before;
            put_void(&mut out, SEEK_HEAD_ROOM - used);
        }
        None => put_void(&mut out, SEEK_HEAD_ROOM),
    }
    out.extend_from_slice(&info);
    put_master(&mut out, id::TRACKS, |tracks| {
        put_master(tracks, id::TRACK_ENTRY, |entry| track_entry(entry, 1, format))
    });
    (out, segment)
}

/// The TrackEntry's children (RFC 9559, 5.1.4).
/// The children of the TrackEntry of track `number`.
pub fn track_entry(entry: &mut Vec<u8>, number: u64, format: &TrackFormat) {
    let sound = format.codec.kind() == MediaKind::Audio;
    put_uint(entry, 0xD7, number); // TrackNumber
    put_uint(entry, 0x73C5, number); // TrackUID
    put_uint(entry, 0x83, if sound { 2 } else { 1 }); // TrackType
    put_uint(entry, 0x9C, 0); // FlagLacing
    put(entry, 0x22_B59C, b"und"); // Language
    put(entry, id::NAME, format.name.as_bytes());
    put(entry, id::CODEC_ID, codec_id(format.codec).as_bytes());
    if sound {
        // OpusHead (RFC 7845, 5.1). Pre-skip 0: we join a running stream, no encoder's first samples are in the file.
        let mut head = *b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0";
        head[9] = format.channels;
        put(entry, id::CODEC_PRIVATE, &head);
        put_uint(entry, 0x56AA, 0); // CodecDelay: the pre-skip
        put_uint(entry, 0x56BB, 80_000_000); // SeekPreRoll: Opus converges within 80 ms
        put_master(entry, id::AUDIO, |audio| {
            put_float(audio, 0xB5, 48_000.0); // SamplingFrequency
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
pub(crate) fn info_duration(info: &[u8]) -> Option<u64> {
    let duration = Children(info).find(|(child, _)| *child == id::DURATION).and_then(|(_, data)| float(data))?;
    (duration >= 0.0).then_some(duration as u64)
}

/// The format that a TrackEntry element tells of; `None` where it is none of ours.
pub(crate) fn track_format(entry: &[u8]) -> Option<TrackFormat> {
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
    use crate::container::ebml::head;

    fn format(codec: Codec) -> TrackFormat {
        let config = Some(Bytes::from_static(b"\x81\x00\x0c\x00"));
        TrackFormat { codec, config, size: Some((1280, 720)), channels: 2, name: "alice camera".into() }
    }

    #[test]
    fn finishing_changes_no_position() {
        for codec in Codec::ALL {
            let (growing, segment) = header(&format(codec), None);
            for value in [0, 1, u64::from(u32::MAX), (1 << 56) - 2] {
                let ending = Ending { segment_size: value, cues: value, duration_ms: value };
                let (finished, same) = header(&format(codec), Some(&ending));
                assert_eq!((growing.len(), segment), (finished.len(), same), "{codec:?}");
            }
        }
    }

    #[test]
    fn the_seek_head_points_at_what_it_names() {
        let ending = Ending { segment_size: 5000, cues: 4000, duration_ms: 1234 };
        let (bytes, segment) = header(&format(Codec::Vp8), Some(&ending));
        let body = &bytes[segment as usize..];
        let (first, seek_head) = Children(body).next().unwrap();
        assert_eq!(first, id::SEEK_HEAD);
        let targets: Vec<(u32, u64)> = Children(seek_head)
            .map(|(_, seek)| {
                let values: Vec<_> = Children(seek).collect();
                (
                    u32::from_be_bytes(values[0].1.try_into().unwrap()),
                    u64::from_be_bytes(values[1].1.try_into().unwrap()),
                )
            })
            .collect();
        assert_eq!(targets.len(), 3);
        for (target, position) in &targets[..2] {
            assert_eq!(head(&body[*position as usize..]).unwrap().id, *target);
        }
        assert_eq!(targets[2], (id::CUES, 4000));
        let info = Children(body).find(|(found, _)| *found == id::INFO).unwrap().1;
        let duration = Children(info).find(|(found, _)| *found == id::DURATION).unwrap().1;
        assert_eq!(float(duration), Some(1234.0));
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

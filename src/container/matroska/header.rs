//! A file up to its first cluster: EBML header, Segment, SeekHead, Info and Tracks (RFC 9559, 5.1). It never touches a file.
//!
//! While a file grows, its segment has an unknown size, and room is reserved for what is known at the end only: writing the
//! header again over the first one finishes the file, and no position changes.

use super::ebml::{put, put_float, put_id, put_master, put_uint, put_void, put_wide_uint, wide_size};
use super::elements as id;
use super::format::{TrackFormat, put_track_entry};
use crate::room::media::Codec;

/// Bytes reserved in front for the SeekHead: three entries of 21 bytes and its own head.
const SEEK_HEAD_ROOM: usize = 96;
/// The bytes of a Duration element: id, size and a 64-bit float.
const DURATION_ROOM: usize = 11;

/// What a header says besides its tracks.
#[derive(Debug, Clone)]
pub(super) struct Description {
    pub title: Option<String>,
    /// Files of one track have named the version here since the first recordings, the others have not.
    pub muxing_app: &'static str,
}

/// What is only known at the end; positions and sizes count from the segment's data, as the format wants.
pub(super) struct Ending {
    pub segment_size: u64,
    pub cues: u64,
    pub duration_ms: u64,
}

/// This program and its version.
pub(super) const APP: &str = concat!("roombot ", env!("CARGO_PKG_VERSION"));

/// The file up to its first cluster, and the position of the segment's data in it. Its length does not depend on `ending`.
pub(super) fn header(tracks: &[TrackFormat], description: &Description, ending: Option<&Ending>) -> (Vec<u8>, u64) {
    let mut out = Vec::with_capacity(512);
    put_master(&mut out, id::EBML, |ebml| {
        put_uint(ebml, id::EBML_VERSION, 1);
        put_uint(ebml, id::EBML_READ_VERSION, 1);
        put_uint(ebml, id::EBML_MAX_ID_LENGTH, 4);
        put_uint(ebml, id::EBML_MAX_SIZE_LENGTH, 8);
        let is_webm = tracks.iter().all(|format| format.codec != Codec::H264);
        put(ebml, id::DOC_TYPE, if is_webm { b"webm" } else { b"matroska" });
        put_uint(ebml, id::DOC_TYPE_VERSION, 4);
        put_uint(ebml, id::DOC_TYPE_READ_VERSION, 2); // SimpleBlock
    });
    put_id(&mut out, id::SEGMENT);
    out.extend_from_slice(&wide_size(ending.map(|ending| ending.segment_size)));
    let segment = out.len() as u64;

    let info = info(description, ending);
    match ending {
        Some(ending) => {
            let before = out.len();
            put_seek_head(&mut out, info.len() as u64, ending.cues);
            let used = out.len() - before;
            put_void(&mut out, SEEK_HEAD_ROOM - used);
        }
        None => put_void(&mut out, SEEK_HEAD_ROOM),
    }
    out.extend_from_slice(&info);
    put_master(&mut out, id::TRACKS, |entries| {
        for (number, format) in (1..).zip(tracks) {
            put_master(entries, id::TRACK_ENTRY, |entry| put_track_entry(entry, number, format));
        }
    });
    (out, segment)
}

/// The Info element; its length does not depend on `ending`.
fn info(description: &Description, ending: Option<&Ending>) -> Vec<u8> {
    let mut info = Vec::new();
    put_master(&mut info, id::INFO, |info| {
        put_uint(info, id::TIMESTAMP_SCALE, 1_000_000);
        // Always of the same length: see the test.
        match ending {
            Some(ending) => put_float(info, id::DURATION, ending.duration_ms as f64),
            None => put_void(info, DURATION_ROOM),
        }
        if let Some(title) = &description.title {
            put(info, id::TITLE, title.as_bytes());
        }
        put(info, id::MUXING_APP, description.muxing_app.as_bytes());
        put(info, id::WRITING_APP, APP.as_bytes());
    });
    info
}

/// Where Info, Tracks and Cues lie.
fn put_seek_head(out: &mut Vec<u8>, info_length: u64, cues: u64) {
    let info = SEEK_HEAD_ROOM as u64;
    put_master(out, id::SEEK_HEAD, |seek_head| {
        for (target, position) in [(id::INFO, info), (id::TRACKS, info + info_length), (id::CUES, cues)] {
            put_master(seek_head, id::SEEK, |seek| {
                put(seek, id::SEEK_ID, &target.to_be_bytes());
                put_wide_uint(seek, id::SEEK_POSITION, position);
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::matroska::ebml::{Children, float, head};
    use bytes::Bytes;

    fn formats(codec: Codec) -> Vec<TrackFormat> {
        let config = Some(Bytes::from_static(b"\x81\x00\x0c\x00"));
        vec![TrackFormat { codec, config, size: Some((1280, 720)), channels: 2, name: "alice camera".into() }]
    }

    fn described() -> Description {
        Description { title: None, muxing_app: APP }
    }

    #[test]
    fn finishing_changes_no_position() {
        for codec in Codec::ALL {
            for title in [None, Some("Standup".to_owned())] {
                let description = Description { title, muxing_app: APP };
                let (growing, segment) = header(&formats(codec), &description, None);
                for value in [0, 1, u64::from(u32::MAX), (1 << 56) - 2] {
                    let ending = Ending { segment_size: value, cues: value, duration_ms: value };
                    let (finished, same) = header(&formats(codec), &description, Some(&ending));
                    assert_eq!((growing.len(), segment), (finished.len(), same), "{codec:?}");
                }
            }
        }
    }

    #[test]
    fn the_seek_head_points_at_what_it_names() {
        let ending = Ending { segment_size: 5000, cues: 4000, duration_ms: 1234 };
        let (bytes, segment) = header(&formats(Codec::Vp8), &described(), Some(&ending));
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
}

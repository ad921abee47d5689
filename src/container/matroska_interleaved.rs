//! Frames of several tracks as one Matroska or WebM file (RFC 9559): clusters, an index, a duration. It knows nothing of where frames
//! come from, and holds one cluster of them.

use crate::container::ebml::{put, put_float, put_id, put_master, put_uint, put_void, put_wide_uint, wide_size};
use crate::container::matroska::{TrackFormat, track_entry};
use crate::room::media::{Codec, MediaKind, Source};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

/// A cluster is this long at most, in milliseconds; a block's time in it has 16 bits.
const CLUSTER_MS: u64 = 5000;
/// And so large at most.
const CLUSTER_BYTES: usize = 4 << 20;
/// Key frames that are at least so far apart are in the index.
const CUES_MS: u64 = 1000;
/// Room for the SeekHead in front: three entries and its own head.
const SEEK_HEAD: usize = 96;

const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_A966;
const TRACKS: u32 = 0x1654_AE6B;
const CLUSTER: u32 = 0x1F43_B675;
const CUES: u32 = 0x1C53_BB6B;

/// A stream of the file.
#[derive(Debug, Clone)]
pub struct Stream {
    pub source: Source,
    pub format: TrackFormat,
}

/// A file that is being written.
pub struct Writer {
    out: BufWriter<File>,
    /// Where the segment's data begins, and where the file ends.
    segment: u64,
    end: u64,
    info: u64,
    tracks: u64,
    title: String,
    cluster: Vec<u8>,
    cluster_ms: u64,
    /// Time, stream and cluster of key frames.
    cues: Vec<(u64, usize, u64)>,
    /// The stream whose key frames are in the index.
    leader: usize,
    last_ms: u64,
}

impl Writer {
    /// Begins a file.
    pub fn begin(file: File, title: &str, streams: &[Stream]) -> io::Result<Writer> {
        let mut head = Vec::new();
        let is_webm = streams.iter().all(|stream| stream.format.codec != Codec::H264);
        put_master(&mut head, 0x1A45_DFA3, |ebml| {
            for (id, value) in [(0x4286, 1), (0x42F7, 1), (0x42F2, 4), (0x42F3, 8)] {
                put_uint(ebml, id, value);
            }
            put(ebml, 0x4282, if is_webm { b"webm" } else { b"matroska" });
            put_uint(ebml, 0x4287, 4);
            put_uint(ebml, 0x4285, 2);
        });
        put_id(&mut head, SEGMENT);
        head.extend_from_slice(&wide_size(None));
        let segment = head.len() as u64;
        put_void(&mut head, SEEK_HEAD);
        let info = head.len() as u64;
        head.extend(information(title, 0));
        let tracks = head.len() as u64;
        put_master(&mut head, TRACKS, |tracks| {
            for (number, stream) in (1..).zip(streams) {
                put_master(tracks, 0xAE, |entry| track_entry(entry, number, &stream.format));
            }
        });
        let is_video = |stream: &Stream| stream.format.codec.kind() == MediaKind::Video;
        let mut writer = Writer {
            out: BufWriter::new(file),
            segment,
            end: 0,
            info,
            tracks,
            title: title.to_owned(),
            cluster: Vec::new(),
            cluster_ms: 0,
            cues: Vec::new(),
            leader: streams.iter().position(is_video).unwrap_or(0),
            last_ms: 0,
        };
        writer.append(&head)?;
        Ok(writer)
    }

    /// Adds a frame of a stream, numbered from 0, at `ms` of the file. Times of all streams together may step back by seconds, not more.
    pub fn push(&mut self, stream: usize, ms: u64, key: bool, data: &[u8]) -> io::Result<()> {
        let offset = ms as i64 - self.cluster_ms as i64;
        let begins = key && stream == self.leader && offset > CUES_MS as i64;
        let is_full = begins
            || self.cluster.len() + data.len() > CLUSTER_BYTES
            || !(-30_000..CLUSTER_MS as i64).contains(&offset);
        if is_full {
            self.flush()?;
        }
        if self.cluster.is_empty() {
            put_uint(&mut self.cluster, 0xE7, ms);
            self.cluster_ms = ms;
        }
        if key && stream == self.leader && self.cues.last().is_none_or(|(last, ..)| ms >= last + CUES_MS) {
            self.cues.push((ms, stream, self.end - self.segment));
        }
        let offset = (ms as i64 - self.cluster_ms as i64) as i16;
        put_id(&mut self.cluster, 0xA3);
        crate::container::ebml::put_size(&mut self.cluster, data.len() as u64 + 4);
        let [high, low] = offset.to_be_bytes();
        // Streams are few: their number is one byte.
        self.cluster.extend_from_slice(&[0x80 | (stream as u8 + 1), high, low, if key { 0x80 } else { 0 }]);
        self.cluster.extend_from_slice(data);
        self.last_ms = self.last_ms.max(ms);
        Ok(())
    }

    /// Writes what is left, the index, and what is only known now: how long the file is, in milliseconds.
    pub fn finish(mut self) -> io::Result<u64> {
        self.flush()?;
        let (cues, duration_ms) = (self.end, self.last_ms + 20);
        let mut index = Vec::new();
        put_master(&mut index, CUES, |index| {
            for (ms, stream, cluster) in &self.cues {
                put_master(index, 0xBB, |point| {
                    put_uint(point, 0xB3, *ms);
                    put_master(point, 0xB7, |place| {
                        put_uint(place, 0xF7, *stream as u64 + 1);
                        put_uint(place, 0xF1, *cluster);
                    });
                });
            }
        });
        self.append(&index)?;
        let mut seek = Vec::new();
        put_master(&mut seek, 0x114D_9B74, |head| {
            for (id, at) in [(INFO, self.info), (TRACKS, self.tracks), (CUES, cues)] {
                put_master(head, 0x4DBB, |entry| {
                    put(entry, 0x53AB, &id.to_be_bytes());
                    put_wide_uint(entry, 0x53AC, at - self.segment);
                });
            }
        });
        let left = SEEK_HEAD - seek.len();
        put_void(&mut seek, left);
        seek.extend(information(&self.title, duration_ms));
        let size = wide_size(Some(self.end - self.segment));
        self.out.seek(SeekFrom::Start(self.segment - size.len() as u64))?;
        self.out.write_all(&size)?;
        self.out.write_all(&seek)?;
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        Ok(duration_ms)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.cluster.is_empty() {
            return Ok(());
        }
        let mut cluster = Vec::new();
        put_id(&mut cluster, CLUSTER);
        cluster.extend_from_slice(&wide_size(Some(self.cluster.len() as u64)));
        self.append(&cluster)?;
        let body = std::mem::take(&mut self.cluster);
        self.append(&body)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// The Info element; its length does not depend on the duration.
fn information(title: &str, duration_ms: u64) -> Vec<u8> {
    let mut info = Vec::new();
    put_master(&mut info, INFO, |info| {
        put_uint(info, 0x2A_D7B1, 1_000_000);
        put_float(info, 0x4489, duration_ms as f64);
        put(info, 0x7BA9, title.as_bytes());
        put(info, 0x4D80, b"roombot");
        put(info, 0x5741, concat!("roombot ", env!("CARGO_PKG_VERSION")).as_bytes());
    });
    info
}

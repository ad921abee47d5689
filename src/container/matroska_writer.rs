//! Our Matroska writer: one encoded track to one file, in clusters of known size. It never transcodes, reorders or waits for anybody.
//!
//! Our own, because it was measured: a GStreamer muxer that is fed frame by frame costs more CPU than the whole network
//! stack, has a thread for each file, and cannot promise what a kill leaves behind. One track is the easy case of the
//! format: a header, clusters of blocks, an index at the end.
//!
//! The file can be opened at any instant. While it grows its segment has an unknown size and every cluster is written
//! whole, by one call, at the end. What finishes the file (the size, the duration, the way to the index) goes into room
//! that the header has reserved, again by one call.

use crate::container::ebml;
use crate::container::ebml::{put_id, put_master, put_uint, wide_size};
use crate::container::matroska::{Ending, LARGEST_FRAME, TrackFormat, header, id};
use crate::error::io_failed;
use crate::error::{Error, Result};
use crate::room::media::{Codec, MediaKind};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A cluster is cut before it would hold more than this many bytes or milliseconds (its blocks count in 16 bits).
pub(crate) const CLUSTER_BYTES: usize = 4 << 20;
const CLUSTER_MS: i64 = 1000;
/// Bytes of a cluster's buffer that are kept from one cluster to the next.
const BUFFER_KEPT: usize = 256 << 10;
/// Times are clamped to this (9,000 years), so that no sum of them overflows.
const LATEST_MS: u64 = 1 << 48;

/// The index: where decoding can start. It has a fixed bound; where there are more places, every second one is dropped.
#[derive(Debug)]
struct Cues {
    /// Milliseconds, and the cluster's position in the segment's data.
    points: Vec<(u64, u64)>,
    spacing_ms: u64,
}

impl Cues {
    /// 64 KiB of memory; two days of sound then have an entry each 42 s.
    const MOST: usize = 4096;

    fn add(&mut self, ms: u64, position: u64) {
        if self.points.last().is_some_and(|(last, _)| ms < last.saturating_add(self.spacing_ms)) {
            return;
        }
        self.points.push((ms, position));
        if self.points.len() > Self::MOST {
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
            let span = ms.saturating_sub(self.points.first().map_or(0, |(first, _)| *first));
            self.spacing_ms = (2 * self.spacing_ms).max(2 * span / Self::MOST as u64);
        }
    }

    fn element(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_master(&mut out, id::CUES, |cues| {
            for (ms, position) in &self.points {
                put_master(cues, 0xBB, |point| {
                    put_uint(point, 0xB3, *ms); // CueTime
                    put_master(point, 0xB7, |place| {
                        put_uint(place, 0xF7, 1); // CueTrack
                        put_uint(place, 0xF1, *position); // CueClusterPosition
                    });
                });
            }
        });
        out
    }
}

/// Writes one track. Dropping it leaves a file that opens, but without duration and index; [`Muxer::finish`] adds these.
#[derive(Debug)]
pub struct Muxer {
    file: Arc<File>,
    format: TrackFormat,
    /// Position of the segment's data in the file.
    segment: u64,
    /// Where the next cluster goes; the file is whole up to here.
    end: u64,
    /// The cluster in memory, with its head; empty when there is none.
    cluster: Vec<u8>,
    cluster_ms: u64,
    cluster_frames: u64,
    cues: Cues,
    last_ms: u64,
    /// How long the last frame is shown or heard: known from an Opus packet, taken from the frame before for video.
    last_span_ms: u64,
    frames: u64,
    lost: u64,
}

impl Muxer {
    /// Writes the header into an empty file.
    pub fn new(file: File, format: TrackFormat) -> Result<Self> {
        format.check()?;
        let (bytes, segment) = header(&format, None);
        file.write_all_at(&bytes, 0).map_err(|e| io_failed("begin a track file", e))?;
        let (spacing_ms, last_span_ms) = match format.codec.kind() {
            MediaKind::Audio => (5000, 20),
            MediaKind::Video => (0, 33),
        };
        Ok(Self {
            file: Arc::new(file),
            format,
            segment,
            end: bytes.len() as u64,
            cluster: Vec::new(),
            cluster_ms: 0,
            cluster_frames: 0,
            cues: Cues { points: Vec::new(), spacing_ms },
            last_ms: 0,
            last_span_ms,
            frames: 0,
            lost: 0,
        })
    }

    /// Appends a frame of `length` bytes at `ms` to the cluster in memory, and writes that out first when it is long enough.
    ///
    /// An error is the disk's, and this frame is taken all the same; a cluster that could not be written when it was full is lost,
    /// and counted ([`Muxer::lost`]). Only a frame above [`LARGEST_FRAME`] is refused.
    pub fn push<'a>(&mut self, ms: u64, key: bool, parts: impl Iterator<Item = &'a [u8]> + Clone) -> Result<()> {
        let length: usize = parts.clone().map(<[u8]>::len).sum();
        if length > LARGEST_FRAME {
            self.lost += 1;
            return Err(Error::room(format!("a frame of {length} bytes was left out")));
        }
        let ms = ms.min(LATEST_MS);
        let offset = ms as i64 - self.cluster_ms as i64;
        let full = self.cluster.len() + length > CLUSTER_BYTES || !(-CLUSTER_MS..CLUSTER_MS).contains(&offset);
        let written = if full && !self.cluster.is_empty() { self.cut() } else { Ok(()) };

        if self.cluster.is_empty() {
            put_id(&mut self.cluster, id::CLUSTER);
            self.cluster.extend_from_slice(&wide_size(None));
            put_uint(&mut self.cluster, id::TIMESTAMP, ms);
            self.cluster_ms = ms;
        }
        if key {
            self.cues.add(ms, self.end - self.segment);
        }
        // Within a cluster's bounds by the cut above, and 0 at its start.
        let offset = (ms as i64 - self.cluster_ms as i64) as i16;
        put_id(&mut self.cluster, id::SIMPLE_BLOCK);
        ebml::put_size(&mut self.cluster, length as u64 + 4);
        let [high, low] = offset.to_be_bytes();
        self.cluster.extend_from_slice(&[0x81, high, low, if key { 0x80 } else { 0 }]);
        let start = self.cluster.len();
        parts.for_each(|part| self.cluster.extend_from_slice(part));

        self.cluster_frames += 1;
        self.frames += 1;
        if self.format.codec == Codec::Opus {
            self.last_span_ms = opus_ms(self.cluster.get(start..).unwrap_or_default()).unwrap_or(self.last_span_ms);
        } else if self.frames > 1 && ms > self.last_ms {
            self.last_span_ms = (ms - self.last_ms).min(1000);
        }
        self.last_ms = ms;
        written
    }

    /// Writes the cluster in memory, if there is one. After an error it is still there, and the next call tries again.
    pub fn flush(&mut self) -> Result<()> {
        if self.cluster.is_empty() {
            return Ok(());
        }
        let size = self.cluster.len() as u64 - ebml::LONGEST_HEAD as u64;
        self.cluster[4..ebml::LONGEST_HEAD].copy_from_slice(&wide_size(Some(size)));
        append(&self.file, &mut self.end, &self.cluster)?;
        self.forget_cluster();
        Ok(())
    }

    /// As [`Muxer::flush`], but the cluster is given up when it cannot be written: memory is bounded.
    fn cut(&mut self) -> Result<()> {
        let position = self.end - self.segment;
        self.flush().inspect_err(|_| {
            self.lost += self.cluster_frames;
            self.frames -= self.cluster_frames;
            while self.cues.points.pop_if(|point| point.1 >= position).is_some() {}
            self.forget_cluster();
        })
    }

    fn forget_cluster(&mut self) {
        self.cluster.clear();
        self.cluster.shrink_to(BUFFER_KEPT);
        self.cluster_frames = 0;
    }

    /// Writes what is left, the index, and the header that points to it. The file is complete, but not yet safe from a loss of power.
    pub fn finish(&mut self) -> Result<()> {
        self.flush()?;
        let cues = self.end - self.segment;
        let index = self.cues.element();
        append(&self.file, &mut self.end, &index)?;
        let ending = Ending { segment_size: self.end - self.segment, cues, duration_ms: self.duration_ms() };
        let (bytes, _) = header(&self.format, Some(&ending));
        self.file.write_all_at(&bytes, 0).map_err(|e| io_failed("finish a track file", e))
    }

    /// From time 0 to the end of the last frame, in milliseconds; 0 before the first.
    pub fn duration_ms(&self) -> u64 {
        if self.frames == 0 { 0 } else { self.last_ms + self.last_span_ms.max(1) }
    }
    /// Bytes in the file and in memory.
    pub fn bytes(&self) -> u64 {
        self.end + self.cluster.len() as u64
    }
    /// Frames that were taken and not lost.
    pub fn frames(&self) -> u64 {
        self.frames
    }
    /// Frames that the disk did not take, or that were too large.
    pub fn lost(&self) -> u64 {
        self.lost
    }
    /// The file, to sync it from another thread.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }
}

/// Writes bytes at the end of the file: all of them or, as far as a reader can see, none.
fn append(file: &File, end: &mut u64, bytes: &[u8]) -> Result<()> {
    file.write_all_at(bytes, *end).map_err(|error| {
        // A part of it may be there. If cutting it off fails too, the next attempt writes over it.
        let _ = file.set_len(*end);
        io_failed("write to a track file", error)
    })?;
    *end += bytes.len() as u64;
    Ok(())
}

/// The duration of an Opus packet in milliseconds (RFC 6716, 3.1), rounded up; `None` where it is none.
pub(crate) fn opus_ms(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let quarters = match toc >> 3 {
        config @ 0..12 => [40, 80, 160, 240][usize::from(config & 3)],
        config @ 12..16 => [40, 80][usize::from(config & 1)],
        config => [10, 20, 40, 80][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 63),
    };
    // At most 120 ms in a packet.
    Some((quarters * frames).div_ceil(4)).filter(|ms| (1..=120).contains(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::matroska_reader::{TrackReader, scan};
    use std::path::PathBuf;

    fn muxer(codec: Codec) -> (tempfile::TempDir, PathBuf, Muxer) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("track");
        let file = File::create_new(&path).unwrap();
        let format = TrackFormat { codec, config: None, size: Some((64, 64)), channels: 2, name: "test".into() };
        let muxer = Muxer::new(file, format).unwrap();
        (dir, path, muxer)
    }

    fn push(muxer: &mut Muxer, ms: u64, data: &[u8]) -> Result<()> {
        muxer.push(ms, true, std::iter::once(data))
    }

    fn times(path: &std::path::Path) -> Vec<u64> {
        TrackReader::open(path).unwrap().frames().map(|frame| frame.unwrap().ms).collect()
    }

    #[test]
    fn a_full_disk_costs_the_seconds_for_which_it_is_full() {
        let (_dir, path, mut muxer) = muxer(Codec::Vp8);
        push(&mut muxer, 0, b"before").unwrap();
        muxer.flush().unwrap();
        let disk = muxer.file.clone();
        // Every write to a file that is open for reading only fails.
        muxer.file = Arc::new(File::open(&path).unwrap());
        push(&mut muxer, 100, b"kept in memory").unwrap();
        assert!(muxer.flush().is_err() && muxer.flush().is_err());
        muxer.file = disk.clone();
        muxer.flush().unwrap();
        assert_eq!(times(&path), [0, 100]);

        muxer.file = Arc::new(File::open(&path).unwrap());
        for ms in [200, 300, 1200] {
            assert_eq!(push(&mut muxer, ms, b"the cluster is given up at its full second").is_err(), ms == 1200);
        }
        assert_eq!((muxer.lost(), muxer.frames()), (2, 3));
        muxer.file = disk;
        muxer.finish().unwrap();
        assert_eq!(times(&path), [0, 100, 1200]);
        assert!(scan(&path).unwrap().finished);
        assert_eq!(muxer.cues.points.iter().map(|point| point.0).collect::<Vec<_>>(), [0, 100, 1200]);
    }

    #[test]
    fn memory_is_bounded_by_the_cluster() {
        let (_dir, path, mut muxer) = muxer(Codec::Vp8);
        let frame = vec![7; 1 << 20];
        for ms in 0..20 {
            push(&mut muxer, ms, &frame).unwrap();
            assert!(muxer.cluster.len() <= CLUSTER_BYTES + 64);
        }
        assert!(push(&mut muxer, 20, &vec![0; LARGEST_FRAME + 1]).is_err());
        push(&mut muxer, 21, &vec![0; 6 << 20]).unwrap();
        muxer.finish().unwrap();
        assert_eq!((muxer.frames(), muxer.lost(), scan(&path).unwrap().frames), (21, 1, 21));
        assert!(muxer.cluster.capacity() <= BUFFER_KEPT);
    }

    #[test]
    fn the_index_is_bounded_and_even() {
        let mut cues = Cues { points: Vec::new(), spacing_ms: 5000 };
        // Three days of sound.
        for ms in (0..3 * 86_400_000).step_by(20) {
            cues.add(ms, ms);
        }
        assert!((Cues::MOST / 2..=Cues::MOST).contains(&cues.points.len()));
        let steps: Vec<u64> = cues.points.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(steps.iter().all(|step| (5000..=200_000).contains(step)), "{:?}", steps.iter().max());
        assert_eq!(cues.points[0].0, 0);
    }

    #[test]
    fn the_index_leads_to_the_clusters_of_its_frames() {
        let (_dir, path, mut muxer) = muxer(Codec::Vp8);
        for n in 0..50 {
            muxer.push(n * 110, n % 7 == 0, std::iter::once(&[n as u8; 50][..])).unwrap();
        }
        muxer.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let segment = &bytes[muxer.segment as usize..];
        let children: Vec<_> = ebml::Children(segment).collect();
        let cues = children.last().unwrap();
        assert_eq!((cues.0, children[0].0), (id::CUES, id::SEEK_HEAD));
        let to_cues = ebml::Children(ebml::Children(children[0].1).last().unwrap().1).last().unwrap().1;
        let at_cues = ebml::uint(to_cues).unwrap() as usize;
        assert_eq!(ebml::head(&segment[at_cues..]).unwrap().id, id::CUES);

        let uint = |data: Option<(u32, &[u8])>| ebml::uint(data.unwrap().1).unwrap();
        let points: Vec<(u64, u64)> = ebml::Children(cues.1)
            .map(|(_, point)| {
                let mut point = ebml::Children(point);
                (uint(point.next()), uint(ebml::Children(point.next().unwrap().1).nth(1)))
            })
            .collect();
        assert_eq!(
            points.iter().map(|point| point.0).collect::<Vec<_>>(),
            [0, 770, 1540, 2310, 3080, 3850, 4620, 5390]
        );
        for (ms, position) in points {
            let (found, cluster) = ebml::Children(&segment[position as usize..]).next().unwrap();
            let first = uint(ebml::Children(cluster).next());
            assert!(found == id::CLUSTER && (first..first + CLUSTER_MS as u64).contains(&ms), "{ms} {first}");
        }
    }

    #[test]
    fn an_empty_file_can_be_finished() {
        let (_dir, path, mut muxer) = muxer(Codec::Opus);
        muxer.finish().unwrap();
        let scanned = scan(&path).unwrap();
        assert_eq!((scanned.frames, scanned.first_ms, scanned.last_ms), (0, None, None));
    }

    #[test]
    fn opus_packets_say_how_long_they_are() {
        for (packet, ms) in [
            (&[0xF8, 0xFF, 0xFE][..], Some(20)), // CELT 20 ms, one frame
            (&[0x08], Some(20)),                 // SILK 20 ms
            (&[0x18], Some(60)),                 // SILK 60 ms
            (&[0x78], Some(20)),                 // hybrid 20 ms
            (&[0xE0], Some(3)),                  // CELT 2.5 ms, rounded up
            (&[0xF9], Some(40)),                 // two frames
            (&[0xFB, 3], Some(60)),              // three frames
            (&[0xFB, 63], None),                 // longer than a packet may be
            (&[0xFB], None),
            (&[], None),
        ] {
            assert_eq!(opus_ms(packet), ms, "{packet:02x?}");
        }
    }
}

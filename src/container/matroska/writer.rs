//! Writes one encoded track into one Matroska or WebM file, in clusters of known size. It never transcodes, reorders or waits for
//! another track.
//!
//! Our own code, because it was measured: a GStreamer muxer that is fed frame by frame costs more CPU than the whole network
//! stack, has a thread for each file, and does not say what is left of a file after a kill.
//!
//! The file can be opened at any instant. While it grows its segment has an unknown size, and every cluster is written whole,
//! by one call, at its end. What finishes the file (size, duration, position of the index) goes into room that the header has
//! reserved, again by one call.

use super::cluster::{ClusterBuffer, MAX_CLUSTER_BYTES};
use super::cues::Cues;
use super::elements::{MAX_FRAME_BYTES, MAX_TIME_MS};
use super::format::TrackFormat;
use super::header::{APP, Description, Ending, header};
use super::opus::{is_stereo, packet_ms};
use crate::error::{Error, Result, io_failed};
use crate::room::media::{Codec, MediaKind};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A cluster is cut before it would last longer than this.
const MAX_CLUSTER_MS: i64 = 1000;
/// The most entries of the index: 64 KiB of memory. Two days of sound then have an entry each 42 s.
const MAX_CUES: usize = 4096;

const DESCRIPTION: Description = Description { title: None, muxing_app: APP };

/// Writes one track. Dropping it leaves a file that opens, but without duration and index; [`TrackWriter::finish`] adds these.
#[derive(Debug)]
pub struct TrackWriter {
    file: Arc<File>,
    /// The only one.
    format: [TrackFormat; 1],
    /// Position of the segment's data in the file.
    segment: u64,
    /// Where the next cluster goes.
    end: u64,
    cluster: ClusterBuffer,
    cues: Cues,
    /// The greatest time of a frame.
    last_ms: u64,
    /// Duration of the last frame: known from an Opus packet; of video, from the frame before.
    last_span_ms: u64,
    /// Channels of the sound so far: two once any packet had two.
    channels: u8,
    frames: u64,
    lost: u64,
}

impl TrackWriter {
    /// Writes the header into an empty file.
    ///
    /// # Errors
    /// Ours where the format lacks something; the disk's.
    pub fn new(file: File, format: TrackFormat) -> Result<Self> {
        format.check()?;
        let format = [format];
        let (bytes, segment) = header(&format, &DESCRIPTION, None);
        file.write_all_at(&bytes, 0).map_err(|e| io_failed("begin a track file", e))?;
        let (spacing_ms, last_span_ms) = match format[0].codec.kind() {
            MediaKind::Audio => (5000, 20),
            MediaKind::Video => (0, 33),
        };
        Ok(Self {
            file: Arc::new(file),
            format,
            segment,
            end: bytes.len() as u64,
            cluster: ClusterBuffer::default(),
            cues: Cues::new(1, spacing_ms, MAX_CUES),
            last_ms: 0,
            last_span_ms,
            channels: 1,
            frames: 0,
            lost: 0,
        })
    }

    /// Appends a frame (all `parts` in their order) at `ms` to the cluster in memory, and writes that out first when it is full. Frames come in
    /// decoding order: `ms` goes back where a picture is shown before one that was sent before it.
    ///
    /// # Errors
    /// The disk's, and this frame is kept all the same; a full cluster that cannot be written is dropped and counted
    /// ([`TrackWriter::lost`]). A frame above [`MAX_FRAME_BYTES`] is refused.
    pub fn push<'a>(&mut self, ms: u64, key: bool, parts: impl Iterator<Item = &'a [u8]> + Clone) -> Result<()> {
        let length: usize = parts.clone().map(<[u8]>::len).sum();
        if length > MAX_FRAME_BYTES {
            self.lost += 1;
            return Err(Error::room(format!("a frame of {length} bytes was left out")));
        }
        let ms = ms.min(MAX_TIME_MS);
        let is_full = self.cluster.len() + length > MAX_CLUSTER_BYTES
            || !(-MAX_CLUSTER_MS..MAX_CLUSTER_MS).contains(&self.cluster.offset_ms(ms));
        let written = if is_full && !self.cluster.is_empty() { self.cut() } else { Ok(()) };
        if key {
            self.cues.add(ms, self.end - self.segment);
        }
        let start = self.cluster.push(1, ms, key, length, parts);

        self.frames += 1;
        if self.format[0].codec == Codec::Opus {
            let packet = self.cluster.from(start);
            self.last_span_ms = packet_ms(packet).unwrap_or(self.last_span_ms);
            self.channels = self.channels.max(1 + u8::from(is_stereo(packet)));
        } else if self.frames > 1 && ms > self.last_ms {
            self.last_span_ms = (ms - self.last_ms).min(1000);
        } else if ms < self.last_ms {
            // Shown before a frame that came before it.
            self.last_span_ms = self.last_span_ms.min(self.last_ms - ms);
        }
        self.last_ms = self.last_ms.max(ms);
        written
    }

    /// Writes the cluster in memory, if there is one.
    ///
    /// # Errors
    /// The disk's; the cluster stays in memory, and the next call tries again.
    pub fn flush(&mut self) -> Result<()> {
        if self.cluster.is_empty() {
            return Ok(());
        }
        append(&self.file, &mut self.end, self.cluster.element())?;
        self.cluster.clear();
        Ok(())
    }

    /// As [`TrackWriter::flush`], but a cluster that cannot be written is dropped: memory is bounded.
    fn cut(&mut self) -> Result<()> {
        let position = self.end - self.segment;
        self.flush().inspect_err(|_| {
            self.lost += self.cluster.frames();
            self.frames -= self.cluster.frames();
            self.cues.remove_from(position);
            self.cluster.clear();
        })
    }

    /// Writes what is left, the index, and the header that points to it. The file is complete, but not synced. Its header has the number of
    /// channels that came; until now it had the number that was negotiated, which the sender need not use.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(&mut self) -> Result<()> {
        self.flush()?;
        let cues = self.end - self.segment;
        let index = self.cues.element();
        append(&self.file, &mut self.end, &index)?;
        let ending = Ending { segment_size: self.end - self.segment, cues, duration_ms: self.duration_ms() };
        if self.format[0].codec == Codec::Opus && self.frames > 0 {
            self.format[0].channels = self.channels;
        }
        let (bytes, _) = header(&self.format, &DESCRIPTION, Some(&ending));
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
    /// Frames that were pushed and not lost.
    pub fn frames(&self) -> u64 {
        self.frames
    }
    /// Frames that could not be written, or that were too large.
    pub fn lost(&self) -> u64 {
        self.lost
    }
    /// Frames that are in memory only.
    pub fn waiting(&self) -> u64 {
        self.cluster.frames()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::matroska::cluster::MAX_IDLE_CAPACITY;
    use crate::container::matroska::elements as id;
    use crate::container::matroska::{TrackReader, ebml, scan};
    use std::path::PathBuf;

    fn new_writer(codec: Codec) -> (tempfile::TempDir, PathBuf, TrackWriter) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("track");
        let file = File::create_new(&path).unwrap();
        let format = TrackFormat { codec, config: None, size: Some((64, 64)), channels: 2, name: "test".into() };
        let writer = TrackWriter::new(file, format).unwrap();
        (dir, path, writer)
    }

    fn push(writer: &mut TrackWriter, ms: u64, data: &[u8]) -> Result<()> {
        writer.push(ms, true, std::iter::once(data))
    }

    fn times(path: &std::path::Path) -> Vec<u64> {
        TrackReader::open(path).unwrap().frames().map(|frame| frame.unwrap().ms).collect()
    }

    #[test]
    fn a_full_disk_costs_the_seconds_for_which_it_is_full() {
        let (_dir, path, mut writer) = new_writer(Codec::Vp8);
        push(&mut writer, 0, b"before").unwrap();
        writer.flush().unwrap();
        let disk = writer.file.clone();
        // Every write to a file that is open for reading only fails.
        writer.file = Arc::new(File::open(&path).unwrap());
        push(&mut writer, 100, b"kept in memory").unwrap();
        assert!(writer.flush().is_err() && writer.flush().is_err());
        writer.file = disk.clone();
        writer.flush().unwrap();
        assert_eq!(times(&path), [0, 100]);

        writer.file = Arc::new(File::open(&path).unwrap());
        for ms in [200, 300, 1200] {
            assert_eq!(push(&mut writer, ms, b"the cluster is given up at its full second").is_err(), ms == 1200);
        }
        assert_eq!((writer.lost(), writer.frames()), (2, 3));
        writer.file = disk;
        writer.finish().unwrap();
        assert_eq!(times(&path), [0, 100, 1200]);
        assert!(scan(&path).unwrap().finished);
        assert_eq!(writer.cues.times(), [0, 100, 1200]);
    }

    #[test]
    fn memory_is_bounded_by_the_cluster() {
        let (_dir, path, mut writer) = new_writer(Codec::Vp8);
        let frame = vec![7; 1 << 20];
        for ms in 0..20 {
            push(&mut writer, ms, &frame).unwrap();
            assert!(writer.cluster.len() <= MAX_CLUSTER_BYTES + 64);
        }
        assert!(push(&mut writer, 20, &vec![0; MAX_FRAME_BYTES + 1]).is_err());
        push(&mut writer, 21, &vec![0; 6 << 20]).unwrap();
        writer.finish().unwrap();
        assert_eq!((writer.frames(), writer.lost(), scan(&path).unwrap().frames), (21, 1, 21));
        assert!(writer.cluster.capacity() <= MAX_IDLE_CAPACITY);
    }

    #[test]
    fn the_index_leads_to_the_clusters_of_its_frames() {
        let (_dir, path, mut writer) = new_writer(Codec::Vp8);
        for n in 0..50 {
            writer.push(n * 110, n % 7 == 0, std::iter::once(&[n as u8; 50][..])).unwrap();
        }
        writer.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let segment = &bytes[writer.segment as usize..];
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
            assert!(found == id::CLUSTER && (first..first + MAX_CLUSTER_MS as u64).contains(&ms), "{ms} {first}");
        }
    }

    #[test]
    fn an_empty_file_can_be_finished() {
        let (_dir, path, mut writer) = new_writer(Codec::Opus);
        writer.finish().unwrap();
        let scanned = scan(&path).unwrap();
        assert_eq!((scanned.frames, scanned.first_ms, scanned.last_ms), (0, None, None));
    }
}

//! Writes frames of several tracks into one Matroska or WebM file. It does not know where frames come from, and holds one cluster of
//! them in memory.

use super::cluster::{ClusterBuffer, MAX_CLUSTER_BYTES};
use super::cues::Cues;
use super::format::TrackFormat;
use super::header::{Description, Ending, header};
use crate::room::media::MediaKind;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};

/// The longest cluster, in milliseconds; a block's time in it has 16 bits.
const MAX_CLUSTER_MS: i64 = 5000;
/// How far times may step back within a cluster.
const MAX_STEP_BACK_MS: i64 = 30_000;
/// The least time between two entries of the index. A key frame that is further from the cluster's start begins a cluster.
const CUE_SPACING_MS: u64 = 1000;
/// The last frame lasts so long.
const LAST_FRAME_MS: u64 = 20;

/// A file that is being written.
pub struct InterleavedWriter {
    out: BufWriter<File>,
    formats: Vec<TrackFormat>,
    description: Description,
    /// Where the segment's data begins.
    segment: u64,
    /// Where the file ends.
    end: u64,
    cluster: ClusterBuffer,
    cues: Cues,
    /// The track whose key frames are in the index, numbered from 0.
    indexed: usize,
    last_ms: u64,
    /// Until when the latest frames last.
    until_ms: u64,
}

impl InterleavedWriter {
    /// Begins an empty file of at most 126 tracks. The first video track, or the first track where there is none, is indexed.
    ///
    /// # Errors
    /// The disk's.
    pub fn new(file: File, title: &str, formats: Vec<TrackFormat>) -> io::Result<InterleavedWriter> {
        let description = Description { title: Some(title.to_owned()), muxing_app: "roombot" };
        let (head, segment) = header(&formats, &description, None);
        let indexed = formats.iter().position(|format| format.codec.kind() == MediaKind::Video).unwrap_or(0);
        let mut writer = InterleavedWriter {
            out: BufWriter::new(file),
            formats,
            description,
            segment,
            end: 0,
            cluster: ClusterBuffer::default(),
            cues: Cues::new(indexed as u64 + 1, CUE_SPACING_MS, usize::MAX),
            indexed,
            last_ms: 0,
            until_ms: 0,
        };
        writer.append(&head)?;
        Ok(writer)
    }

    /// Adds a frame of a track, numbered from 0, at `ms`. Times of all tracks together may step back by at most 30 s.
    ///
    /// # Errors
    /// The disk's.
    pub fn push(&mut self, track: usize, ms: u64, key: bool, data: &[u8]) -> io::Result<()> {
        let offset = self.cluster.offset_ms(ms);
        let is_indexed = key && track == self.indexed;
        let is_full = (is_indexed && offset > CUE_SPACING_MS as i64)
            || self.cluster.data_len() + data.len() > MAX_CLUSTER_BYTES
            || !(-MAX_STEP_BACK_MS..MAX_CLUSTER_MS).contains(&offset);
        if is_full {
            self.flush()?;
        }
        if is_indexed {
            self.cues.add(ms, self.end - self.segment);
        }
        self.cluster.push(track as u8 + 1, ms, key, data.len(), std::iter::once(data));
        self.last_ms = self.last_ms.max(ms);
        Ok(())
    }

    /// The latest frame of a track lasts until `ms`.
    pub fn hold(&mut self, ms: u64) {
        self.until_ms = self.until_ms.max(ms);
    }

    /// Writes what is left, the index and the final header, and syncs the file. Returns its duration in milliseconds.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(mut self) -> io::Result<u64> {
        self.flush()?;
        let (cues, duration_ms) = (self.end - self.segment, self.until_ms.max(self.last_ms + LAST_FRAME_MS));
        let index = self.cues.element();
        self.append(&index)?;
        let ending = Ending { segment_size: self.end - self.segment, cues, duration_ms };
        let (head, _) = header(&self.formats, &self.description, Some(&ending));
        self.out.rewind()?;
        self.out.write_all(&head)?;
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        Ok(duration_ms)
    }

    fn flush(&mut self) -> io::Result<()> {
        let element = self.cluster.element();
        self.out.write_all(element)?;
        self.end += element.len() as u64;
        self.cluster.clear();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

//! Reads track files as [`super::TrackWriter`] writes them, complete or truncated: blocks, times, frames. It stops at the first
//! invalid byte and never guesses beyond it.

use super::ebml;
use super::ebml::{Children, Head, LONGEST_HEAD};
use super::elements as id;
use super::elements::{MAX_FRAME_BYTES, MAX_TIME_MS};
use super::format::{TrackFormat, info_duration, track_format};
use crate::error::{Error, Result, io_failed};
use crate::room::media::Codec;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// The largest part of the header (a track's description) that is read into memory.
const MAX_HEADER_BYTES: u64 = 128 << 10;
/// Elements in front of the first cluster.
const MAX_HEADER_ELEMENTS: u32 = 64;

/// Where a frame lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Milliseconds since the file's first frame.
    pub ms: u64,
    /// Decoding can start here.
    pub key: bool,
    /// Where the frame's bytes begin in the file.
    pub offset: u64,
    /// Bytes of the frame.
    pub length: usize,
}

/// A frame that was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFrame {
    /// Milliseconds since the file's first frame.
    pub ms: u64,
    /// Decoding can start here.
    pub key: bool,
    /// The frame as it was written.
    pub data: Bytes,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// The format of the track.
    pub format: TrackFormat,
    /// The file has its size, duration and index, and no truncated end.
    pub finished: bool,
    /// Whole frames.
    pub frames: u64,
    /// Those of them that decoding can start at.
    pub key_frames: u64,
    /// Bytes of the frames.
    pub payload: u64,
    /// Time of the first frame; `None` without frames.
    pub first_ms: Option<u64>,
    /// The latest time of a frame; `None` without frames.
    pub last_ms: Option<u64>,
    /// As the file says; only finished files do.
    pub duration_ms: Option<u64>,
    /// Bytes at the end that are no whole block.
    pub dropped: u64,
}

/// Reads the blocks of a track file, one by one.
pub struct TrackReader<R> {
    input: BufReader<R>,
    /// Where the input stands.
    at: u64,
    /// Where the next element begins.
    next: u64,
    length: u64,
    segment_size: Option<u64>,
    segment_end: u64,
    format: TrackFormat,
    duration_ms: Option<u64>,
    cluster: Option<Cluster>,
    has_cues: bool,
    /// The end of the last whole element.
    whole_until: u64,
    end: Option<FileEnd>,
}

#[derive(Clone, Copy)]
struct Cluster {
    end: u64,
    ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileEnd {
    Complete,
    Truncated,
}

impl TrackReader<File> {
    /// Opens a track file as far as it is there now.
    ///
    /// # Errors
    /// As [`TrackReader::new`].
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| io_failed(&format!("open {}", path.display()), e))?;
        Self::new(file).map_err(|e| e.within(path.display()))
    }
}

impl<R: Read + Seek> TrackReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// The user's where this is no track file, or one that is truncated within its header; the machine's, of the disk.
    pub fn new(mut input: R) -> Result<Self> {
        let length = input.seek(SeekFrom::End(0)).and_then(|length| input.rewind().map(|()| length));
        let mut reader = Self {
            input: BufReader::new(input),
            at: 0,
            next: 0,
            length: length.map_err(unreadable)?,
            segment_size: None,
            segment_end: u64::MAX,
            format: TrackFormat { codec: Codec::Opus, config: None, size: None, channels: 0, name: String::new() },
            duration_ms: None,
            cluster: None,
            has_cues: false,
            whole_until: 0,
            end: None,
        };
        reader
            .header()
            .map_err(unreadable)?
            .ok_or_else(|| Error::user("is not a track file, or has no whole header"))?;
        Ok(reader)
    }

    /// The format of its track.
    pub fn format(&self) -> &TrackFormat {
        &self.format
    }
    /// The duration, where the file has one.
    pub fn duration_ms(&self) -> Option<u64> {
        self.duration_ms
    }

    /// Reads the file's length again, so that [`TrackReader::next_block`] continues where a growing file ended before. A writer
    /// appends whole blocks only.
    pub fn refresh(&mut self) -> Result<()> {
        self.length = self.input.seek(SeekFrom::End(0)).map_err(unreadable)?;
        self.at = self.length;
        self.end = None;
        Ok(())
    }

    /// The next block; `None` at the end, complete or truncated.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_block(&mut self) -> Result<Option<Block>> {
        while self.end.is_none() {
            match self.step() {
                Ok(Some(block)) => return Ok(Some(block)),
                Ok(None) => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        Ok(None)
    }

    /// The bytes of a block that [`TrackReader::next_block`] returned.
    ///
    /// # Errors
    /// The file cannot be read, or has no such block.
    pub fn read(&mut self, block: &Block) -> Result<Bytes> {
        let end = block.offset.checked_add(block.length as u64);
        if block.length > MAX_FRAME_BYTES || end.is_none_or(|end| end > self.length) {
            return Err(Error::internal("a block outside of its file"));
        }
        self.bytes(block.offset, block.length).map(Bytes::from).map_err(unreadable)
    }

    /// Every frame from here to the end.
    pub fn frames(mut self) -> impl Iterator<Item = Result<StoredFrame>> {
        std::iter::from_fn(move || {
            let block = match self.next_block() {
                Ok(block) => block?,
                Err(error) => {
                    self.end = Some(FileEnd::Truncated);
                    return Some(Err(error));
                }
            };
            Some(self.read(&block).map(|data| StoredFrame { ms: block.ms, key: block.key, data }))
        })
    }

    /// Reads on to the end and sums up.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn scan(mut self) -> Result<Scan> {
        let (mut frames, mut key_frames, mut payload, mut first_ms, mut last_ms) = (0, 0, 0, None, None);
        while let Some(block) = self.next_block()? {
            frames += 1;
            key_frames += u64::from(block.key);
            payload += block.length as u64;
            first_ms = first_ms.or(Some(block.ms));
            last_ms = last_ms.max(Some(block.ms));
        }
        let whole = self.end == Some(FileEnd::Complete) && self.has_cues;
        Ok(Scan {
            finished: whole && self.segment_size.is_some() && self.duration_ms.is_some(),
            frames,
            key_frames,
            payload,
            first_ms,
            last_ms,
            duration_ms: self.duration_ms,
            dropped: self.length.saturating_sub(self.whole_until),
            format: self.format,
        })
    }

    /// Reads up to the first cluster; `None` where something is missing.
    fn header(&mut self) -> io::Result<Option<()>> {
        let Some((ebml, body)) = self.whole(id::EBML)? else { return Ok(None) };
        let doc_type = Children(&body).find(|(child, _)| *child == id::DOC_TYPE).map(|(_, data)| data);
        if !matches!(doc_type, Some(b"webm" | b"matroska")) {
            return Ok(None);
        }
        self.next = ebml;
        let Some(segment) = self.head(self.length)?.filter(|head| head.id == id::SEGMENT) else { return Ok(None) };
        self.next += segment.length as u64;
        self.segment_size = segment.size;
        self.segment_end = segment.size.map_or(u64::MAX, |size| self.next.saturating_add(size));

        for _ in 0..MAX_HEADER_ELEMENTS {
            let Some(head) = self.head(self.length)? else { return Ok(None) };
            let Some(end) = self.end_of(&head).filter(|end| *end <= self.length) else { return Ok(None) };
            if matches!(head.id, id::INFO | id::TRACKS) {
                let Some((_, body)) = self.whole(head.id)? else { return Ok(None) };
                if head.id == id::INFO {
                    self.duration_ms = info_duration(&body);
                } else {
                    let entry = Children(&body).find(|(child, _)| *child == id::TRACK_ENTRY);
                    let Some(format) = entry.and_then(|(_, entry)| track_format(entry)) else { return Ok(None) };
                    self.format = format;
                    self.next = end;
                    self.whole_until = end;
                    return Ok(Some(()));
                }
            }
            self.next = end;
        }
        Ok(None)
    }

    /// The element that begins at `next`, if it has this id and a bounded size: its end and its data.
    fn whole(&mut self, wanted: u32) -> io::Result<Option<(u64, Vec<u8>)>> {
        let Some(head) = self.head(self.length)?.filter(|head| head.id == wanted) else { return Ok(None) };
        let Some(end) = self.end_of(&head).filter(|end| *end <= self.length) else { return Ok(None) };
        let size = head.size.unwrap_or(u64::MAX);
        if size > MAX_HEADER_BYTES {
            return Ok(None);
        }
        let data = self.bytes(self.next + head.length as u64, size as usize)?;
        Ok(Some((end, data)))
    }

    /// Skips one element, or enters a cluster.
    fn step(&mut self) -> io::Result<Option<Block>> {
        if self.cluster.is_some_and(|cluster| self.next >= cluster.end) {
            self.cluster = None;
            self.whole_until = self.next;
        }
        let top_end = self.segment_end.min(self.length);
        if self.cluster.is_none() && self.next == top_end {
            // A segment of known size has to be that long.
            let short = self.segment_size.is_some() && self.segment_end > self.length;
            self.end = Some(if short { FileEnd::Truncated } else { FileEnd::Complete });
            return Ok(None);
        }
        let limit = self.cluster.map_or(top_end, |cluster| cluster.end.min(top_end));
        let block = self.element(limit)?;
        if block.is_none() {
            self.end = Some(FileEnd::Truncated);
        }
        Ok(block.flatten())
    }

    /// The element at `next`, which ends at `limit` or before: `None` where it does not (but a cluster is entered all the same).
    fn element(&mut self, limit: u64) -> io::Result<Option<Option<Block>>> {
        let Some(head) = self.head(limit)? else { return Ok(None) };
        let Some(end) = self.end_of(&head) else { return Ok(None) };
        let body = self.next + head.length as u64;
        match (self.cluster, head.id) {
            (None, id::CLUSTER) => {
                self.cluster = Some(Cluster { end, ms: None });
                self.next = body;
                return Ok(Some(None));
            }
            _ if end > limit => return Ok(None),
            (None, _) => {
                self.has_cues |= head.id == id::CUES;
                self.whole_until = end;
            }
            (Some(cluster), id::TIMESTAMP) if end - body <= 8 => {
                let ms = ebml::uint(&self.bytes(body, (end - body) as usize)?).map(|ms| ms.min(MAX_TIME_MS));
                self.cluster = Some(Cluster { ms, ..cluster });
            }
            (Some(Cluster { ms: Some(ms), .. }), id::SIMPLE_BLOCK) => {
                let Some(block) = self.block(ms, body, end)? else { return Ok(None) };
                self.next = end;
                self.whole_until = end;
                return Ok(Some(Some(block)));
            }
            (Some(_), ebml::VOID) => {}
            _ => return Ok(None),
        }
        self.next = end;
        Ok(Some(None))
    }

    /// The SimpleBlock between `body` and `end` (RFC 9559, 10.2): track 1, no lacing.
    fn block(&mut self, cluster_ms: u64, body: u64, end: u64) -> io::Result<Option<Block>> {
        let size = end - body;
        if size < 4 || size - 4 > MAX_FRAME_BYTES as u64 {
            return Ok(None);
        }
        let head = self.bytes(body, 4)?;
        let &[0x81, high, low, flags] = head.as_slice() else { return Ok(None) };
        if flags & 0x06 != 0 {
            return Ok(None);
        }
        let ms = cluster_ms.saturating_add_signed(i16::from_be_bytes([high, low]).into());
        Ok(Some(Block { ms, key: flags & 0x80 != 0, offset: body + 4, length: (size - 4) as usize }))
    }

    /// The head at `next`, read no further than `limit`.
    fn head(&mut self, limit: u64) -> io::Result<Option<Head>> {
        let room = limit.saturating_sub(self.next).min(LONGEST_HEAD as u64) as usize;
        let bytes = self.bytes(self.next, room)?;
        Ok(ebml::head(&bytes))
    }

    fn end_of(&self, head: &Head) -> Option<u64> {
        self.next.checked_add(head.length as u64)?.checked_add(head.size?)
    }

    /// `length` bytes from `offset`; the caller has held both against the file's length. Seeks within the buffer where it can.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        match i64::try_from(i128::from(offset) - i128::from(self.at)) {
            Ok(way) => self.input.seek_relative(way)?,
            Err(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
        self.at = offset;
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes)?;
        self.at += length as u64;
        Ok(bytes)
    }
}

/// Sums up a whole file.
///
/// # Errors
/// As [`TrackReader::new`].
pub fn scan(path: &Path) -> Result<Scan> {
    TrackReader::open(path)?.scan()
}

fn unreadable(error: io::Error) -> Error {
    io_failed("read a track file", error)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;

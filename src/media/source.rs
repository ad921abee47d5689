//! A media file as a source of encoded frames for a room: picture and sound merged by time, once or over and over.
//! It never decodes a picture, never waits for the clock and never holds more than a few seconds, except of files so
//! small that repeating them from memory is cheaper than reading them again.

use super::Library;
use super::demux::{Item, Pass, Raw};
use crate::error::{Error, Result};
use crate::room::media::{Codec, Frame, MediaKind};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use super::demux::Track;

/// A file of at most so many bytes is kept in memory while it is repeated.
const KEEP_BYTES: usize = 16 << 20;
/// How far one track is read ahead while the other has nothing (files interleave within a second, or not at all).
const AHEAD: u64 = 3_000_000_000;
/// The same in frames, for tracks whose times say nothing.
const AHEAD_FRAMES: usize = 1024;
/// A packet of sound that begins within this of where the last one ended follows it without a gap: containers round
/// times to a millisecond and take the encoder's lead (6.5 ms, which RTP receivers play) out of the first packet.
const ROUNDING: u64 = 15_000_000;

/// One frame of a source, and when it is due.
#[derive(Debug, Clone)]
pub struct SourceFrame {
    pub kind: MediaKind,
    /// Since the source's first frame, going on through every repetition.
    pub at: Duration,
    pub frame: Frame,
}

/// An open media file.
pub struct FileSource {
    library: Library,
    path: PathBuf,
    wants: fn(MediaKind) -> bool,
    repeat: bool,
    tracks: Vec<Track>,
    refused: Vec<String>,
    items: Items,
    /// What was read since the file was opened, as long as it is small.
    kept: Option<Vec<Item>>,
    kept_bytes: usize,
    lanes: Vec<Lane>,
    /// The file time of the very first frame, ns.
    origin: Option<u64>,
    /// Where this repetition begins, ns since the first frame of the first one.
    base: u64,
}

enum Items {
    File(Pass),
    Memory(VecDeque<Item>),
}

/// One track's place in the file.
struct Lane {
    codec: Codec,
    waiting: VecDeque<Raw>,
    ended: bool,
    /// Start of the latest frame read, and where it ends, ns of the file's time.
    last: Option<u64>,
    end: Option<u64>,
}

impl FileSource {
    /// Opens `path` for the first video and the first audio track of the kinds that `wants` says yes to; from its start
    /// again and again where `repeat` is set.
    ///
    /// # Errors
    /// The user's: no such file, not readable as media, or no track in a codec that is sent (the codecs are named).
    pub fn open(library: &Library, path: &Path, wants: fn(MediaKind) -> bool, repeat: bool) -> Result<FileSource> {
        let pass = Pass::open(library, path, wants)?;
        let (tracks, refused) = (pass.tracks.clone(), pass.refused.clone());
        if tracks.is_empty() {
            let has = refused.join(", ");
            return Err(Error::user(format!(
                "{} has only {has}: a file is sent as it is, in {}; convert it with `ffmpeg -i FILE -c:v libvpx -g 30 -c:a libopus OUT.webm`",
                path.display(),
                Codec::ALL.map(Codec::name).join(", ")
            )));
        }
        let lanes = tracks.iter().map(|t| Lane::new(t.codec)).collect();
        Ok(FileSource {
            library: library.clone(),
            path: path.to_path_buf(),
            wants,
            repeat,
            tracks,
            refused,
            items: Items::File(pass),
            kept: repeat.then(Vec::new),
            kept_bytes: 0,
            lanes,
            origin: None,
            base: 0,
        })
    }

    /// The tracks whose frames come: at most one of each kind.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// What else is in the file: codecs that cannot be sent, and what was left out.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// The next frame by time; `None` after the last one. Waits for the disk only.
    ///
    /// # Errors
    /// The file cannot be read any further, or has reordered pictures (B-frames), which receivers over RTP do not expect.
    pub fn next_frame(&mut self) -> Result<Option<SourceFrame>> {
        loop {
            if let Some(lane) = self.due() {
                let Some(raw) = self.lanes[lane].waiting.pop_front() else { continue };
                return Ok(Some(self.frame(lane, raw)));
            }
            if self.lanes.iter().all(|l| l.ended) {
                if !self.repeat {
                    return Ok(None);
                }
                self.rewind()?;
            }
            let item = self.read()?;
            self.take(item)?;
        }
    }

    /// The lane whose frame is next, once that is certain: every lane shows one, or has ended, or one is far ahead.
    fn due(&self) -> Option<usize> {
        let certain =
            self.lanes.iter().all(|l| l.ended || !l.waiting.is_empty()) || self.lanes.iter().any(Lane::is_far);
        let fronts = self.lanes.iter().enumerate().filter_map(|(i, l)| Some((l.waiting.front()?.pts?, i)));
        if certain { fronts.min().map(|(_, lane)| lane) } else { None }
    }

    fn read(&mut self) -> Result<Item> {
        let item = match &mut self.items {
            Items::File(pass) => pass.next(&self.path)?,
            Items::Memory(items) => {
                let item = items.pop_front();
                return item.ok_or_else(|| Error::us(format!("{} was kept without its end", self.path.display())));
            }
        };
        if let Some(kept) = &mut self.kept {
            kept.push(item.clone());
            self.kept_bytes += if let Item::Frame(raw) = &item { raw.data.len() } else { 0 };
            if self.kept_bytes > KEEP_BYTES {
                self.kept = None;
            }
        }
        Ok(item)
    }

    /// Puts what was read in its lane, with a time that is whole.
    fn take(&mut self, item: Item) -> Result<()> {
        let kind = match &item {
            Item::Frame(raw) => raw.kind,
            Item::End(kind) => *kind,
        };
        let Some(lane) = self.lanes.iter_mut().find(|l| l.codec.kind() == kind) else { return Ok(()) };
        let Item::Frame(mut raw) = item else {
            lane.ended = true;
            return Ok(());
        };
        let follows = lane.end.unwrap_or(0);
        let pts = match raw.pts {
            Some(pts) if kind == MediaKind::Audio && lane.end.is_some() && pts.abs_diff(follows) <= ROUNDING => follows,
            Some(pts) => pts,
            None => follows,
        };
        if lane.last.is_some_and(|last| pts < last) {
            return Err(Error::user(format!(
                "{} has reordered pictures (B-frames), which cannot be sent as they are: encode it without (`-bf 0`)",
                self.path.display()
            )));
        }
        let usual = if kind == MediaKind::Audio { 20_000_000 } else { 33_333_333 };
        let spacing = lane.last.map(|last| pts - last).filter(|s| *s > 0).unwrap_or(usual);
        lane.last = Some(pts);
        lane.end = Some(pts + raw.duration.filter(|d| *d > 0).unwrap_or(spacing));
        raw.pts = Some(pts);
        lane.waiting.push_back(raw);
        Ok(())
    }

    fn frame(&mut self, lane: usize, raw: Raw) -> SourceFrame {
        let pts = raw.pts.unwrap_or(0);
        let origin = *self.origin.get_or_insert(pts);
        let at = self.base + pts.saturating_sub(origin);
        let rate = u128::from(self.lanes[lane].codec.clock_rate());
        // Rounded once from the whole time, so that nothing adds up over the repetitions.
        let rtp_time = (u128::from(at) * rate + 500_000_000) / 1_000_000_000;
        let frame = Frame {
            rtp_time: i64::try_from(rtp_time).unwrap_or(i64::MAX),
            arrival: Instant::now(),
            parts: vec![raw.data],
            key: raw.key,
            size: raw.size,
            config: raw.config,
            audio_level: raw.level,
        };
        SourceFrame { kind: raw.kind, at: Duration::from_nanos(at), frame }
    }

    /// Back to the start of the file; time goes on from where its longest track ended.
    fn rewind(&mut self) -> Result<()> {
        let end = self.lanes.iter().filter_map(|l| l.end).max();
        // Where both end together, the sound says when: its length is exact, that of pictures is rounded.
        let sound = self.lanes.iter().filter(|l| l.codec.kind() == MediaKind::Audio).find_map(|l| l.end);
        let end = sound.filter(|s| end.is_some_and(|end| end.abs_diff(*s) <= ROUNDING)).or(end);
        let (Some(end), Some(origin)) = (end, self.origin) else {
            return Err(Error::user(format!("{} has no frames", self.path.display())));
        };
        self.base += end.saturating_sub(origin);
        self.lanes = self.tracks.iter().map(|t| Lane::new(t.codec)).collect();
        self.items = match &self.kept {
            Some(kept) => Items::Memory(kept.iter().cloned().collect()),
            None => Items::File(Pass::open(&self.library, &self.path, self.wants)?),
        };
        Ok(())
    }
}

impl Lane {
    fn new(codec: Codec) -> Lane {
        Lane { codec, waiting: VecDeque::new(), ended: false, last: None, end: None }
    }

    /// True where so much waits that the other lane is no longer waited for.
    fn is_far(&self) -> bool {
        let first = self.waiting.front().and_then(|f| f.pts);
        let span = first.zip(self.last).is_some_and(|(first, last)| last - first > AHEAD);
        span || self.waiting.len() > AHEAD_FRAMES
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;

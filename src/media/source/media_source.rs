//! A source of encoded frames for a room: a media file, slides, or something generated; picture and sound merged by time, once or
//! over and over. It never waits for the clock and never holds more than a few seconds, except of files so small that
//! repeating them from memory is cheaper than reading them again.

use super::reader::{FrameReader, Track};
use super::slides;
use super::synthetic::{self, Synthetic};
use super::transcode::Encoding;
use crate::error::{Error, Result};
use crate::media::encoded_frame::{EncodedFrame, Item};
use crate::media::{Library, Template, Value};
use crate::room::media::{Codec, Frame, MediaKind};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A file of at most so many bytes is kept in memory while it is repeated.
const KEEP_BYTES: usize = 16 << 20;
/// How far one track is read ahead while the other has nothing (files interleave within a second, or not at all).
const AHEAD: u64 = 3_000_000_000;
/// The same in frames, for tracks whose times say nothing.
const AHEAD_FRAMES: usize = 1024;
/// A packet of sound that begins within this of where the last one ended follows it without a gap: containers round
/// times to a millisecond and take the encoder's lead (6.5 ms, which RTP receivers play) out of the first packet.
const ROUNDING: u64 = 15_000_000;
/// So many pictures of H.264 are looked at before it is sent as it is: who reorders pictures does it from the start.
const LOOK_AHEAD: usize = 60;
/// The same in bytes.
const LOOK_AHEAD_BYTES: usize = 32 << 20;

/// Where frames come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A media file: what can be sent as it is goes as it is, the rest is encoded.
    File(PathBuf),
    /// Images, each for so long.
    Slides { images: Vec<PathBuf>, each: Duration },
    /// What a template (`source/pattern`, `source/tone`) makes, without an end.
    Generated { template: Template, values: Vec<(String, Value)>, kind: MediaKind },
    /// What the program makes itself, without an end.
    Synthetic(Synthetic),
}

/// One frame of a source, and when it is due.
#[derive(Debug, Clone)]
pub struct SourceFrame {
    pub kind: MediaKind,
    /// Since the source's first frame, going on through every repetition.
    pub at: Duration,
    pub frame: Frame,
}

/// An open source.
pub struct MediaSource {
    how: How,
    tracks: Vec<Track>,
    refused: Vec<String>,
    items: Items,
    /// What was read since the file was opened, as long as it is small.
    kept: Option<Vec<Item>>,
    kept_bytes: usize,
    /// The file opened once more, for the next repetition: opening takes longer than a picture lasts.
    ahead: Option<JoinHandle<Result<FrameReader>>>,
    lanes: Vec<Lane>,
    /// The file time of the very first frame, ns.
    origin: Option<u64>,
    /// Where this repetition begins, ns since the first frame of the first one.
    base: u64,
}

/// How it is opened, and opened again.
#[derive(Clone)]
struct How {
    library: Library,
    origin: Origin,
    wants: fn(MediaKind) -> bool,
    repeat: bool,
    encoding: Encoding,
    /// What is encoded although it could be sent as it is.
    anew: Vec<MediaKind>,
}

enum Items {
    /// What was looked at ahead, then the rest.
    Reader(VecDeque<Item>, Box<FrameReader>),
    Memory(VecDeque<Item>),
}

/// One track's place in the file.
struct Lane {
    codec: Codec,
    waiting: VecDeque<EncodedFrame>,
    ended: bool,
    /// Start of the latest frame read, and where it ends, ns of the file's time.
    last: Option<u64>,
    end: Option<u64>,
}

impl MediaSource {
    /// Opens a media file; what cannot be sent as it is gets encoded as usual. See [`MediaSource::open`].
    ///
    /// # Errors
    /// As there.
    pub fn file(library: &Library, path: &Path, wants: fn(MediaKind) -> bool, repeat: bool) -> Result<MediaSource> {
        MediaSource::open(library, &Origin::File(path.to_owned()), wants, repeat, &Encoding::default())
    }

    /// Opens `origin` for its first video and its first audio track of the kinds that `wants` says yes to; from its start again and
    /// again where `repeat` is set.
    ///
    /// # Errors
    /// The user's: no such file, not readable as media or as an image, no picture or sound in it, a template that does not build.
    pub fn open(
        library: &Library,
        origin: &Origin,
        wants: fn(MediaKind) -> bool,
        repeat: bool,
        encoding: &Encoding,
    ) -> Result<MediaSource> {
        let anew = if encoding.always { vec![MediaKind::Video, MediaKind::Audio] } else { Vec::new() };
        let (origin, encoding) = (origin.clone(), encoding.clone());
        let mut how = How { library: library.clone(), origin, wants, repeat, encoding, anew };
        let mut pass = how.pass()?;
        let mut looked_at = VecDeque::new();
        if pass.tracks.iter().any(|t| t.codec == Codec::H264 && t.was.is_none())
            && is_reordered(&mut pass, &mut looked_at)?
        {
            how.anew.push(MediaKind::Video);
            (pass, looked_at) = (how.pass()?, VecDeque::new());
        }
        let (tracks, refused) = (pass.tracks.clone(), pass.refused.clone());
        if tracks.is_empty() {
            let has = if refused.is_empty() { "nothing".into() } else { refused.join(", ") };
            return Err(Error::user(format!("{} has no picture or sound to send: it has {has}", how.shown())));
        }
        let lanes = tracks.iter().map(|t| Lane::new(t.codec)).collect();
        let is_encoded = tracks.iter().any(|t| t.was.is_some());
        // What is encoded is encoded again: a key frame that somebody asks for cannot come from memory.
        let kept = (repeat && !is_encoded).then(Vec::new);
        let items = Items::Reader(looked_at, Box::new(pass));
        let mut source =
            MediaSource { how, tracks, refused, items, kept, kept_bytes: 0, ahead: None, lanes, origin: None, base: 0 };
        source.look_ahead()?;
        Ok(source)
    }

    /// Lets the file be opened once more meanwhile, where it will be read again.
    fn look_ahead(&mut self) -> Result<()> {
        if self.how.repeat && self.kept.is_none() && self.ahead.is_none() && matches!(self.how.origin, Origin::File(_))
        {
            let how = self.how.clone();
            let thread = std::thread::Builder::new().name("open".into()).spawn(move || how.pass());
            let thread = thread.map_err(|e| Error::machine("cannot start a thread to open a file").because(e))?;
            self.ahead = Some(thread);
        }
        Ok(())
    }

    /// The next picture that is encoded for sending is to be a key frame. What is sent as it is has them where it has them.
    pub fn ask_key_frame(&self) {
        if let Items::Reader(_, pass) = &self.items {
            pass.ask_key_frame();
        }
    }

    /// The tracks whose frames come: at most one of each kind.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// What it is called in messages.
    pub fn name(&self) -> String {
        self.how.shown()
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
                if !self.how.repeat {
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
            Items::Reader(looked_at, pass) => match looked_at.pop_front() {
                Some(item) => item,
                None => pass.next()?,
            },
            Items::Memory(items) => {
                let item = items.pop_front();
                return item.ok_or_else(|| Error::us(format!("{} was kept without its end", self.how.shown())));
            }
        };
        if let Some(kept) = &mut self.kept {
            kept.push(item.clone());
            self.kept_bytes += if let Item::Frame(raw) = &item { raw.data.len() } else { 0 };
            if self.kept_bytes > KEEP_BYTES {
                self.kept = None;
                self.look_ahead()?;
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
                "{} has reordered pictures (B-frames) in its midst, which cannot be sent as they are: `--transcode` sends it",
                self.how.shown()
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

    fn frame(&mut self, lane: usize, raw: EncodedFrame) -> SourceFrame {
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
            return Err(Error::user(format!("{} has no frames", self.how.shown())));
        };
        self.base += end.saturating_sub(origin);
        self.lanes = self.tracks.iter().map(|t| Lane::new(t.codec)).collect();
        self.items = match &self.kept {
            Some(kept) => Items::Memory(kept.iter().cloned().collect()),
            None => Items::Reader(VecDeque::new(), Box::new(self.again()?)),
        };
        self.look_ahead()
    }

    fn again(&mut self) -> Result<FrameReader> {
        match self.ahead.take() {
            Some(thread) => thread.join().unwrap_or_else(|_| Err(Error::us("the opening of a file broke off"))),
            None => self.how.pass(),
        }
    }
}

impl How {
    fn pass(&self) -> Result<FrameReader> {
        match &self.origin {
            Origin::File(path) => FrameReader::open(&self.library, path, self.wants, &self.encoding, &self.anew),
            Origin::Slides { images, each } => slides::open(&self.library, images, *each, self.repeat, &self.encoding),
            Origin::Synthetic(synthetic) => synthetic::open(&self.library, synthetic, &self.encoding),
            Origin::Generated { template, values, kind } => {
                let values: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                FrameReader::generated(&self.library, template, &values, *kind, &self.encoding, |_| Ok(()))
            }
        }
    }

    /// What it is called in messages.
    fn shown(&self) -> String {
        match &self.origin {
            Origin::File(path) => path.display().to_string(),
            Origin::Slides { .. } => "the slides".into(),
            Origin::Synthetic(_) => "what is drawn".into(),
            Origin::Generated { template, .. } => template.file.clone(),
        }
    }
}

/// Looks at the first pictures: does one come that is shown before one that came earlier? What was looked at is in `items`.
fn is_reordered(pass: &mut FrameReader, items: &mut VecDeque<Item>) -> Result<bool> {
    let (mut last, mut pictures, mut bytes) = (None, 0, 0);
    while pictures < LOOK_AHEAD && bytes < LOOK_AHEAD_BYTES {
        let item = pass.next()?;
        let is_end = matches!(item, Item::End(MediaKind::Video));
        if let Item::Frame(raw) = &item {
            bytes += raw.data.len();
            if raw.kind == MediaKind::Video {
                pictures += 1;
                if raw.pts.is_some() && raw.pts < last {
                    return Ok(true);
                }
                last = raw.pts.or(last);
            }
        }
        items.push_back(item);
        if is_end {
            break;
        }
    }
    Ok(false)
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
mod tests;

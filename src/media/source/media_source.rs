//! A source of encoded frames for a room: a media file, slides, or generated media. Video and audio are merged by time; files and slides
//! can be repeated. It never waits for the clock and holds at most a few seconds, except for files that are so small that
//! repeating them from memory is cheaper than reading them again.

use super::animation;
use super::origin::Origin;
use super::reader::{FrameReader, Track};
use super::slides;
use super::synthetic;
use super::transcode::Encoding;
use crate::error::{Error, Result};
use crate::media::Library;
use crate::media::encoded_frame::{EncodedFrame, Item};
use crate::room::media::{Codec, Frame, MediaKind};
use std::collections::VecDeque;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A repeated file with at most this many bytes of frames is kept in memory.
const MAX_MEMORY_BYTES: usize = 16 << 20;
/// How far one track is read ahead while the other has no frames, in ns (files interleave within a second, or not at all).
const MAX_AHEAD: u64 = 3_000_000_000;
/// The same in frames, for tracks without usable timestamps.
const MAX_AHEAD_FRAMES: usize = 1024;
/// An audio packet that starts within this time of the end of the previous one follows it without a gap, in ns: containers round
/// times to a millisecond and remove the encoder's pre-skip (6.5 ms, which RTP receivers play) from the first packet.
const ROUNDING: u64 = 15_000_000;
/// This many frames of H.264 are inspected for B-frames before it is sent without re-encoding: encoders use them from the start.
const INSPECTED_FRAMES: usize = 60;
/// The same in bytes.
const INSPECTED_BYTES: usize = 32 << 20;

/// One frame of a source, with its time.
#[derive(Debug, Clone)]
pub struct SourceFrame {
    /// Audio or video.
    pub kind: MediaKind,
    /// Time since the first frame of the source; continues through repetitions.
    pub at: Duration,
    /// The encoded frame.
    pub frame: Frame,
}

/// An open source.
pub struct MediaSource {
    opener: Opener,
    tracks: Vec<Track>,
    ignored: Vec<String>,
    items: Items,
    /// What was read since the file was opened, while it is small enough to be kept.
    memory: Option<Vec<Item>>,
    memory_bytes: usize,
    /// The file, opened again for the next repetition: opening takes longer than a frame.
    next_pass: Option<JoinHandle<Result<FrameReader>>>,
    queues: Vec<TrackQueue>,
    /// The file time of the first frame, ns.
    origin: Option<u64>,
    /// The start of this repetition, ns since the first frame of the first one.
    base: u64,
}

/// What is needed to open the source, also for each repetition.
#[derive(Clone)]
struct Opener {
    library: Library,
    origin: Origin,
    wants: fn(MediaKind) -> bool,
    repeat: bool,
    encoding: Encoding,
    /// Kinds that are encoded although they could be sent without re-encoding.
    reencode: Vec<MediaKind>,
}

enum Items {
    /// Items that were inspected already, then the rest.
    Reader(VecDeque<Item>, Box<FrameReader>),
    Memory(VecDeque<Item>),
}

/// The frames of one track that were read.
struct TrackQueue {
    codec: Codec,
    waiting: VecDeque<EncodedFrame>,
    ended: bool,
    /// Start and end of the latest frame that was read, ns of file time.
    last: Option<u64>,
    end: Option<u64>,
}

impl MediaSource {
    /// Opens a media file with the default encoding. See [`MediaSource::open`].
    ///
    /// # Errors
    /// As there.
    pub fn file(library: &Library, path: &Path, wants: fn(MediaKind) -> bool, repeat: bool) -> Result<MediaSource> {
        MediaSource::open(library, &Origin::File(path.to_owned()), wants, repeat, &Encoding::default())
    }

    /// Opens the first video and the first audio track of `origin`, of the kinds that `wants` accepts. Files and slides start again
    /// at their end if `repeat` is set.
    ///
    /// # Errors
    /// The user's: no such file, not readable as media or as an image, no video or audio in it, a template that does not build.
    pub fn open(
        library: &Library,
        origin: &Origin,
        wants: fn(MediaKind) -> bool,
        repeat: bool,
        encoding: &Encoding,
    ) -> Result<MediaSource> {
        let reencode = if encoding.always { vec![MediaKind::Video, MediaKind::Audio] } else { Vec::new() };
        let (origin, encoding) = (of_animation(origin), encoding.clone());
        let mut opener = Opener { library: library.clone(), origin, wants, repeat, encoding, reencode };
        let mut reader = opener.open()?;
        let mut inspected = VecDeque::new();
        if must_be_encoded(&mut reader, &mut inspected)? {
            opener.reencode.push(MediaKind::Video);
            (reader, inspected) = (opener.open()?, VecDeque::new());
        }
        let (tracks, ignored) = (reader.tracks.clone(), reader.ignored.clone());
        if tracks.is_empty() {
            let has = if ignored.is_empty() { "nothing".into() } else { ignored.join(", ") };
            return Err(Error::user(format!("{} has no video or audio to send, only {has}", opener.shown())));
        }
        let queues = tracks.iter().map(|t| TrackQueue::new(t.codec)).collect();
        let is_encoded = tracks.iter().any(|t| t.encoded_from.is_some());
        // Encoded tracks are encoded again, because a requested key frame cannot come from memory.
        let memory = (repeat && !is_encoded).then(Vec::new);
        let items = Items::Reader(inspected, Box::new(reader));
        let mut source = MediaSource {
            opener,
            tracks,
            ignored,
            items,
            memory,
            memory_bytes: 0,
            next_pass: None,
            queues,
            origin: None,
            base: 0,
        };
        source.open_next_pass()?;
        Ok(source)
    }

    /// Starts to open the file again on a thread, if it will be read again.
    fn open_next_pass(&mut self) -> Result<()> {
        if self.opener.repeat
            && self.memory.is_none()
            && self.next_pass.is_none()
            && matches!(self.opener.origin, Origin::File(_))
        {
            let opener = self.opener.clone();
            let thread = std::thread::Builder::new().name("open".into()).spawn(move || opener.open());
            let thread = thread.map_err(|e| Error::machine("cannot start a thread to open a file").because(e))?;
            self.next_pass = Some(thread);
        }
        Ok(())
    }

    /// Requests a key frame. Has no effect on video that is sent without re-encoding.
    pub fn ask_key_frame(&self) {
        if let Items::Reader(_, reader) = &self.items {
            reader.ask_key_frame();
        }
    }

    /// The tracks: at most one of each kind.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Its name in messages.
    pub fn name(&self) -> String {
        self.opener.shown()
    }

    /// Streams of the file that are not sent: unknown codecs, and kinds that were not wanted.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The next frame by time; `None` after the last one. Waits for the disk or the encoder, not for the clock.
    ///
    /// # Errors
    /// The rest of the file cannot be read, or has B-frames, which WebRTC receivers do not support.
    pub fn next_frame(&mut self) -> Result<Option<SourceFrame>> {
        loop {
            if let Some(queue) = self.due() {
                let Some(raw) = self.queues[queue].waiting.pop_front() else { continue };
                return Ok(Some(self.frame(queue, raw)));
            }
            if self.queues.iter().all(|l| l.ended) {
                if !self.opener.repeat {
                    return Ok(None);
                }
                self.rewind()?;
            }
            let item = self.read()?;
            self.take(item)?;
        }
    }

    /// The track whose frame is next, once that is certain: every track has a frame or has ended, or one is far ahead.
    fn due(&self) -> Option<usize> {
        let certain =
            self.queues.iter().all(|l| l.ended || !l.waiting.is_empty()) || self.queues.iter().any(TrackQueue::is_far);
        let fronts = self.queues.iter().enumerate().filter_map(|(i, l)| Some((l.waiting.front()?.pts?, i)));
        if certain { fronts.min().map(|(_, queue)| queue) } else { None }
    }

    fn read(&mut self) -> Result<Item> {
        let item = match &mut self.items {
            Items::Reader(inspected, reader) => match inspected.pop_front() {
                Some(item) => item,
                None => reader.next()?,
            },
            Items::Memory(items) => {
                let item = items.pop_front();
                return item.ok_or_else(|| {
                    Error::internal(format!("{} was kept in memory without its end", self.opener.shown()))
                });
            }
        };
        if let Some(memory) = &mut self.memory {
            memory.push(item.clone());
            self.memory_bytes += if let Item::Frame(raw) = &item { raw.data.len() } else { 0 };
            if self.memory_bytes > MAX_MEMORY_BYTES {
                self.memory = None;
                self.open_next_pass()?;
            }
        }
        Ok(item)
    }

    /// Puts what was read into the queue of its track, with a valid time.
    fn take(&mut self, item: Item) -> Result<()> {
        let kind = match &item {
            Item::Frame(raw) => raw.kind,
            Item::End(kind) => *kind,
        };
        let Some(queue) = self.queues.iter_mut().find(|l| l.codec.kind() == kind) else { return Ok(()) };
        let Item::Frame(mut raw) = item else {
            queue.ended = true;
            return Ok(());
        };
        let follows = queue.end.unwrap_or(0);
        let pts = match raw.pts {
            Some(pts) if kind == MediaKind::Audio && queue.end.is_some() && pts.abs_diff(follows) <= ROUNDING => {
                follows
            }
            Some(pts) => pts,
            None => follows,
        };
        if queue.last.is_some_and(|last| pts < last) {
            return Err(Error::user(format!(
                "{} has B-frames later in the file, which WebRTC cannot carry: use `--transcode`",
                self.opener.shown()
            )));
        }
        let usual = if kind == MediaKind::Audio { 20_000_000 } else { 33_333_333 };
        let spacing = queue.last.map(|last| pts - last).filter(|s| *s > 0).unwrap_or(usual);
        queue.last = Some(pts);
        queue.end = Some(pts + raw.duration.filter(|d| *d > 0).unwrap_or(spacing));
        raw.pts = Some(pts);
        queue.waiting.push_back(raw);
        Ok(())
    }

    fn frame(&mut self, queue: usize, raw: EncodedFrame) -> SourceFrame {
        let pts = raw.pts.unwrap_or(0);
        let origin = *self.origin.get_or_insert(pts);
        let at = self.base + pts.saturating_sub(origin);
        let rate = u128::from(self.queues[queue].codec.clock_rate());
        // Rounded once from the whole time, so that errors do not add up over the repetitions.
        let rtp_time = (u128::from(at) * rate + 500_000_000) / 1_000_000_000;
        let frame = Frame {
            rtp_time: i64::try_from(rtp_time).unwrap_or(i64::MAX),
            arrival: Instant::now(),
            parts: vec![raw.data],
            key: raw.key,
            size: raw.size,
            config: raw.config,
            audio_level: raw.level,
            packets: 0,
        };
        SourceFrame { kind: raw.kind, at: Duration::from_nanos(at), frame }
    }

    /// Back to the start of the file; time continues from the end of its longest track.
    fn rewind(&mut self) -> Result<()> {
        let end = self.queues.iter().filter_map(|l| l.end).max();
        // If both end together, use the end of the audio: its length is exact, that of video is rounded.
        let sound = self.queues.iter().filter(|l| l.codec.kind() == MediaKind::Audio).find_map(|l| l.end);
        let end = sound.filter(|s| end.is_some_and(|end| end.abs_diff(*s) <= ROUNDING)).or(end);
        let (Some(end), Some(origin)) = (end, self.origin) else {
            return Err(Error::user(format!("{} has no frames", self.opener.shown())));
        };
        self.base += end.saturating_sub(origin);
        self.queues = self.tracks.iter().map(|t| TrackQueue::new(t.codec)).collect();
        self.items = match &self.memory {
            Some(memory) => Items::Memory(memory.iter().cloned().collect()),
            None => Items::Reader(VecDeque::new(), Box::new(self.again()?)),
        };
        self.open_next_pass()
    }

    fn again(&mut self) -> Result<FrameReader> {
        match self.next_pass.take() {
            Some(thread) => {
                thread.join().unwrap_or_else(|_| Err(Error::internal("the thread that opens a file panicked")))
            }
            None => self.opener.open(),
        }
    }
}

impl Opener {
    fn open(&self) -> Result<FrameReader> {
        match &self.origin {
            Origin::File(path) => FrameReader::open(&self.library, path, self.wants, &self.encoding, &self.reencode),
            Origin::Slides { images, each } => slides::open(&self.library, images, *each, self.repeat, &self.encoding),
            Origin::Animation(path) => animation::open(&self.library, path, self.repeat, &self.encoding),
            Origin::Synthetic(synthetic) => synthetic::open(&self.library, synthetic, &self.encoding),
            Origin::Generated { template, values, kind } => {
                let values: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                FrameReader::generated(&self.library, template, &values, *kind, &self.encoding, |_| Ok(()))
            }
        }
    }

    /// Its name in messages.
    fn shown(&self) -> String {
        match &self.origin {
            Origin::File(path) | Origin::Animation(path) => path.display().to_string(),
            Origin::Slides { .. } => "the slides".into(),
            Origin::Synthetic(_) => "the generated media".into(),
            Origin::Generated { template, .. } => template.file.clone(),
        }
    }
}

/// A file that is an animated image, or the only slide if it is one, as such.
fn of_animation(origin: &Origin) -> Origin {
    let image = match origin {
        Origin::File(path) => Some(path),
        Origin::Slides { images, .. } if images.len() == 1 => images.first(),
        _ => None,
    };
    match image.filter(|path| animation::is_animated(path)) {
        Some(path) => Origin::Animation(path.clone()),
        None => origin.clone(),
    }
}

/// Whether the video cannot be sent as it is: it would not be shown as it is meant, or has B-frames among the first frames. The items
/// that were read are in `items`.
fn must_be_encoded(reader: &mut FrameReader, items: &mut VecDeque<Item>) -> Result<bool> {
    let direct = |t: &&Track| t.codec.kind() == MediaKind::Video && t.encoded_from.is_none();
    let Some(codec) = reader.tracks.iter().find(direct).map(|track| track.codec) else { return Ok(false) };
    let (mut last, mut frames, mut bytes) = (None, 0, 0);
    // All but B-frames is known with the first frame.
    let most_frames = if codec == Codec::H264 { INSPECTED_FRAMES } else { 1 };
    while frames < most_frames && bytes < INSPECTED_BYTES {
        let item = reader.next()?;
        let is_end = matches!(item, Item::End(MediaKind::Video));
        if let Item::Frame(raw) = &item {
            bytes += raw.data.len();
            if raw.kind == MediaKind::Video {
                frames += 1;
                if raw.pts.is_some() && raw.pts < last || reader.is_unfit() {
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

impl TrackQueue {
    fn new(codec: Codec) -> TrackQueue {
        TrackQueue { codec, waiting: VecDeque::new(), ended: false, last: None, end: None }
    }

    /// True if so much is queued that the other track is no longer waited for.
    fn is_far(&self) -> bool {
        let first = self.waiting.front().and_then(|f| f.pts);
        let span = first.zip(self.last).is_some_and(|(first, last)| last - first > MAX_AHEAD);
        span || self.waiting.len() > MAX_AHEAD_FRAMES
    }
}

#[cfg(test)]
mod tests;

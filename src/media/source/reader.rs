//! Reads a source once: its first video and its first audio track as encoded frames, in the order of the file. Frames that can be sent
//! are not re-encoded. A full queue stops the reading, so memory does not grow with the file.

use super::transcode::{EncoderHandle, Encoding, Transcoder};
use crate::error::{Error, Result};
use crate::media::audio_level::measure_at_sink;
use crate::media::bin::build_bin;
use crate::media::encoded_frame::{Item, forward, size};
use crate::media::{Library, Pipeline, Template, Value};
use crate::room::media::{Codec, MediaKind};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Frames between the file and the reader (policy Block): a third of a second of video with its audio. A requested key frame comes
/// after those that are queued.
const QUEUE: usize = 24;
/// The same for generated video, which need not be read ahead: 0.1 s at 30 frames per second, 0.3 s at 10.
const GENERATED_QUEUE: usize = 3;
/// How long a file may take to show its tracks, and for each frame after that.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How far pixels may be from square: containers round the size of the display to whole pixels.
const NEARLY_SQUARE: f64 = 0.02;

/// A track of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// The codec in which it is sent.
    pub codec: Codec,
    /// Width and height in pixels, for video that is sent without re-encoding.
    pub size: Option<(u32, u32)>,
    /// If it is encoded for sending: its original codec (`AAC`) or generator (`pattern`).
    pub encoded_from: Option<String>,
}

/// A source that is being read.
pub(super) struct FrameReader {
    // Dropped first: that unblocks a callback that waits for the queue, and only then can the pipeline be stopped.
    items: Receiver<Item>,
    /// The item that was read while waiting for the tracks.
    first: Option<Item>,
    pipeline: Pipeline,
    pub tracks: Vec<Track>,
    /// Streams that are not sent: unknown codecs, and kinds that were not wanted.
    pub ignored: Vec<String>,
    /// The video encoder, if the video is re-encoded.
    encoder: Option<EncoderHandle>,
    /// Its video, which is sent as it is, would not be shown as it is meant.
    unfit: Arc<AtomicBool>,
    /// The name of the source in messages.
    shown: String,
}

#[derive(Default)]
struct Found {
    tracks: Vec<Track>,
    ignored: Vec<String>,
    encoder: Option<EncoderHandle>,
    failure: Option<Error>,
}

impl Found {
    fn has(&self, kind: MediaKind) -> bool {
        self.tracks.iter().any(|t| t.codec.kind() == kind)
    }
}

impl FrameReader {
    /// Opens `path` and waits until its tracks are known. Tracks of a kind that is not wanted are ignored; those that receivers cannot
    /// decode, and those of the kinds in `reencode`, are encoded.
    ///
    /// # Errors
    /// The user's: no such file, or not a media file. A file without a usable track is no error: see `tracks`.
    pub fn open(
        library: &Library,
        path: &Path,
        wants: fn(MediaKind) -> bool,
        encoding: &Encoding,
        reencode: &[MediaKind],
    ) -> Result<FrameReader> {
        let shown = path.display();
        let about = std::fs::metadata(path).map_err(|e| Error::user(format!("cannot open {shown}: {e}")))?;
        if !about.is_file() {
            return Err(Error::user(format!("cannot open {shown}: it is not a file")));
        }
        let mut pipeline = Pipeline::build(&library.get("feed/source")?, &[])?;
        pipeline.set_path("file", path)?;
        let branches = Codec::ALL.iter().map(|c| branch(library, *c)).collect::<Result<Vec<_>>>()?;

        let (sender, items) = sync_channel(QUEUE);
        let transcoder = Transcoder::new(library, encoding, sender.clone());
        transcoder.check()?;
        let found = Arc::new(Mutex::new(Found::default()));
        let tracks = pipeline.element("tracks")?;
        let (finds, reencode, unfit) = (found.clone(), reencode.to_vec(), Arc::new(AtomicBool::new(false)));
        let is_unfit = unfit.clone();
        tracks.connect_pad_added(move |tracks, pad| {
            let mut found = finds.lock().unwrap_or_else(PoisonError::into_inner);
            let (kind, name, direct) = match about_pad(pad) {
                (Some(kind), name, codec) => (kind, name, codec.filter(|_| !reencode.contains(&kind))),
                (None, name, _) => return found.ignored.push(name),
            };
            if !wants(kind) {
                return found.ignored.push(format!("{name} (ignored)"));
            }
            if found.has(kind) {
                return;
            }
            let added = match direct {
                Some(track) => {
                    if kind == MediaKind::Video {
                        watch_fitness(pad, &is_unfit);
                    }
                    add_branch(tracks, pad, &track, &branches, &sender).map(|()| track)
                }
                None => transcoder.decode(tracks, pad, kind).map(|encoder| {
                    found.encoder = found.encoder.take().or(Some(encoder).filter(|_| kind == MediaKind::Video));
                    Track { codec: transcoder.codec(kind), size: None, encoded_from: Some(name) }
                }),
            };
            match added {
                Ok(track) => found.tracks.push(track),
                Err(e) => found.failure = Some(e),
            }
        });

        pipeline.start().map_err(|e| unreadable(&shown.to_string(), e))?;
        // All tracks are connected before the first item arrives.
        let first = first_item(&items, &pipeline, &shown.to_string());
        let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        let Found { tracks, ignored, encoder, failure } = found;
        let first = match (failure, first) {
            (Some(e), _) => return Err(e),
            // No track was connected, so the demuxer reports an error.
            (None, Err(_)) if tracks.is_empty() && !ignored.is_empty() => None,
            (None, first) => Some(first?),
        };
        Ok(FrameReader { items, first, pipeline, tracks, ignored, encoder, unfit, shown: shown.to_string() })
    }

    /// Opens a generator: video or audio without an end, made by `template` and encoded. Its last element is called `out`.
    ///
    /// # Errors
    /// The user's: the template does not build, or outputs another kind of media.
    pub fn generated(
        library: &Library,
        template: &Template,
        values: &[(&str, Value)],
        kind: MediaKind,
        encoding: &Encoding,
        prepare: impl FnOnce(&Pipeline) -> Result<()>,
    ) -> Result<FrameReader> {
        let mut pipeline = Pipeline::build(template, values)?;
        prepare(&pipeline)?;
        let (sender, items) = sync_channel(if kind == MediaKind::Video { GENERATED_QUEUE } else { QUEUE });
        let transcoder = Transcoder::new(library, encoding, sender);
        let out = pipeline.element("out")?;
        let pad = out.static_pad("src").filter(|pad| !pad.is_linked());
        let pad = pad.ok_or_else(|| Error::user(format!("{}: `out` is not its last element", template.file)))?;
        let encoder = EncoderHandle::of(transcoder.encode(&out, &pad, kind)?);
        let shown = template.name.rsplit('/').next().unwrap_or_default().to_owned();
        pipeline.start()?;
        let first = first_item(&items, &pipeline, &shown)?;
        let track = Track { codec: transcoder.codec(kind), size: None, encoded_from: Some(shown.clone()) };
        let encoder = Some(encoder).filter(|_| kind == MediaKind::Video);
        Ok(FrameReader {
            items,
            first: Some(first),
            pipeline,
            tracks: vec![track],
            ignored: Vec::new(),
            encoder,
            unfit: Arc::default(),
            shown,
        })
    }

    /// Waits for the next frame, or the end of a track.
    ///
    /// # Errors
    /// The rest of the file cannot be read.
    pub fn next(&mut self) -> Result<Item> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let started = Instant::now();
        loop {
            let item = self.items.recv_timeout(Duration::from_millis(200));
            // Errors of the demuxer are on the bus before its tracks end.
            if !matches!(item, Ok(Item::Frame(_))) {
                self.pipeline.poll().map_err(|e| unreadable(&self.shown, e))?;
            }
            match item {
                Ok(item) => return Ok(item),
                Err(RecvTimeoutError::Timeout) if started.elapsed() < TIMEOUT => {}
                Err(_) => return Err(Error::machine(format!("{}: no more frames, but no end of stream", self.shown))),
            }
        }
    }

    /// True once a frame was read of a video that is sent as it is but would not be shown as it is meant: it is to be turned, its pixels
    /// are not square, or browsers do not decode it.
    pub fn is_unfit(&self) -> bool {
        self.unfit.load(Ordering::Relaxed)
    }

    /// Requests a key frame, if the video is re-encoded.
    pub fn ask_key_frame(&self) {
        if let Some(encoder) = &self.encoder {
            encoder.ask_key_frame();
        }
    }
}

/// Waits for the first item of a source.
fn first_item(items: &Receiver<Item>, pipeline: &Pipeline, shown: &str) -> Result<Item> {
    let started = Instant::now();
    loop {
        if let Ok(item) = items.recv_timeout(Duration::from_millis(20)) {
            return Ok(item);
        }
        pipeline.poll().map_err(|e| unreadable(shown, e))?;
        if started.elapsed() > TIMEOUT {
            let message =
                format!("{shown}: no tracks found within {} s; the file may be incomplete", TIMEOUT.as_secs());
            return Err(Error::user(message));
        }
    }
}

fn unreadable(shown: &str, cause: Error) -> Error {
    Error::user(format!("{shown} cannot be read as media: {cause}")).because(cause)
}

/// The template that frames of `codec` run through; it needs no values.
fn branch(library: &Library, codec: Codec) -> Result<(Codec, Template)> {
    let template = library.get(&format!("feed/{}", codec.name().to_lowercase()))?;
    template.fill(&[])?;
    Ok((codec, template))
}

/// What a pad outputs: its kind, the name of its codec, and a track if it can be sent without re-encoding.
fn about_pad(pad: &gst::Pad) -> (Option<MediaKind>, String, Option<Track>) {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let Some(about) = caps.structure(0) else { return (None, "an unknown codec".into(), None) };
    let many_channels = about.get::<i32>("channels").is_ok_and(|n| n > 2);
    let version = || about.get::<i32>("mpegversion").unwrap_or(0);
    let (codec, name) = match about.name().as_str() {
        "video/x-vp8" => (Some(Codec::Vp8), "VP8"),
        "video/x-vp9" => (Some(Codec::Vp9), "VP9"),
        "video/x-av1" => (Some(Codec::Av1), "AV1"),
        "video/x-h264" => (Some(Codec::H264), "H.264"),
        // RTP carries Opus in one stream of one or two channels (RFC 7587).
        "audio/x-opus" if many_channels => (None, "Opus with many channels"),
        "audio/x-opus" => (Some(Codec::Opus), "Opus"),
        "video/x-h265" => (None, "H.265"),
        "audio/mpeg" if version() == 1 => (None, "MP3"),
        "audio/mpeg" => (None, "AAC"),
        "audio/x-vorbis" => (None, "Vorbis"),
        "audio/x-flac" => (None, "FLAC"),
        "audio/x-raw" => (None, "PCM"),
        other => (None, other),
    };
    let kind = match about.name().as_str() {
        name if name.starts_with("audio/") => Some(MediaKind::Audio),
        name if name.starts_with("video/") || name.starts_with("image/") => Some(MediaKind::Video),
        _ => None,
    };
    (kind, name.to_owned(), codec.map(|codec| Track { codec, size: size(about), encoded_from: None }))
}

/// True for video that receivers show as it is meant: square pixels, as RTP cannot say otherwise, and samples that every browser decodes
/// (AV1 has 10 bits in its main profile).
fn is_plain(about: &gst::StructureRef) -> bool {
    let pixel =
        about.get::<gst::Fraction>("pixel-aspect-ratio").map_or(1.0, |f| f64::from(f.numer()) / f64::from(f.denom()));
    let chroma = about.get::<&str>("chroma-format").unwrap_or("4:2:0");
    let bits = about.get::<u32>("bit-depth-luma").unwrap_or(8);
    let is_av1 = about.name() == "video/x-av1";
    (pixel - 1.0).abs() <= NEARLY_SQUARE && chroma == "4:2:0" && (bits == 8 || is_av1 && bits == 10)
}

/// Sets `unfit` when the video of `pad` cannot be sent as it is. That is said before its first frame.
fn watch_fitness(pad: &gst::Pad, unfit: &Arc<AtomicBool>) {
    let unfit = unfit.clone();
    let look = move |event: &gst::EventRef| {
        let is_unfit = match event.view() {
            gst::EventView::Caps(caps) => caps.caps().structure(0).is_some_and(|about| !is_plain(about)),
            gst::EventView::Tag(tags) => {
                tags.tag().get::<gst::tags::ImageOrientation>().is_some_and(|o| o.get() != "rotate-0")
            }
            _ => false,
        };
        unfit.fetch_or(is_unfit, Ordering::Relaxed);
    };
    pad.sticky_events_foreach(|event| {
        look(event);
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(event) = info.event() {
            look(event);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Adds the codec's branch after `pad`; its frames go into the queue.
fn add_branch(
    tracks: &gst::Element,
    pad: &gst::Pad,
    track: &Track,
    branches: &[(Codec, Template)],
    queue: &SyncSender<Item>,
) -> Result<()> {
    let wrong = |what: &str| Error::internal(format!("a {} branch {what}", track.codec.name()));
    let (_, template) = branches.iter().find(|(c, _)| *c == track.codec).ok_or_else(|| wrong("is missing"))?;
    let sink = |branch: &gst::Bin, name: &str| branch.by_name(name).and_then(|e| e.downcast::<AppSink>().ok());
    let branch = build_bin(template, &[], true)?;
    let frames =
        sink(&branch, "frames").ok_or_else(|| Error::user(format!("{}: no appsink has name=frames", template.file)))?;
    let level = Arc::new(AtomicU8::new(u8::MAX));
    if let Some(sound) = sink(&branch, "sound") {
        measure_at_sink(&sound, level.clone());
    }
    forward(&frames, track.codec.kind(), level, queue.clone());
    let parent = tracks.parent().and_then(|p| p.downcast::<gst::Bin>().ok()).ok_or_else(|| wrong("is in no bin"))?;
    parent.add(&branch).map_err(|e| wrong("cannot be added").because(e))?;
    branch.sync_state_with_parent().map_err(|e| wrong("does not start").because(e))?;
    let input = branch
        .static_pad("sink")
        .ok_or_else(|| Error::user(format!("{}: its first element has no free input", template.file)))?;
    pad.link(&input).map(drop).map_err(|e| wrong("does not fit its track").because(e))
}

//! One pass over a media file: its first video and its first audio track, still encoded, in the order of the file.
//! Decodes no picture and changes no frame; a full queue stops the reading, so memory does not grow with the file.

use super::pipeline::{Pipeline, bin};
use super::{Library, Template};
use crate::error::{Error, Result};
use crate::room::media::{AudioLevel, Codec, MediaKind};
use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Frames between the file and the reader (policy Block): about a second of picture with its sound.
const QUEUE: usize = 80;
/// How long a file may take to show its tracks, and then to give its next frame.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of one frame that are believed.
const FRAME_BYTES: usize = 16 << 20;
/// Sound quieter than this many dB below overload is not taken for a voice.
pub(super) const VOICE: u8 = 50;

/// A track that a file has and that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    pub codec: Codec,
    /// Width and height in pixels, for pictures.
    pub size: Option<(u32, u32)>,
}

/// One encoded frame as it lies in the file. Times in ns of the file's own time line.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub kind: MediaKind,
    pub pts: Option<u64>,
    pub duration: Option<u64>,
    pub data: Bytes,
    pub key: bool,
    pub size: Option<(u32, u32)>,
    pub config: Option<Bytes>,
    pub level: Option<AudioLevel>,
}

/// What comes out of a file.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Frame(Raw),
    /// The track has no more frames.
    End(MediaKind),
}

/// A file that is being read.
pub(super) struct Pass {
    // Dropped first: a reader that is gone lets a blocked callback go, and only then can the pipeline be taken down.
    items: Receiver<Item>,
    /// What came while the tracks were not known yet.
    first: Option<Item>,
    pipeline: Pipeline,
    pub tracks: Vec<Track>,
    /// What else is in the file: codecs that cannot be sent, and what was left out.
    pub refused: Vec<String>,
}

#[derive(Default)]
struct Found {
    tracks: Vec<Track>,
    refused: Vec<String>,
    failure: Option<Error>,
}

impl Pass {
    /// Opens `path` and waits until its tracks are known. Tracks of a kind that is not wanted are left alone.
    ///
    /// # Errors
    /// The user's: no such file, or nothing that GStreamer can read. A file without a usable track is none: see `tracks`.
    pub fn open(library: &Library, path: &Path, wants: fn(MediaKind) -> bool) -> Result<Pass> {
        let shown = path.display();
        let about = std::fs::metadata(path).map_err(|e| Error::user(format!("cannot open {shown}: {e}")))?;
        let text = path.to_str().filter(|_| about.is_file());
        let text =
            text.ok_or_else(|| Error::user(format!("cannot open {shown}: it is not a file with a plain name")))?;
        let mut pipeline = Pipeline::build(&library.get("feed/source")?, &[])?;
        pipeline.set_text("file", "location", text)?;
        let branches = Codec::ALL.iter().map(|c| branch(library, *c)).collect::<Result<Vec<_>>>()?;

        let (sender, items) = sync_channel(QUEUE);
        let found = Arc::new(Mutex::new(Found::default()));
        let tracks = pipeline.element("tracks")?;
        let finds = found.clone();
        tracks.connect_pad_added(move |tracks, pad| {
            let mut found = finds.lock().unwrap_or_else(PoisonError::into_inner);
            match usable(pad) {
                Err(codec) => found.refused.push(codec),
                Ok(track) if !wants(track.codec.kind()) => {
                    found.refused.push(format!("{} (left out)", track.codec.name()))
                }
                Ok(track) if found.tracks.iter().any(|t| t.codec.kind() == track.codec.kind()) => {}
                Ok(track) => match lead_on(tracks, pad, &track, &branches, &sender) {
                    Ok(()) => found.tracks.push(track),
                    Err(e) => found.failure = Some(e),
                },
            }
        });

        pipeline.start().map_err(|e| unreadable(path, e))?;
        // Every track is led on before the first of them flows.
        let first = first_item(&items, &pipeline, path);
        let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        let Found { tracks, refused, failure } = found;
        match (failure, first) {
            (Some(e), _) => Err(e),
            // Nothing was led on, so the demuxer complains that nobody listens.
            (None, Err(_)) if tracks.is_empty() && !refused.is_empty() => {
                Ok(Pass { items, first: None, pipeline, tracks, refused })
            }
            (None, Err(e)) => Err(e),
            (None, Ok(first)) => Ok(Pass { items, first: Some(first), pipeline, tracks, refused }),
        }
    }

    /// The next frame or end; waits for it.
    ///
    /// # Errors
    /// The file cannot be read any further.
    pub fn next(&mut self, path: &Path) -> Result<Item> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let started = Instant::now();
        loop {
            let item = self.items.recv_timeout(Duration::from_millis(200));
            // A demuxer that fails says so on the bus, and only then ends its tracks.
            if !matches!(item, Ok(Item::Frame(_))) {
                self.pipeline.poll().map_err(|e| unreadable(path, e))?;
            }
            match item {
                Ok(item) => return Ok(item),
                Err(RecvTimeoutError::Timeout) if started.elapsed() < PATIENCE => {}
                Err(_) => return Err(Error::machine(format!("{} gives no more frames and no end", path.display()))),
            }
        }
    }
}

/// Waits for whatever a file gives first.
fn first_item(items: &Receiver<Item>, pipeline: &Pipeline, path: &Path) -> Result<Item> {
    let started = Instant::now();
    loop {
        if let Ok(item) = items.recv_timeout(Duration::from_millis(20)) {
            return Ok(item);
        }
        pipeline.poll().map_err(|e| unreadable(path, e))?;
        if started.elapsed() > PATIENCE {
            let message = format!("{} shows no tracks after {} s: is it whole?", path.display(), PATIENCE.as_secs());
            return Err(Error::user(message));
        }
    }
}

fn unreadable(path: &Path, cause: Error) -> Error {
    Error::user(format!("{} cannot be read as media: {cause}", path.display())).because(cause)
}

/// The pipeline that a codec's frames run through; it needs no values.
fn branch(library: &Library, codec: Codec) -> Result<(Codec, Template)> {
    let template = library.get(&format!("feed/{}", codec.name().to_lowercase()))?;
    template.fill(&[])?;
    Ok((codec, template))
}

/// The track behind a pad, or the name of what it is instead.
fn usable(pad: &gst::Pad) -> Result<Track, String> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let Some(about) = caps.structure(0) else { return Err("an unknown codec".into()) };
    let codec = match about.name().as_str() {
        "video/x-vp8" => Codec::Vp8,
        "video/x-vp9" => Codec::Vp9,
        "video/x-av1" => Codec::Av1,
        "video/x-h264" => Codec::H264,
        // RTP carries Opus in one stream of one or two channels (RFC 7587).
        "audio/x-opus" if about.get::<i32>("channels").is_ok_and(|n| n > 2) => {
            return Err("Opus with many channels".into());
        }
        "audio/x-opus" => Codec::Opus,
        "video/x-h265" => return Err("H.265".into()),
        "audio/mpeg" => return Err("AAC or MP3".into()),
        "audio/x-vorbis" => return Err("Vorbis".into()),
        other => return Err(other.to_owned()),
    };
    Ok(Track { codec, size: size(about) })
}

fn size(about: &gst::StructureRef) -> Option<(u32, u32)> {
    let side = |name| about.get::<i32>(name).ok().and_then(|v| u32::try_from(v).ok());
    Some((side("width")?, side("height")?))
}

/// Builds the codec's branch behind `pad`, its frames going into the queue.
fn lead_on(
    tracks: &gst::Element,
    pad: &gst::Pad,
    track: &Track,
    branches: &[(Codec, Template)],
    queue: &SyncSender<Item>,
) -> Result<()> {
    let wrong = |what: &str| Error::us(format!("a {} branch {what}", track.codec.name()));
    let (_, template) = branches.iter().find(|(c, _)| *c == track.codec).ok_or_else(|| wrong("is missing"))?;
    let sink = |branch: &gst::Bin, name: &str| branch.by_name(name).and_then(|e| e.downcast::<AppSink>().ok());
    let branch = bin(template, &[], true)?;
    let frames =
        sink(&branch, "frames").ok_or_else(|| Error::user(format!("{}: no appsink has name=frames", template.file)))?;
    let level = Arc::new(AtomicU8::new(u8::MAX));
    if let Some(sound) = sink(&branch, "sound") {
        measure(&sound, level.clone());
    }
    forward(&frames, track.codec.kind(), level, queue.clone());
    let parent = tracks.parent().and_then(|p| p.downcast::<gst::Bin>().ok()).ok_or_else(|| wrong("has no home"))?;
    parent.add(&branch).map_err(|e| wrong("cannot be added").because(e))?;
    branch.sync_state_with_parent().map_err(|e| wrong("does not start").because(e))?;
    let input = branch
        .static_pad("sink")
        .ok_or_else(|| Error::user(format!("{}: its first element has no free input", template.file)))?;
    pad.link(&input).map(drop).map_err(|e| wrong("does not fit its track").because(e))
}

/// Keeps the loudness of the sound that last came by, in dB below overload.
fn measure(sink: &AppSink, level: Arc<AtomicU8>) {
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let sound = sample.buffer().and_then(|b| b.map_readable().ok()).ok_or(gst::FlowError::Error)?;
        level.store(loudness(&sound), Ordering::Relaxed);
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

/// RMS level of 16-bit little-endian samples in dB below overload, as RFC 6464 counts: 0 is loudest, 127 is silence.
pub(super) fn loudness(samples: &[u8]) -> u8 {
    let (samples, _) = samples.as_chunks::<2>();
    let power: f64 = samples.iter().map(|s| f64::from(i16::from_le_bytes(*s)).powi(2)).sum();
    let mean = power / samples.len().max(1) as f64 / f64::from(i16::MAX).powi(2);
    if mean <= 0.0 { 127 } else { (-10.0 * mean.log10()).round().clamp(0.0, 127.0) as u8 }
}

/// Sends what arrives at `sink` into the queue; waits there when it is full, which stops the reading of the file.
fn forward(sink: &AppSink, kind: MediaKind, level: Arc<AtomicU8>, queue: SyncSender<Item>) {
    let end = queue.clone();
    let callbacks = AppSinkCallbacks::builder().eos(move |_| drop(end.send(Item::End(kind)))).new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let frame = raw(kind, &sample, level.load(Ordering::Relaxed)).ok_or(gst::FlowError::Error)?;
        // A closed queue: nobody wants the rest.
        queue.send(Item::Frame(frame)).map_err(|_| gst::FlowError::Eos)?;
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

pub(super) fn raw(kind: MediaKind, sample: &gst::Sample, level: u8) -> Option<Raw> {
    let buffer = sample.buffer()?;
    let about = sample.caps().and_then(|c| c.structure(0));
    let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
    let key = kind == MediaKind::Audio || !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let data = buffer.map_readable().ok().filter(|d| d.len() <= FRAME_BYTES)?;
    let mut data = Bytes::copy_from_slice(&data);
    let av1 = about.is_some_and(|a| a.name() == "video/x-av1");
    if av1 && data.starts_with(&TEMPORAL_DELIMITER) {
        data = data.slice(TEMPORAL_DELIMITER.len()..);
    }
    let config =
        || about?.get::<gst::Buffer>("codec_data").ok()?.map_readable().ok().map(|c| Bytes::copy_from_slice(&c));
    Some(Raw {
        kind,
        pts: buffer.pts().and_then(|pts| segment?.to_running_time(pts)).map(gst::ClockTime::nseconds),
        duration: if kind == MediaKind::Audio {
            opus_ns(&data)
        } else {
            buffer.duration().map(gst::ClockTime::nseconds)
        },
        data,
        key,
        size: about.filter(|_| key).and_then(size),
        config: if key && kind == MediaKind::Video { config() } else { None },
        level: (level <= 127).then_some(AudioLevel { below_overload: level, voice: level < VOICE }),
    })
}

/// How long an Opus packet sounds, by its first bytes (RFC 6716 3.1); containers cut the first and the last one.
fn opus_ns(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let frame_us = match toc >> 3 {
        config @ 0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(config % 4)],
        config @ 12..16 => [10_000, 20_000][usize::from(config % 2)],
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3f),
    };
    Some(frames * frame_us * 1000)
}

/// An OBU of type 2 with a size field of zero (AV1 5.6): RTP and Matroska both go without.
pub(super) const TEMPORAL_DELIMITER: [u8; 2] = [0x12, 0x00];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opus_packet_says_how_long_it_is() {
        let ms = |packet: &[u8]| opus_ns(packet).map(|ns| ns as f64 / 1e6);
        assert_eq!(ms(&[0x78]), Some(20.0), "hybrid, one frame");
        assert_eq!(ms(&[0xf9]), Some(40.0), "CELT, two frames");
        assert_eq!(ms(&[0x83, 3]), Some(7.5), "CELT of 2.5 ms, three frames");
        assert_eq!(ms(&[0x18]), Some(60.0), "SILK");
        assert_eq!((ms(&[]), ms(&[3])), (None, None));
    }

    #[test]
    fn loudness_is_counted_below_overload() {
        let square = |amplitude: i16| (0..960).flat_map(|_| amplitude.to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(loudness(&square(i16::MAX)), 0);
        assert_eq!(loudness(&square(i16::MIN)), 0);
        assert_eq!(loudness(&square(3277)), 20);
        assert_eq!(loudness(&square(0)), 127);
        assert_eq!(loudness(&[]), 127);
    }
}

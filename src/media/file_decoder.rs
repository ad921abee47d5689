//! Decodes any media file for measurements: the luma of its video and its audio as mono, in the order of decoding. It reads ahead by
//! a bounded number of frames, waits for no clock, and reports streams that it could not decode.

use super::bin::build_bin;
use super::{Library, Pipeline, Template};
use crate::error::{Error, Result};
use crate::room::media::MediaKind;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use gstreamer_video::{VideoFrameExt, VideoFrameRef, VideoInfo};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Decoded frames between the pipeline and the reader (policy Block): 44 MB of 1080p at most.
const QUEUE: usize = 16;
/// How long the next frame may take, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest picture that is accepted, in pixels.
const MAX_PIXELS: usize = 8192 * 8192;
/// The most streams of one file that are decoded.
const MAX_STREAMS: usize = 64;

/// A decoded buffer of a stream.
#[derive(Debug)]
pub struct DecodedBuffer {
    /// The number of the stream, from 0 in the order in which streams were found.
    pub stream: usize,
    /// Its time on the time line of the file.
    pub at: Duration,
    /// Its data.
    pub data: DecodedData,
}

/// The data of a [`DecodedBuffer`].
#[derive(Debug)]
pub enum DecodedData {
    /// A picture.
    Picture {
        /// Its luma plane, rows without padding.
        luma: Vec<u8>,
        /// Pixels of a row.
        width: usize,
        /// Number of rows.
        height: usize,
    },
    /// Audio samples: mono, 48 kHz, full scale is 1.0.
    Samples(Vec<f32>),
}

enum Item {
    Buffer(DecodedBuffer),
    End,
}

/// A media file that is being decoded.
pub struct FileDecoder {
    // Dropped first: that unblocks a callback that waits for the queue, and only then can the pipeline be stopped.
    items: Receiver<Item>,
    pipeline: Pipeline,
    path: PathBuf,
    found: Arc<Mutex<Found>>,
    ended: usize,
}

#[derive(Default)]
struct Found {
    streams: Vec<MediaKind>,
    undecodable: Vec<String>,
    failure: Option<Error>,
}

impl FileDecoder {
    /// Opens `path`.
    ///
    /// # Errors
    /// The user's: no such file. Whether it can be decoded shows later.
    pub fn open(library: &Library, path: &Path) -> Result<FileDecoder> {
        let shown = path.display();
        let about = std::fs::metadata(path).map_err(|e| Error::user(format!("cannot open {shown}: {e}")))?;
        if !about.is_file() {
            return Err(Error::user(format!("cannot open {shown}: it is not a file")));
        }
        let mut pipeline = Pipeline::build(&library.get("verify/file")?, &[])?;
        pipeline.set_path("file", path)?;
        let branches = [library.get("verify/picture")?, library.get("verify/sound")?];
        let (sender, items) = sync_channel(QUEUE);
        let found = Arc::new(Mutex::new(Found::default()));
        let streams = pipeline.element("streams")?;
        let finds = found.clone();
        streams.connect_pad_added(move |streams, pad| {
            let mut found = lock(&finds);
            let (kind, index) = match name_of(pad) {
                name if name.starts_with("video/") => (MediaKind::Video, 0),
                name if name.starts_with("audio/") => (MediaKind::Audio, 1),
                // Subtitles and other data.
                _ => return,
            };
            if found.streams.len() >= MAX_STREAMS {
                return;
            }
            let number = found.streams.len();
            found.streams.push(kind);
            let added = branches
                .get(index)
                .map(|template| add_branch(streams, pad, template, |sink| forward(sink, number, kind, sender.clone())));
            if let Some(Err(e)) = added {
                found.failure = Some(e);
            }
        });
        let finds = found.clone();
        streams.connect("unknown-type", false, move |values| {
            let caps = values.get(2).and_then(|caps| caps.get::<gst::Caps>().ok());
            let name = caps.and_then(|caps| caps.structure(0).map(|s| s.name().to_string())).unwrap_or_default();
            if name.starts_with("video/") || name.starts_with("audio/") {
                lock(&finds).undecodable.push(name);
            }
            None
        });
        pipeline.start().map_err(|e| unreadable(path, e))?;
        Ok(FileDecoder { items, pipeline, path: path.to_owned(), found, ended: 0 })
    }

    /// The next buffer; `None` after the last one. Waits for it.
    ///
    /// # Errors
    /// The user's: the rest of the file cannot be read. The machine's: it took too long.
    pub fn next_buffer(&mut self) -> Result<Option<DecodedBuffer>> {
        let started = Instant::now();
        loop {
            let item = self.items.recv_timeout(Duration::from_millis(50));
            if let Ok(Item::Buffer(buffer)) = item {
                return Ok(Some(buffer));
            }
            // Errors of the file are on the bus before its streams end.
            self.pipeline.poll().map_err(|e| unreadable(&self.path, e))?;
            self.ended += usize::from(item.is_ok());
            let mut found = lock(&self.found);
            if let Some(failure) = found.failure.take() {
                return Err(failure);
            }
            if self.ended > 0 && self.ended >= found.streams.len() {
                return Ok(None);
            }
            match item {
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if started.elapsed() > TIMEOUT => {
                    let (path, waited) = (self.path.display(), TIMEOUT.as_secs());
                    return Err(Error::machine(format!("{path}: no video or audio within {waited} s")));
                }
                _ => {}
            }
        }
    }

    /// The kinds of the streams found so far, by number.
    #[cfg(test)]
    pub fn streams(&self) -> Vec<MediaKind> {
        lock(&self.found).streams.clone()
    }

    /// Streams without an installed decoder (`video/x-h265`).
    pub fn undecodable(&self) -> Vec<String> {
        lock(&self.found).undecodable.clone()
    }
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unreadable(path: &Path, cause: Error) -> Error {
    Error::user(format!("the rest of {} cannot be read as media: {cause}", path.display())).because(cause)
}

fn name_of(pad: &gst::Pad) -> String {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    caps.structure(0).map(|s| s.name().to_string()).unwrap_or_default()
}

/// Adds a branch after `pad`; calls `prepare` with its sink before any data flows.
fn add_branch(
    streams: &gst::Element,
    pad: &gst::Pad,
    template: &Template,
    prepare: impl FnOnce(&AppSink),
) -> Result<()> {
    let wrong = |what: &str| Error::internal(format!("{}: {what}", template.file));
    let branch = build_bin(template, &[], true)?;
    let sink = branch.by_name("out").and_then(|e| e.downcast::<AppSink>().ok());
    prepare(&sink.ok_or_else(|| Error::user(format!("{}: no appsink has name=out", template.file)))?);
    let parent = streams.parent().and_then(|p| p.downcast::<gst::Bin>().ok()).ok_or_else(|| wrong("is in no bin"))?;
    parent.add(&branch).map_err(|e| wrong("cannot be added").because(e))?;
    branch.sync_state_with_parent().map_err(|e| wrong("does not start").because(e))?;
    let input = branch
        .static_pad("sink")
        .ok_or_else(|| Error::user(format!("{}: its first element has no free input", template.file)))?;
    pad.link(&input).map(drop).map_err(|e| wrong("does not accept its stream").because(e))
}

/// Puts what arrives at `sink` into the queue. Blocks while the queue is full, which stops the reading of the file.
fn forward(sink: &AppSink, stream: usize, kind: MediaKind, queue: SyncSender<Item>) {
    let end = queue.clone();
    let callbacks = AppSinkCallbacks::builder().eos(move |_| drop(end.send(Item::End))).new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        // Decoders start a little early: what lies outside of the segment is not presented.
        let Some(at) = presentation_time(&sample) else { return Ok(gst::FlowSuccess::Ok) };
        let data = if kind == MediaKind::Video { picture(&sample) } else { sound(&sample) };
        let buffer = DecodedBuffer { stream, at, data: data.ok_or(gst::FlowError::Error)? };
        // The reader is gone: the rest is not needed.
        queue.send(Item::Buffer(buffer)).map_err(|_| gst::FlowError::Eos)?;
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

fn presentation_time(sample: &gst::Sample) -> Option<Duration> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(sample.buffer()?.pts()?).map(Duration::from)
}

/// The luma plane of a picture.
pub(super) fn picture(sample: &gst::Sample) -> Option<DecodedData> {
    let info = VideoInfo::from_caps(sample.caps()?).ok()?;
    let (width, height) = (info.width() as usize, info.height() as usize);
    let frame = VideoFrameRef::from_buffer_ref_readable(sample.buffer()?, &info).ok()?;
    let stride = usize::try_from(*frame.plane_stride().first()?).ok().filter(|stride| *stride > 0)?;
    let plane = frame.plane_data(0).ok()?;
    let pixels = width.checked_mul(height).filter(|pixels| *pixels <= MAX_PIXELS)?;
    let mut luma = Vec::with_capacity(pixels);
    plane.chunks(stride).take(height).for_each(|row| luma.extend_from_slice(row.get(..width).unwrap_or(row)));
    (luma.len() == pixels).then_some(DecodedData::Picture { luma, width, height })
}

fn sound(sample: &gst::Sample) -> Option<DecodedData> {
    let data = sample.buffer()?.map_readable().ok()?;
    let (samples, _) = data.as_chunks::<4>();
    Some(DecodedData::Samples(samples.iter().map(|s| f32::from_le_bytes(*s)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(path: &Path) -> (Vec<MediaKind>, usize, usize, Result<()>) {
        let mut decoder = FileDecoder::open(&Library::default(), path).unwrap();
        let (mut pictures, mut samples) = (0, 0);
        let end = loop {
            match decoder.next_buffer() {
                Ok(Some(DecodedBuffer { data: DecodedData::Picture { luma, width, height }, .. })) => {
                    assert_eq!(luma.len(), width * height);
                    pictures += 1;
                }
                Ok(Some(DecodedBuffer { data: DecodedData::Samples(sound), .. })) => samples += sound.len(),
                Ok(None) => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        let mut streams = decoder.streams();
        streams.sort();
        (streams, pictures, samples, end)
    }

    #[test]
    fn files_of_any_kind_are_decoded_to_their_end() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        for name in ["alice.webm", "bob.webm", "carol.mkv"] {
            let (streams, pictures, samples, end) = play(&fixtures.join(name));
            assert_eq!((streams, pictures), (vec![MediaKind::Audio, MediaKind::Video], 240), "{name}");
            assert!(samples.abs_diff(8 * 48_000) < 1000, "{name}: {samples}");
            end.unwrap();
        }
        let (streams, pictures, samples, _) = play(&fixtures.join("slides.webm"));
        assert_eq!((streams, pictures, samples), (vec![MediaKind::Video], 64, 0));
    }

    #[test]
    fn what_is_cut_short_or_no_media_says_so_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let whole = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/alice.webm")).unwrap();
        let cut = dir.path().join("cut.webm");
        std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
        let (_, pictures, ..) = play(&cut);
        assert!((90..170).contains(&pictures), "{pictures}");
        for (name, bytes) in [("empty.webm", &b""[..]), ("text.webm", b"I am no film, but a letter.")] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let (_, pictures, _, end) = play(&path);
            assert!(pictures == 0 && end.is_err(), "{name}");
        }
        assert!(FileDecoder::open(&Library::default(), dir.path()).is_err());
        assert!(FileDecoder::open(&Library::default(), &dir.path().join("none")).is_err());
        // Dropped in the middle: nothing hangs.
        drop(FileDecoder::open(&Library::default(), &cut).unwrap().next_buffer());
    }
}

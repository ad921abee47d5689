//! The encoder of a film and where its output goes: pictures and sound in order, then the end of every sink. It renders and mixes
//! nothing.

use super::format::{Container, Format};
use super::sound::RATE;
use crate::container::Chapter;
use crate::error::{Error, Result};
use crate::film::layout::Size;
use crate::media::{Canvas, FileWriter, Library, Value};
use crate::output::{EncodedFilm, FilmFile, HlsFolder, PartFile, Sink, Target};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the end of a film may take: what is buffered is encoded.
const FINISH_TIMEOUT: Duration = Duration::from_secs(600);
/// The longest distance of key frames, in seconds.
const KEY_FRAME_SECONDS: u32 = 5;
/// The same of a film that is watched while it grows.
const LIVE_KEY_FRAME_SECONDS: u32 = 2;

/// A film that is being encoded.
pub struct EncoderOutput {
    writer: FileWriter,
    /// The first is the film's file.
    sinks: Vec<Box<dyn Sink>>,
    /// Frames a second; 0 without video.
    fps: u32,
    frames: u64,
    /// Frames of these that were not encoded.
    skipped: u64,
    samples: i64,
}

impl EncoderOutput {
    /// Begins a film.
    ///
    /// # Errors
    /// The user's: a package is missing, or a value is out of range. The machine's: no encoder starts.
    pub fn start(library: &Library, file: PartFile, format: Format, size: Size, fps: u32) -> Result<EncoderOutput> {
        let mut values = video_values(size, fps, KEY_FRAME_SECONDS);
        values.extend(format.values());
        let is_mp4 = format.container == Container::Mp4;
        let file = if is_mp4 { FilmFile::mp4(library, file) } else { FilmFile::new(library, file) };
        EncoderOutput::open(library, format.pipeline(), &values, vec![Box::new(file)], fps)
    }

    /// Begins a film that can be played while it grows, under the name `film.live.mp4`. With `hls`, as HLS into that folder, too.
    ///
    /// # Errors
    /// As [`EncoderOutput::start`].
    pub fn live(library: &Library, file: PartFile, size: Size, fps: u32, hls: Option<&Path>) -> Result<EncoderOutput> {
        let values = video_values(size, fps, LIVE_KEY_FRAME_SECONDS);
        let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(FilmFile::live_mp4(library, file)?)];
        if let Some(folder) = hls {
            sinks.push(Box::new(HlsFolder::create(folder)?));
        }
        let pipeline = if hls.is_some() { "compose/live-hls" } else { "compose/live" };
        EncoderOutput::open(library, pipeline, &values, sinks, fps)
    }

    /// Begins a file of sound alone.
    ///
    /// # Errors
    /// As [`EncoderOutput::start`].
    pub fn audio_only(library: &Library, file: PartFile, pipeline: &str) -> Result<EncoderOutput> {
        EncoderOutput::open(library, pipeline, &[], vec![Box::new(FilmFile::new(library, file))], 0)
    }

    fn open(
        library: &Library,
        pipeline: &str,
        values: &[(&str, Value)],
        sinks: Vec<Box<dyn Sink>>,
        fps: u32,
    ) -> Result<EncoderOutput> {
        let mut targets: Vec<Target> = Vec::new();
        for sink in &sinks {
            targets.extend(sink.targets()?);
        }
        let texts: Vec<_> = targets.iter().map(|t| (t.element, t.property, t.value.as_str())).collect();
        let writer = FileWriter::with_properties(library, pipeline, values, &texts)?;
        Ok(EncoderOutput { writer, sinks, fps, frames: 0, skipped: 0, samples: 0 })
    }

    /// Sets title, date and chapters; before anything else.
    ///
    /// # Errors
    /// Ours: the pipeline has no muxer.
    pub fn describe(&self, title: &str, recorded: jiff::Timestamp, chapters: &[Chapter]) -> Result<()> {
        let chapters: Vec<_> = chapters.iter().map(|c| (c.from..c.until, c.title.as_str())).collect();
        self.writer.describe(title, recorded, &chapters)
    }

    /// How many frames a film of this length has.
    pub fn frames_in(&self, length: Duration) -> u64 {
        u64::try_from((length.as_nanos() * u128::from(self.fps)).div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
    }

    /// When frame `number` (from 0) begins.
    pub fn time_of(&self, number: u64) -> Duration {
        Duration::from_nanos((u128::from(number) * 1_000_000_000 / u128::from(self.fps.max(1))) as u64)
    }

    /// Encodes the next frame.
    ///
    /// # Errors
    /// The machine's: the encoder or the disk.
    pub fn push_frame(&mut self, canvas: &mut Canvas) -> Result<()> {
        let (at, next) = (self.time_of(self.frames), self.time_of(self.frames + 1));
        self.frames += 1;
        self.writer.canvas(canvas, at, next - at)
    }

    /// Leaves the next frame out: the one before stays.
    pub fn skip_frame(&mut self) {
        self.frames += 1;
        self.skipped += 1;
    }

    /// Encodes the next sound: left and right samples in turn.
    ///
    /// # Errors
    /// As [`EncoderOutput::push_frame`].
    pub fn push_sound(&mut self, samples: &[i16]) -> Result<()> {
        let at = Duration::from_nanos((self.samples as u128 * 1_000_000_000 / RATE as u128) as u64);
        self.samples += (samples.len() / 2) as i64;
        self.writer.stereo(samples, at)
    }

    /// Encodes what is buffered and completes every sink. Returns the film's file.
    ///
    /// # Errors
    /// The machine's; ours where frames are missing.
    pub fn finish(self, chapters: &[Chapter]) -> Result<PathBuf> {
        self.writer.finish(FINISH_TIMEOUT)?;
        let video_frames = (self.fps > 0).then_some(self.frames - self.skipped);
        let film = EncodedFilm { video_frames, chapters };
        let mut completed = Vec::new();
        for sink in self.sinks {
            completed.push(sink.complete(&film)?);
        }
        completed.into_iter().next().ok_or_else(|| Error::internal("a film without an output"))
    }
}

fn video_values((width, height): Size, fps: u32, key_frame_seconds: u32) -> Vec<(&'static str, Value)> {
    let int = |value: u32| Value::Int(value.into());
    vec![("width", int(width)), ("height", int(height)), ("fps", int(fps)), ("key-every", int(fps * key_frame_seconds))]
}

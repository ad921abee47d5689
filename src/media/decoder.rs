//! One track file of a recording, decoded: pictures or sound in the order of the file, on the file's own time. It reads ahead
//! by a few pictures and no more, and never waits without a deadline.

use super::canvas::Picture;
use super::{Library, Pipeline, path_text};
use crate::error::{Error, Result};
use crate::room::media::Codec;
use gstreamer as gst;
use gstreamer_app::AppSink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a decoder may take to give its next picture, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open track file.
pub struct Decoder {
    pipeline: Pipeline,
    out: AppSink,
    path: PathBuf,
    codec: Codec,
}

impl Decoder {
    /// Opens a track file of a recording, which holds one track of `codec`.
    ///
    /// # Errors
    /// The user's: the file is not there, or the package of a decoder.
    pub fn open(library: &Library, path: &Path, codec: Codec) -> Result<Decoder> {
        if !path.is_file() {
            return Err(Error::user(format!("{} is not there", path.display())));
        }
        let template = library.get(&format!("compose/{}", codec.name().to_lowercase()))?;
        let mut pipeline = Pipeline::build(&template, &[])?;
        pipeline.set_text("file", "location", path_text(path)?)?;
        let out = pipeline.app_sink("out")?;
        pipeline.start()?;
        Ok(Decoder { pipeline, out, path: path.to_owned(), codec })
    }

    /// The next picture, and when it is due after the file's first frame; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read or decoded any further.
    pub fn picture(&mut self) -> Result<Option<(Duration, Picture)>> {
        let Some(sample) = self.sample()? else { return Ok(None) };
        let at = time(&sample).ok_or_else(|| self.strange())?;
        // VP8 has one colour space (RFC 6386, 9.2); GStreamer guesses another one for large pictures.
        let picture = Picture::new(&sample, self.codec == Codec::Vp8).ok_or_else(|| self.strange())?;
        Ok(Some((at, picture)))
    }

    /// The next sound, and when it is due after the file's first frame; `None` at the end. Left and right in turn, 48,000 of
    /// each a second, 1.0 is the loudest.
    ///
    /// # Errors
    /// The file cannot be read or decoded any further.
    pub fn sound(&mut self) -> Result<Option<(Duration, Vec<f32>)>> {
        let Some(sample) = self.sample()? else { return Ok(None) };
        let at = time(&sample).ok_or_else(|| self.strange())?;
        let data = sample.buffer().and_then(|b| b.map_readable().ok()).ok_or_else(|| self.strange())?;
        let (samples, _) = data.as_chunks::<4>();
        Ok(Some((at, samples.iter().map(|s| f32::from_le_bytes(*s)).collect())))
    }

    fn sample(&mut self) -> Result<Option<gst::Sample>> {
        let started = Instant::now();
        loop {
            if let Some(sample) = self.out.try_pull_sample(gst::ClockTime::from_mseconds(200)) {
                return Ok(Some(sample));
            }
            let broken =
                |e| Error::machine(format!("{} cannot be decoded any further", self.path.display())).because(e);
            self.pipeline.poll().map_err(broken)?;
            if self.out.is_eos() {
                return Ok(None);
            }
            if started.elapsed() > PATIENCE {
                let waited = PATIENCE.as_secs();
                let message = format!("{}: no picture or sound within {waited} s", self.path.display());
                return Err(Error::machine(message));
            }
        }
    }

    fn strange(&self) -> Error {
        Error::us(format!("{}: decoded into something strange", self.path.display()))
    }
}

/// When a sample is due, on the file's time.
fn time(sample: &gst::Sample) -> Option<Duration> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let pts = sample.buffer()?.pts()?;
    Some(Duration::from_nanos(segment.to_stream_time(pts).unwrap_or(pts).nseconds()))
}

//! Drawn pictures and made sound into a media file, through a pipeline template. For making fixtures; recordings are
//! written elsewhere, without GStreamer.

use super::{Library, Pipeline, Value};
use crate::error::{Error, Result};
use gstreamer as gst;
use gstreamer_app::AppSrc;
use std::path::Path;
use std::time::Duration;

/// How long one picture may take to be captioned.
const CAPTION_PATIENCE: Duration = Duration::from_secs(10);

/// A media file that is being made. The template has an `appsrc` called `picture`, perhaps one called `sound`, and a
/// `filesink` called `file`.
pub struct FileWriter {
    pipeline: Pipeline,
    picture: AppSrc,
    sound: Option<AppSrc>,
}

impl FileWriter {
    /// Starts writing `path` through the template called `name`.
    ///
    /// # Errors
    /// The user's: the template or an element is missing, or the file cannot be made.
    pub fn create(library: &Library, name: &str, path: &Path) -> Result<FileWriter> {
        let mut pipeline = Pipeline::build(&library.get(name)?, &[])?;
        let text = path.to_str().ok_or_else(|| Error::user(format!("{} is not a plain name", path.display())))?;
        pipeline.set_text("file", "location", text)?;
        let (picture, sound) = (pipeline.app_src("picture")?, pipeline.app_src("sound").ok());
        pipeline.start()?;
        Ok(FileWriter { pipeline, picture, sound })
    }

    /// Adds a picture: RGB bytes, row by row, of the size that the template says.
    pub fn picture(&self, rgb: Vec<u8>, at: Duration, lasts: Duration) -> Result<()> {
        self.push(&self.picture, rgb, at, lasts)
    }

    /// Adds sound: samples of one channel at 48,000 Hz.
    pub fn sound(&self, samples: &[i16], at: Duration) -> Result<()> {
        let sound = self.sound.as_ref().ok_or_else(|| Error::us("this file has no sound"))?;
        let lasts = Duration::from_secs(samples.len() as u64) / 48_000;
        self.push(sound, samples.iter().flat_map(|s| s.to_le_bytes()).collect(), at, lasts)
    }

    /// Writes what is under way and closes the file.
    ///
    /// # Errors
    /// An element failed, or `deadline` passed.
    pub fn finish(mut self, deadline: Duration) -> Result<()> {
        for source in [Some(&self.picture), self.sound.as_ref()].into_iter().flatten() {
            // A source that is flushing has failed, and `finish` says why.
            let _ = source.end_of_stream();
        }
        self.pipeline.finish(deadline)
    }

    fn push(&self, source: &AppSrc, data: Vec<u8>, at: Duration, lasts: Duration) -> Result<()> {
        source.push_buffer(buffer(data, at, lasts)).map(drop).map_err(|flow| match self.pipeline.poll() {
            Err(e) => e,
            Ok(()) => Error::us("the pipeline takes no more").because(flow),
        })
    }
}

/// Writes `text` (Pango markup) in white into an RGB picture. `align` is `left`, `center` or `right`; `at` is the distance
/// from that side (not for `center`) and from the top, in pixels.
///
/// # Errors
/// The user's: no `textoverlay` here.
pub fn caption(
    library: &Library,
    (width, height): (u32, u32),
    rgb: Vec<u8>,
    text: &str,
    align: &str,
    at: (u32, u32),
) -> Result<Vec<u8>> {
    let int = |v: u32| Value::Int(v.into());
    let values = [
        ("width", int(width)),
        ("height", int(height)),
        ("x", int(at.0)),
        ("y", int(at.1)),
        ("align", Value::Word(align.into())),
    ];
    let mut pipeline = Pipeline::build(&library.get("fixture/caption")?, &values)?;
    pipeline.set_text("caption", "text", text)?;
    let (source, sink) = (pipeline.app_src("picture")?, pipeline.app_sink("out")?);
    pipeline.start()?;
    let late = || Error::machine("a caption was not written in time");
    source.push_buffer(buffer(rgb, Duration::ZERO, Duration::from_secs(1))).map_err(|e| late().because(e))?;
    let sample = sink.try_pull_sample(gst::ClockTime::try_from(CAPTION_PATIENCE).ok());
    let sample = sample.ok_or_else(|| pipeline.poll().err().unwrap_or_else(late))?;
    let data = sample.buffer().and_then(|b| b.map_readable().ok()).ok_or_else(late)?;
    Ok(data.to_vec())
}

fn buffer(data: Vec<u8>, at: Duration, lasts: Duration) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(data);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::try_from(at).ok());
        buffer.set_duration(gst::ClockTime::try_from(lasts).ok());
    }
    buffer
}

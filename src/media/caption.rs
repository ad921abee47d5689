//! Text drawn into a picture by Pango, through GStreamer's text overlay.

use super::buffer::timed_buffer;
use super::runtime::Gst;
use super::{Library, Pipeline, Value};
use crate::error::{Error, Result};
use gstreamer as gst;
use std::time::Duration;

/// How long one caption may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Draws `text` (Pango markup) in white into a picture: `width` x `height` pixels of 3 bytes, RGB. `align` is `left`, `center` or
/// `right`; `at` is the distance from that side (ignored for `center`) and from the top, in pixels.
///
/// # Errors
/// The user's: the package of `textoverlay` is missing. The machine's: it failed or took too long.
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
    let late = || Error::machine("a caption was not drawn in time");
    source
        .push_buffer(timed_buffer(Gst::init()?, rgb, Duration::ZERO, Duration::from_secs(1)))
        .map_err(|e| late().because(e))?;
    let sample = sink.try_pull_sample(gst::ClockTime::try_from(TIMEOUT).ok());
    let sample = sample.ok_or_else(|| pipeline.poll().err().unwrap_or_else(late))?;
    let data = sample.buffer().and_then(|b| b.map_readable().ok()).ok_or_else(late)?;
    Ok(data.to_vec())
}

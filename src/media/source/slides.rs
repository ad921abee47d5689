//! A slide show: images as video. Holds one slide at a time, and makes frames only when the encoder asks for them.

use super::reader::FrameReader;
use super::transcode::Encoding;
use crate::error::{Error, Result};
use crate::media::runtime::Gst;
use crate::media::template::image_file;
use crate::media::{Library, Pipeline, Value};
use crate::room::media::MediaKind;
use gstreamer as gst;
use gstreamer_app::AppSrcCallbacks;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Size and frame rate of the video. Slides do not move, but who joins late must not wait long for one.
const SIZE: (u32, u32) = (1280, 720);
const FPS: u32 = 10;
/// The most slides of a show.
const MAX_SLIDES: usize = 1000;

/// A show of `images`, each for the time `each`, once or repeatedly.
///
/// # Errors
/// The user's, naming the image that cannot be read.
pub(super) fn open(
    library: &Library,
    images: &[PathBuf],
    each: Duration,
    repeat: bool,
    encoding: &Encoding,
) -> Result<FrameReader> {
    if images.is_empty() || images.len() > MAX_SLIDES {
        return Err(Error::user(format!("a show has 1 to {MAX_SLIDES} images, not {}", images.len())));
    }
    // All are read now: a bad one must not end the show during a meeting.
    let gst = Gst::init()?;
    images.iter().try_for_each(|image| read(gst, image).map(drop))?;
    let mut show = Show { gst, images: images.to_vec(), each: frames(each), repeat, next: 0, slide: None };
    let whole = |number: u32| Value::Int(number.into());
    let values = [("width", whole(SIZE.0)), ("height", whole(SIZE.1)), ("fps", whole(FPS))];
    let template = library.get("source/slides")?;
    FrameReader::generated(library, &template, &values, MediaKind::Video, encoding, |pipeline: &Pipeline| {
        let callbacks = AppSrcCallbacks::builder().need_data(move |source, _| match show.next_frame() {
            // Refused only by a pipeline that is being stopped.
            Ok(Some(sample)) => drop(source.push_sample(&sample)),
            Ok(None) => drop(source.end_of_stream()),
            Err(e) => gst::element_error!(source, gst::ResourceError::Read, ("{e}")),
        });
        pipeline.app_src("slides")?.set_callbacks(callbacks.build());
        Ok(())
    })
}

/// The number of frames of a slide: at least one.
fn frames(each: Duration) -> u64 {
    ((each.as_secs_f64() * f64::from(FPS)).round() as u64).max(1)
}

struct Show {
    gst: Gst,
    images: Vec<PathBuf>,
    /// Frames of each slide.
    each: u64,
    repeat: bool,
    /// The number of the next frame.
    next: u64,
    /// The slide that is shown, by its index, and its pixels.
    slide: Option<(usize, gst::Caps, gst::Buffer)>,
}

impl Show {
    /// The next frame; `None` at the end.
    fn next_frame(&mut self) -> Result<Option<gst::Sample>> {
        let slide_number = self.next / self.each;
        let count = self.images.len() as u64;
        if slide_number >= count && !self.repeat {
            return Ok(None);
        }
        let index = (slide_number % count) as usize;
        if self.slide.as_ref().is_none_or(|(shown, ..)| *shown != index)
            && let Some(path) = self.images.get(index)
        {
            let (caps, pixels) = read(self.gst, path)?;
            self.slide = Some((index, caps, pixels));
        }
        let Some((_, caps, slide)) = &self.slide else { return Ok(None) };
        // The pixels are shared.
        let mut frame = slide.copy();
        let at = |number: u64| gst::ClockTime::from_nseconds(number * 1_000_000_000 / u64::from(FPS));
        if let Some(frame) = frame.get_mut() {
            frame.set_pts(at(self.next));
            frame.set_duration(at(self.next + 1) - at(self.next));
        }
        self.next += 1;
        Ok(Some(self.gst.sample(&frame, caps)))
    }
}

/// An image as a frame of its own size.
fn read(gst: Gst, path: &Path) -> Result<(gst::Caps, gst::Buffer)> {
    let image = image_file(path).map_err(Error::user)?;
    let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
    let caps = gst
        .caps("video/x-raw")
        .field("format", "RGBA")
        .field("width", side(image.width()))
        .field("height", side(image.height()))
        .field("framerate", gst::Fraction::new(side(FPS), 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    Ok((caps, gst.buffer(image.into_raw())))
}

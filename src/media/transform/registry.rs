//! The code of ours that a template may run on what flows through an `identity` of it, by name: a table. Runs nothing itself.

use super::api::{FrameFilter, SampleFilter};
use super::probe::{self, Transform};
use super::{delay, frames, samples, scaled};
use crate::error::{Error, Result};
use crate::media::{Template, Value};
use gstreamer as gst;
use gstreamer::prelude::*;
use image::RgbaImage;
use std::sync::Arc;
use std::time::Duration;

/// A name that `@code` may have, and how the stage is made from the template's values.
type Code = (&'static str, fn(&Given) -> Result<Box<dyn Transform>>);

/// Every name, with the parameters that its template declares. Those of `frames` need RGBA, those of `samples` stereo at 48 kHz.
const CODES: &[Code] = &[
    ("average-grey", |_| of_frames(frames::AverageGrey)),
    ("blur", |given| Ok(Box::new(scaled::Blur::new(given.number("size")?)))),
    ("chroma-key", |given| {
        of_frames(frames::ChromaKey {
            channel: if given.word("colour")? == "blue" { 2 } else { 1 },
            tolerance: given.number("tolerance")?,
            softness: given.number("softness")?,
            background: given.image("image"),
            fitted: RgbaImage::default(),
        })
    }),
    ("edges", |given| of_frames(frames::Edges::new(given.number("strength")?))),
    ("freeze", |given| Ok(Box::new(delay::Freeze::new(given.seconds("every")?)))),
    ("invert", |_| of_frames(frames::Invert)),
    ("noise-gate", |given| {
        let (hold, release) = (given.milliseconds("hold")?, given.milliseconds("release")?);
        of_samples(samples::NoiseGate::new(given.number("threshold")?, hold, release))
    }),
    ("picture-delay", |given| Ok(Box::new(delay::Delay::new(given.milliseconds("milliseconds")?)))),
    ("picture-in-picture", |given| Ok(Box::new(scaled::PictureInPicture::new(given.place()?, given.image("image"))))),
    ("pixelate", |given| {
        let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| given.number(name));
        let region = scaled::Region { x: x?, y: y?, width: width?, height: height? };
        Ok(Box::new(scaled::Pixelate::new(region, given.number("block")?)))
    }),
    ("ring-modulator", |given| of_samples(samples::RingModulator::new(given.number("frequency")?))),
    ("sepia", |given| of_frames(frames::Sepia::new(given.number("strength")?))),
    ("sound-delay", |given| of_samples(samples::SoundDelay::new(given.milliseconds("milliseconds")?))),
    ("watermark", |given| {
        let image = given.image("image").ok_or_else(|| given.needs("image"))?;
        Ok(Box::new(scaled::Watermark::new(image, given.place()?, given.number("opacity")?)))
    }),
];

fn of_frames(filter: impl FrameFilter + 'static) -> Result<Box<dyn Transform>> {
    Ok(Box::new(probe::FrameTransform(Box::new(filter))))
}

fn of_samples(filter: impl SampleFilter + 'static) -> Result<Box<dyn Transform>> {
    Ok(Box::new(probe::SampleTransform(Box::new(filter))))
}

/// The values of a template that its code reads.
struct Given<'a> {
    template: &'a Template,
    values: &'a [(&'a str, Value)],
}

impl Given<'_> {
    fn needs(&self, name: &str) -> Error {
        Error::user(format!("{}: its code needs a parameter `{name}`, or one of another type", self.template.file))
    }

    fn value(&self, name: &str) -> Option<Value> {
        self.template.value(name, self.values).ok().flatten()
    }

    /// A number, whole or not.
    fn number(&self, name: &str) -> Result<f64> {
        match self.value(name) {
            Some(Value::Double(v)) => Ok(v),
            Some(Value::Int(v)) => Ok(v as f64),
            _ => Err(self.needs(name)),
        }
    }

    fn seconds(&self, name: &str) -> Result<Duration> {
        Duration::try_from_secs_f64(self.number(name)?).map_err(|_| self.needs(name))
    }

    fn milliseconds(&self, name: &str) -> Result<Duration> {
        Duration::try_from_secs_f64(self.number(name)? / 1000.0).map_err(|_| self.needs(name))
    }

    fn word(&self, name: &str) -> Result<String> {
        match self.value(name) {
            Some(Value::Word(word)) => Ok(word),
            _ => Err(self.needs(name)),
        }
    }

    fn image(&self, name: &str) -> Option<Arc<RgbaImage>> {
        match self.value(name) {
            Some(Value::Image(image)) => Some(image),
            _ => None,
        }
    }

    /// Where something small goes: `place` is a corner or the middle, `size` and `margin` are shares of the picture's width.
    fn place(&self) -> Result<scaled::Place> {
        let at = match self.word("place")?.as_str() {
            "top-left" => (0.0, 0.0),
            "top-right" => (1.0, 0.0),
            "bottom-left" => (0.0, 1.0),
            "bottom-right" => (1.0, 1.0),
            "middle" => (0.5, 0.5),
            _ => return Err(self.needs("place")),
        };
        Ok(scaled::Place { at, size: self.number("size")?, margin: self.number("margin")? })
    }
}

/// Lets the code that `template` names run in its elements.
///
/// # Errors
/// The user's: no such code, no such element, or a parameter that the code needs.
pub(in crate::media) fn attach_all(template: &Template, bin: &gst::Bin, values: &[(&str, Value)]) -> Result<()> {
    for (name, element) in template.codes() {
        let unknown = || {
            let known: Vec<_> = CODES.iter().map(|(n, _)| *n).collect();
            Error::user(format!("{}: no code `{name}`; there is {}", template.file, known.join(", ")))
        };
        let (_, make) = CODES.iter().find(|(n, _)| n == name).ok_or_else(unknown)?;
        let place = || template.place_of(element);
        let found = bin.by_name(element).filter(|e| e.factory().is_some_and(|f| f.name() == "identity"));
        let found =
            found.ok_or_else(|| Error::user(format!("{}: `{name}` runs in an identity of that name", place())))?;
        probe::attach(&found, make(&Given { template, values })?)?;
    }
    Ok(())
}

//! The transforms that a template may name with `@code`. Runs nothing itself.

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

/// The name of a transform, and how it is made from the values of a template.
type Entry = (&'static str, fn(&Values) -> Result<Box<dyn Transform>>);

/// All transforms. Those of `frames` need RGBA, those of `samples` stereo at 48 kHz.
const TRANSFORMS: &[Entry] = &[
    ("average-grey", |_| of_frames(frames::AverageGrey)),
    ("blur", |values| Ok(Box::new(scaled::Blur::new(values.number("size")?)))),
    ("chroma-key", |values| {
        of_frames(frames::ChromaKey {
            channel: if values.word("colour")? == "blue" { 2 } else { 1 },
            tolerance: values.number("tolerance")?,
            softness: values.number("softness")?,
            background: values.image("image"),
            fitted: RgbaImage::default(),
        })
    }),
    ("edges", |values| of_frames(frames::Edges::new(values.number("strength")?))),
    ("freeze", |values| Ok(Box::new(delay::Freeze::new(values.seconds("every")?)))),
    ("invert", |_| of_frames(frames::Invert)),
    ("noise-gate", |values| {
        let (hold, release) = (values.milliseconds("hold")?, values.milliseconds("release")?);
        of_samples(samples::NoiseGate::new(values.number("threshold")?, hold, release))
    }),
    ("picture-delay", |values| Ok(Box::new(delay::Delay::new(values.milliseconds("milliseconds")?)))),
    ("picture-in-picture", |values| {
        Ok(Box::new(scaled::PictureInPicture::new(values.inset()?, values.image("image"))))
    }),
    ("pixelate", |values| {
        let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| values.number(name));
        let region = scaled::Region { x: x?, y: y?, width: width?, height: height? };
        Ok(Box::new(scaled::Pixelate::new(region, values.number("block")?)))
    }),
    ("ring-modulator", |values| of_samples(samples::RingModulator::new(values.number("frequency")?))),
    ("sepia", |values| of_frames(frames::Sepia::new(values.number("strength")?))),
    ("sound-delay", |values| of_samples(samples::SoundDelay::new(values.milliseconds("milliseconds")?))),
    ("watermark", |values| {
        let image = values.image("image").ok_or_else(|| values.needs("image"))?;
        Ok(Box::new(scaled::Watermark::new(image, values.inset()?, values.number("opacity")?)))
    }),
];

fn of_frames(filter: impl FrameFilter + 'static) -> Result<Box<dyn Transform>> {
    Ok(Box::new(probe::FrameTransform(Box::new(filter))))
}

fn of_samples(filter: impl SampleFilter + 'static) -> Result<Box<dyn Transform>> {
    Ok(Box::new(probe::SampleTransform(Box::new(filter))))
}

/// The parameter values of a template.
struct Values<'a> {
    template: &'a Template,
    values: &'a [(&'a str, Value)],
}

impl Values<'_> {
    fn needs(&self, name: &str) -> Error {
        Error::user(format!(
            "{}: its code needs a parameter `{name}` of another type, or it is missing",
            self.template.file
        ))
    }

    fn value(&self, name: &str) -> Option<Value> {
        self.template.value(name, self.values).ok().flatten()
    }

    /// An integer or a real number.
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

    /// The position of an inset: `place` is a corner or the middle, `size` and `margin` are fractions of the width of the picture.
    fn inset(&self) -> Result<scaled::Inset> {
        let at = match self.word("place")?.as_str() {
            "top-left" => (0.0, 0.0),
            "top-right" => (1.0, 0.0),
            "bottom-left" => (0.0, 1.0),
            "bottom-right" => (1.0, 1.0),
            "middle" => (0.5, 0.5),
            _ => return Err(self.needs("place")),
        };
        Ok(scaled::Inset { at, size: self.number("size")?, margin: self.number("margin")? })
    }
}

/// Attaches the transforms that `template` names to its elements.
///
/// # Errors
/// The user's: no such transform, no such element, or a missing parameter.
pub(in crate::media) fn attach_all(template: &Template, bin: &gst::Bin, values: &[(&str, Value)]) -> Result<()> {
    for (name, element) in template.codes() {
        let unknown = || {
            let known: Vec<_> = TRANSFORMS.iter().map(|(n, _)| *n).collect();
            Error::user(format!("{}: no code `{name}`; known: {}", template.file, known.join(", ")))
        };
        let (_, make) = TRANSFORMS.iter().find(|(n, _)| n == name).ok_or_else(unknown)?;
        let place = || template.place_of(element);
        let found = bin.by_name(element).filter(|e| e.factory().is_some_and(|f| f.name() == "identity"));
        let found = found
            .ok_or_else(|| Error::user(format!("{}: `{name}` needs an element `identity name={element}`", place())))?;
        probe::attach(&found, make(&Values { template, values })?)?;
    }
    Ok(())
}

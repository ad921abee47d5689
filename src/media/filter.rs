//! A filter of video or audio: a pipeline template with valid parameters, or Rust code. It holds nothing that runs; each stream that
//! is filtered gets elements of its own.

use super::bin::build_bin;
use super::runtime::Gst;
use super::transform::probe;
use super::{FrameFilter, Library, SampleFilter, Template, Value};
use crate::error::{Error, Result};
use crate::room::media::MediaKind;
use gstreamer as gst;
use gstreamer::prelude::*;
use image::RgbaImage;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A filter that exists and whose parameters are valid. Cheap to clone.
#[derive(Clone)]
pub struct Filter {
    name: String,
    kind: MediaKind,
    implementation: Implementation,
}

#[derive(Clone)]
enum Implementation {
    Template { template: Arc<Template>, values: Arc<Vec<(String, Value)>> },
    Frames(Arc<dyn Fn() -> Box<dyn FrameFilter> + Send + Sync>),
    Samples(Arc<dyn Fn() -> Box<dyn SampleFilter> + Send + Sync>),
}

impl Filter {
    /// The filter for `kind` that a user asked for: a name (`edges`: `filter/video/edges` or `filter/audio/edges`), or the path
    /// of a template file that ends in `.gst`. `values` are parameters as typed (`strength`, `0.8`).
    ///
    /// It is built once as a check; [`super::check_filter`] also runs media through it.
    ///
    /// # Errors
    /// The user's: no such filter, a parameter that is unknown, missing or out of range, a template that is not a filter, an element
    /// that is missing (the package is named).
    pub fn resolve(
        library: &Library,
        kind: MediaKind,
        name_or_path: &str,
        values: &[(String, String)],
    ) -> Result<Filter> {
        let template = find(library, kind, name_or_path)?;
        let read = |(name, text): &(String, String)| Ok((name.clone(), template.read(name, text)?));
        let values = values.iter().map(read).collect::<Result<Vec<_>>>()?;
        Filter::of_template(kind, template, values)
    }

    /// A filter from a parsed template.
    ///
    /// # Errors
    /// As [`Filter::resolve`].
    pub fn of_template(kind: MediaKind, template: Template, values: Vec<(String, Value)>) -> Result<Filter> {
        let name = template.name.rsplit('/').next().unwrap_or_default().to_owned();
        let filter = Filter {
            name,
            kind,
            implementation: Implementation::Template { template: template.into(), values: values.into() },
        };
        filter.bin().map(|_| filter)
    }

    /// Rust code as a filter of video; `make` is called for each stream.
    pub fn of(name: &str, make: impl Fn() -> Box<dyn FrameFilter> + Send + Sync + 'static) -> Filter {
        Filter { name: name.into(), kind: MediaKind::Video, implementation: Implementation::Frames(Arc::new(make)) }
    }

    /// Rust code as a filter of audio; `make` is called for each stream.
    pub fn of_samples(name: &str, make: impl Fn() -> Box<dyn SampleFilter> + Send + Sync + 'static) -> Filter {
        Filter { name: name.into(), kind: MediaKind::Audio, implementation: Implementation::Samples(Arc::new(make)) }
    }

    /// The filter that changes nothing.
    pub(super) fn identity() -> Filter {
        struct Identity;
        impl FrameFilter for Identity {
            fn apply(&mut self, _: &mut RgbaImage, _: Duration) {}
        }
        Filter::of("identity", || Box::new(Identity))
    }

    /// Its name, without folder and extension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it filters audio or video.
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// Builds it, with ghost pads `sink` and `src`. Video: raw, of any format and size, in and out; the filter may change both.
    /// Audio: F32LE, interleaved, two channels at 48 kHz, in and out.
    ///
    /// # Errors
    /// As [`Filter::resolve`].
    pub(super) fn bin(&self) -> Result<gst::Bin> {
        let bin = match &self.implementation {
            Implementation::Template { template, values } => {
                let values: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                build_bin(template, &values, false)?
            }
            Implementation::Frames(make) => {
                self.code_bin("videoconvert name=in ! video/x-raw,format=RGBA ! identity name=out", |out| {
                    probe::attach(out, Box::new(probe::FrameTransform(make())))
                })?
            }
            Implementation::Samples(make) => {
                self.code_bin("audioconvert name=in ! audio/x-raw,format=F32LE,layout=interleaved,rate=48000,channels=2 ! identity name=out", |out| {
                    probe::attach(out, Box::new(probe::SampleTransform(make())))
                })?
            }
        };
        let (first, mut last) = (self.end(&bin, "in")?, self.end(&bin, "out")?);
        if self.kind == MediaKind::Audio {
            last = normalise_audio(&bin, &last)?;
        }
        self.ghost(&bin, &first, "sink")?;
        self.ghost(&bin, &last, "src")?;
        Ok(bin)
    }

    fn code_bin(&self, text: &str, attach: impl FnOnce(&gst::Element) -> Result<()>) -> Result<gst::Bin> {
        let template = Template::parse(&self.name, &self.name, &format!("# Code.\n{text}"))?;
        let bin = build_bin(&template, &[], false)?;
        attach(&self.end(&bin, "out")?)?;
        Ok(bin)
    }

    /// Its file, or its name if it is Rust code; for error messages.
    pub(super) fn file(&self) -> &str {
        match &self.implementation {
            Implementation::Template { template, .. } => &template.file,
            _ => &self.name,
        }
    }

    fn end(&self, bin: &gst::Bin, name: &str) -> Result<gst::Element> {
        let missing = "the first element of a filter has name=in, the last one name=out";
        bin.by_name(name).ok_or_else(|| Error::user(format!("{}: no element has name={name}: {missing}", self.file())))
    }

    fn ghost(&self, bin: &gst::Bin, element: &gst::Element, pad: &str) -> Result<()> {
        let (name, file) = (element.name(), self.file());
        let free = element.static_pad(pad).filter(|pad| !pad.is_linked());
        let free = free.ok_or_else(|| {
            Error::user(format!("{file}: `{name}` has no free {pad} pad: it must be at the end of the filter"))
        })?;
        let cannot = || Error::internal(format!("{file}: `{name}` cannot become a pad of the filter"));
        let ghost = Gst::init()?.ghost_pad(&free, Some(pad)).map_err(|e| cannot().because(e))?;
        bin.add_pad(&ghost).map_err(|e| cannot().because(e))
    }
}

/// Adds elements after `last` that convert audio to the format that filters output; returns the new last element.
fn normalise_audio(bin: &gst::Bin, last: &gst::Element) -> Result<gst::Element> {
    let gst = Gst::init()?;
    let caps = gst
        .caps("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
        .field("rate", 48_000)
        .field("channels", 2)
        .build();
    let elements = [gst.element("audioconvert")?, gst.element("audioresample")?, gst.element("capsfilter")?];
    elements[2].set_property("caps", caps);
    let cannot = |e| Error::user("the filter's sound cannot be turned into stereo at 48 kHz").because(e);
    bin.add_many(&elements).map_err(cannot)?;
    gst::Element::link_many(std::iter::once(last).chain(&elements)).map_err(cannot)?;
    let [.., last] = elements;
    Ok(last)
}

/// The template of a filter by its name or path.
fn find(library: &Library, kind: MediaKind, name_or_path: &str) -> Result<Template> {
    if name_or_path.ends_with(".gst") {
        let path = Path::new(name_or_path);
        let name = path.file_stem().map_or_else(String::new, |stem| stem.display().to_string());
        return Library::read(path, &name);
    }
    let (folder, other) = match kind {
        MediaKind::Video => ("video", "audio"),
        MediaKind::Audio => ("audio", "video"),
    };
    let all = library.list()?;
    if all.contains_key(&format!("filter/{folder}/{name_or_path}")) {
        return library.get(&format!("filter/{folder}/{name_or_path}"));
    }
    if all.contains_key(&format!("filter/{other}/{name_or_path}")) {
        let message = format!("`{name_or_path}` filters {other}, not {folder}: --{other} {name_or_path}");
        return Err(Error::user(message));
    }
    let known: Vec<_> =
        all.keys().filter_map(|n| n.strip_prefix("filter/")?.strip_prefix(folder)?.strip_prefix('/')).collect();
    let known = known.join(", ");
    Err(Error::user(format!(
        "no {folder} filter `{}`; known: {known}; or give a .gst file",
        name_or_path.escape_debug()
    )))
}

#[cfg(test)]
mod audio_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod video_tests;

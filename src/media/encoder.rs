//! Real-time encoders, made from `pipelines/send`: built with a bitrate that can be changed while they run, and asked for key
//! frames. Never waits, never holds a frame back.

use super::bin::build_bin;
use super::{Library, Template, Value};
use crate::error::{Error, Result};
use crate::room::media::Codec;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The property of an encoder that is its bitrate, and how many bits a second its unit is.
const RATES: &[(&str, &str, u64)] = &[
    ("vp8enc", "target-bitrate", 1),
    ("vp9enc", "target-bitrate", 1),
    ("av1enc", "target-bitrate", 1000),
    ("svtav1enc", "target-bitrate", 1000),
    ("x264enc", "bitrate", 1000),
    ("openh264enc", "bitrate", 1),
    ("opusenc", "bitrate", 1),
];

/// Encoders that take no notice of a request for a key frame (in GStreamer 1.22), but begin anew with other caps.
const DEAF: &[&str] = &["av1enc"];

/// An encoder: raw pictures or sound in, frames of its codec out.
#[derive(Debug, Clone)]
pub struct Encoder {
    bin: gst::Bin,
    element: gst::Element,
    /// Property and unit; none where it cannot be changed.
    rate: Option<(&'static str, u64)>,
    /// Of an encoder that is deaf to requests: it is to begin anew.
    anew: Option<Arc<AtomicBool>>,
}

impl Encoder {
    /// Builds the encoder of `codec` from `send/CODEC` for so many bits a second. Its bin has the pads `sink` and `src`.
    ///
    /// # Errors
    /// The user's: a template that does not build, has no element called `encoder`, or the package of one that is missing.
    pub fn build(library: &Library, codec: Codec, bitrate: u64) -> Result<Encoder> {
        let template = library.get(&format!("send/{}", codec.name().to_lowercase()))?;
        let kilobits = i64::try_from(bitrate.div_ceil(1000)).unwrap_or(i64::MAX);
        let bin = build_bin(&template, &[("kilobits", Value::Int(kilobits))], true)?;
        let element = bin.by_name("encoder").ok_or_else(|| lacks(&template, "an element with name=encoder"))?;
        for pad in ["sink", "src"] {
            bin.static_pad(pad).ok_or_else(|| lacks(&template, "a free input and a free output"))?;
        }
        let factory = element.factory().map(|factory| factory.name());
        let rate = RATES.iter().find(|(name, ..)| factory.as_ref().is_some_and(|f| f == name));
        let rate = rate.map(|(_, property, unit)| (*property, *unit));
        let deaf = factory.is_some_and(|factory| DEAF.contains(&factory.as_str()));
        let anew = element.static_pad("sink").filter(|_| deaf).map(|input| begins_anew(&input));
        Ok(Encoder { bin, element, rate, anew })
    }

    pub(super) fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    /// Where raw pictures or sound go into the encoder itself, in the format that it encodes.
    pub(super) fn raw_input(&self) -> Option<gst::Pad> {
        self.element.static_pad("sink")
    }

    /// From now on so many bits a second. An encoder that GStreamer has under another name keeps what it was built with.
    pub fn set_bitrate(&self, bits: u64) {
        let Some((property, unit)) = self.rate else { return };
        self.element.set_property_from_str(property, &(bits / unit).max(1).to_string());
    }

    /// The next picture is to be a key frame.
    pub fn ask_key_frame(&self) {
        if let Some(anew) = &self.anew {
            return anew.store(true, Ordering::Relaxed);
        }
        let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
        if let Some(pad) = self.element.static_pad("src") {
            pad.send_event(event);
        }
    }
}

/// Lets an encoder begin anew before the next picture whenever the answer is set: it is told of a frame rate that is another
/// one in name only.
fn begins_anew(input: &gst::Pad) -> Arc<AtomicBool> {
    let anew = Arc::new(AtomicBool::new(false));
    let wanted = anew.clone();
    input.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
        if wanted.swap(false, Ordering::Relaxed)
            && let Some(mut caps) = pad.current_caps()
            && let Some(about) = caps.make_mut().structure_mut(0)
        {
            let before = about.get::<gst::Fraction>("framerate").unwrap_or(gst::Fraction::new(0, 1));
            // Whole numbers: others overflow in `av1enc`.
            let other = [gst::Fraction::new(30, 1), gst::Fraction::new(31, 1)];
            about.set("framerate", if before == other[0] { other[1] } else { other[0] });
            pad.send_event(gst::event::Caps::new(&caps));
        }
        gst::PadProbeReturn::Ok
    });
    anew
}

fn lacks(template: &Template, what: &str) -> Error {
    Error::user(format!("{} needs {what}", template.file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_has_an_encoder_whose_rate_can_be_changed() {
        for codec in Codec::ALL {
            let encoder = Encoder::build(&Library::default(), codec, 64_000).unwrap();
            let (property, unit) = encoder.rate.unwrap_or_else(|| panic!("{codec:?}"));
            encoder.set_bitrate(96_000);
            let value = encoder.element.property_value(property).serialize().unwrap();
            assert_eq!(value.parse::<u64>().unwrap() * unit, 96_000, "{codec:?}");
        }
    }
}

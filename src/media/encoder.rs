//! Real-time encoders, built from `pipelines/send`. Bitrate and key frames are controlled while they run. Never waits, never holds a
//! frame back.

use super::bin::build_bin;
use super::runtime::Gst;
use super::{Library, Template, Value};
use crate::error::{Error, Result};
use crate::room::media::Codec;
use gstreamer as gst;
use gstreamer::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Encoder, its bitrate property, and the unit of that property in bit/s.
const BITRATE_PROPERTIES: &[(&str, &str, u64)] = &[
    ("vp8enc", "target-bitrate", 1),
    ("vp9enc", "target-bitrate", 1),
    ("av1enc", "target-bitrate", 1000),
    ("svtav1enc", "target-bitrate", 1000),
    ("x264enc", "bitrate", 1000),
    ("openh264enc", "bitrate", 1),
    ("opusenc", "bitrate", 1),
];

/// Encoders that ignore key-frame requests (in GStreamer 1.22), but restart with a key frame when their caps change.
const RESTART_FOR_KEY_FRAME: &[&str] = &["av1enc"];

/// An encoder: raw video or audio in, encoded frames out.
#[derive(Debug, Clone)]
pub struct Encoder {
    gst: Gst,
    bin: gst::Bin,
    element: gst::Element,
    /// Bitrate property and its unit; `None` if it cannot be changed.
    bitrate: Option<(&'static str, u64)>,
    /// Set to request a restart, for encoders that ignore key-frame requests.
    restart: Option<Arc<AtomicBool>>,
}

impl Encoder {
    /// Builds the encoder of `codec` from the template `send/CODEC`, with `bitrate` in bit/s. Its bin has the pads `sink` and `src`.
    ///
    /// # Errors
    /// The user's: a template that does not build or has no element called `encoder`, or a missing package.
    pub fn build(library: &Library, codec: Codec, bitrate: u64) -> Result<Encoder> {
        let template = library.get(&format!("send/{}", codec.name().to_lowercase()))?;
        let kilobits = i64::try_from(bitrate.div_ceil(1000)).unwrap_or(i64::MAX);
        let bin = build_bin(&template, &[("kilobits", Value::Int(kilobits))], true)?;
        let element = bin.by_name("encoder").ok_or_else(|| needs(&template, "an element with name=encoder"))?;
        for pad in ["sink", "src"] {
            bin.static_pad(pad).ok_or_else(|| needs(&template, "a free input and a free output"))?;
        }
        if let Some(pad) = bin.by_name("even").and_then(|even| even.static_pad("sink")) {
            make_even(&pad);
        }
        let factory = element.factory().map(|factory| factory.name());
        let bitrate = BITRATE_PROPERTIES.iter().find(|(name, ..)| factory.as_ref().is_some_and(|f| f == name));
        let bitrate = bitrate.map(|(_, property, unit)| (*property, *unit));
        let restarts = factory.is_some_and(|factory| RESTART_FOR_KEY_FRAME.contains(&factory.as_str()));
        let (gst, input) = (Gst::init()?, element.static_pad("sink"));
        let restart = input.filter(|_| restarts).map(|input| restart_on_request(gst, &input));
        Ok(Encoder { gst, bin, element, bitrate, restart })
    }

    pub(super) fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    /// The input of the encoder element itself, where data has the format that it encodes.
    pub(super) fn raw_input(&self) -> Option<gst::Pad> {
        self.element.static_pad("sink")
    }

    /// Sets the bitrate in bit/s. An encoder that is not in the table above keeps the bitrate that it was built with.
    pub fn set_bitrate(&self, bits: u64) {
        let Some((property, unit)) = self.bitrate else { return };
        self.element.set_property_from_str(property, &(bits / unit).max(1).to_string());
    }

    /// Requests that the next frame is a key frame.
    pub fn ask_key_frame(&self) {
        if let Some(restart) = &self.restart {
            return restart.store(true, Ordering::Relaxed);
        }
        let event = self.gst.key_frame_request();
        if let Some(pad) = self.element.static_pad("src") {
            pad.send_event(event);
        }
    }
}

/// The shortest side of a picture that the encoder of a codec takes, in pixels.
pub(super) fn least_side(codec: Codec) -> u32 {
    if matches!(codec, Codec::H264 | Codec::Av1) { 16 } else { 1 }
}

/// Lets the `videobox` with this input add a line at the right and at the bottom where the number of lines is odd.
fn make_even(input: &gst::Pad) {
    input.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |pad, info| {
        if let Some(event) = info.event()
            && let gst::EventView::Caps(caps) = event.view()
            && let Some(about) = caps.caps().structure(0)
            && let Some(videobox) = pad.parent_element()
        {
            for (side, border) in [("width", "right"), ("height", "bottom")] {
                let pixels = about.get::<i32>(side).unwrap_or(0);
                videobox.set_property(border, -(pixels % 2));
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Restarts an encoder before the next frame whenever the returned flag is set, by a nominal change of the frame rate in its caps.
fn restart_on_request(gst: Gst, input: &gst::Pad) -> Arc<AtomicBool> {
    let restart = Arc::new(AtomicBool::new(false));
    let wanted = restart.clone();
    input.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
        if wanted.swap(false, Ordering::Relaxed)
            && let Some(mut caps) = pad.current_caps()
            && let Some(about) = caps.make_mut().structure_mut(0)
        {
            let before = about.get::<gst::Fraction>("framerate").unwrap_or(gst::Fraction::new(0, 1));
            // Integers: other fractions overflow in `av1enc`.
            let other = [gst::Fraction::new(30, 1), gst::Fraction::new(31, 1)];
            about.set("framerate", if before == other[0] { other[1] } else { other[0] });
            pad.send_event(gst.caps_event(&caps));
        }
        gst::PadProbeReturn::Ok
    });
    restart
}

fn needs(template: &Template, what: &str) -> Error {
    Error::user(format!("{} needs {what}", template.file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_has_an_encoder_whose_rate_can_be_changed() {
        for codec in Codec::ALL {
            let encoder = Encoder::build(&Library::default(), codec, 64_000).unwrap();
            let (property, unit) = encoder.bitrate.unwrap_or_else(|| panic!("{codec:?}"));
            encoder.set_bitrate(96_000);
            let value = encoder.element.property_value(property).serialize().unwrap();
            assert_eq!(value.parse::<u64>().unwrap() * unit, 96_000, "{codec:?}");
        }
    }
}

//! Re-encodes tracks that receivers cannot decode: decodes them if necessary, scales video down to 720p, and encodes. It runs ahead only
//! as far as the queue after it allows.

use crate::error::{Error, Result};
use crate::media::audio_level::measure_at_pad;
use crate::media::bin::build_bin;
use crate::media::encoded_frame::{Item, forward};
use crate::media::runtime::Gst;
use crate::media::{Encoder, Library, Value};
use crate::room::media::{Codec, MediaKind};
use gstreamer as gst;
use gstreamer::prelude::*;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

/// The largest size and frame rate of encoded video; one core can encode it during a call.
const MAX_SIZE: (u32, u32) = (1280, 720);
const MAX_FPS: u32 = 30;
/// Bitrate of encoded audio, bit/s.
const AUDIO_BITRATE: u64 = 48_000;

/// How media is encoded whose codec receivers do not support.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// The video codec. Audio is always Opus.
    pub codec: Codec,
    /// Bitrate of video in bit/s; `None`: by its size.
    pub bitrate: Option<u64>,
    /// Encode also what could be sent without re-encoding.
    pub always: bool,
}

impl Default for Encoding {
    fn default() -> Encoding {
        Encoding { codec: Codec::Vp8, bitrate: None, always: false }
    }
}

/// Encodes media and puts the frames into a queue.
#[derive(Clone)]
pub(super) struct Transcoder {
    library: Library,
    encoding: Encoding,
    queue: SyncSender<Item>,
}

/// An encoder that is built when its track starts to be decoded.
#[derive(Debug, Clone, Default)]
pub(super) struct EncoderHandle(Arc<Mutex<Option<Encoder>>>);

impl EncoderHandle {
    /// An encoder that is built already.
    pub fn of(encoder: Encoder) -> EncoderHandle {
        EncoderHandle(Arc::new(Mutex::new(Some(encoder))))
    }

    fn set(&self, encoder: Encoder) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(encoder);
    }

    /// Requests a key frame. Before the encoder is built that is not necessary: its first frame is one.
    pub fn ask_key_frame(&self) {
        let encoder = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(encoder) = encoder {
            encoder.ask_key_frame();
        }
    }
}

impl Transcoder {
    /// `queue` receives the frames.
    pub fn new(library: &Library, encoding: &Encoding, queue: SyncSender<Item>) -> Transcoder {
        Transcoder { library: library.clone(), encoding: encoding.clone(), queue }
    }

    /// The codec that video or audio is encoded in.
    pub fn codec(&self, kind: MediaKind) -> Codec {
        if kind == MediaKind::Audio { Codec::Opus } else { self.encoding.codec }
    }

    /// Builds everything once as a check, because the real build happens in the pipeline, after the room was joined.
    ///
    /// # Errors
    /// The user's: a template that does not build, or the package of an element that is missing.
    pub fn check(&self) -> Result<()> {
        build_bin(&self.library.get("feed/decode")?, &[], false)?;
        for kind in [MediaKind::Video, MediaKind::Audio] {
            self.prepare(kind)?;
            Encoder::build(&self.library, self.codec(kind), AUDIO_BITRATE)?;
        }
        Ok(())
    }

    /// Decodes and encodes what `pad` of `beside` outputs.
    ///
    /// # Errors
    /// As [`Transcoder::check`].
    pub fn decode(&self, beside: &gst::Element, pad: &gst::Pad, kind: MediaKind) -> Result<EncoderHandle> {
        let template = self.library.get("feed/decode")?;
        // Not ghosted by GStreamer, which would take the first free pad that it finds within `decodebin`.
        let decode = build_bin(&template, &[], false)?;
        // The pipeline must not wait for it: one thread reads the file, and sinks that wait for PLAYING would keep the first data from
        // this decoder.
        decode.set_property("async-handling", true);
        let wrong = |what: &str| Error::internal(format!("a decoder {what}"));
        let needs = |what: &str| Error::user(format!("{}: it has no {what}", template.file));
        let decoded = decode.by_name("decoded").ok_or_else(|| needs("element with name=decoded"))?;
        let (transcoder, handle) = (self.clone(), EncoderHandle::default());
        let encoder = handle.clone();
        decoded.connect_pad_added(move |decoded, pad| match transcoder.encode(decoded, pad, kind) {
            Ok(made) => encoder.set(made),
            Err(e) => gst::element_error!(decoded, gst::StreamError::Failed, ("{e}")),
        });
        let input = decoded.static_pad("sink").ok_or_else(|| needs("free input"))?;
        let input = Gst::init()?.ghost_pad(&input, None).map_err(|e| wrong("has no input").because(e))?;
        decode.add_pad(&input).map_err(|e| wrong("has no input").because(e))?;
        parent_bin(beside)?.add(&decode).map_err(|e| wrong("cannot be added").because(e))?;
        decode.sync_state_with_parent().map_err(|e| wrong("does not start").because(e))?;
        pad.link(&input).map_err(|e| wrong("does not fit its track").because(e))?;
        Ok(handle)
    }

    /// Encodes the raw video or audio that `pad` of `beside` outputs; the frames go into the queue.
    ///
    /// # Errors
    /// As [`Transcoder::check`]; the user's if the pad outputs another kind of media.
    pub fn encode(&self, beside: &gst::Element, pad: &gst::Pad, kind: MediaKind) -> Result<Encoder> {
        let wrong = |what: &str| Error::internal(format!("an encoder {what}"));
        let prepare = self.prepare(kind)?;
        let encoder = Encoder::build(&self.library, self.codec(kind), self.bitrate(kind, pad))?;
        let sink = Gst::init()?.app_sink().build();
        let level = Arc::new(AtomicU8::new(u8::MAX));
        if let Some(input) = encoder.raw_input().filter(|_| kind == MediaKind::Audio) {
            measure_at_pad(&input, level.clone());
        }
        forward(&sink, kind, level, self.queue.clone());
        let input = prepare.static_pad("sink").ok_or_else(|| wrong("has no input"))?;
        if kind == MediaKind::Video {
            limit_frame_rate(&input);
        }
        let chain: [gst::Element; 3] = [prepare.upcast(), encoder.bin().clone().upcast(), sink.upcast()];
        parent_bin(beside)?.add_many(&chain).map_err(|e| wrong("cannot be added").because(e))?;
        gst::Element::link_many(&chain).map_err(|e| wrong("does not fit").because(e))?;
        for element in chain.iter().rev() {
            element.sync_state_with_parent().map_err(|e| wrong("does not start").because(e))?;
        }
        let unfit =
            |e: gst::PadLinkError| Error::user(format!("the source does not output {}", kind_name(kind))).because(e);
        pad.link(&input).map_err(unfit)?;
        Ok(encoder)
    }

    /// Converts raw media to what the encoder takes.
    fn prepare(&self, kind: MediaKind) -> Result<gst::Bin> {
        let whole = |number: u32| Value::Int(number.into());
        let (name, values) = match kind {
            MediaKind::Video => ("feed/picture", vec![("width", whole(MAX_SIZE.0)), ("height", whole(MAX_SIZE.1))]),
            MediaKind::Audio => ("feed/sound", Vec::new()),
        };
        build_bin(&self.library.get(name)?, &values, true)
    }

    /// The bitrate for what `pad` outputs, bit/s.
    fn bitrate(&self, kind: MediaKind, pad: &gst::Pad) -> u64 {
        if kind == MediaKind::Audio {
            return AUDIO_BITRATE;
        }
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let about = caps.structure(0);
        let side = |name, most: u32| {
            let side = about.and_then(|a| a.get::<i32>(name).ok()).and_then(|v| u32::try_from(v).ok());
            f64::from(side.unwrap_or(most / 2).min(most))
        };
        // A tenth of a bit for each pixel at 30 frames per second.
        let usual = side("width", MAX_SIZE.0) * side("height", MAX_SIZE.1) * f64::from(MAX_FPS) * 0.1;
        self.encoding.bitrate.unwrap_or((usual as u64).clamp(200_000, 3_000_000))
    }
}

/// Drops frames above [`MAX_FPS`]; the others keep their times. (`videorate` moves the first one to the start of its segment, which
/// breaks lip sync.)
fn limit_frame_rate(pad: &gst::Pad) {
    let step = 1_000_000_000 / u64::from(MAX_FPS);
    let due = AtomicU64::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(pts) = info.buffer().and_then(|b| b.pts()).map(gst::ClockTime::nseconds) else {
            return gst::PadProbeReturn::Ok;
        };
        let next = due.load(Ordering::Relaxed);
        // Cameras are not exact: a frame may be a little early.
        if pts + step / 5 < next {
            // Not `Drop`: with GStreamer 1.22 the buffer would be released twice.
            return gst::PadProbeReturn::Handled;
        }
        due.store(next.max(pts.saturating_sub(step)) + step, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
}

/// The bin that contains an element.
fn parent_bin(element: &gst::Element) -> Result<gst::Bin> {
    let parent = element.parent().and_then(|parent| parent.downcast::<gst::Bin>().ok());
    parent.ok_or_else(|| Error::internal(format!("{} is in no bin", element.name())))
}

fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

#[cfg(test)]
mod tests;

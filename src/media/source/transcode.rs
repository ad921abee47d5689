//! What a source has and no receiver would take, on its way to one: decoded where need be, made smaller where it is too large, encoded.
//! It runs ahead of its time by what the queue behind it holds, and no further.

use crate::error::{Error, Result};
use crate::media::audio_level::listen;
use crate::media::bin::build_bin;
use crate::media::encoded_frame::{Item, forward};
use crate::media::{Encoder, Library, Value};
use crate::room::media::{Codec, MediaKind};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

/// What is sent at most of what is encoded here; one core manages it beside a call.
const LARGEST: (u32, u32) = (1280, 720);
const FASTEST: u32 = 30;
/// Bits a second of encoded sound.
const SOUND_BITS: u64 = 48_000;

/// How what cannot be sent as it is gets encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// Of pictures. Sound is always Opus.
    pub codec: Codec,
    /// Bits a second of pictures; by their size unless given.
    pub bitrate: Option<u64>,
    /// Encode also what could be sent as it is.
    pub always: bool,
}

impl Default for Encoding {
    fn default() -> Encoding {
        Encoding { codec: Codec::Vp8, bitrate: None, always: false }
    }
}

/// Where decoded pictures and sound become frames in a queue.
#[derive(Clone)]
pub(super) struct Transcoder {
    library: Library,
    encoding: Encoding,
    queue: SyncSender<Item>,
}

/// An encoder that is there once its track has begun to be decoded.
#[derive(Debug, Clone, Default)]
pub(super) struct EncoderHandle(Arc<Mutex<Option<Encoder>>>);

impl EncoderHandle {
    /// One that is there already.
    pub fn of(encoder: Encoder) -> EncoderHandle {
        EncoderHandle(Arc::new(Mutex::new(Some(encoder))))
    }

    fn set(&self, encoder: Encoder) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(encoder);
    }

    /// The next picture is to be a key frame; the first one is anyway.
    pub fn ask_key_frame(&self) {
        let encoder = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(encoder) = encoder {
            encoder.ask_key_frame();
        }
    }
}

impl Transcoder {
    pub fn new(library: &Library, encoding: &Encoding, queue: SyncSender<Item>) -> Transcoder {
        Transcoder { library: library.clone(), encoding: encoding.clone(), queue }
    }

    /// The codec that pictures or sound get.
    pub fn codec(&self, kind: MediaKind) -> Codec {
        if kind == MediaKind::Audio { Codec::Opus } else { self.encoding.codec }
    }

    /// Builds everything once: handle it is built on a thread of the pipeline, when a room has been joined.
    ///
    /// # Errors
    /// The user's: a template that does not build, or the package of an element that is missing.
    pub fn check(&self) -> Result<()> {
        build_bin(&self.library.get("feed/decode")?, &[], false)?;
        for kind in [MediaKind::Video, MediaKind::Audio] {
            self.prepare(kind)?;
            Encoder::build(&self.library, self.codec(kind), SOUND_BITS)?;
        }
        Ok(())
    }

    /// Decodes what comes from `pad` of `beside` and encodes it.
    pub fn decode(&self, beside: &gst::Element, pad: &gst::Pad, kind: MediaKind) -> Result<EncoderHandle> {
        let template = self.library.get("feed/decode")?;
        // Not ghosted by GStreamer: it would take the first free pad that it finds deep within `decodebin`.
        let decode = build_bin(&template, &[], false)?;
        // The pipeline plays without waiting for it: one thread reads the file, and what waits for the pipeline to play, as the sinks do,
        // would keep from this one the data that it begins with.
        decode.set_property("async-handling", true);
        let wrong = |what: &str| Error::us(format!("a decoder {what}"));
        let lacks = |what: &str| Error::user(format!("{}: it has no {what}", template.file));
        let decoded = decode.by_name("decoded").ok_or_else(|| lacks("element with name=decoded"))?;
        let (transcoder, handle) = (self.clone(), EncoderHandle::default());
        let encoder = handle.clone();
        decoded.connect_pad_added(move |decoded, pad| match transcoder.encode(decoded, pad, kind) {
            Ok(made) => encoder.set(made),
            Err(e) => gst::element_error!(decoded, gst::StreamError::Failed, ("{e}")),
        });
        let input = decoded.static_pad("sink").ok_or_else(|| lacks("free input"))?;
        let input = gst::GhostPad::with_target(&input).map_err(|e| wrong("has no input").because(e))?;
        decode.add_pad(&input).map_err(|e| wrong("has no input").because(e))?;
        home(beside)?.add(&decode).map_err(|e| wrong("cannot be added").because(e))?;
        decode.sync_state_with_parent().map_err(|e| wrong("does not start").because(e))?;
        pad.link(&input).map_err(|e| wrong("does not fit its track").because(e))?;
        Ok(handle)
    }

    /// Encodes the raw pictures or sound that come from `pad` of `beside`; the frames go into the queue.
    pub fn encode(&self, beside: &gst::Element, pad: &gst::Pad, kind: MediaKind) -> Result<Encoder> {
        let wrong = |what: &str| Error::us(format!("an encoder {what}"));
        let prepare = self.prepare(kind)?;
        let encoder = Encoder::build(&self.library, self.codec(kind), self.bits(kind, pad))?;
        let sink = AppSink::builder().sync(false).async_(false).build();
        let level = Arc::new(AtomicU8::new(u8::MAX));
        if let Some(input) = encoder.raw_input().filter(|_| kind == MediaKind::Audio) {
            listen(&input, level.clone());
        }
        forward(&sink, kind, level, self.queue.clone());
        let input = prepare.static_pad("sink").ok_or_else(|| wrong("has no input"))?;
        if kind == MediaKind::Video {
            leave_out(&input);
        }
        let chain: [gst::Element; 3] = [prepare.upcast(), encoder.bin().clone().upcast(), sink.upcast()];
        home(beside)?.add_many(&chain).map_err(|e| wrong("cannot be added").because(e))?;
        gst::Element::link_many(&chain).map_err(|e| wrong("does not fit").because(e))?;
        for element in chain.iter().rev() {
            element.sync_state_with_parent().map_err(|e| wrong("does not start").because(e))?;
        }
        let unfit = |e: gst::PadLinkError| Error::user(format!("what comes is not {}", word(kind))).because(e);
        pad.link(&input).map_err(unfit)?;
        Ok(encoder)
    }

    /// What makes of anything what the encoder takes.
    fn prepare(&self, kind: MediaKind) -> Result<gst::Bin> {
        let whole = |number: u32| Value::Int(number.into());
        let (name, values) = match kind {
            MediaKind::Video => ("feed/picture", vec![("width", whole(LARGEST.0)), ("height", whole(LARGEST.1))]),
            MediaKind::Audio => ("feed/sound", Vec::new()),
        };
        build_bin(&self.library.get(name)?, &values, true)
    }

    /// Bits a second for what comes from `pad`.
    fn bits(&self, kind: MediaKind, pad: &gst::Pad) -> u64 {
        if kind == MediaKind::Audio {
            return SOUND_BITS;
        }
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let about = caps.structure(0);
        let side = |name, most: u32| {
            let side = about.and_then(|a| a.get::<i32>(name).ok()).and_then(|v| u32::try_from(v).ok());
            f64::from(side.unwrap_or(most / 2).min(most))
        };
        // A tenth of a bit for each pixel of 30 pictures a second.
        let usual = side("width", LARGEST.0) * side("height", LARGEST.1) * f64::from(FASTEST) * 0.1;
        self.encoding.bitrate.unwrap_or((usual as u64).clamp(200_000, 3_000_000))
    }
}

/// Leaves pictures out where more than [`FASTEST`] come a second; those that pass keep their times. (`videorate` moves the first one to
/// the start of its segment, and with it the picture against the sound.)
fn leave_out(pad: &gst::Pad) {
    let step = 1_000_000_000 / u64::from(FASTEST);
    let due = AtomicU64::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(pts) = info.buffer().and_then(|b| b.pts()).map(gst::ClockTime::nseconds) else {
            return gst::PadProbeReturn::Ok;
        };
        let next = due.load(Ordering::Relaxed);
        // Cameras are not exact: a picture may come a little early.
        if pts + step / 5 < next {
            // Not `Drop`: GStreamer 1.22 would let go of the buffer that the binding has let go of already.
            return gst::PadProbeReturn::Handled;
        }
        due.store(next.max(pts.saturating_sub(step)) + step, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
}

/// The bin that an element lies in.
fn home(element: &gst::Element) -> Result<gst::Bin> {
    let parent = element.parent().and_then(|parent| parent.downcast::<gst::Bin>().ok());
    parent.ok_or_else(|| Error::us(format!("{} has no home", element.name())))
}

fn word(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "sound",
        MediaKind::Video => "a picture",
    }
}

#[cfg(test)]
mod tests;

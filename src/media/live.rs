//! One live track on its way back: decoded, filtered and encoded anew, in a pipeline of its own. The newest picture wins: nothing
//! behind the decoder ever waits for a slower part, so the delay does not grow. It never waits for a clock, and never changes a
//! frame's time.
//!
//! ```text
//! frames -> appsrc -> receive/CODEC -> queue of 1 -> filter -> queue of 1 -> scale -> send/CODEC -> appsink -> frames
//! ```
//!
//! Sound goes the same way without the queues of one and the scaling: dropping a packet of it would be heard.

mod input;
mod marks;
mod pictures;
mod shape;

use super::demux::raw;
use super::loudness::{VOICE, listen};
use super::pipeline::bin;
use super::{Encoder, Filter, Library};
use crate::error::{Error, Result};
use crate::room::media::{AudioLevel, Codec, Frame, MediaKind};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use marks::Marks;
pub use marks::{LiveCounts, Stage};
pub use pictures::{LivePicture, LivePictures};
pub use shape::Shape;
use shape::Shaper;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Encoded pictures that may wait for the decoder: a quarter of a second. More, and it is behind.
const PICTURES_WAITING: u64 = 8;
/// Packets of sound that may wait, at 20 ms each (policy DropOldest).
const SOUNDS_WAITING: u64 = 10;
/// Pictures of more pixels than this are not decoded: somebody else chose their size, but the memory is ours.
const MOST_PIXELS: u64 = 4096 * 2304;

/// What a live track is made of.
#[derive(Clone)]
pub struct LiveConfig {
    /// The codec that comes.
    pub from: Codec,
    /// The codec that goes back, of the same kind.
    pub to: Codec,
    pub filter: Filter,
    /// Bits a second, to begin with.
    pub bitrate: u64,
}

/// What became of a frame that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    Taken,
    /// Thrown away: the decoder is behind, or has nothing to begin with. Only a key frame helps; ask the sender for one.
    NeedKeyFrame,
    /// Thrown away: the picture is larger than 4096x2304.
    TooLarge,
}

/// A track that is decoded, filtered and encoded. Dropping it takes its pipeline down, which waits for the filter to let go.
pub struct LiveTrack {
    kind: MediaKind,
    from: Codec,
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    input: AppSrc,
    encoder: Encoder,
    filter: gst::Bin,
    /// Where the filter hangs: the pad before it and the pad behind it.
    ends: (gst::Pad, gst::Pad),
    shaper: Arc<Shaper>,
    marks: Arc<Marks>,
    /// Frames are thrown away until the next key frame.
    starved: bool,
    /// What went wrong while the filter was changed.
    broken: Arc<Mutex<Option<Error>>>,
}

impl LiveTrack {
    /// Builds the pipeline and lets it run. Each frame that comes out is handed to `sink`, on a thread of the pipeline, which must
    /// not wait; its `rtp_time` and `arrival` are those of the frame that it was made of.
    ///
    /// # Errors
    /// The user's for templates that do not build; the machine's where the pipeline does not start.
    pub fn start(
        library: &Library,
        config: &LiveConfig,
        sink: impl FnMut(Frame) + Send + 'static,
    ) -> Result<LiveTrack> {
        super::init()?;
        let kind = config.from.kind();
        if config.to.kind() != kind {
            return Err(Error::us("sound cannot become a picture"));
        }
        let decoder = library.get(&format!("receive/{}", config.from.name().to_lowercase()))?;
        let decoder = bin(&decoder, &[], true)?;
        let encoder = Encoder::build(library, config.to, config.bitrate)?;
        let filter = config.filter.bin()?;
        let pipeline = gst::Pipeline::new();
        let bus = pipeline.bus().ok_or_else(|| strange("has no bus"))?;
        let input =
            input::source(config.from, if kind == MediaKind::Video { PICTURES_WAITING * 4 } else { SOUNDS_WAITING });
        let output = AppSink::builder().sync(false).async_(false).max_buffers(4).build();
        let shaper = Arc::new(Shaper::default());
        let marks = Arc::new(Marks::new(config.to));

        let (mut before, mut behind): (Vec<gst::Element>, Vec<gst::Element>) = (Vec::new(), Vec::new());
        before.extend([input.clone().upcast(), decoder.clone().upcast()]);
        if kind == MediaKind::Video {
            before.push(newest_only()?);
            let scale = element("videoconvertscale")?;
            let size = element("capsfilter")?;
            shaper.attach(&decoder, &scale, &size)?;
            behind.extend([newest_only()?, scale, size]);
        }
        behind.extend([encoder.bin().clone().upcast(), output.clone().upcast()]);
        let chain: Vec<gst::Element> =
            before.iter().cloned().chain([filter.clone().upcast()]).chain(behind.iter().cloned()).collect();
        pipeline.add_many(&chain).map_err(|e| strange("cannot be put together").because(e))?;
        gst::Element::link_many(&chain).map_err(|e| strange("does not fit together").because(e))?;
        let ends = (pad(before.last(), "src")?, pad(behind.first(), "sink")?);
        marks.watch(&pad(Some(decoder.upcast_ref()), "src")?, Stage::Decoded);
        marks.watch(&ends.1, Stage::Filtered);

        let level = Arc::new(AtomicU8::new(u8::MAX));
        if let Some(sound) = encoder.raw_input().filter(|_| kind == MediaKind::Audio) {
            listen(&sound, level.clone());
        }
        deliver(&output, kind, level, marks.clone(), sink);
        if let Err(e) = pipeline.set_state(gst::State::Playing) {
            let _ = pipeline.set_state(gst::State::Null);
            return Err(Error::machine("a live track does not start").because(e));
        }
        let broken = Arc::default();
        Ok(LiveTrack {
            kind,
            from: config.from,
            pipeline,
            bus,
            input,
            encoder,
            filter,
            ends,
            shaper,
            marks,
            starved: true,
            broken,
        })
    }

    /// Hands over the next frame, in the order of decoding. Never waits.
    pub fn push(&mut self, frame: &Frame) -> Fed {
        if frame.size.is_some_and(|(width, height)| u64::from(width) * u64::from(height) > MOST_PIXELS) {
            self.starved = true;
            return Fed::TooLarge;
        }
        if self.kind == MediaKind::Video {
            self.starved |= self.input.current_level_buffers() >= PICTURES_WAITING;
            if self.starved && (!frame.key || self.input.current_level_buffers() >= PICTURES_WAITING) {
                self.marks.skipped();
                return Fed::NeedKeyFrame;
            }
            self.starved = false;
        }
        let pts = self.marks.fed(frame);
        let Some(mut buffer) = input::buffer(self.from, frame) else {
            self.starved = true;
            return Fed::NeedKeyFrame;
        };
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(pts);
        }
        // Refused only by a pipeline that has failed, which `poll` tells.
        let _ = self.input.push_buffer(buffer);
        Fed::Taken
    }

    /// Says whether the pipeline has failed. It gives nothing any more then, and should be replaced. Never waits.
    ///
    /// # Errors
    /// The machine's, naming the element that failed.
    pub fn poll(&self) -> Result<()> {
        if let Some(error) = self.broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        failure(&self.bus)
    }

    /// Another filter from the next frame on. The encoder goes on, so whoever watches sees no seam.
    ///
    /// # Errors
    /// The user's: the filter does not build. The old one stays then.
    pub fn set_filter(&mut self, filter: &Filter) -> Result<()> {
        let new = filter.bin()?;
        self.pipeline.add(&new).map_err(|e| strange("takes no filter").because(e))?;
        let old = std::mem::replace(&mut self.filter, new.clone());
        let (pipeline, broken, behind) = (self.pipeline.downgrade(), self.broken.clone(), self.ends.1.clone());
        let before = self.ends.0.clone();
        // Nobody is within the filter while nothing passes the pad before it.
        self.ends.0.add_probe(gst::PadProbeType::IDLE, move |_, _| {
            let Some(pipeline) = pipeline.upgrade() else { return gst::PadProbeReturn::Remove };
            if let Err(e) = exchange(&pipeline, &old, &new, &before, &behind) {
                *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
            }
            gst::PadProbeReturn::Remove
        });
        Ok(())
    }

    /// Bits a second from now on.
    pub fn set_bitrate(&self, bits: u64) {
        self.encoder.set_bitrate(bits);
    }

    /// Size and frame rate from now on (pictures only).
    pub fn set_shape(&self, shape: Shape) {
        self.shaper.set(shape);
    }

    /// The next picture is to be a key frame.
    pub fn ask_key_frame(&self) {
        self.encoder.ask_key_frame();
    }

    /// Width and height of the pictures before they are scaled; none while there was none.
    pub fn size(&self) -> Option<(u32, u32)> {
        self.shaper.source()
    }

    /// What has happened since the start.
    pub fn counts(&self) -> LiveCounts {
        self.marks.counts()
    }
}

impl Drop for LiveTrack {
    fn drop(&mut self) {
        // Going to Null cannot fail by GStreamer's contract.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// What an element has said that went wrong.
fn failure(bus: &gst::Bus) -> Result<()> {
    let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) else { return Ok(()) };
    let gst::MessageView::Error(error) = message.view() else { return Ok(()) };
    let element = message.src().map_or_else(|| "?".into(), |e| e.name());
    let detail = error.debug().map_or_else(String::new, |d| d.to_string());
    Err(Error::machine(format!("a live track: {element}: {}", error.error().message())).because(detail))
}

/// Puts `new` where `old` was.
fn exchange(
    pipeline: &gst::Pipeline,
    old: &gst::Bin,
    new: &gst::Bin,
    before: &gst::Pad,
    behind: &gst::Pad,
) -> Result<()> {
    let misfit = |e: gst::PadLinkError| Error::user("the new filter does not fit the track").because(e);
    let end = |pad| new.static_pad(pad).ok_or_else(|| strange("has a filter without ends"));
    for (bin, pad) in [(old, "sink"), (old, "src")] {
        if let Some(pad) = bin.static_pad(pad)
            && let Some(peer) = pad.peer()
        {
            let _ = if pad.direction() == gst::PadDirection::Sink { peer.unlink(&pad) } else { pad.unlink(&peer) };
        }
    }
    end("src")?.link(behind).map_err(misfit)?;
    before.link(&end("sink")?).map_err(misfit)?;
    new.sync_state_with_parent().map_err(|e| strange("cannot start its filter").because(e))?;
    let _ = old.set_state(gst::State::Null);
    let _ = pipeline.remove(old);
    Ok(())
}

/// A queue that keeps the newest picture only (policy DropOldest).
fn newest_only() -> Result<gst::Element> {
    let queue = element("queue")?;
    queue.set_property_from_str("leaky", "downstream");
    queue.set_property("max-size-buffers", 1_u32);
    queue.set_property("max-size-bytes", 0_u32);
    queue.set_property("max-size-time", 0_u64);
    queue.set_property("silent", true);
    Ok(queue)
}

/// Hands each encoded frame on.
fn deliver(
    output: &AppSink,
    kind: MediaKind,
    level: Arc<AtomicU8>,
    marks: Arc<Marks>,
    mut sink: impl FnMut(Frame) + Send + 'static,
) {
    let callbacks = AppSinkCallbacks::builder().new_sample(move |output| {
        let sample = output.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let raw = raw(kind, &sample, level.load(Ordering::Relaxed)).ok_or(gst::FlowError::Error)?;
        let Some((rtp_time, arrival)) = raw.pts.and_then(|pts| marks.returned(pts)) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        sink(Frame {
            rtp_time,
            arrival,
            parts: vec![raw.data],
            key: raw.key,
            size: raw.size,
            config: raw.config,
            audio_level: raw.level.map(|l| AudioLevel { voice: l.below_overload < VOICE, ..l }),
        });
        Ok(gst::FlowSuccess::Ok)
    });
    output.set_callbacks(callbacks.build());
}

fn element(name: &str) -> Result<gst::Element> {
    gst::ElementFactory::make(name).build().map_err(|e| Error::user(super::packages::missing(name)).because(e))
}

fn pad(element: Option<&gst::Element>, name: &str) -> Result<gst::Pad> {
    element.and_then(|e| e.static_pad(name)).ok_or_else(|| strange("has an element without its pads"))
}

fn strange(what: &str) -> Error {
    Error::us(format!("a live track {what}"))
}

#[cfg(test)]
mod tests;

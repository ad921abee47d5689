//! One live track on its way back: decoded, filtered and encoded anew, in a pipeline of its own. The newest picture wins: nothing
//! behind the decoder ever waits for a slower part, so the delay does not grow. It never waits for a clock, and never changes a
//! frame's time.
//!
//! ```text
//! frames -> appsrc -> receive/CODEC -> queue of 1 -> filter -> queue of 1 -> scale -> send/CODEC -> appsink -> frames
//! ```
//!
//! Sound goes the same way without the queues of one and the scaling: dropping a packet of it would be heard.

use super::input;
use super::parts::{MAX_PIXELS, PushResult, element, failure, newest_only, pad, strange};
use super::scale::{ScaleControl, VideoScale};
use super::tracker::{FrameTracker, Stage, TrackFilterCounts};
use crate::error::{Error, Result};
use crate::media::audio_level::{VOICE, listen};
use crate::media::bin::build_bin;
use crate::media::encoded_frame::from_sample;
use crate::media::runtime::init;
use crate::media::{Encoder, Filter, Library};
use crate::room::media::{AudioLevel, Codec, Frame, MediaKind};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Encoded pictures that may wait for the decoder: a quarter of a second. More, and it is behind.
const PICTURES_WAITING: u64 = 8;
/// Packets of sound that may wait, at 20 ms each (policy DropOldest).
const SOUNDS_WAITING: u64 = 10;
/// What a live track is made of.
#[derive(Clone)]
pub struct TrackFilterConfig {
    /// The codec that comes.
    pub from: Codec,
    /// The codec that goes back, of the same kind.
    pub to: Codec,
    pub filter: Filter,
    /// Bits a second, to begin with.
    pub bitrate: u64,
}

/// A track that is decoded, filtered and encoded. Dropping it takes its pipeline down, which waits for the filter to let go.
pub struct TrackFilter {
    kind: MediaKind,
    from: Codec,
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    input: AppSrc,
    encoder: Encoder,
    filter: gst::Bin,
    /// Where the filter hangs: the pad before it and the pad behind it.
    ends: (gst::Pad, gst::Pad),
    scale_control: Arc<ScaleControl>,
    tracker: Arc<FrameTracker>,
    /// Frames are thrown away until the next key frame.
    starved: bool,
    /// What went wrong while the filter was changed.
    broken: Arc<Mutex<Option<Error>>>,
}

impl TrackFilter {
    /// Builds the pipeline and lets it run. Each frame that comes out is handed to `sink`, on a thread of the pipeline, which must
    /// not wait; its `rtp_time` and `arrival` are those of the frame that it was made of.
    ///
    /// # Errors
    /// The user's for templates that do not build; the machine's where the pipeline does not start.
    pub fn start(
        library: &Library,
        config: &TrackFilterConfig,
        sink: impl FnMut(Frame) + Send + 'static,
    ) -> Result<TrackFilter> {
        init()?;
        let kind = config.from.kind();
        if config.to.kind() != kind {
            return Err(Error::us("sound cannot become a picture"));
        }
        let decoder = library.get(&format!("receive/{}", config.from.name().to_lowercase()))?;
        let decoder = build_bin(&decoder, &[], true)?;
        let encoder = Encoder::build(library, config.to, config.bitrate)?;
        let filter = config.filter.bin()?;
        let pipeline = gst::Pipeline::new();
        let bus = pipeline.bus().ok_or_else(|| strange("has no bus"))?;
        let input =
            input::source(config.from, if kind == MediaKind::Video { PICTURES_WAITING * 4 } else { SOUNDS_WAITING });
        let output = AppSink::builder().sync(false).async_(false).max_buffers(4).build();
        let scale_control = Arc::new(ScaleControl::default());
        let tracker = Arc::new(FrameTracker::new(config.to));

        let (mut before, mut behind): (Vec<gst::Element>, Vec<gst::Element>) = (Vec::new(), Vec::new());
        before.extend([input.clone().upcast(), decoder.clone().upcast()]);
        if kind == MediaKind::Video {
            before.push(newest_only()?);
            let converter = element("videoconvertscale")?;
            let size = element("capsfilter")?;
            scale_control.attach(&decoder, &converter, &size)?;
            behind.extend([newest_only()?, converter, size]);
        }
        behind.extend([encoder.bin().clone().upcast(), output.clone().upcast()]);
        let chain: Vec<gst::Element> =
            before.iter().cloned().chain([filter.clone().upcast()]).chain(behind.iter().cloned()).collect();
        pipeline.add_many(&chain).map_err(|e| strange("cannot be put together").because(e))?;
        gst::Element::link_many(&chain).map_err(|e| strange("does not fit together").because(e))?;
        let ends = (pad(before.last(), "src")?, pad(behind.first(), "sink")?);
        tracker.watch(&pad(Some(decoder.upcast_ref()), "src")?, Stage::Decoded);
        tracker.watch(&ends.1, Stage::Filtered);

        let level = Arc::new(AtomicU8::new(u8::MAX));
        if let Some(sound) = encoder.raw_input().filter(|_| kind == MediaKind::Audio) {
            listen(&sound, level.clone());
        }
        deliver(&output, kind, level, tracker.clone(), sink);
        if let Err(e) = pipeline.set_state(gst::State::Playing) {
            let _ = pipeline.set_state(gst::State::Null);
            return Err(Error::machine("a live track does not start").because(e));
        }
        let broken = Arc::default();
        Ok(TrackFilter {
            kind,
            from: config.from,
            pipeline,
            bus,
            input,
            encoder,
            filter,
            ends,
            scale_control,
            tracker,
            starved: true,
            broken,
        })
    }

    /// Hands over the next frame, in the order of decoding. Never waits.
    pub fn push(&mut self, frame: &Frame) -> PushResult {
        if frame.size.is_some_and(|(width, height)| u64::from(width) * u64::from(height) > MAX_PIXELS) {
            self.starved = true;
            return PushResult::TooLarge;
        }
        if self.kind == MediaKind::Video {
            self.starved |= self.input.current_level_buffers() >= PICTURES_WAITING;
            if self.starved && (!frame.key || self.input.current_level_buffers() >= PICTURES_WAITING) {
                self.tracker.skipped();
                return PushResult::NeedKeyFrame;
            }
            self.starved = false;
        }
        let pts = self.tracker.fed(frame);
        let Some(mut buffer) = input::buffer(self.from, frame) else {
            self.starved = true;
            return PushResult::NeedKeyFrame;
        };
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(pts);
        }
        // Refused only by a pipeline that has failed, which `poll` tells.
        let _ = self.input.push_buffer(buffer);
        PushResult::Accepted
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
    pub fn set_scale(&self, scale: VideoScale) {
        self.scale_control.set(scale);
    }

    /// The next picture is to be a key frame.
    pub fn ask_key_frame(&self) {
        self.encoder.ask_key_frame();
    }

    /// Width and height of the pictures before they are scaled; none while there was none.
    pub fn size(&self) -> Option<(u32, u32)> {
        self.scale_control.source()
    }

    /// What has happened since the start.
    pub fn counts(&self) -> TrackFilterCounts {
        self.tracker.counts()
    }
}

impl Drop for TrackFilter {
    fn drop(&mut self) {
        // Going to Null cannot fail by GStreamer's contract.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
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

/// Hands each encoded frame on.
fn deliver(
    output: &AppSink,
    kind: MediaKind,
    level: Arc<AtomicU8>,
    tracker: Arc<FrameTracker>,
    mut sink: impl FnMut(Frame) + Send + 'static,
) {
    let callbacks = AppSinkCallbacks::builder().new_sample(move |output| {
        let sample = output.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let encoded = from_sample(kind, &sample, level.load(Ordering::Relaxed)).ok_or(gst::FlowError::Error)?;
        let Some((rtp_time, arrival)) = encoded.pts.and_then(|pts| tracker.returned(pts)) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        sink(Frame {
            rtp_time,
            arrival,
            parts: vec![encoded.data],
            key: encoded.key,
            size: encoded.size,
            config: encoded.config,
            audio_level: encoded.level.map(|l| AudioLevel { voice: l.below_overload < VOICE, ..l }),
        });
        Ok(gst::FlowSuccess::Ok)
    });
    output.set_callbacks(callbacks.build());
}

#[cfg(test)]
mod tests;

//! Filters one live track: decodes, filters and encodes it in a pipeline of its own. After the decoder only the newest frame is kept
//! wherever a stage is slower, so the delay does not grow. It never waits for a clock, and never changes the time of a frame.
//!
//! ```text
//! frames -> appsrc -> receive/CODEC -> queue of 1 -> filter -> queue of 1 -> scale -> send/CODEC -> appsink -> frames
//! ```
//!
//! Audio takes the same path without the queues of 1 and the scaling: dropped audio would be audible.

use super::input;
use super::parts::{MAX_PIXELS, PushResult, defect, latest_frame_queue, pad, poll_error};
use super::scale::{ScaleControl, VideoScale};
use super::tracker::{FrameTracker, Stage, TrackFilterCounts};
use crate::error::{Error, Result};
use crate::media::audio_level::{VOICE_THRESHOLD, measure_at_pad};
use crate::media::bin::build_bin;
use crate::media::encoded_frame::from_sample;
use crate::media::encoder::least_side;
use crate::media::runtime::Gst;
use crate::media::{Encoder, Filter, Library};
use crate::room::media::{AudioLevel, Codec, Frame, MediaKind};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Video frames that may wait for the decoder: a quarter of a second. With more, it is after.
const MAX_VIDEO_QUEUE: u64 = 8;
/// Audio packets that may wait for the decoder, 20 ms each (policy DropOldest).
const MAX_AUDIO_QUEUE: u64 = 10;
/// Configuration of a [`TrackFilter`].
#[derive(Clone)]
pub struct TrackFilterConfig {
    /// The codec of the input.
    pub from: Codec,
    /// The codec of the output, of the same kind.
    pub to: Codec,
    /// The filter, of the same kind.
    pub filter: Filter,
    /// The initial bitrate, bit/s.
    pub bitrate: u64,
}

/// A track that is decoded, filtered and encoded. Dropping it stops its pipeline, which waits for the filter to return.
pub struct TrackFilter {
    kind: MediaKind,
    from: Codec,
    gst: Gst,
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    input: AppSrc,
    encoder: Encoder,
    filter: gst::Bin,
    /// The pads before and after the filter.
    neighbours: (gst::Pad, gst::Pad),
    scale_control: Arc<ScaleControl>,
    tracker: Arc<FrameTracker>,
    /// Frames are dropped until the next key frame.
    needs_key_frame: bool,
    /// The error of a change of the filter.
    exchange_error: Arc<Mutex<Option<Error>>>,
}

impl TrackFilter {
    /// Builds and starts the pipeline. `sink` is called with each output frame on a thread of the pipeline and must not block. The
    /// `rtp_time` and `arrival` of an output frame are those of its input frame.
    ///
    /// # Errors
    /// The user's for templates that do not build; the machine's where the pipeline does not start.
    pub fn start(
        library: &Library,
        config: &TrackFilterConfig,
        sink: impl FnMut(Frame) + Send + 'static,
    ) -> Result<TrackFilter> {
        let gst = Gst::init()?;
        let kind = config.from.kind();
        if config.to.kind() != kind {
            return Err(Error::internal("an audio track cannot be sent as video, or video as audio"));
        }
        let decoder = library.get(&format!("receive/{}", config.from.name().to_lowercase()))?;
        let decoder = build_bin(&decoder, &[], true)?;
        let encoder = Encoder::build(library, config.to, config.bitrate)?;
        let filter = config.filter.bin()?;
        let pipeline = gst.pipeline();
        let bus = pipeline.bus().ok_or_else(|| defect("has no bus"))?;
        let input = input::source(
            gst,
            config.from,
            if kind == MediaKind::Video { MAX_VIDEO_QUEUE * 4 } else { MAX_AUDIO_QUEUE },
        );
        let output = gst.app_sink().max_buffers(4).build();
        let scale_control = Arc::new(ScaleControl::new(gst, least_side(config.to)));
        let tracker = Arc::new(FrameTracker::new(config.to));

        let (mut before, mut after): (Vec<gst::Element>, Vec<gst::Element>) = (Vec::new(), Vec::new());
        before.extend([input.clone().upcast(), decoder.clone().upcast()]);
        if kind == MediaKind::Video {
            before.push(latest_frame_queue()?);
            let converter = gst.element("videoconvertscale")?;
            let size = gst.element("capsfilter")?;
            scale_control.attach(&decoder, &converter, &size)?;
            after.extend([latest_frame_queue()?, converter, size]);
        }
        after.extend([encoder.bin().clone().upcast(), output.clone().upcast()]);
        let chain: Vec<gst::Element> =
            before.iter().cloned().chain([filter.clone().upcast()]).chain(after.iter().cloned()).collect();
        pipeline.add_many(&chain).map_err(|e| defect("cannot be built").because(e))?;
        gst::Element::link_many(&chain).map_err(|e| defect("cannot be linked").because(e))?;
        let neighbours = (pad(before.last(), "src")?, pad(after.first(), "sink")?);
        tracker.watch(&pad(Some(decoder.upcast_ref()), "src")?, Stage::Decoded);
        tracker.watch(&neighbours.1, Stage::Filtered);

        let level = Arc::new(AtomicU8::new(u8::MAX));
        if let Some(sound) = encoder.raw_input().filter(|_| kind == MediaKind::Audio) {
            measure_at_pad(&sound, level.clone());
        }
        connect_output(&output, kind, level, tracker.clone(), sink);
        if let Err(e) = pipeline.set_state(gst::State::Playing) {
            let _ = pipeline.set_state(gst::State::Null);
            return Err(Error::machine("a live track does not start").because(e));
        }
        let exchange_error = Arc::default();
        Ok(TrackFilter {
            kind,
            from: config.from,
            gst,
            pipeline,
            bus,
            input,
            encoder,
            filter,
            neighbours,
            scale_control,
            tracker,
            needs_key_frame: true,
            exchange_error,
        })
    }

    /// Pushes the next frame, in decoding order. Never waits.
    pub fn push(&mut self, frame: &Frame) -> PushResult {
        if frame.size.is_some_and(|(width, height)| u64::from(width) * u64::from(height) > MAX_PIXELS) {
            self.needs_key_frame = true;
            return PushResult::TooLarge;
        }
        if self.kind == MediaKind::Video {
            self.needs_key_frame |= self.input.current_level_buffers() >= MAX_VIDEO_QUEUE;
            if self.needs_key_frame && (!frame.key || self.input.current_level_buffers() >= MAX_VIDEO_QUEUE) {
                self.tracker.skipped();
                return PushResult::NeedKeyFrame;
            }
            self.needs_key_frame = false;
        }
        let pts = self.tracker.pushed(frame);
        let Some(mut buffer) = input::buffer(self.gst, self.from, frame) else {
            self.needs_key_frame = true;
            return PushResult::NeedKeyFrame;
        };
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(pts);
        }
        // Refused only by a pipeline that has failed; `poll` reports that.
        let _ = self.input.push_buffer(buffer);
        PushResult::Accepted
    }

    /// Reports whether the pipeline has failed. It then outputs nothing more and must be replaced. Never waits.
    ///
    /// # Errors
    /// The machine's, naming the element that failed.
    pub fn poll(&self) -> Result<()> {
        if let Some(error) = self.exchange_error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        poll_error(&self.bus)
    }

    /// Replaces the filter from the next frame on. The encoder keeps running, so receivers need no key frame.
    ///
    /// # Errors
    /// The user's: the filter does not build; the old one stays.
    pub fn set_filter(&mut self, filter: &Filter) -> Result<()> {
        let new = filter.bin()?;
        self.pipeline.add(&new).map_err(|e| defect("does not accept the filter").because(e))?;
        let old = std::mem::replace(&mut self.filter, new.clone());
        let (pipeline, exchange_error, after) =
            (self.pipeline.downgrade(), self.exchange_error.clone(), self.neighbours.1.clone());
        let before = self.neighbours.0.clone();
        // While nothing passes the pad before it, the filter is idle.
        self.neighbours.0.add_probe(gst::PadProbeType::IDLE, move |_, _| {
            let Some(pipeline) = pipeline.upgrade() else { return gst::PadProbeReturn::Remove };
            if let Err(e) = exchange(&pipeline, &old, &new, &before, &after) {
                *exchange_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
            }
            gst::PadProbeReturn::Remove
        });
        Ok(())
    }

    /// Sets the bitrate in bit/s.
    pub fn set_bitrate(&self, bits: u64) {
        self.encoder.set_bitrate(bits);
    }

    /// Sets size and frame rate (video only).
    pub fn set_scale(&self, scale: VideoScale) {
        self.scale_control.set(scale);
    }

    /// Requests that the next frame is a key frame.
    pub fn ask_key_frame(&self) {
        self.encoder.ask_key_frame();
    }

    /// Width and height of the video before scaling; `None` before the first frame.
    pub fn size(&self) -> Option<(u32, u32)> {
        self.scale_control.source()
    }

    /// Statistics since the start.
    pub fn counts(&self) -> TrackFilterCounts {
        self.tracker.counts()
    }
}

impl Drop for TrackFilter {
    fn drop(&mut self) {
        // Setting the state to NULL cannot fail by GStreamer's contract.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Replaces the filter `old` by `new`.
fn exchange(
    pipeline: &gst::Pipeline,
    old: &gst::Bin,
    new: &gst::Bin,
    before: &gst::Pad,
    after: &gst::Pad,
) -> Result<()> {
    let not_linked =
        |e: gst::PadLinkError| Error::user("the new filter does not accept the media of the track").because(e);
    let end = |pad| new.static_pad(pad).ok_or_else(|| defect("has a filter without its pads"));
    for (bin, pad) in [(old, "sink"), (old, "src")] {
        if let Some(pad) = bin.static_pad(pad)
            && let Some(peer) = pad.peer()
        {
            let _ = if pad.direction() == gst::PadDirection::Sink { peer.unlink(&pad) } else { pad.unlink(&peer) };
        }
    }
    end("src")?.link(after).map_err(not_linked)?;
    before.link(&end("sink")?).map_err(not_linked)?;
    new.sync_state_with_parent().map_err(|e| defect("cannot start its filter").because(e))?;
    let _ = old.set_state(gst::State::Null);
    let _ = pipeline.remove(old);
    Ok(())
}

/// Calls `sink` with each encoded frame.
fn connect_output(
    output: &AppSink,
    kind: MediaKind,
    level: Arc<AtomicU8>,
    tracker: Arc<FrameTracker>,
    mut sink: impl FnMut(Frame) + Send + 'static,
) {
    let callbacks = AppSinkCallbacks::builder().new_sample(move |output| {
        let sample = output.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let encoded = from_sample(kind, &sample, level.load(Ordering::Relaxed)).ok_or(gst::FlowError::Error)?;
        let Some((rtp_time, arrival)) = encoded.pts.and_then(|pts| tracker.output(pts)) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        sink(Frame {
            rtp_time,
            arrival,
            parts: vec![encoded.data],
            key: encoded.key,
            size: encoded.size,
            config: encoded.config,
            audio_level: encoded.level.map(|l| AudioLevel { voice: l.below_overload < VOICE_THRESHOLD, ..l }),
            packets: 0,
        });
        Ok(gst::FlowSuccess::Ok)
    });
    output.set_callbacks(callbacks.build());
}

#[cfg(test)]
mod tests;

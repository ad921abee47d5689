//! One live track that is only looked at: each picture decoded as it comes, with the moment at which it could have been shown. Never waits
//! for a clock, and nobody waits for whoever looks: the newest picture wins behind the decoder.

use super::input;
use super::parts::{MAX_PIXELS, PushResult, element, failure, newest_only, pad, strange};
use crate::error::{Error, Result};
use crate::media::Library;
use crate::media::bin::build_bin;
use crate::media::file_decoder::{Content, picture};
use crate::media::runtime::init;
use crate::room::media::{Codec, Frame, MediaKind};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Encoded pictures that may wait for the decoder: what a network gives back at once after two seconds without one.
const WAITING: u64 = 64;
/// Pictures under way that are remembered: those that wait, and those within the pipeline.
const REMEMBERED: usize = 2 * WAITING as usize;

/// A picture that was decoded.
#[derive(Debug)]
pub struct LivePicture {
    /// That of the frame that it was made of.
    pub rtp_time: i64,
    /// When the decoder had it.
    pub decoded: Instant,
    /// Its brightness, rows without a gap.
    pub luma: Vec<u8>,
    pub width: usize,
    pub height: usize,
}

/// A track of pictures that is decoded. Dropping it takes its pipeline down.
pub struct LiveDecoder {
    codec: Codec,
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    input: AppSrc,
    under_way: Arc<Mutex<VecDeque<UnderWay>>>,
    /// The RTP time that is the pipeline's zero.
    zero: Option<i64>,
    /// Frames are thrown away until the next key frame.
    starved: bool,
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    pts: gst::ClockTime,
    rtp_time: i64,
    decoded: Option<Instant>,
}

impl LiveDecoder {
    /// Builds the pipeline and lets it run. Each picture is handed to `look`, on a thread of the pipeline; those that are decoded while it
    /// is busy are left out, but for the newest one.
    ///
    /// # Errors
    /// The user's: a missing package. The machine's: the pipeline does not start.
    pub fn start(
        library: &Library,
        codec: Codec,
        look: impl FnMut(LivePicture) + Send + 'static,
    ) -> Result<LiveDecoder> {
        init()?;
        if codec.kind() != MediaKind::Video {
            return Err(Error::us("sound cannot be looked at"));
        }
        let decoder = build_bin(&library.get(&format!("receive/{}", codec.name().to_lowercase()))?, &[], true)?;
        let pipeline = gst::Pipeline::new();
        let bus = pipeline.bus().ok_or_else(|| strange("has no bus"))?;
        let input = input::source(codec, WAITING);
        let planes = gst::Caps::builder("video/x-raw").field("format", "I420").build();
        let output = AppSink::builder().sync(false).async_(false).max_buffers(1).caps(&planes).build();
        let chain: Vec<gst::Element> = vec![
            input.clone().upcast(),
            decoder.clone().upcast(),
            newest_only()?,
            element("videoconvert")?,
            output.clone().upcast(),
        ];
        pipeline.add_many(&chain).map_err(|e| strange("cannot be put together").because(e))?;
        gst::Element::link_many(&chain).map_err(|e| strange("does not fit together").because(e))?;
        let under_way: Arc<Mutex<VecDeque<UnderWay>>> = Arc::default();
        let decoded = under_way.clone();
        pad(Some(decoder.upcast_ref()), "src")?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let pts = info.buffer().and_then(|buffer| buffer.pts());
            let mut all = decoded.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(one) = all.iter_mut().find(|one| Some(one.pts) == pts) {
                one.decoded = Some(Instant::now());
            }
            gst::PadProbeReturn::Ok
        });
        deliver(&output, under_way.clone(), look);
        if let Err(e) = pipeline.set_state(gst::State::Playing) {
            let _ = pipeline.set_state(gst::State::Null);
            return Err(Error::machine("a live track does not start").because(e));
        }
        Ok(LiveDecoder { codec, pipeline, bus, input, under_way, zero: None, starved: true })
    }

    /// Hands over the next frame, in the order of decoding. Never waits.
    pub fn push(&mut self, frame: &Frame) -> PushResult {
        if frame.size.is_some_and(|(width, height)| u64::from(width) * u64::from(height) > MAX_PIXELS) {
            self.starved = true;
            return PushResult::TooLarge;
        }
        self.starved |= self.input.current_level_buffers() >= WAITING;
        if self.starved && (!frame.key || self.input.current_level_buffers() >= WAITING) {
            return PushResult::NeedKeyFrame;
        }
        let Some(mut buffer) = input::buffer(self.codec, frame) else {
            self.starved = true;
            return PushResult::NeedKeyFrame;
        };
        self.starved = false;
        let zero = *self.zero.get_or_insert(frame.rtp_time);
        let ticks = u64::try_from(frame.rtp_time.saturating_sub(zero)).unwrap_or(0);
        let seconds = ticks as f64 / f64::from(self.codec.clock_rate().max(1));
        let pts = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let pts = gst::ClockTime::from_nseconds(u64::try_from(pts.as_nanos()).unwrap_or(u64::MAX - 1));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(pts);
        }
        {
            let mut all = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= REMEMBERED {
                all.pop_front();
            }
            all.push_back(UnderWay { pts, rtp_time: frame.rtp_time, decoded: None });
        }
        // Refused only by a pipeline that has failed, which `poll` tells.
        let _ = self.input.push_buffer(buffer);
        PushResult::Accepted
    }

    /// Says whether the pipeline has failed. Never waits.
    ///
    /// # Errors
    /// The machine's, naming the element that failed.
    pub fn poll(&self) -> Result<()> {
        failure(&self.bus)
    }
}

impl Drop for LiveDecoder {
    fn drop(&mut self) {
        // Going to Null cannot fail by GStreamer's contract.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn deliver(
    output: &AppSink,
    under_way: Arc<Mutex<VecDeque<UnderWay>>>,
    mut look: impl FnMut(LivePicture) + Send + 'static,
) {
    let callbacks = AppSinkCallbacks::builder().new_sample(move |output| {
        let sample = output.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let pts = sample.buffer().and_then(|buffer| buffer.pts());
        let found = {
            let mut all = under_way.lock().unwrap_or_else(PoisonError::into_inner);
            let index = all.iter().position(|one| Some(one.pts) == pts);
            // Those before it were left out.
            index.and_then(|index| all.drain(..=index).next_back())
        };
        let Some(UnderWay { rtp_time, decoded: Some(decoded), .. }) = found else {
            return Ok(gst::FlowSuccess::Ok);
        };
        if let Some(Content::Picture { luma, width, height }) = picture(&sample) {
            look(LivePicture { rtp_time, decoded, luma, width, height });
        }
        Ok(gst::FlowSuccess::Ok)
    });
    output.set_callbacks(callbacks.build());
}

//! Decodes one live video track for measurements: each frame as it arrives, with the time at which it could have been shown. Never waits
//! for a clock. If the consumer is busy, only the newest frame is kept.

use super::input;
use super::parts::{MAX_PIXELS, PushResult, defect, latest_frame_queue, pad, poll_error};
use crate::error::{Error, Result};
use crate::media::Library;
use crate::media::bin::build_bin;
use crate::media::file_decoder::{DecodedData, picture};
use crate::media::runtime::Gst;
use crate::room::media::{Codec, Frame, MediaKind};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Frames that may wait for the decoder: the burst after a network interruption of two seconds.
const MAX_QUEUE: u64 = 64;
/// Frames that are tracked: those that wait, and those within the pipeline.
const MAX_TRACKED: usize = 2 * MAX_QUEUE as usize;

/// A decoded frame.
#[derive(Debug)]
pub struct LivePicture {
    /// The RTP time of its encoded frame.
    pub rtp_time: i64,
    /// When the decoder had finished it.
    pub decoded: Instant,
    /// Its luma plane, rows without padding.
    pub luma: Vec<u8>,
    /// Pixels of a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

/// A video track that is decoded. Dropping it stops its pipeline.
pub struct LiveDecoder {
    codec: Codec,
    gst: Gst,
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    input: AppSrc,
    in_flight: Arc<Mutex<VecDeque<InFlight>>>,
    /// The RTP time at the start of pipeline time.
    zero: Option<i64>,
    /// Frames are dropped until the next key frame.
    needs_key_frame: bool,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    pts: gst::ClockTime,
    rtp_time: i64,
    decoded: Option<Instant>,
}

impl LiveDecoder {
    /// Builds and starts the pipeline. `on_picture` is called with each frame on a thread of the pipeline; of those that are decoded
    /// while it is busy, only the newest is kept.
    ///
    /// # Errors
    /// The user's: a missing package. The machine's: the pipeline does not start.
    pub fn start(
        library: &Library,
        codec: Codec,
        on_picture: impl FnMut(LivePicture) + Send + 'static,
    ) -> Result<LiveDecoder> {
        let gst = Gst::init()?;
        if codec.kind() != MediaKind::Video {
            return Err(Error::internal("a live decoder takes video only"));
        }
        let decoder = build_bin(&library.get(&format!("receive/{}", codec.name().to_lowercase()))?, &[], true)?;
        let pipeline = gst.pipeline();
        let bus = pipeline.bus().ok_or_else(|| defect("has no bus"))?;
        let input = input::source(gst, codec, MAX_QUEUE);
        let planes = gst.caps("video/x-raw").field("format", "I420").build();
        let output = gst.app_sink().max_buffers(1).caps(&planes).build();
        let chain: Vec<gst::Element> = vec![
            input.clone().upcast(),
            decoder.clone().upcast(),
            latest_frame_queue()?,
            gst.element("videoconvert")?,
            output.clone().upcast(),
        ];
        pipeline.add_many(&chain).map_err(|e| defect("cannot be built").because(e))?;
        gst::Element::link_many(&chain).map_err(|e| defect("cannot be linked").because(e))?;
        let in_flight: Arc<Mutex<VecDeque<InFlight>>> = Arc::default();
        let decoded = in_flight.clone();
        pad(Some(decoder.upcast_ref()), "src")?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let pts = info.buffer().and_then(|buffer| buffer.pts());
            let mut all = decoded.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(one) = all.iter_mut().find(|one| Some(one.pts) == pts) {
                one.decoded = Some(Instant::now());
            }
            gst::PadProbeReturn::Ok
        });
        connect_output(&output, in_flight.clone(), on_picture);
        if let Err(e) = pipeline.set_state(gst::State::Playing) {
            let _ = pipeline.set_state(gst::State::Null);
            return Err(Error::machine("a live track does not start").because(e));
        }
        Ok(LiveDecoder { gst, codec, pipeline, bus, input, in_flight, zero: None, needs_key_frame: true })
    }

    /// Pushes the next frame, in decoding order. Never waits.
    pub fn push(&mut self, frame: &Frame) -> PushResult {
        if frame.size.is_some_and(|(width, height)| u64::from(width) * u64::from(height) > MAX_PIXELS) {
            self.needs_key_frame = true;
            return PushResult::TooLarge;
        }
        self.needs_key_frame |= self.input.current_level_buffers() >= MAX_QUEUE;
        if self.needs_key_frame && (!frame.key || self.input.current_level_buffers() >= MAX_QUEUE) {
            return PushResult::NeedKeyFrame;
        }
        let Some(mut buffer) = input::buffer(self.gst, self.codec, frame) else {
            self.needs_key_frame = true;
            return PushResult::NeedKeyFrame;
        };
        self.needs_key_frame = false;
        let zero = *self.zero.get_or_insert(frame.rtp_time);
        let ticks = u64::try_from(frame.rtp_time.saturating_sub(zero)).unwrap_or(0);
        let seconds = ticks as f64 / f64::from(self.codec.clock_rate().max(1));
        let pts = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let pts = gst::ClockTime::from_nseconds(u64::try_from(pts.as_nanos()).unwrap_or(u64::MAX - 1));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(pts);
        }
        {
            let mut all = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MAX_TRACKED {
                all.pop_front();
            }
            all.push_back(InFlight { pts, rtp_time: frame.rtp_time, decoded: None });
        }
        // Refused only by a pipeline that has failed; `poll` reports that.
        let _ = self.input.push_buffer(buffer);
        PushResult::Accepted
    }

    /// Reports whether the pipeline has failed. Never waits.
    ///
    /// # Errors
    /// The machine's, naming the element that failed.
    pub fn poll(&self) -> Result<()> {
        poll_error(&self.bus)
    }
}

impl Drop for LiveDecoder {
    fn drop(&mut self) {
        // Setting the state to NULL cannot fail by GStreamer's contract.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn connect_output(
    output: &AppSink,
    in_flight: Arc<Mutex<VecDeque<InFlight>>>,
    mut on_picture: impl FnMut(LivePicture) + Send + 'static,
) {
    let callbacks = AppSinkCallbacks::builder().new_sample(move |output| {
        let sample = output.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let pts = sample.buffer().and_then(|buffer| buffer.pts());
        let found = {
            let mut all = in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            let index = all.iter().position(|one| Some(one.pts) == pts);
            // Those before it were dropped.
            index.and_then(|index| all.drain(..=index).next_back())
        };
        let Some(InFlight { rtp_time, decoded: Some(decoded), .. }) = found else {
            return Ok(gst::FlowSuccess::Ok);
        };
        if let Some(DecodedData::Picture { luma, width, height }) = picture(&sample) {
            on_picture(LivePicture { rtp_time, decoded, luma, width, height });
        }
        Ok(gst::FlowSuccess::Ok)
    });
    output.set_callbacks(callbacks.build());
}

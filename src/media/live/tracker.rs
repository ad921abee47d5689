//! Tracks the frames within a pipeline: from which input an output was made, and how long each stage took. Decides nothing.

use crate::room::media::{Codec, Frame};
use gstreamer as gst;
use gstreamer::prelude::*;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Frames that are tracked: eight seconds of video, five of audio. What takes longer is taken for the oldest one.
const MAX_TRACKED: usize = 256;

/// The pipeline time of the first frame, ns. Audio encoders give their first packet an earlier time, which must not be negative.
const START: u64 = 1_000_000_000;
/// By how much `opusenc` timestamps a packet before the samples in it (its look-ahead, 312 samples), ns. An RTP timestamp is that of
/// the samples (RFC 7587, 4.1).
const OPUS_LOOKAHEAD: u64 = 6_500_000;

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Decoded,
    Filtered,
    Encoded,
}

/// Statistics of a [`TrackFilter`](super::TrackFilter) since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TrackFilterCounts {
    /// Frames that were pushed.
    pub came: u64,
    /// Frames that were dropped because the decoder was behind.
    pub skipped: u64,
    /// Frames that were decoded.
    pub decoded: u64,
    /// Frames that were filtered.
    pub filtered: u64,
    /// Frames that were encoded and output.
    pub returned: u64,
    /// Mean time in the decoder, its queue included, ms.
    pub decode_ms: f64,
    /// Mean time in the filter, its queue included, ms.
    pub filter_ms: f64,
    /// Mean time in the encoder, its queue included, ms.
    pub encode_ms: f64,
}

/// A frame within the pipeline.
#[derive(Debug, Clone, Copy)]
struct TrackedFrame {
    rtp_time: i64,
    arrival: Instant,
    /// When it was pushed, or left the last stage.
    since: Instant,
}

/// The frames within one pipeline.
#[derive(Debug)]
pub(super) struct FrameTracker {
    clock_rate: i64,
    /// What is added to the time of an output frame, ns.
    lookahead: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The RTP time at the start of pipeline time.
    zero: Option<i64>,
    in_flight: VecDeque<TrackedFrame>,
    came: u64,
    skipped: u64,
    /// Number of frames and the sum of their times, by stage.
    stages: [(u64, Duration); 3],
}

impl FrameTracker {
    pub fn new(codec: Codec) -> FrameTracker {
        let lookahead = if codec == Codec::Opus { OPUS_LOOKAHEAD } else { 0 };
        FrameTracker { clock_rate: i64::from(codec.clock_rate()), lookahead, state: Mutex::default() }
    }

    /// Tracks a frame that is pushed; returns its pipeline time.
    pub fn pushed(&self, frame: &Frame) -> gst::ClockTime {
        let state = &mut *self.lock();
        let zero = *state.zero.get_or_insert(frame.rtp_time);
        state.came += 1;
        if state.in_flight.len() == MAX_TRACKED {
            state.in_flight.pop_front();
        }
        state.in_flight.push_back(TrackedFrame {
            rtp_time: frame.rtp_time,
            arrival: frame.arrival,
            since: Instant::now(),
        });
        let ticks = u128::try_from(frame.rtp_time.saturating_sub(zero)).unwrap_or(0);
        let nanos = (ticks * 1_000_000_000).div_ceil(self.clock_rate as u128);
        gst::ClockTime::from_nseconds(u64::try_from(nanos).map_or(u64::MAX - 1, |nanos| nanos.saturating_add(START)))
    }

    /// Counts a frame that was dropped instead.
    pub fn skipped(&self) {
        let state = &mut *self.lock();
        state.came += 1;
        state.skipped += 1;
    }

    /// The RTP time of an output frame with pipeline time `pts`, and the arrival time of its input frame.
    pub fn output(&self, pts: u64) -> Option<(i64, Instant)> {
        let state = &mut *self.lock();
        let rtp_time = state.zero?.checked_add(self.ticks(pts.saturating_add(self.lookahead)))?;
        let tracked = state.pass(rtp_time, Stage::Encoded)?;
        // The first packet has no earlier time: its timestamp would be negative.
        let is_first = tracked.rtp_time == state.zero? && pts == START;
        Some((if is_first { tracked.rtp_time } else { rtp_time }, tracked.arrival))
    }

    /// Counts the frames that pass `pad`, which ends `stage`.
    pub fn watch(self: &Arc<Self>, pad: &gst::Pad, stage: Stage) {
        let tracker = Arc::downgrade(self);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let (Some(tracker), Some(pts)) = (tracker.upgrade(), info.buffer().and_then(|buffer| buffer.pts())) {
                tracker.passed(pts.nseconds(), stage);
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn passed(&self, pts: u64, stage: Stage) {
        let state = &mut *self.lock();
        if let Some(zero) = state.zero {
            state.pass(zero.saturating_add(self.ticks(pts)), stage);
        }
    }

    /// RTP ticks since the first frame. Rounds down where `pushed` rounds up, so that an output has exactly the time of its input.
    fn ticks(&self, pts: u64) -> i64 {
        let nanos = u128::from(pts.saturating_sub(START));
        i64::try_from(nanos * self.clock_rate as u128 / 1_000_000_000).unwrap_or(i64::MAX)
    }

    /// The statistics so far.
    pub fn counts(&self) -> TrackFilterCounts {
        let state = self.lock();
        let [decoded, filtered, encoded] = state.stages;
        let mean = |(count, time): (u64, Duration)| time.as_secs_f64() * 1000.0 / count.max(1) as f64;
        TrackFilterCounts {
            came: state.came,
            skipped: state.skipped,
            decoded: decoded.0,
            filtered: filtered.0,
            returned: encoded.0,
            decode_ms: mean(decoded),
            filter_ms: mean(filtered),
            encode_ms: mean(encoded),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a frame that leaves `stage`: the newest tracked frame that is not later than `rtp_time`, or the oldest one if all are
    /// later.
    fn pass(&mut self, rtp_time: i64, stage: Stage) -> Option<TrackedFrame> {
        let index = self.in_flight.iter().rposition(|tracked| tracked.rtp_time <= rtp_time).unwrap_or(0);
        let tracked = self.in_flight.get_mut(index)?;
        let now = Instant::now();
        let (count, time) = &mut self.stages[stage as usize];
        *count += 1;
        *time += now.saturating_duration_since(std::mem::replace(&mut tracked.since, now));
        Some(*tracked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(rtp_time: i64) -> Frame {
        let (parts, size, config) = (Vec::new(), None, None);
        Frame { rtp_time, arrival: Instant::now(), parts, key: true, size, config, audio_level: None, packets: 0 }
    }

    #[test]
    fn a_time_comes_back_as_it_was() {
        for codec in [Codec::Vp8, Codec::Opus] {
            let tracker = FrameTracker::new(codec);
            tracker.pushed(&frame(1 << 40));
            for ticks in (0..3_000_000_i64).step_by(997) {
                let rtp_time = (1 << 40) + ticks;
                let pts = tracker.pushed(&frame(rtp_time));
                assert_eq!(tracker.output(pts.nseconds() - tracker.lookahead).unwrap().0, rtp_time);
            }
        }
    }

    #[test]
    fn a_sound_between_two_frames_is_of_the_first() {
        let tracker = FrameTracker::new(Codec::Opus);
        let (one, two) = (frame(0), Frame { arrival: Instant::now() + Duration::from_secs(1), ..frame(960) });
        tracker.pushed(&one);
        tracker.pushed(&two);
        assert_eq!(tracker.output(START + 12_000_000).unwrap().1, one.arrival);
        assert_eq!(tracker.output(START + 13_500_000).unwrap().1, two.arrival);
        assert_eq!(tracker.counts().returned, 2);
    }
}

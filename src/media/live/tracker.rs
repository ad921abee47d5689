//! What is known of the frames under way: which frame a picture was made of, and how long each part took. Decides nothing.

use crate::room::media::{Codec, Frame};
use gstreamer as gst;
use gstreamer::prelude::*;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Frames that are remembered: eight seconds of picture, five of sound. What takes longer gets the oldest one's identity.
const REMEMBERED: usize = 256;

/// Where a pipeline's time begins. Encoders of sound put their first packet before its sound, and no time is below zero.
const BEGIN: u64 = 1_000_000_000;
/// By how much `opusenc` puts a packet before the sound that went into it (its look-ahead, 312 samples); over RTP a packet has the
/// time of its sound (RFC 7587, 4.1).
const OPUS_LEAD: u64 = 6_500_000;

/// A part of the way that a frame has behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Decoded,
    Filtered,
    Encoded,
}

/// What has happened to a live track since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TrackFilterCounts {
    /// Frames that came and were whole.
    pub came: u64,
    /// Frames that the decoder was too far behind for.
    pub skipped: u64,
    pub decoded: u64,
    pub filtered: u64,
    /// Frames that went back.
    pub returned: u64,
    /// Mean time that each part took, waiting for it included, in milliseconds.
    pub decode_ms: f64,
    pub filter_ms: f64,
    pub encode_ms: f64,
}

/// A frame under way.
#[derive(Debug, Clone, Copy)]
struct TrackedFrame {
    rtp_time: i64,
    arrival: Instant,
    /// When it was handed over, or had its last part behind it.
    since: Instant,
}

/// The frames under way in one pipeline.
#[derive(Debug)]
pub(super) struct FrameTracker {
    clock_rate: i64,
    /// What is added to the time of a frame that comes back, ns.
    lead: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The RTP time that is the pipeline's zero.
    zero: Option<i64>,
    under_way: VecDeque<TrackedFrame>,
    came: u64,
    skipped: u64,
    /// Frames, and their times added up, by stage.
    stages: [(u64, Duration); 3],
}

impl FrameTracker {
    pub fn new(codec: Codec) -> FrameTracker {
        let lead = if codec == Codec::Opus { OPUS_LEAD } else { 0 };
        FrameTracker { clock_rate: i64::from(codec.clock_rate()), lead, state: Mutex::default() }
    }

    /// A frame is handed over: its time in the pipeline.
    pub fn fed(&self, frame: &Frame) -> gst::ClockTime {
        let state = &mut *self.lock();
        let zero = *state.zero.get_or_insert(frame.rtp_time);
        state.came += 1;
        if state.under_way.len() == REMEMBERED {
            state.under_way.pop_front();
        }
        state.under_way.push_back(TrackedFrame {
            rtp_time: frame.rtp_time,
            arrival: frame.arrival,
            since: Instant::now(),
        });
        let ticks = u128::try_from(frame.rtp_time.saturating_sub(zero)).unwrap_or(0);
        let nanos = (ticks * 1_000_000_000).div_ceil(self.clock_rate as u128);
        gst::ClockTime::from_nseconds(u64::try_from(nanos).map_or(u64::MAX - 1, |nanos| nanos.saturating_add(BEGIN)))
    }

    /// A frame was thrown away instead.
    pub fn skipped(&self) {
        let state = &mut *self.lock();
        state.came += 1;
        state.skipped += 1;
    }

    /// A frame of this time in the pipeline comes back: its RTP time, and the arrival of the frame that it was made of.
    pub fn returned(&self, pts: u64) -> Option<(i64, Instant)> {
        let state = &mut *self.lock();
        let rtp_time = state.zero?.checked_add(self.ticks(pts.saturating_add(self.lead)))?;
        let mark = state.pass(rtp_time, Stage::Encoded)?;
        // The first packet is not put before its sound, as nothing is there.
        let is_first = mark.rtp_time == state.zero? && pts == BEGIN;
        Some((if is_first { mark.rtp_time } else { rtp_time }, mark.arrival))
    }

    /// Counts what passes a pad.
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

    /// RTP ticks since the pipeline's first frame; rounded down where `fed` rounded up, so that a time comes back as it was.
    fn ticks(&self, pts: u64) -> i64 {
        let nanos = u128::from(pts.saturating_sub(BEGIN));
        i64::try_from(nanos * self.clock_rate as u128 / 1_000_000_000).unwrap_or(i64::MAX)
    }

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
    /// A frame has a part of the way behind it. It is the newest that is not younger than this; the oldest that is remembered,
    /// if all are.
    fn pass(&mut self, rtp_time: i64, stage: Stage) -> Option<TrackedFrame> {
        let index = self.under_way.iter().rposition(|mark| mark.rtp_time <= rtp_time).unwrap_or(0);
        let mark = self.under_way.get_mut(index)?;
        let now = Instant::now();
        let (count, time) = &mut self.stages[stage as usize];
        *count += 1;
        *time += now.saturating_duration_since(std::mem::replace(&mut mark.since, now));
        Some(*mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(rtp_time: i64) -> Frame {
        let (parts, size, config) = (Vec::new(), None, None);
        Frame { rtp_time, arrival: Instant::now(), parts, key: true, size, config, audio_level: None }
    }

    #[test]
    fn a_time_comes_back_as_it_was() {
        for codec in [Codec::Vp8, Codec::Opus] {
            let tracker = FrameTracker::new(codec);
            tracker.fed(&frame(1 << 40));
            for ticks in (0..3_000_000_i64).step_by(997) {
                let rtp_time = (1 << 40) + ticks;
                let pts = tracker.fed(&frame(rtp_time));
                assert_eq!(tracker.returned(pts.nseconds() - tracker.lead).unwrap().0, rtp_time);
            }
        }
    }

    #[test]
    fn a_sound_between_two_frames_is_of_the_first() {
        let tracker = FrameTracker::new(Codec::Opus);
        let (one, two) = (frame(0), Frame { arrival: Instant::now() + Duration::from_secs(1), ..frame(960) });
        tracker.fed(&one);
        tracker.fed(&two);
        assert_eq!(tracker.returned(BEGIN + 12_000_000).unwrap().1, one.arrival);
        assert_eq!(tracker.returned(BEGIN + 13_500_000).unwrap().1, two.arrival);
        assert_eq!(tracker.counts().returned, 2);
    }
}

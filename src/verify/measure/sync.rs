//! Offset between audio and video, its drift, and its rating by ITU-R BT.1359-1. Pure.

use super::audio::MARK_SECONDS;
use super::statistics::percentile;
use crate::verify::detections::Trace;
use crate::verify::stamp::code::{FRAME_NUMBERS, MARK_NUMBERS};
use serde::Serialize;

/// A mark is compared with the frames within this distance, seconds.
const WINDOW: f64 = 0.5;
/// How often frame numbers may have wrapped since the start: more than a day.
const WRAPS: std::ops::RangeInclusive<i8> = -4..=4;
/// Minimum length of a trace for a drift, seconds; it would be noise in shorter ones.
const MIN_DRIFT_SECONDS: f64 = 60.0;
/// Detectability thresholds of ITU-R BT.1359-1, ms: audio early, audio late.
const DETECTABLE: (f64, f64) = (-45.0, 125.0);
/// Acceptability thresholds of ITU-R BT.1359-1, ms.
const ACCEPTABLE: (f64, f64) = (-90.0, 185.0);

/// Rating of an offset by ITU-R BT.1359-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncRating {
    /// From -45 to +125 ms.
    Undetectable,
    /// From -90 to +185 ms.
    Acceptable,
    /// Beyond that.
    Unacceptable,
}

/// The offset at one mark.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SyncPoint {
    /// Time of the mark, seconds.
    pub at: f64,
    /// Audio minus video; positive: audio is late.
    pub offset_ms: f64,
}

/// Offset between a participant's audio and video. Positive: audio is late.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SyncMeasurement {
    /// Median of the offset.
    pub p50_ms: f64,
    /// 95th percentile of the absolute offset.
    pub p95_ms: f64,
    /// Slope of the offset; none for less than a minute.
    pub drift_ms_per_hour: Option<f64>,
    /// Rating of the 5th to 95th percentile.
    pub judgement: SyncRating,
    /// The offset at each mark.
    pub points: Vec<SyncPoint>,
}

/// Compares each mark with the frames around it. None if there are never both.
pub fn measure_sync(trace: &Trace) -> Option<SyncMeasurement> {
    let wraps = f64::from(MARK_NUMBERS) * MARK_SECONDS;
    let mut points = Vec::new();
    // Repeated frames do not count as late: freezes have their own figure.
    let mut distinct = trace.frames.clone();
    distinct.dedup_by_key(|frame| frame.number);
    for mark in &trace.marks {
        let from = distinct.partition_point(|frame| frame.at < mark.at - WINDOW);
        let near = distinct.get(from..).unwrap_or(&[]).iter().take_while(|frame| frame.at <= mark.at + WINDOW);
        let sound = mark.at - f64::from(mark.number) * MARK_SECONDS;
        let mut offsets: Vec<f64> = near
            .map(|frame| {
                let rate = f64::from(frame.rate.max(1));
                let late = sound - (frame.at - f64::from(frame.number) / rate);
                // Frame and mark numbers wrap at different times. Of the possible offsets, the smallest is taken.
                let wrapped = f64::from(FRAME_NUMBERS) / rate;
                let may_be = WRAPS.map(|turn| nearest(late + f64::from(turn) * wrapped, wraps));
                may_be.fold(f64::INFINITY, |least, late| if late.abs() < least.abs() { late } else { least })
            })
            .collect();
        if let Some(offset) = percentile(&mut offsets, 0.5) {
            points.push(SyncPoint { at: mark.at, offset_ms: offset * 1000.0 });
        }
    }
    let signed = |part| percentile(&mut points.iter().map(|p| p.offset_ms).collect::<Vec<_>>(), part);
    let mut apart: Vec<f64> = points.iter().map(|p| p.offset_ms.abs()).collect();
    let judgement = rate((signed(0.05)?, signed(0.95)?));
    let (p50_ms, p95_ms) = (signed(0.5)?, percentile(&mut apart, 0.95)?);
    Some(SyncMeasurement { p50_ms, p95_ms, drift_ms_per_hour: drift(&points), judgement, points })
}

fn rate((early, late): (f64, f64)) -> SyncRating {
    let within = |limits: (f64, f64)| early >= limits.0 && late <= limits.1;
    match (within(DETECTABLE), within(ACCEPTABLE)) {
        (true, _) => SyncRating::Undetectable,
        (_, true) => SyncRating::Acceptable,
        _ => SyncRating::Unacceptable,
    }
}

/// `value` modulo `turn`, as near to zero as possible.
fn nearest(value: f64, turn: f64) -> f64 {
    value - (value / turn).round() * turn
}

/// The slope of the regression line through the points, ms per hour.
fn drift(points: &[SyncPoint]) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    if last.at - first.at < MIN_DRIFT_SECONDS {
        return None;
    }
    let count = points.len() as f64;
    let mean = |value: fn(&SyncPoint) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (at, offset) = (mean(|p| p.at), mean(|p| p.offset_ms));
    let (mut both, mut square) = (0.0, 0.0);
    for point in points {
        both += (point.at - at) * (point.offset_ms - offset);
        square += (point.at - at).powi(2);
    }
    (square > 0.0).then(|| both / square * 3600.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::detections::{FrameDetection, MarkDetection};
    use proptest::prelude::*;

    /// A trace of `seconds` whose audio is late by `late_ms` at the start, and by `drift` ms more each hour.
    fn trace(seconds: u32, late_ms: f64, drift: f64, first: u32) -> Trace {
        let frame = |i: u32| FrameDetection {
            at: 3.0 + f64::from(i) / 30.0,
            number: (first * 30 + i) % FRAME_NUMBERS,
            rate: 30,
        };
        let mark = |i: u32| {
            let at = 3.0 + f64::from(i) * MARK_SECONDS;
            MarkDetection {
                at: at + (late_ms + drift * f64::from(i) * MARK_SECONDS / 3600.0) / 1000.0,
                number: (first * 2 + i) % MARK_NUMBERS,
            }
        };
        Trace {
            frames: (0..seconds * 30).map(frame).collect(),
            marks: (0..seconds * 2).map(mark).collect(),
            silences: vec![],
            ..Trace::default()
        }
    }

    proptest! {
        #[test]
        fn the_offset_is_found_whatever_the_numbers(late in -900.0f64..900.0, first in 0u32..100_000) {
            let found = measure_sync(&trace(20, late, 0.0, first)).unwrap();
            prop_assert!((found.p50_ms - late).abs() < 0.5, "{} {late}", found.p50_ms);
            prop_assert!((found.p95_ms - late.abs()).abs() < 0.5);
            prop_assert!(found.drift_ms_per_hour.is_none());
        }
    }

    #[test]
    fn long_traces_have_a_drift() {
        let found = measure_sync(&trace(120, 10.0, 300.0, 0)).unwrap();
        assert!((found.drift_ms_per_hour.unwrap() - 300.0).abs() < 10.0, "{found:?}");
        assert_eq!(measure_sync(&Trace::default()), None);
        assert_eq!(measure_sync(&Trace { marks: vec![], ..trace(5, 0.0, 0.0, 0) }), None);
    }

    #[test]
    fn early_audio_is_rated_worse_than_late_audio() {
        let rated = |late| measure_sync(&trace(20, late, 0.0, 0)).unwrap().judgement;
        assert_eq!(rated(0.0), SyncRating::Undetectable);
        assert_eq!((rated(100.0), rated(-80.0)), (SyncRating::Undetectable, SyncRating::Acceptable));
        assert_eq!((rated(150.0), rated(-100.0)), (SyncRating::Acceptable, SyncRating::Unacceptable));
        assert_eq!(rated(200.0), SyncRating::Unacceptable);
    }
}

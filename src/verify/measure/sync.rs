//! Sound against picture: how far they lie apart, how that changes, and whether people notice (ITU-R BT.1359-1). Pure.

use super::percentile;
use super::sound::LENGTH;
use crate::verify::evidence::Trace;
use crate::verify::stamp::code::{FRAMES, MARKS};
use serde::Serialize;

/// A mark is held against the pictures within so many seconds of it.
const AROUND: f64 = 0.5;
/// How often the pictures' numbers may have wrapped since they began: more than a day of them.
const TURNS: std::ops::RangeInclusive<i8> = -4..=4;
/// Drift is told of traces that are so long, seconds: of shorter ones it would be noise.
const LONG: f64 = 60.0;
/// Sound may be so much earlier and later than its picture before people notice, and before they mind; ms (ITU-R BT.1359-1).
const NOTICED: (f64, f64) = (-45.0, 125.0);
const MINDED: (f64, f64) = (-90.0, 185.0);

/// How people would judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    Undetectable,
    Acceptable,
    Unacceptable,
}

/// How far sound was behind its picture at a time (seconds, ms).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    pub at: f64,
    pub offset_ms: f64,
}

/// Sound against picture of one participant. Positive: the sound is late.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sync {
    pub p50_ms: f64,
    /// Of the distance, either way.
    pub p95_ms: f64,
    pub drift_ms_per_hour: Option<f64>,
    pub judgement: Judgement,
    pub points: Vec<Point>,
}

/// Holds each mark against the pictures around it. None where never both are there.
pub fn sync(trace: &Trace) -> Option<Sync> {
    let wraps = f64::from(MARKS) * LENGTH;
    let mut points = Vec::new();
    // A picture that is shown again is late on its own account: freezes have their own figure.
    let mut fresh = trace.sights.clone();
    fresh.dedup_by_key(|sight| sight.number);
    for mark in &trace.marks {
        let from = fresh.partition_point(|sight| sight.at < mark.at - AROUND);
        let near = fresh.get(from..).unwrap_or(&[]).iter().take_while(|sight| sight.at <= mark.at + AROUND);
        let sound = mark.at - f64::from(mark.number) * LENGTH;
        let mut offsets: Vec<f64> = near
            .map(|sight| {
                let rate = f64::from(sight.rate.max(1));
                let late = sound - (sight.at - f64::from(sight.number) / rate);
                // Pictures and marks wrap at different times: of what it may be, it is the least.
                let wrapped = f64::from(FRAMES) / rate;
                let may_be = TURNS.map(|turn| nearest(late + f64::from(turn) * wrapped, wraps));
                may_be.fold(f64::INFINITY, |least, late| if late.abs() < least.abs() { late } else { least })
            })
            .collect();
        if let Some(offset) = percentile(&mut offsets, 0.5) {
            points.push(Point { at: mark.at, offset_ms: offset * 1000.0 });
        }
    }
    let signed = |part| percentile(&mut points.iter().map(|p| p.offset_ms).collect::<Vec<_>>(), part);
    let mut apart: Vec<f64> = points.iter().map(|p| p.offset_ms.abs()).collect();
    let judgement = judge((signed(0.05)?, signed(0.95)?));
    let (p50_ms, p95_ms) = (signed(0.5)?, percentile(&mut apart, 0.95)?);
    Some(Sync { p50_ms, p95_ms, drift_ms_per_hour: drift(&points), judgement, points })
}

fn judge((early, late): (f64, f64)) -> Judgement {
    let within = |limits: (f64, f64)| early >= limits.0 && late <= limits.1;
    match (within(NOTICED), within(MINDED)) {
        (true, _) => Judgement::Undetectable,
        (_, true) => Judgement::Acceptable,
        _ => Judgement::Unacceptable,
    }
}

/// The same but for whole turns, as near to zero as can be.
fn nearest(value: f64, turn: f64) -> f64 {
    value - (value / turn).round() * turn
}

/// The slope of a straight line through the points, ms an hour.
fn drift(points: &[Point]) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    if last.at - first.at < LONG {
        return None;
    }
    let count = points.len() as f64;
    let mean = |value: fn(&Point) -> f64| points.iter().map(value).sum::<f64>() / count;
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
    use crate::verify::evidence::{Mark, Sight};
    use proptest::prelude::*;

    /// `seconds` of somebody whose sound is late by so many ms at the start, and by so many more each hour.
    fn trace(seconds: u32, late_ms: f64, drift: f64, first: u32) -> Trace {
        let sight = |i: u32| Sight { at: 3.0 + f64::from(i) / 30.0, number: (first * 30 + i) % FRAMES, rate: 30 };
        let mark = |i: u32| {
            let at = 3.0 + f64::from(i) * LENGTH;
            Mark {
                at: at + (late_ms + drift * f64::from(i) * LENGTH / 3600.0) / 1000.0,
                number: (first * 2 + i) % MARKS,
            }
        };
        Trace {
            sights: (0..seconds * 30).map(sight).collect(),
            marks: (0..seconds * 2).map(mark).collect(),
            silences: vec![],
            ..Trace::default()
        }
    }

    proptest! {
        #[test]
        fn the_offset_is_found_whatever_the_numbers(late in -900.0f64..900.0, first in 0u32..100_000) {
            let found = sync(&trace(20, late, 0.0, first)).unwrap();
            prop_assert!((found.p50_ms - late).abs() < 0.5, "{} {late}", found.p50_ms);
            prop_assert!((found.p95_ms - late.abs()).abs() < 0.5);
            prop_assert!(found.drift_ms_per_hour.is_none());
        }
    }

    #[test]
    fn drift_is_told_of_long_traces() {
        let found = sync(&trace(120, 10.0, 300.0, 0)).unwrap();
        assert!((found.drift_ms_per_hour.unwrap() - 300.0).abs() < 10.0, "{found:?}");
        assert_eq!(sync(&Trace::default()), None);
        assert_eq!(sync(&Trace { marks: vec![], ..trace(5, 0.0, 0.0, 0) }), None);
    }

    #[test]
    fn people_notice_early_sound_sooner_than_late_sound() {
        let judged = |late| sync(&trace(20, late, 0.0, 0)).unwrap().judgement;
        assert_eq!(judged(0.0), Judgement::Undetectable);
        assert_eq!((judged(100.0), judged(-80.0)), (Judgement::Undetectable, Judgement::Acceptable));
        assert_eq!((judged(150.0), judged(-100.0)), (Judgement::Acceptable, Judgement::Unacceptable));
        assert_eq!(judged(200.0), Judgement::Unacceptable);
    }
}

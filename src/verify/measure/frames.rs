//! Video frames by number and time: present, missing, repeated, out of order, and freezes. Pure.

use super::statistics::{percentile, unwrap_number};
use crate::verify::detections::{FrameDetection, Interval};
use crate::verify::stamp::code::FRAME_NUMBERS;
use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};

/// Number of frames over which the average gap is taken (W3C webrtc-stats, `freezeCount`).
const AVERAGED: usize = 30;
/// A freeze is longer than the average gap by at least this, seconds (W3C webrtc-stats, `freezeCount`).
const FREEZE_MARGIN: f64 = 0.150;
/// Approximate number of points in a series of the report; at most twice as many.
const POINTS: usize = 400;
/// A frame number that is lower by more than this time of the source means a restart, otherwise out of order; seconds.
const RESTART: f64 = 1.0;

/// The video of a participant. Times in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FrameMeasurement {
    /// Distinct frames.
    pub present: u64,
    /// Frames missing between the first and the last.
    pub lost: u64,
    /// Lost frames outside of freezes that were not replaced by a frame without a stamp.
    pub dropped: u64,
    /// Repeated frames.
    pub doubled: u64,
    /// Frames after a later one.
    pub out_of_order: u64,
    /// Restarts of the source.
    pub restarts: u64,
    /// Distinct frames a second.
    pub fps: f64,
    /// Time of the first frame.
    pub first: f64,
    /// Time of the last frame.
    pub last: f64,
    /// Time of the source's frame 0: the median over all frames of presentation time minus source time.
    pub zero: f64,
    /// Intervals without a new frame.
    pub freezes: Vec<Interval>,
    /// Time, and how much later than by its number the frame came (ms, relative to `zero`); some hundred points.
    pub lateness: Vec<(f64, f64)>,
    /// Time, and number of frames lost just before it; some hundred points.
    pub losses: Vec<(f64, f64)>,
}

/// Measures frames in order of presentation. None without frames. `blanks` are the times of frames without a stamp: they replace
/// missing frames, and interrupt a freeze.
pub fn measure_frames(frames: &[FrameDetection], blanks: &[f64]) -> Option<FrameMeasurement> {
    let (first, last) = (frames.first()?, frames.last()?);
    let mut found = FrameMeasurement { first: first.at, last: last.at, ..FrameMeasurement::default() };
    let mut run = SourceRun::starting(i64::from(first.number));
    let mut zeros = Vec::with_capacity(frames.len());
    let mut times = Vec::with_capacity(frames.len());
    let mut pace = Gaps::default();
    let (mut blanks, mut blanked) = (blanks, 0);
    let mut losses: Vec<(f64, f64)> = Vec::new();
    for frame in frames {
        let rate = f64::from(frame.rate.max(1));
        let number = unwrap_number(run.highest, frame.number, FRAME_NUMBERS);
        if number < run.highest - (rate * RESTART) as i64 {
            found.restarts += 1;
            run.close(&mut found);
            run = SourceRun::starting(i64::from(frame.number));
            pace.step(frame.at, rate, 0, &mut found.freezes);
            run.seen.insert(run.highest);
            zeros.push(frame.at - f64::from(frame.number) / rate);
            times.push(frame.at);
            continue;
        }
        if !run.seen.insert(number) {
            found.doubled += 1;
            continue;
        }
        zeros.push(frame.at - number as f64 / rate);
        times.push(frame.at);
        if number < run.highest {
            found.out_of_order += 1;
            // It was counted as lost.
            losses.iter_mut().rev().find(|(_, count)| *count > 0.0).into_iter().for_each(|(_, count)| *count -= 1.0);
        } else {
            let skipped = number.abs_diff(run.highest).saturating_sub(1);
            run.highest = number;
            let replacements = blanks_until(&mut blanks, pace.last.unwrap_or(frame.at), frame.at);
            for blank in replacements {
                pace.step(*blank, rate, 0, &mut found.freezes);
            }
            if skipped > 0 {
                losses.push((frame.at, skipped as f64));
            }
            blanked += skipped.min(replacements.len() as u64);
            pace.step(frame.at, rate, skipped, &mut found.freezes);
        }
    }
    // A freeze may last until the end.
    pace.step(last.at, f64::from(last.rate.max(1)), 0, &mut found.freezes);
    run.close(&mut found);
    found.dropped = found.lost.saturating_sub(pace.frozen).saturating_sub(blanked);
    let step = zeros.len() / POINTS + 1;
    let shown: Vec<(f64, f64)> = times.iter().copied().zip(zeros.iter().copied()).step_by(step).collect();
    found.zero = percentile(&mut zeros, 0.5)?;
    found.lateness = shown.into_iter().map(|(at, zero)| (at, (zero - found.zero) * 1000.0)).collect();
    losses.retain(|(_, count)| *count > 0.0);
    let merged = |some: &[(f64, f64)]| Some((some.first()?.0, some.iter().map(|(_, count)| count).sum()));
    found.losses = losses.chunks(losses.len() / POINTS + 1).filter_map(merged).collect();
    let seconds = last.at - first.at;
    found.fps = if seconds > 0.0 { (found.present.saturating_sub(1)) as f64 / seconds } else { 0.0 };
    Some(found)
}

/// Removes the blanks before `until` from the front, and returns those after `from`.
fn blanks_until<'a>(blanks: &mut &'a [f64], from: f64, until: f64) -> &'a [f64] {
    let (before, rest) = blanks.split_at(blanks.partition_point(|at| *at < until));
    *blanks = rest;
    before.split_at(before.partition_point(|at| *at <= from)).1
}

/// The frames between two restarts of the source.
struct SourceRun {
    highest: i64,
    seen: BTreeSet<i64>,
}

impl SourceRun {
    fn starting(number: i64) -> SourceRun {
        SourceRun { highest: number, seen: BTreeSet::new() }
    }

    fn close(&mut self, found: &mut FrameMeasurement) {
        let present = self.seen.len() as u64;
        let span = self.seen.first().zip(self.seen.last()).map_or(0, |(first, last)| last.abs_diff(*first) + 1);
        found.present += present;
        found.lost += span - present;
    }
}

/// Gaps between new frames, for the detection of freezes.
#[derive(Default)]
struct Gaps {
    last: Option<f64>,
    /// Frames lost in freezes.
    frozen: u64,
    gaps: VecDeque<f64>,
}

impl Gaps {
    fn step(&mut self, at: f64, rate: f64, skipped: u64, freezes: &mut Vec<Interval>) {
        if let Some(last) = self.last {
            let gap = at - last;
            let average = match self.gaps.len() {
                0 => 1.0 / rate,
                count => self.gaps.iter().sum::<f64>() / count as f64,
            };
            if gap >= (3.0 * average).max(average + FREEZE_MARGIN) {
                freezes.push(Interval { from: last, until: at });
                self.frozen += skipped;
            }
            self.gaps.push_back(gap);
            if self.gaps.len() > AVERAGED {
                self.gaps.pop_front();
            }
        }
        self.last = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn detections(numbers: impl IntoIterator<Item = u32>) -> Vec<FrameDetection> {
        numbers
            .into_iter()
            .enumerate()
            .map(|(i, number)| FrameDetection { at: 5.0 + i as f64 / 30.0, number, rate: 30 })
            .collect()
    }

    #[test]
    fn what_is_there_and_what_is_not() {
        assert_eq!(measure_frames(&[], &[]), None);
        let whole = measure_frames(&detections(100..400), &[]).unwrap();
        assert_eq!((whole.present, whole.lost, whole.doubled, whole.out_of_order), (300, 0, 0, 0));
        assert!((whole.fps - 30.0).abs() < 1e-9 && (whole.zero - (5.0 - 100.0 / 30.0)).abs() < 1e-9);
        let odd = measure_frames(&detections([1, 2, 2, 5, 4, 6, 6, 9]), &[]).unwrap();
        assert_eq!((odd.present, odd.lost, odd.doubled, odd.out_of_order), (6, 3, 2, 1));
        assert_eq!(odd.losses.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1.0, 2.0]);
    }

    #[test]
    fn numbers_wrap_and_sources_repeat() {
        let wrapped = measure_frames(&detections((FRAME_NUMBERS - 50..FRAME_NUMBERS).chain(0..50)), &[]).unwrap();
        assert_eq!((wrapped.present, wrapped.lost, wrapped.restarts), (100, 0, 0));
        let twice = measure_frames(&detections((0..90).chain(0..90)), &[]).unwrap();
        assert_eq!((twice.present, twice.lost, twice.restarts, twice.doubled), (180, 0, 1, 0));
    }

    /// The gap is measured from the last new frame; repeated frames do not end it.
    #[test]
    fn a_freeze_is_what_the_w3c_calls_one() {
        let mut seen: Vec<FrameDetection> = detections(0..60);
        let held = seen[59].number;
        let from = seen[59].at;
        seen.extend((1..60).map(|i| FrameDetection { at: from + i as f64 / 30.0, number: held, rate: 30 }));
        seen.extend((0..60u32).map(|i| FrameDetection {
            at: from + 2.0 + f64::from(i) / 30.0,
            number: 120 + i,
            rate: 30,
        }));
        let found = measure_frames(&seen, &[]).unwrap();
        assert_eq!(found.freezes.len(), 1);
        assert!((found.freezes[0].from - from).abs() < 1e-9 && (found.freezes[0].until - from - 2.0).abs() < 1e-9);
        assert_eq!((found.doubled, found.lost, found.dropped), (59, 60, 0));
        // 180 ms are less than an average of 33 ms and 150 ms; 190 ms are more.
        for (gap, count) in [(0.180, 0), (0.190, 1)] {
            let late = |i: u32| FrameDetection {
                at: f64::from(i) / 30.0 + if i > 40 { gap - 1.0 / 30.0 } else { 0.0 },
                number: i,
                rate: 30,
            };
            assert_eq!(
                measure_frames(&(0..80).map(late).collect::<Vec<_>>(), &[]).unwrap().freezes.len(),
                count,
                "{gap}"
            );
        }
        // A source of 5 frames a second does not freeze.
        let slow = |i: u32| FrameDetection { at: f64::from(i) / 5.0, number: i, rate: 5 };
        assert_eq!(measure_frames(&(0..20).map(slow).collect::<Vec<_>>(), &[]).unwrap().freezes, []);
        // A frame that stays until the end.
        let mut seen: Vec<FrameDetection> = detections(0..60);
        seen.extend((1..30).map(|i| FrameDetection { at: from + i as f64 / 30.0, number: held, rate: 30 }));
        assert_eq!(measure_frames(&seen, &[]).unwrap().freezes.len(), 1);
    }

    #[test]
    fn pictures_of_something_else_are_no_freeze() {
        let seen = detections((0..60).chain(120..180));
        let seen: Vec<FrameDetection> =
            seen.into_iter().map(|s| FrameDetection { at: 5.0 + f64::from(s.number) / 30.0, ..s }).collect();
        let blanks: Vec<f64> = (60..120).map(|n| 5.0 + f64::from(n) / 30.0).collect();
        let found = measure_frames(&seen, &blanks).unwrap();
        assert_eq!((found.lost, found.dropped, found.freezes.len()), (60, 0, 0));
        // With half of them, the frames without a replacement are dropped.
        let found = measure_frames(&seen, &blanks.iter().copied().step_by(2).collect::<Vec<_>>()).unwrap();
        assert_eq!((found.lost, found.dropped, found.freezes.len()), (60, 30, 0));
    }

    proptest! {
        #[test]
        fn every_picture_is_counted_once(dropped in prop::collection::btree_set(1u32..299, 0..60), twice in prop::collection::btree_set(1u32..299, 0..60)) {
            let shown: Vec<u32> = (0..300).filter(|n| !dropped.contains(n)).flat_map(|n| std::iter::repeat_n(n, 1 + usize::from(twice.contains(&n)))).collect();
            let found = measure_frames(&detections(shown.iter().copied()), &[]).unwrap();
            prop_assert_eq!(found.lost as usize, dropped.len());
            prop_assert!(found.dropped <= found.lost && (!found.freezes.is_empty() || found.dropped == found.lost));
            prop_assert_eq!(found.present as usize, 300 - dropped.len());
            prop_assert_eq!(found.doubled as usize, twice.difference(&dropped).count());
            prop_assert_eq!(found.out_of_order, 0);
        }

        #[test]
        fn swapped_neighbours_are_out_of_order_and_not_lost(at in prop::collection::btree_set(0u32..99, 0..30)) {
            let mut shown: Vec<u32> = (0..300).collect();
            at.iter().for_each(|n| shown.swap(*n as usize * 3, *n as usize * 3 + 1));
            let found = measure_frames(&detections(shown), &[]).unwrap();
            prop_assert_eq!((found.lost, found.doubled, found.out_of_order as usize), (0, 0, at.len()));
        }
    }
}

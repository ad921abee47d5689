//! Pictures by number and time: which are there, which are missing, and where the picture stood still. Pure.

use super::{percentile, unwrap};
use crate::verify::evidence::{Sight, Stretch};
use crate::verify::stamp::code::FRAMES;
use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};

/// Over how many pictures the average gap is taken (W3C webrtc-stats, `freezeCount`).
const AVERAGED: usize = 30;
/// What a freeze is longer than the average gap, at least, seconds.
const LONGER: f64 = 0.150;
/// Pictures whose lateness is told, at most twice as many.
const SHOWN: usize = 400;
/// A number that is more than so many seconds of source lower begins the source anew; less is out of order.
const BACK: f64 = 1.0;

/// What became of a participant's pictures. Times in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Frames {
    pub present: u64,
    pub lost: u64,
    /// Of those, how many are missing outside of freezes, and without a picture of something else in their place.
    pub dropped: u64,
    pub doubled: u64,
    pub out_of_order: u64,
    pub restarts: u64,
    pub fps: f64,
    pub first: f64,
    pub last: f64,
    /// Where picture 0 of the source lies: the median of when each was seen minus when it should be.
    pub zero: f64,
    pub freezes: Vec<Stretch>,
    /// When pictures were seen, and how much later than their number says (ms, against `zero`): some hundred of them.
    pub lateness: Vec<(f64, f64)>,
    /// When pictures were missing, and how many: at most some hundred times.
    pub losses: Vec<(f64, f64)>,
}

/// Measures pictures in the order in which they were seen. None where there are none. `blanks` says when pictures without a stamp were
/// shown: they stand for those that are missing meanwhile, and nothing stood still.
pub fn frames(sights: &[Sight], blanks: &[f64]) -> Option<Frames> {
    let (first, last) = (sights.first()?, sights.last()?);
    let mut found = Frames { first: first.at, last: last.at, ..Frames::default() };
    let mut run = Run::starting(i64::from(first.number));
    let mut zeros = Vec::with_capacity(sights.len());
    let mut times = Vec::with_capacity(sights.len());
    let mut pace = Pace::default();
    let (mut blanks, mut blanked) = (blanks, 0);
    let mut losses: Vec<(f64, f64)> = Vec::new();
    for sight in sights {
        let rate = f64::from(sight.rate.max(1));
        let number = unwrap(run.highest, sight.number, FRAMES);
        if number < run.highest - (rate * BACK) as i64 {
            found.restarts += 1;
            run.close(&mut found);
            run = Run::starting(i64::from(sight.number));
            pace.step(sight.at, rate, 0, &mut found.freezes);
            run.seen.insert(run.highest);
            zeros.push(sight.at - f64::from(sight.number) / rate);
            times.push(sight.at);
            continue;
        }
        if !run.seen.insert(number) {
            found.doubled += 1;
            continue;
        }
        zeros.push(sight.at - number as f64 / rate);
        times.push(sight.at);
        if number < run.highest {
            found.out_of_order += 1;
            // It is not missing after all.
            losses.iter_mut().rev().find(|(_, count)| *count > 0.0).into_iter().for_each(|(_, count)| *count -= 1.0);
        } else {
            let skipped = number.abs_diff(run.highest).saturating_sub(1);
            run.highest = number;
            let shown = blanks_until(&mut blanks, pace.last.unwrap_or(sight.at), sight.at);
            for blank in shown {
                pace.step(*blank, rate, 0, &mut found.freezes);
            }
            if skipped > 0 {
                losses.push((sight.at, skipped as f64));
            }
            blanked += skipped.min(shown.len() as u64);
            pace.step(sight.at, rate, skipped, &mut found.freezes);
        }
    }
    // A picture that stands until the end.
    pace.step(last.at, f64::from(last.rate.max(1)), 0, &mut found.freezes);
    run.close(&mut found);
    found.dropped = found.lost.saturating_sub(pace.frozen).saturating_sub(blanked);
    let step = zeros.len() / SHOWN + 1;
    let shown: Vec<(f64, f64)> = times.iter().copied().zip(zeros.iter().copied()).step_by(step).collect();
    found.zero = percentile(&mut zeros, 0.5)?;
    found.lateness = shown.into_iter().map(|(at, zero)| (at, (zero - found.zero) * 1000.0)).collect();
    losses.retain(|(_, count)| *count > 0.0);
    let together = |some: &[(f64, f64)]| Some((some.first()?.0, some.iter().map(|(_, count)| count).sum()));
    found.losses = losses.chunks(losses.len() / SHOWN + 1).filter_map(together).collect();
    let seconds = last.at - first.at;
    found.fps = if seconds > 0.0 { (found.present.saturating_sub(1)) as f64 / seconds } else { 0.0 };
    Some(found)
}

/// The first of the blanks that lie between two times; they and those before are taken off.
fn blanks_until<'a>(blanks: &mut &'a [f64], from: f64, until: f64) -> &'a [f64] {
    let (before, rest) = blanks.split_at(blanks.partition_point(|at| *at < until));
    *blanks = rest;
    before.split_at(before.partition_point(|at| *at <= from)).1
}

/// Pictures of a source from its beginning, or from where it was first seen.
struct Run {
    highest: i64,
    seen: BTreeSet<i64>,
}

impl Run {
    fn starting(number: i64) -> Run {
        Run { highest: number, seen: BTreeSet::new() }
    }

    fn close(&mut self, found: &mut Frames) {
        let present = self.seen.len() as u64;
        let span = self.seen.first().zip(self.seen.last()).map_or(0, |(first, last)| last.abs_diff(*first) + 1);
        found.present += present;
        found.lost += span - present;
    }
}

/// The gaps between pictures that are new.
#[derive(Default)]
struct Pace {
    last: Option<f64>,
    /// Pictures that are missing in freezes.
    frozen: u64,
    gaps: VecDeque<f64>,
}

impl Pace {
    fn step(&mut self, at: f64, rate: f64, skipped: u64, freezes: &mut Vec<Stretch>) {
        if let Some(last) = self.last {
            let gap = at - last;
            let average = match self.gaps.len() {
                0 => 1.0 / rate,
                count => self.gaps.iter().sum::<f64>() / count as f64,
            };
            if gap >= (3.0 * average).max(average + LONGER) {
                freezes.push(Stretch { from: last, until: at });
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

    fn sights(numbers: impl IntoIterator<Item = u32>) -> Vec<Sight> {
        numbers
            .into_iter()
            .enumerate()
            .map(|(i, number)| Sight { at: 5.0 + i as f64 / 30.0, number, rate: 30 })
            .collect()
    }

    #[test]
    fn what_is_there_and_what_is_not() {
        assert_eq!(frames(&[], &[]), None);
        let whole = frames(&sights(100..400), &[]).unwrap();
        assert_eq!((whole.present, whole.lost, whole.doubled, whole.out_of_order), (300, 0, 0, 0));
        assert!((whole.fps - 30.0).abs() < 1e-9 && (whole.zero - (5.0 - 100.0 / 30.0)).abs() < 1e-9);
        let odd = frames(&sights([1, 2, 2, 5, 4, 6, 6, 9]), &[]).unwrap();
        assert_eq!((odd.present, odd.lost, odd.doubled, odd.out_of_order), (6, 3, 2, 1));
        assert_eq!(odd.losses.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1.0, 2.0]);
    }

    #[test]
    fn numbers_wrap_and_sources_repeat() {
        let wrapped = frames(&sights((FRAMES - 50..FRAMES).chain(0..50)), &[]).unwrap();
        assert_eq!((wrapped.present, wrapped.lost, wrapped.restarts), (100, 0, 0));
        let twice = frames(&sights((0..90).chain(0..90)), &[]).unwrap();
        assert_eq!((twice.present, twice.lost, twice.restarts, twice.doubled), (180, 0, 1, 0));
    }

    /// The gap is measured from the last picture that was new; pictures shown again do not end it.
    #[test]
    fn a_freeze_is_what_the_w3c_calls_one() {
        let mut seen: Vec<Sight> = sights(0..60);
        let held = seen[59].number;
        let from = seen[59].at;
        seen.extend((1..60).map(|i| Sight { at: from + i as f64 / 30.0, number: held, rate: 30 }));
        seen.extend((0..60u32).map(|i| Sight { at: from + 2.0 + f64::from(i) / 30.0, number: 120 + i, rate: 30 }));
        let found = frames(&seen, &[]).unwrap();
        assert_eq!(found.freezes.len(), 1);
        assert!((found.freezes[0].from - from).abs() < 1e-9 && (found.freezes[0].until - from - 2.0).abs() < 1e-9);
        assert_eq!((found.doubled, found.lost, found.dropped), (59, 60, 0));
        // 180 ms are less than an average of 33 ms and 150 ms; 190 ms are more.
        for (gap, count) in [(0.180, 0), (0.190, 1)] {
            let late = |i: u32| Sight {
                at: f64::from(i) / 30.0 + if i > 40 { gap - 1.0 / 30.0 } else { 0.0 },
                number: i,
                rate: 30,
            };
            assert_eq!(frames(&(0..80).map(late).collect::<Vec<_>>(), &[]).unwrap().freezes.len(), count, "{gap}");
        }
        // Five pictures a second by choice are no freezes.
        let slow = |i: u32| Sight { at: f64::from(i) / 5.0, number: i, rate: 5 };
        assert_eq!(frames(&(0..20).map(slow).collect::<Vec<_>>(), &[]).unwrap().freezes, []);
        // A picture that stands until the end.
        let mut seen: Vec<Sight> = sights(0..60);
        seen.extend((1..30).map(|i| Sight { at: from + i as f64 / 30.0, number: held, rate: 30 }));
        assert_eq!(frames(&seen, &[]).unwrap().freezes.len(), 1);
    }

    #[test]
    fn pictures_of_something_else_are_no_freeze() {
        let seen = sights((0..60).chain(120..180));
        let seen: Vec<Sight> = seen.into_iter().map(|s| Sight { at: 5.0 + f64::from(s.number) / 30.0, ..s }).collect();
        let blanks: Vec<f64> = (60..120).map(|n| 5.0 + f64::from(n) / 30.0).collect();
        let found = frames(&seen, &blanks).unwrap();
        assert_eq!((found.lost, found.dropped, found.freezes.len()), (60, 0, 0));
        // Half of them: what nothing came for is missing.
        let found = frames(&seen, &blanks.iter().copied().step_by(2).collect::<Vec<_>>()).unwrap();
        assert_eq!((found.lost, found.dropped, found.freezes.len()), (60, 30, 0));
    }

    proptest! {
        #[test]
        fn every_picture_is_counted_once(dropped in prop::collection::btree_set(1u32..299, 0..60), twice in prop::collection::btree_set(1u32..299, 0..60)) {
            let shown: Vec<u32> = (0..300).filter(|n| !dropped.contains(n)).flat_map(|n| std::iter::repeat_n(n, 1 + usize::from(twice.contains(&n)))).collect();
            let found = frames(&sights(shown.iter().copied()), &[]).unwrap();
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
            let found = frames(&sights(shown), &[]).unwrap();
            prop_assert_eq!((found.lost, found.doubled, found.out_of_order as usize), (0, 0, at.len()));
        }
    }
}

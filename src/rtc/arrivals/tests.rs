//! Tests of what has arrived, on a clock of their own.

use super::*;
use proptest::prelude::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A stream that is old enough, with packets up to `newest` at 0 ms, and its clock.
fn stream(newest: u64) -> (Arrivals, impl Fn(u64) -> Instant) {
    let start = Instant::now();
    let mut arrivals = Arrivals::new(90_000);
    arrivals.on_packet(newest - 1, 0, start, true);
    arrivals.on_packet(newest, 0, start + YOUNG, true);
    (arrivals, move |at| start + YOUNG + ms(at))
}

#[test]
fn a_hole_is_requested_after_patience_and_again_after_a_round_trip() {
    let (mut arrivals, at) = stream(65_534);
    let mut round_trip = RoundTrip::default();
    arrivals.on_packet(65_537, 0, at(10), true);
    assert_eq!(arrivals.request_due(at(17), round_trip), [0; 0]);
    assert_eq!(arrivals.deadline(round_trip), Some(at(18)));
    assert_eq!(arrivals.request_due(at(18), round_trip), [65_535, 0]);
    assert_eq!(arrivals.on_packet(65_535, 0, at(58), true), Some(ms(40)));
    round_trip.on_answer(ms(40));
    assert_eq!(round_trip.retry(), ms(70));
    assert_eq!(arrivals.deadline(round_trip), Some(at(88)));
    assert_eq!(arrivals.request_due(at(87), round_trip), [0; 0]);
    assert_eq!(arrivals.request_due(at(88), round_trip), [0]);
    assert_eq!(arrivals.on_repair(0, at(130)), None, "nobody knows which request was answered");
    assert_eq!((arrivals.deadline(round_trip), arrivals.request_due(at(500), round_trip).len()), (None, 0));
}

#[test]
fn what_never_comes_is_given_up() {
    let (mut arrivals, at) = stream(100);
    arrivals.on_packet(102, 0, at(0), true);
    let round_trip = RoundTrip::default();
    let requested: usize = (0..3000).map(|now| arrivals.request_due(at(now), round_trip).len()).sum();
    assert_eq!(requested, 7, "145 ms apart within a second");
    assert_eq!(arrivals.deadline(round_trip), None);
}

#[test]
fn the_first_second_waits_for_those_on_the_librarys_way() {
    let (start, mut arrivals) = (Instant::now(), Arrivals::new(48_000));
    arrivals.on_packet(7, 0, start, true);
    arrivals.on_packet(9, 0, start + ms(20), true);
    assert_eq!(arrivals.request_due(start + ms(119), RoundTrip::default()), [0; 0]);
    assert_eq!(arrivals.request_due(start + ms(120), RoundTrip::default()), [8]);
}

#[test]
fn a_long_hole_is_requested_from_its_end_and_without_repairs_not_at_all() {
    let (mut arrivals, at) = stream(100);
    arrivals.on_packet(10_000, 0, at(0), true);
    arrivals.on_packet(20_000, 0, at(0), true);
    arrivals.on_packet(30_000, 0, at(0), true);
    let requested = arrivals.request_due(at(10), RoundTrip::default());
    assert_eq!((requested.len(), requested[0], requested[999]), (1000, 19_500, 29_999));
    let (mut without, at) = stream(100);
    without.on_packet(102, 0, at(0), false);
    assert_eq!(without.deadline(RoundTrip::default()), None);
}

#[test]
fn reports_tell_of_loss_since_the_last_one() {
    let (mut arrivals, at) = stream(1001);
    arrivals.on_sender_report(0x1234_5678_9abc_def0, at(0));
    let first = arrivals.report(at(500), true).unwrap();
    assert_eq!((first.fraction_lost, first.total_lost, first.highest), (0, 0, 1001));
    assert_eq!((first.last_report, first.since_report), (0x5678_9abc, 32_768));
    arrivals.on_packet(1005, 0, at(600), true);
    let lost = arrivals.report(at(700), false).unwrap();
    assert_eq!((lost.fraction_lost, lost.total_lost), (192, 3), "three of four");
    assert_eq!(arrivals.report(at(700), true), Some(lost), "a block beside a request changes nothing");
    arrivals.on_packet(1003, 0, at(800), true);
    let late = arrivals.report(at(800), true).unwrap();
    assert_eq!((late.fraction_lost, late.total_lost, late.highest), (0, 2, 1005));
}

#[test]
fn jitter_follows_the_rfc() {
    let (start, mut arrivals) = (Instant::now(), Arrivals::new(48_000));
    for n in 0..200u32 {
        // Every other packet 5 ms late: a difference of 240 ticks each time.
        let late = if n % 2 == 0 { 0 } else { 5 };
        arrivals.on_packet(n.into(), n * 960, start + ms(u64::from(n) * 20 + late), false);
    }
    let jitter = arrivals.report(start, true).unwrap().jitter;
    assert!((238..=240).contains(&jitter), "{jitter}");
}

#[test]
fn an_ssrc_that_is_taken_up_again_goes_on_with_its_index() {
    let (mut arrivals, at) = stream(70_000);
    arrivals.on_packet(70_002, 0, at(0), true);
    arrivals.end();
    assert_eq!(arrivals.report(at(0), true), None);
    assert_eq!(arrivals.deadline(RoundTrip::default()), None);
    assert_eq!(arrivals.index(4470), Some(70_006));
    assert!(arrivals.is_replayed(70_002), "a copy of what came before");
    arrivals.on_packet(70_006, 0, at(100), true);
    assert_eq!(arrivals.deadline(RoundTrip::default()), None, "what was between the two is nobody's");
    assert_eq!(arrivals.report(at(100), true).unwrap().total_lost, 0);
}

#[test]
fn the_library_sees_a_packet_now_and_then() {
    let (mut arrivals, at) = stream(100);
    assert!(arrivals.is_shown(100, at(0)));
    arrivals.show(100, at(0));
    assert!(!arrivals.is_shown(101, at(3999)) && arrivals.is_shown(101, at(4000)));
    assert!(!arrivals.is_shown(99, at(9000)), "never an old one");
    assert!(!arrivals.is_shown(100 + SHOW_EACH - 1, at(1)) && arrivals.is_shown(100 + SHOW_EACH, at(1)));
}

proptest! {
    /// Whatever is lost, repeated and reordered: what is asked for has not come, and all that is missing is asked for.
    #[test]
    fn exactly_what_is_missing_is_requested(
        start in 60_000u64..70_000,
        fates in prop::collection::vec(0u8..6, 1..100),
    ) {
        let mut arrivals = Arrivals::new(90_000);
        let began = Instant::now();
        arrivals.on_packet(start, 0, began, true);
        let now = began + YOUNG;
        let (mut late, mut missing) = (Vec::new(), Vec::new());
        for (n, fate) in fates.iter().enumerate() {
            let index = start + 1 + n as u64;
            match fate {
                0 => missing.push(index),
                1 => late.push(index),
                _ => drop(arrivals.on_packet(index, 0, now, true)),
            }
        }
        let newest = start + 1 + fates.len() as u64;
        arrivals.on_packet(newest, 0, now, true);
        for index in late {
            prop_assert!(!arrivals.is_replayed(index));
            arrivals.on_packet(index, 0, now, true);
            prop_assert!(arrivals.is_replayed(index));
        }
        let requested = arrivals.request_due(now + PATIENCE, RoundTrip::default());
        prop_assert_eq!(requested, missing.iter().map(|index| *index as u16).collect::<Vec<_>>());
        prop_assert_eq!(arrivals.report(now, true).unwrap().total_lost, missing.len() as i32);
    }
}

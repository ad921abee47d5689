//! Synthetic senders with drift, jitter, wrong reports and clocks that step; every test asserts bounds in milliseconds.

use super::*;
use proptest::prelude::*;

/// A sender whose clocks run as told, and a network with a shortest delay of 15 ms and jitter on top.
struct Sim {
    /// RTP clock against true time, in ppm.
    rtp_ppm: f64,
    ntp_ppm: f64,
    /// Mean of the exponential jitter, in ms.
    jitter_ms: f64,
    /// How far reports scatter around the truth, in ms.
    report_noise_ms: f64,
    random: u64,
}

const DELAY: f64 = 0.015;
/// 2025 in NTP seconds.
const EPOCH: f64 = 3_944_000_000.0;

impl Sim {
    fn new(rtp_ppm: f64, ntp_ppm: f64, jitter_ms: f64) -> Self {
        Self { rtp_ppm, ntp_ppm, jitter_ms, report_noise_ms: 3.0, random: 0x2545_f491_4f6c_dd1d }
    }
    /// In 0..1.
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
    fn arrival(&mut self, sent: f64) -> SessionTime {
        let jitter = -self.jitter_ms / 1e3 * (1.0 - self.random()).ln();
        session(sent + DELAY + jitter)
    }
    fn rtp(&self, track: &Track, at: f64) -> i64 {
        track.start + (f64::from(track.rate) * at * (1.0 + self.rtp_ppm / 1e6)).round() as i64
    }
    fn ntp(&self, at: f64) -> u64 {
        ntp(EPOCH + at * (1.0 + self.ntp_ppm / 1e6))
    }
    /// Frames and reports over a span of true seconds. `twist` changes a report (its number, RTP, NTP seconds added).
    fn run(
        &mut self,
        track: &mut Track,
        sender: &mut SenderClock,
        span: std::ops::Range<f64>,
        mut twist: impl FnMut(u32, &mut i64, &mut f64),
    ) {
        let frame = if track.rate == 90_000 { 0.1 } else { 0.06 };
        let mut next_report = span.start + 1.0;
        let mut at = span.start;
        while at < span.end {
            let arrival = self.arrival(at);
            track.clock.on_arrival(self.rtp(track, at), arrival);
            if at >= next_report {
                next_report += 4.0 + 2.0 * self.random();
                let noise = (self.random() - 0.5) * 2.0 * self.report_noise_ms / 1e3;
                let (mut rtp, mut added) = (self.rtp(track, at + noise), 0.0);
                twist(track.reports, &mut rtp, &mut added);
                track.reports += 1;
                let seconds = EPOCH + at * (1.0 + self.ntp_ppm / 1e6) + added;
                let arrival = self.arrival(at);
                track.clock.on_sender_report(sender, rtp, ntp(seconds), arrival);
            }
            at += frame;
        }
    }
    /// Milliseconds that the track's mapping is off at a true time.
    fn error(&self, track: &Track, sender: &SenderClock, at: f64) -> f64 {
        let mapping = track.clock.mapping(sender).unwrap();
        (mapping.to_session(self.rtp(track, at)).as_secs_f64() - at - DELAY) * 1e3
    }
}

struct Track {
    clock: TrackClock,
    rate: u32,
    start: i64,
    reports: u32,
}

impl Track {
    fn new(rate: u32) -> Self {
        Self { clock: TrackClock::new(rate), rate, start: 4_000_000_000, reports: 0 }
    }
}

fn session(seconds: f64) -> SessionTime {
    SessionTime((seconds * 1e9) as i64)
}
fn ntp(seconds: f64) -> u64 {
    (seconds.trunc() as u64) << 32 | (seconds.fract() * 4_294_967_296.0) as u64
}
fn honest(_: u32, _: &mut i64, _: &mut f64) {}

#[track_caller]
fn assert_within(ms: f64, errors: impl IntoIterator<Item = (f64, f64)>) {
    for (at, error) in errors {
        assert!(error.abs() <= ms, "{error:.2} ms off at {at} s, allowed {ms}");
    }
}

#[test]
fn two_hours_of_drift_stay_within_20_ms() {
    for (rtp_ppm, ntp_ppm) in [(50.0, -50.0), (-50.0, 50.0), (0.0, 50.0), (80.0, 10.0)] {
        let mut sim = Sim::new(rtp_ppm, ntp_ppm, 30.0);
        let (mut audio, mut sender) = (Track::new(48_000), SenderClock::new());
        sim.run(&mut audio, &mut sender, 0.0..7200.0, honest);
        assert_within(20.0, (0..=72).map(|i| f64::from(i) * 100.0).map(|at| (at, sim.error(&audio, &sender, at))));
        let mapping = audio.clock.mapping(&sender).unwrap();
        assert_eq!((mapping.basis, mapping.later.len(), mapping.reports_rejected), (Basis::SenderReports, 0, 0));
        assert!((mapping.drift_ppm() - rtp_ppm).abs() < 3.0, "{} is not {rtp_ppm}", mapping.drift_ppm());
        assert!((1_000_000..8_000_000).contains(&mapping.error_ns), "{}", mapping.error_ns);
    }
}

#[test]
fn the_mapping_is_good_at_any_moment_of_the_meeting() {
    let mut sim = Sim::new(40.0, -30.0, 20.0);
    let (mut video, mut sender) = (Track::new(90_000), SenderClock::new());
    let mut until = 0.0;
    for step in [10.0, 30.0, 60.0, 120.0, 600.0, 1200.0] {
        sim.run(&mut video, &mut sender, until..until + step, honest);
        until += step;
        assert_within(25.0, [0.0, until / 2.0, until].map(|at| (at, sim.error(&video, &sender, at))));
    }
}

#[test]
fn sound_and_picture_lie_together_whatever_the_network_does() {
    let mut sim = Sim::new(60.0, 20.0, 150.0);
    let (mut audio, mut video, mut sender) = (Track::new(48_000), Track::new(90_000), SenderClock::new());
    let apart = |sim: &Sim, audio: &Track, video: &Track, sender: &SenderClock, at| {
        sim.error(audio, sender, at) - sim.error(video, sender, at)
    };
    for minute in 0..30 {
        let span = f64::from(minute) * 60.0..f64::from(minute + 1) * 60.0;
        sim.run(&mut audio, &mut sender, span.clone(), honest);
        sim.run(&mut video, &mut sender, span.clone(), honest);
        let times = [0.0, span.start, span.end];
        assert_within(5.0, times.map(|at| (at, apart(&sim, &audio, &video, &sender, at))));
    }
    assert_within(1.0, [0.0, 900.0, 1800.0].map(|at| (at, apart(&sim, &audio, &video, &sender, at))));
}

#[test]
fn wrong_reports_are_rejected() {
    let mut sim = Sim::new(20.0, -20.0, 10.0);
    let (mut audio, mut sender) = (Track::new(48_000), SenderClock::new());
    let mut wrong = 0;
    sim.run(&mut audio, &mut sender, 0.0..1200.0, |number, rtp, added| {
        match number % 9 {
            4 => *added = 5.0,
            7 => *rtp -= 48_000 * 30,
            8 => *rtp += 4800,
            _ => return,
        }
        wrong += 1;
    });
    assert_within(15.0, [0.0, 600.0, 1200.0].map(|at| (at, sim.error(&audio, &sender, at))));
    let mapping = audio.clock.mapping(&sender).unwrap();
    assert_eq!((mapping.reports_rejected, mapping.later.len()), (wrong, 0));
    assert_eq!(mapping.reports_used + wrong, audio.reports);
}

#[test]
fn a_wrong_first_report_is_outvoted() {
    for seconds in [-3600.0, -1.0, 0.3, 7.0] {
        let mut sim = Sim::new(0.0, 0.0, 10.0);
        let (mut audio, mut sender) = (Track::new(48_000), SenderClock::new());
        sim.run(&mut audio, &mut sender, 0.0..120.0, |number, _, added| {
            *added = if number == 0 { seconds } else { 0.0 }
        });
        assert_within(15.0, [0.0, 60.0, 120.0].map(|at| (at, sim.error(&audio, &sender, at))));
        let mapping = audio.clock.mapping(&sender).unwrap();
        assert_eq!((mapping.reports_rejected, mapping.later.len()), (1, 0));
    }
}

#[test]
fn a_wall_clock_that_is_set_moves_nothing() {
    for seconds in [0.2, 3.0, -40.0, 86_400.0] {
        let mut sim = Sim::new(10.0, 10.0, 10.0);
        let (mut audio, mut video, mut sender) = (Track::new(48_000), Track::new(90_000), SenderClock::new());
        for minute in 0..10 {
            let span = f64::from(minute) * 60.0..f64::from(minute + 1) * 60.0;
            let set = move |_: u32, _: &mut i64, added: &mut f64| *added = if minute < 5 { 0.0 } else { seconds };
            sim.run(&mut audio, &mut sender, span.clone(), set);
            sim.run(&mut video, &mut sender, span, set);
        }
        for at in [0.0, 150.0, 299.0, 301.0, 450.0, 600.0] {
            let (audio, video) = (sim.error(&audio, &sender, at), sim.error(&video, &sender, at));
            assert_within(25.0, [(at, audio), (at, video)]);
            assert_within(5.0, [(at, audio - video)]);
        }
        assert_eq!(audio.clock.mapping(&sender).unwrap().later.len(), 1, "{seconds}");
    }
}

#[test]
fn a_suspended_sender_leaves_a_hole_in_session_time() {
    // Asleep for ten minutes: with RTP and NTP both stopped, and with RTP alone.
    for ntp_stops in [true, false] {
        let mut sim = Sim::new(10.0, 10.0, 10.0);
        let (mut audio, mut sender) = (Track::new(48_000), SenderClock::new());
        sim.run(&mut audio, &mut sender, 0.0..300.0, honest);
        // From here on the sender's clocks say 600 s less than the truth.
        let slept = 600.0;
        let mut at = 300.0;
        let mut next_report = 301.0;
        while at < 600.0 {
            let arrival = sim.arrival(at + slept);
            audio.clock.on_arrival(sim.rtp(&audio, at), arrival);
            if at >= next_report {
                next_report += 5.0;
                let arrival = sim.arrival(at + slept);
                let ntp = sim.ntp(if ntp_stops { at } else { at + slept });
                audio.clock.on_sender_report(&mut sender, sim.rtp(&audio, at), ntp, arrival);
            }
            at += 0.06;
        }
        assert_within(20.0, [0.0, 150.0, 299.0].map(|at| (at, sim.error(&audio, &sender, at))));
        assert_within(30.0, [301.0, 400.0, 600.0].map(|at| (at, sim.error(&audio, &sender, at) - slept * 1e3)));
        assert_eq!(audio.clock.mapping(&sender).unwrap().later.len(), 1);
    }
}

#[test]
fn without_reports_the_earliest_arrivals_count() {
    let mut sim = Sim::new(100.0, 0.0, 25.0);
    let (mut video, sender) = (Track::new(90_000), SenderClock::new());
    assert_eq!(video.clock.mapping(&sender), None);
    let mut reports = SenderClock::new();
    let mut at = 0.0;
    while at < 3600.0 {
        let arrival = sim.arrival(at);
        video.clock.on_arrival(sim.rtp(&video, at), arrival);
        at += 0.1;
    }
    assert_within(10.0, [0.0, 1800.0, 3600.0].map(|at| (at, sim.error(&video, &sender, at))));
    let mapping = video.clock.mapping(&sender).unwrap();
    assert_eq!((mapping.basis, mapping.reports_used), (Basis::Arrival, 0));
    assert!((mapping.drift_ppm() - 100.0).abs() < 5.0);
    assert!(mapping.error_ns >= 20_000_000, "arrivals promise no more");
    // A report without wallclock changes nothing.
    video.clock.on_sender_report(&mut reports, 5, 0, SessionTime(0));
    let after = video.clock.mapping(&reports).unwrap();
    assert_eq!((after.basis, after.reports_rejected), (Basis::Arrival, 1));
}

#[test]
fn rtp_time_unwraps_to_the_nearest() {
    let wrap = 1 << 32;
    assert_eq!(unwrap_rtp(wrap - 10, 5), wrap + 5);
    assert_eq!(unwrap_rtp(wrap + 5, u32::MAX), wrap - 1);
    assert_eq!(unwrap_rtp(3 * wrap, 0), 3 * wrap);
    assert_eq!(unwrap_rtp(0, u32::MAX), -1);
    assert_eq!(unwrap_rtp(7, 0x7fff_0000), 0x7fff_0000);
}

#[test]
fn the_manifest_keeps_the_mapping() {
    let mut sim = Sim::new(33.0, -12.0, 10.0);
    let (mut audio, mut sender) = (Track::new(48_000), SenderClock::new());
    sim.run(&mut audio, &mut sender, 0.0..600.0, honest);
    let mapping = audio.clock.mapping(&sender).unwrap();
    let json = serde_json::to_string(&mapping.summary()).unwrap();
    for field in [
        "basis",
        "origin_rtp",
        "origin_ns",
        "ticks_per_second",
        "error_ms",
        "drift_ppm",
        "reports_used",
        "reports_rejected",
    ] {
        assert!(json.contains(&format!("\"{field}\":")), "{field} is not in {json}");
    }
    assert!(!json.contains("later"));
    let again = serde_json::from_str::<ClockSummary>(&json).unwrap().mapping();
    for at in [0.0, 300.0, 600.0, 7200.0] {
        let rtp = sim.rtp(&audio, at);
        assert!((again.to_session(rtp).0 - mapping.to_session(rtp).0).abs() <= 1000);
    }
}

#[test]
fn session_time_has_a_sign() {
    let start = Instant::now();
    let later = start + std::time::Duration::from_millis(5);
    assert_eq!(SessionTime::since(start, later), SessionTime(5_000_000));
    assert_eq!(SessionTime::since(later, start), SessionTime(-5_000_000));
}

proptest! {
    /// Nothing that a sender can say makes it panic or grow.
    #[test]
    fn hostile_reports(reports in prop::collection::vec((any::<i64>(), any::<u64>(), any::<i64>(), any::<bool>()), 0..400)) {
        let (mut track, mut sender) = (TrackClock::new(90_000), SenderClock::new());
        for (rtp, ntp, at, arrival) in reports {
            if arrival {
                track.on_arrival(rtp, SessionTime(at));
            } else {
                track.on_sender_report(&mut sender, rtp >> 20, ntp, SessionTime(at >> 10));
            }
            if let Some(mapping) = track.mapping(&sender) {
                prop_assert!(mapping.later.len() < 64);
                mapping.to_session(rtp);
                mapping.summary();
            }
        }
    }
}

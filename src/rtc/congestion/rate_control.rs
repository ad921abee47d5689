//! How much a path carries, from what its receiver reports of each packet: a target that falls when a queue stands or packets are
//! lost, and rises again while there is neither. Pure: it is told the time, sends nothing and paces nothing.
//!
//! The library's own controller (draft-ietf-rmcat-gcc) lowers its target with every report while a queue drains, to a fraction of
//! what the path carries, and then takes a quarter of a minute to come back; so this is ours. As in NADA (RFC 8698) the delay itself
//! is the signal, and not its slope: what a packet took longer than the fastest one of the last seconds is what it has waited.

use crate::rtc::congestion::windowed_min::WindowedMin;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A standing queue longer than this is congestion; below the second, there is none.
const CONGESTED_DELAY: Duration = Duration::from_millis(60);
const FREE_DELAY: Duration = Duration::from_millis(25);
/// More packets lost than this share is congestion; a radio loses some without.
const CONGESTED_LOSS: f64 = 0.10;
/// What the target becomes of what arrived, so that the queue drains.
const BACK_OFF: f64 = 0.85;
/// How long the queue is given to show what the last change did, beside the round trip; the losses of before are forgotten then.
const SETTLE: Duration = WINDOW;
/// A queue that has become shorter by a tenth is draining; it is given so long for that.
const DRAIN_TIME: Duration = Duration::from_millis(1500);
/// Growth a second: of what is far from where it was congested, and near there, as a share of the target.
const GROWTH: f64 = 0.25;
const GROWTH_NEAR_CEILING: f64 = 0.10;
/// The fastest packet of so long is the measure.
const BASE_DELAY_SPAN: Duration = Duration::from_secs(10);
/// The received rate and the loss are those of so long.
const WINDOW: Duration = Duration::from_millis(500);

/// One packet as its receiver reported it (transport-wide feedback).
#[derive(Debug, Clone, Copy)]
pub(crate) struct PacketFeedback {
    /// When it was sent.
    pub departure: Instant,
    /// On the receiver's clock, whose zero is unknown; none: lost, or without a time.
    pub arrival: Option<Duration>,
    /// The receiver says that it did not arrive.
    pub lost: bool,
    /// Its size.
    pub bytes: usize,
}

/// The target of one path.
#[derive(Debug)]
pub(crate) struct RateControl {
    target: f64,
    least: f64,
    most: f64,
    epoch: Option<Instant>,
    /// The shortest one-way delay, ns on clocks that differ by a constant.
    base_delay: WindowedMin<i64>,
    /// Bytes and losses of the last reports.
    window: VecDeque<(Instant, usize, u32, u32)>,
    /// What arrived when the path was last congested.
    ceiling: Option<f64>,
    decreased: Option<Instant>,
    /// The queue when the target decreased.
    depth: Duration,
    increased: Option<Instant>,
}

impl RateControl {
    /// Begins at `initial` bits a second, and stays between `least` and `most`.
    pub fn new(initial: f64, least: f64, most: f64) -> RateControl {
        RateControl {
            target: initial.clamp(least, most),
            least,
            most,
            epoch: None,
            base_delay: WindowedMin::new(BASE_DELAY_SPAN),
            window: VecDeque::new(),
            ceiling: None,
            decreased: None,
            depth: Duration::ZERO,
            increased: None,
        }
    }

    /// Bits a second.
    pub fn target(&self) -> f64 {
        self.target
    }

    /// What the receiver reports at `now`, of packets whose round trip takes `round_trip`.
    pub fn on_feedback(&mut self, now: Instant, reports: &[PacketFeedback], round_trip: Duration) {
        let queue = self.queue(now, reports);
        let (received, loss) = self.received(now, reports);
        let congested = queue.is_some_and(|queue| queue > CONGESTED_DELAY) || loss > CONGESTED_LOSS;
        let settled =
            self.decreased.is_none_or(|decreased| now.saturating_duration_since(decreased) >= SETTLE + round_trip);
        if congested {
            self.increased = None;
            let queue = queue.unwrap_or_default();
            let draining = queue < self.depth.mul_f64(0.9)
                && loss <= CONGESTED_LOSS
                && self.decreased.is_some_and(|decreased| now.saturating_duration_since(decreased) < DRAIN_TIME);
            if settled && !draining {
                self.depth = queue;
                let carried = received.unwrap_or(self.target).min(self.target);
                self.ceiling = Some(carried);
                self.target = (carried * BACK_OFF).clamp(self.least, self.most);
                self.decreased = Some(now);
            }
        } else if settled && queue.is_some_and(|queue| queue < FREE_DELAY) {
            let elapsed = self
                .increased
                .replace(now)
                .map_or(Duration::ZERO, |increased| now.saturating_duration_since(increased));
            let near = self.ceiling.is_some_and(|ceiling| self.target > 0.8 * ceiling);
            // Past the ceiling by this much, there is another one.
            if self.ceiling.is_some_and(|ceiling| self.target > 1.15 * ceiling) {
                self.ceiling = None;
            }
            let growth = if near { GROWTH_NEAR_CEILING } else { GROWTH };
            self.target = (self.target * (1.0 + growth * elapsed.as_secs_f64().min(0.5))).clamp(self.least, self.most);
        } else {
            self.increased = None;
        }
    }

    /// How long the packet that waited least has waited: the first ones of a burst do not wait for their own kind.
    fn queue(&mut self, now: Instant, reports: &[PacketFeedback]) -> Option<Duration> {
        let epoch = *self.epoch.get_or_insert(now);
        let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        let delay = |report: &PacketFeedback| {
            // Packets may have left before the first report.
            let left = match report.departure.checked_duration_since(epoch) {
                Some(after) => nanos(after),
                None => -nanos(epoch.saturating_duration_since(report.departure)),
            };
            Some(nanos(report.arrival?).saturating_sub(left))
        };
        let least = reports.iter().filter_map(delay).min();
        let shortest = self.base_delay.update(now, least)?;
        let least = least?;
        Some(Duration::from_nanos(u64::try_from(least.saturating_sub(shortest)).unwrap_or(0)))
    }

    /// Bits a second that arrived, and the share of packets that did not.
    fn received(&mut self, now: Instant, reports: &[PacketFeedback]) -> (Option<f64>, f64) {
        let bytes = reports.iter().filter(|report| !report.lost).map(|report| report.bytes).sum();
        let lost = reports.iter().filter(|report| report.lost).count();
        self.window.push_back((now, bytes, lost as u32, reports.len() as u32));
        while self.window.front().is_some_and(|(at, ..)| now.saturating_duration_since(*at) > WINDOW) {
            self.window.pop_front();
        }
        let (mut lost, mut all) = (0, 0);
        for (_, _, gone, count) in &self.window {
            (lost, all) = (lost + gone, all + count);
        }
        // What the first report tells of was under way before the window began.
        let span = self.window.front().map_or(Duration::ZERO, |(at, ..)| now.saturating_duration_since(*at));
        let bytes: usize = self.window.iter().skip(1).map(|(_, bytes, ..)| bytes).sum();
        let rate = (span > WINDOW / 4).then(|| bytes as f64 * 8.0 / span.as_secs_f64());
        // A handful of packets says nothing.
        (rate, if all < 10 { 0.0 } else { f64::from(lost) / f64::from(all) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender that keeps to its target over a router with a queue of 300 ms, reported on every 50 ms.
    struct Link {
        control: RateControl,
        start: Instant,
        now: Duration,
        busy: Duration,
        owed: f64,
        under_way: VecDeque<(Duration, PacketFeedback)>,
    }

    impl Link {
        fn new() -> Link {
            let control = RateControl::new(1_500_000.0, 60_000.0, 8_000_000.0);
            let (start, now, busy) = (Instant::now(), Duration::ZERO, Duration::ZERO);
            Link { control, start, now, busy, owed: 0.0, under_way: VecDeque::new() }
        }

        /// So many seconds at this capacity; the targets, ten a second.
        fn run(&mut self, seconds: f64, capacity: f64, lost: impl Fn(u64) -> bool) -> Vec<f64> {
            let mut targets = Vec::new();
            let end = self.now + Duration::from_secs_f64(seconds);
            let mut count = 0;
            while self.now < end {
                self.now += Duration::from_millis(5);
                let millis = self.now.as_millis();
                // Thirty pictures a second, each a burst.
                self.owed += self.control.target() / 8.0 * 0.005;
                if millis.is_multiple_of(35) {
                    while self.owed > 0.0 {
                        count += 1;
                        self.owed -= 1000.0;
                        let from = self.busy.max(self.now);
                        let drop = lost(count) || from - self.now > Duration::from_millis(300);
                        if !drop {
                            self.busy = from + Duration::from_secs_f64(8000.0 / capacity);
                        }
                        let arrival = self.busy + Duration::from_millis(20);
                        let departure = self.start + self.now;
                        let report =
                            PacketFeedback { departure, arrival: (!drop).then_some(arrival), lost: drop, bytes: 1000 };
                        self.under_way.push_back((arrival, report));
                    }
                }
                if millis.is_multiple_of(50) {
                    let mut reports = Vec::new();
                    while self.under_way.front().is_some_and(|(arrival, _)| *arrival <= self.now) {
                        reports.extend(self.under_way.pop_front().map(|(_, report)| report));
                    }
                    if !reports.is_empty() {
                        self.control.on_feedback(self.start + self.now, &reports, Duration::from_millis(40));
                    }
                }
                if millis.is_multiple_of(100) {
                    targets.push(self.control.target());
                }
            }
            targets
        }
    }

    fn mean(targets: &[f64]) -> f64 {
        targets.iter().sum::<f64>() / targets.len() as f64
    }

    #[test]
    fn it_settles_below_what_the_path_carries_and_uses_most_of_it() {
        for capacity in [200_000.0, 500_000.0, 1_000_000.0, 3_000_000.0] {
            let targets = Link::new().run(40.0, capacity, |_| false);
            let settled = mean(&targets[200..]);
            assert!((0.7 * capacity..1.05 * capacity).contains(&settled), "{settled:.0} of {capacity:.0}");
        }
    }

    #[test]
    fn it_falls_within_a_second_and_not_to_the_ground() {
        let mut link = Link::new();
        link.run(10.0, 5_000_000.0, |_| false);
        let targets = link.run(10.0, 300_000.0, |_| false);
        let decreased = targets.iter().position(|target| *target < 330_000.0).expect("it falls");
        assert!(decreased <= 12, "after {decreased} tenths of a second");
        let lowest = targets.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(lowest > 170_000.0, "down to {lowest:.0}");
    }

    #[test]
    fn it_comes_back_within_ten_seconds() {
        let mut link = Link::new();
        link.run(10.0, 250_000.0, |_| false);
        let targets = link.run(15.0, 5_000_000.0, |_| false);
        let back = targets.iter().position(|target| *target > 500_000.0).expect("it comes back");
        assert!(back < 100, "after {back} tenths of a second");
    }

    #[test]
    fn a_few_losses_are_no_congestion_and_many_are() {
        let targets = Link::new().run(20.0, 5_000_000.0, |n| n.is_multiple_of(33));
        assert!(mean(&targets[150..]) > 2_000_000.0, "3 % of loss: {:.0}", mean(&targets[150..]));
        let targets = Link::new().run(20.0, 5_000_000.0, |n| n.is_multiple_of(5));
        assert!(mean(&targets[150..]) < 500_000.0, "20 % of loss: {:.0}", mean(&targets[150..]));
    }
}

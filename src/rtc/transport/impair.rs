//! A bad network for tests: seeded loss (single or in bursts), delay, jitter, reordering and duplication of received datagrams, a bandwidth
//! limit for them, and a cut both ways; each all the time or for a while. Pure: told the time. Used only when a test asks for it.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A datagram that would queue for longer than this before the bandwidth limit is lost, as in a router.
const MAX_QUEUE: Duration = Duration::from_millis(300);

/// What a bad network does to the datagrams that a connection receives. All probabilities are 0.0 to 1.0.
#[derive(Debug, Clone)]
pub struct Impairment {
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Probability that a datagram is held back by [`Impairment::delay`], and so overtaken by its successors.
    pub reorder: f64,
    /// How long such a datagram is held back.
    pub delay: Duration,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Bits a second that get through; 0: all. May be changed at any time.
    pub rate: Arc<AtomicU64>,
    /// Nothing of the above but `rate` happens in this first part of a connection's life.
    pub grace: Duration,
    /// What happens for a while only, on top of the above.
    pub periods: Vec<ImpairmentPeriod>,
    /// From when on the periods' times count; unset: not yet.
    pub start: Arc<OnceLock<Instant>>,
    /// The same seed makes the same decisions.
    pub seed: u64,
}

/// What happens to datagrams from `from` until before `until`, since [`Impairment::start`]. Where two overlap, both happen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImpairmentPeriod {
    /// Beginning, since the start.
    pub from: Duration,
    /// End, since the start.
    pub until: Duration,
    /// The part that is lost, 0.0 to 1.0.
    pub loss: f64,
    /// How many are lost in a row, on average (Gilbert's model: a good and a bad state). At most 1: each by itself.
    pub burst: f64,
    /// Each comes later by this ...
    pub delay: Duration,
    /// ... and by up to so much more or less, evenly: those that are near each other change their order.
    pub jitter: Duration,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Bits a second that get through; 0: all.
    pub rate: u64,
    /// Nothing gets through, neither way.
    pub cut: bool,
}

/// What happens to one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatagramAction {
    Deliver,
    Drop,
    Delay(Duration),
    /// It arrives twice, both after this time.
    Duplicate(Duration),
}

impl Impairment {
    /// A perfect network; the caller sets what is to be bad.
    pub fn seeded(seed: u64) -> Self {
        let (delay, grace) = (Duration::from_millis(30), Duration::from_secs(1));
        let (rate, start) = (Arc::default(), Arc::default());
        Self { loss: 0.0, reorder: 0.0, delay, duplicate: 0.0, rate, grace, periods: Vec::new(), start, seed }
    }
}

/// The impairment of one socket.
pub(crate) struct Impairer {
    impairment: Impairment,
    rng: StdRng,
    started: Option<Instant>,
    /// Of each period, whether it is in its bad state.
    bad: Vec<bool>,
    /// Until when the bandwidth limit is in use.
    busy: Option<Instant>,
}

impl Impairer {
    pub(crate) fn new(impairment: &Impairment) -> Self {
        Self {
            rng: StdRng::seed_from_u64(impairment.seed),
            bad: vec![false; impairment.periods.len()],
            impairment: impairment.clone(),
            started: None,
            busy: None,
        }
    }

    /// Whether nothing gets through at `now`, neither way.
    pub(crate) fn is_cut(&self, now: Instant) -> bool {
        self.since_start(now).is_some_and(|at| self.impairment.periods.iter().any(|t| t.cut && t.is_on(at)))
    }

    fn since_start(&self, now: Instant) -> Option<Duration> {
        now.checked_duration_since(*self.impairment.start.get()?)
    }

    /// What happens to a datagram of so many bytes that arrives at `now`.
    pub(crate) fn next(&mut self, now: Instant, bytes: usize) -> DatagramAction {
        let started = *self.started.get_or_insert(now);
        let mut rate = self.impairment.rate.load(Ordering::Relaxed);
        let (mut after, mut twice) = (Duration::ZERO, false);
        if now.duration_since(started) >= self.impairment.grace && rate == 0 {
            let dice: f64 = self.rng.random();
            let Impairment { loss, reorder, delay, duplicate, .. } = self.impairment;
            if dice < loss {
                return DatagramAction::Drop;
            } else if dice < loss + reorder {
                after = delay;
            } else {
                twice = dice < loss + reorder + duplicate;
            }
        }
        if let Some(at) = self.since_start(now) {
            for (period, bad) in self.impairment.periods.iter().zip(&mut self.bad).filter(|(t, _)| t.is_on(at)) {
                if period.cut || period.loses(bad, &mut self.rng) {
                    return DatagramAction::Drop;
                }
                let (least, most) = (period.delay.saturating_sub(period.jitter), period.delay + period.jitter);
                after += if least < most { self.rng.random_range(least..=most) } else { least };
                twice |= period.duplicate > 0.0 && self.rng.random_bool(period.duplicate.clamp(0.0, 1.0));
                rate = if rate == 0 || period.rate == 0 { rate.max(period.rate) } else { rate.min(period.rate) };
            }
        }
        if rate > 0 {
            let from = self.busy.map_or(now, |busy| busy.max(now));
            if from.duration_since(now) > MAX_QUEUE {
                return DatagramAction::Drop;
            }
            let until = from + Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
            self.busy = Some(until);
            after += until.duration_since(now);
        }
        match (twice, after) {
            (true, after) => DatagramAction::Duplicate(after),
            (false, Duration::ZERO) => DatagramAction::Deliver,
            (false, after) => DatagramAction::Delay(after),
        }
    }
}

impl ImpairmentPeriod {
    fn is_on(&self, at: Duration) -> bool {
        (self.from..self.until).contains(&at)
    }

    /// Whether the next one is lost. In the bad state all are, for `burst` of them on average; the good state lasts as long as makes the
    /// part that is lost come out.
    fn loses(&self, bad: &mut bool, rng: &mut StdRng) -> bool {
        if self.loss <= 0.0 {
            return false;
        }
        if self.burst <= 1.0 {
            return rng.random_bool(self.loss.min(1.0));
        }
        let turns =
            if *bad { 1.0 / self.burst } else { self.loss / (self.burst * (1.0 - self.loss).max(f64::EPSILON)) };
        *bad ^= rng.random_bool(turns.min(1.0));
        *bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_loses_the_same_share() {
        let run = || {
            let mut bad = Impairer::new(&Impairment { loss: 0.1, grace: Duration::ZERO, ..Impairment::seeded(7) });
            let now = Instant::now();
            (0..10_000).filter(|_| bad.next(now, 1000) == DatagramAction::Drop).count()
        };
        let lost = run();
        assert_eq!(lost, run());
        assert!((900..1100).contains(&lost), "{lost} of 10,000");
    }

    /// The actions of 20,000 datagrams, one a millisecond, under a period between seconds 5 and 15.
    fn under(period: ImpairmentPeriod) -> Vec<DatagramAction> {
        let (from, until) = (Duration::from_secs(5), Duration::from_secs(15));
        let start = Instant::now();
        let impairment =
            Impairment { periods: vec![ImpairmentPeriod { from, until, ..period }], ..Impairment::seeded(7) };
        impairment.start.set(start).unwrap();
        let mut bad = Impairer::new(&impairment);
        let actions: Vec<DatagramAction> =
            (0..20_000).map(|ms| bad.next(start + Duration::from_millis(ms), 1000)).collect();
        assert!(actions[..5000].iter().all(|action| *action == DatagramAction::Deliver));
        actions
    }

    #[test]
    fn bursts_lose_their_share_in_rows_of_their_length() {
        let actions = under(ImpairmentPeriod { loss: 0.1, burst: 5.0, ..ImpairmentPeriod::default() });
        let lost: Vec<bool> = actions.iter().map(|action| *action == DatagramAction::Drop).collect();
        let count = lost.iter().filter(|lost| **lost).count();
        let rows = lost.windows(2).filter(|pair| pair[0] && !pair[1]).count();
        assert!(
            (700..1300).contains(&count) && (4.0..6.0).contains(&(count as f64 / rows as f64)),
            "{count} in {rows}"
        );
        assert!(lost[15_000..].iter().all(|lost| !lost));
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_changes_the_order() {
        let ms = Duration::from_millis;
        let actions = under(ImpairmentPeriod { delay: ms(100), jitter: ms(50), ..ImpairmentPeriod::default() });
        let due = |(at, action): (usize, &DatagramAction)| match action {
            DatagramAction::Delay(by) if *by >= ms(50) && *by <= ms(150) => ms(at as u64) + *by,
            other => panic!("{other:?}"),
        };
        let due: Vec<Duration> = actions[5000..15_000].iter().enumerate().map(due).collect();
        assert!(due.windows(2).any(|pair| pair[1] < pair[0]));
        assert_eq!(actions[15_000], DatagramAction::Deliver);
    }

    #[test]
    fn a_cut_lets_nothing_through_and_then_everything() {
        let actions = under(ImpairmentPeriod { cut: true, ..ImpairmentPeriod::default() });
        assert!(actions[5000..15_000].iter().all(|action| *action == DatagramAction::Drop));
        assert!(actions[15_000..].iter().all(|action| *action == DatagramAction::Deliver));
    }

    #[test]
    fn a_bandwidth_limit_lets_its_rate_through() {
        let mut bad = Impairer::new(&Impairment { rate: Arc::new(AtomicU64::new(1_000_000)), ..Impairment::seeded(7) });
        let start = Instant::now();
        // Two megabits a second, for two seconds.
        let actions: Vec<DatagramAction> =
            (0..500).map(|n| bad.next(start + Duration::from_millis(4 * n), 1000)).collect();
        let through = actions.iter().filter(|action| matches!(action, DatagramAction::Delay(_))).count();
        assert!((250..300).contains(&through), "{through} of 500");
        assert!(matches!(actions[0], DatagramAction::Delay(by) if by == Duration::from_millis(8)));
    }
}

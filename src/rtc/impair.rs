//! A bad network for tests: seeded loss, reordering and duplication of received datagrams, and a narrow way for them. Never used
//! unless a test asks.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What waits before a narrow way for longer than this is lost, as in a router.
const ROUTER: Duration = Duration::from_millis(300);

/// What a bad network does to the datagrams that a connection receives. All probabilities are 0.0 to 1.0.
#[derive(Debug, Clone)]
pub struct Impairment {
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Probability that a datagram is held back by [`Impairment::delay`], and so overtaken by its successors.
    pub reorder: f64,
    pub delay: Duration,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Bits a second that get through; 0: all. May be changed at any time.
    pub rate: Arc<AtomicU64>,
    /// Nothing happens in this first part of a connection's life.
    pub grace: Duration,
    /// The same seed makes the same decisions.
    pub seed: u64,
}

/// What becomes of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Deliver,
    Drop,
    Delay(Duration),
    Duplicate,
}

impl Impairment {
    /// A perfect network, to be spoilt field by field.
    pub fn seeded(seed: u64) -> Self {
        let (delay, grace) = (Duration::from_millis(30), Duration::from_secs(1));
        Self { loss: 0.0, reorder: 0.0, delay, duplicate: 0.0, rate: Arc::default(), grace, seed }
    }
}

/// An impairment at work on one socket.
pub(super) struct Spoiler {
    impairment: Impairment,
    rng: StdRng,
    started: Option<Instant>,
    /// Until when the narrow way is taken.
    busy: Option<Instant>,
}

impl Spoiler {
    pub(super) fn new(impairment: &Impairment) -> Self {
        Self { rng: StdRng::seed_from_u64(impairment.seed), impairment: impairment.clone(), started: None, busy: None }
    }

    /// Of a datagram of so many bytes that arrives at `now`.
    pub(super) fn fate(&mut self, now: Instant, bytes: usize) -> Fate {
        let started = *self.started.get_or_insert(now);
        let rate = self.impairment.rate.load(Ordering::Relaxed);
        if rate > 0 {
            let from = self.busy.map_or(now, |busy| busy.max(now));
            let waits = from.duration_since(now);
            if waits > ROUTER {
                return Fate::Drop;
            }
            let until = from + Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
            self.busy = Some(until);
            return Fate::Delay(until.duration_since(now));
        }
        let dice: f64 = self.rng.random();
        let Impairment { loss, reorder, delay, duplicate, grace, .. } = self.impairment;
        if now.duration_since(started) < grace {
            Fate::Deliver
        } else if dice < loss {
            Fate::Drop
        } else if dice < loss + reorder {
            Fate::Delay(delay)
        } else if dice < loss + reorder + duplicate {
            Fate::Duplicate
        } else {
            Fate::Deliver
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_loses_the_same_share() {
        let run = || {
            let mut bad = Spoiler::new(&Impairment { loss: 0.1, grace: Duration::ZERO, ..Impairment::seeded(7) });
            let now = Instant::now();
            (0..10_000).filter(|_| bad.fate(now, 1000) == Fate::Drop).count()
        };
        let lost = run();
        assert_eq!(lost, run());
        assert!((900..1100).contains(&lost), "{lost} of 10,000");
    }

    #[test]
    fn a_narrow_way_lets_its_rate_through() {
        let mut bad = Spoiler::new(&Impairment { rate: Arc::new(AtomicU64::new(1_000_000)), ..Impairment::seeded(7) });
        let start = Instant::now();
        // Two megabits a second, for two seconds.
        let fates: Vec<Fate> = (0..500).map(|n| bad.fate(start + Duration::from_millis(4 * n), 1000)).collect();
        let through = fates.iter().filter(|fate| matches!(fate, Fate::Delay(_))).count();
        assert!((250..300).contains(&through), "{through} of 500");
        assert!(matches!(fates[0], Fate::Delay(by) if by == Duration::from_millis(8)));
    }
}

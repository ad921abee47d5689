//! A bad network for tests: seeded loss, reordering and duplication of received datagrams. Never used unless a test asks.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

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
    /// Nothing happens in this first part of a connection's life.
    pub grace: Duration,
    rng: StdRng,
    started: Option<Instant>,
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
    /// A perfect network, to be spoilt field by field; the same seed makes the same decisions.
    pub fn seeded(seed: u64) -> Self {
        Self {
            loss: 0.0,
            reorder: 0.0,
            delay: Duration::from_millis(30),
            duplicate: 0.0,
            grace: Duration::from_secs(1),
            rng: StdRng::seed_from_u64(seed),
            started: None,
        }
    }

    pub(super) fn fate(&mut self, now: Instant) -> Fate {
        let started = *self.started.get_or_insert(now);
        let dice: f64 = self.rng.random();
        if now.duration_since(started) < self.grace {
            return Fate::Deliver;
        }
        if dice < self.loss {
            Fate::Drop
        } else if dice < self.loss + self.reorder {
            Fate::Delay(self.delay)
        } else if dice < self.loss + self.reorder + self.duplicate {
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
            let mut bad = Impairment { loss: 0.1, grace: Duration::ZERO, ..Impairment::seeded(7) };
            let now = Instant::now();
            (0..10_000).filter(|_| bad.fate(now) == Fate::Drop).count()
        };
        let lost = run();
        assert_eq!(lost, run());
        assert!((900..1100).contains(&lost), "{lost} of 10,000");
    }
}

//! How many messages a member may send: a bucket that fills steadily. Told the time, never asks for it.

use std::time::Instant;

/// Seconds over which the rate is averaged, and so the longest burst.
const AVERAGED_OVER: f64 = 10.0;

/// One member's allowance.
pub(super) struct Allowance {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Allowance {
    /// A full bucket: ten seconds' worth of messages.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: per_second * AVERAGED_OVER, at: now }
    }

    /// Takes one message; false when there have been too many.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.left = (self.left + earned).min(self.per_second * AVERAGED_OVER);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_ten_seconds_worth_and_comes_back_with_time() {
        let start = Instant::now();
        let mut allowance = Allowance::new(5, start);
        assert_eq!((0..100).filter(|_| allowance.take(start)).count(), 50);
        let later = start + Duration::from_secs(2);
        assert_eq!((0..100).filter(|_| allowance.take(later)).count(), 10);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| allowance.take(much_later)).count(), 50);
    }
}

//! The rate limit for messages of a member: a token bucket. Told the time, never asks for it.

use std::time::Instant;

/// Seconds over which the rate is averaged, and so the longest burst.
const AVERAGED_OVER: f64 = 10.0;

/// The rate limit of one member.
pub(super) struct RateLimit {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl RateLimit {
    /// A full bucket: ten seconds' worth of messages.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: per_second * AVERAGED_OVER, at: now }
    }

    /// Counts one message; false when there were too many.
    pub(super) fn allow(&mut self, now: Instant) -> bool {
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
        let mut limit = RateLimit::new(5, start);
        assert_eq!((0..100).filter(|_| limit.allow(start)).count(), 50);
        let later = start + Duration::from_secs(2);
        assert_eq!((0..100).filter(|_| limit.allow(later)).count(), 10);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| limit.allow(much_later)).count(), 50);
    }
}

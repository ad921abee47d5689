//! The RTP timestamps of sender reports (RFC 3550 6.4.1) as arithmetic. Pure: told the time.

use std::time::{Duration, Instant};

/// When a frame with this RTP timestamp was captured; relates a stream's clock to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CaptureTime {
    /// The frame's RTP timestamp.
    pub timestamp: u32,
    /// When it was captured. In the future for a file that is read in advance.
    pub at: Instant,
    /// RTP ticks a second.
    pub clock_rate: u32,
}

impl CaptureTime {
    /// The RTP timestamp of what is captured at `now`.
    pub fn timestamp_at(&self, now: Instant) -> u32 {
        let ticks = |span: Duration| (span.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000) as u32;
        match now.checked_duration_since(self.at) {
            Some(since) => self.timestamp.wrapping_add(ticks(since)),
            None => self.timestamp.wrapping_sub(ticks(self.at.saturating_duration_since(now))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timestamp_of_a_moment_follows_from_the_last_frame() {
        let now = Instant::now() + Duration::from_secs(10);
        let past = CaptureTime { timestamp: u32::MAX, at: now - Duration::from_millis(100), clock_rate: 90_000 };
        assert_eq!(past.timestamp_at(now), 8999);
        let future = CaptureTime { timestamp: 5000, at: now + Duration::from_millis(10), clock_rate: 90_000 };
        assert_eq!(future.timestamp_at(now), 4100);
    }
}

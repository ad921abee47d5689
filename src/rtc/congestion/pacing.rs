//! Spreads what goes out over data channels evenly in time, for receivers that cannot take much at once. Pure: told the time, wakes nobody
//! (the transport's pacer does).
//!
//! A browser's socket holds about 40 KB that nobody has read yet, and one of its threads reads it when it gets to it. A burst of a
//! congestion window overflows that; what is sent again falls into the same burst and is lost again, and then SCTP waits for its
//! timer, a second at least (RFC 9260 15, `RTO.Min`). Even packets lose far less (measured: `benches/files.rs`). How much is on its way
//! at once is [`crate::rtc::congestion::window`]'s.

use std::time::Instant;

/// Bytes a second.
pub(crate) const RATE: f64 = 40e6;
/// Bytes that may go at once after a pause.
pub(crate) const BURST: f64 = 24e3;

/// A token bucket of [`RATE`] and [`BURST`].
#[derive(Debug)]
pub(crate) struct TokenBucket {
    /// Bytes that may go; below zero after one that did.
    tokens: f64,
    updated: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self { tokens: BURST, updated: now }
    }

    /// Whether a datagram of this length may go now; then it counts.
    pub fn admit(&mut self, length: usize, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.updated).as_secs_f64();
        self.tokens = (self.tokens + passed * RATE).min(BURST);
        self.updated = now;
        let admitted = self.tokens >= 0.0;
        if admitted {
            self.tokens -= length as f64;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn datagrams_are_spread_evenly() {
        let begun = Instant::now();
        let mut bucket = TokenBucket::new(begun);
        let at = |micros: u64| begun + Duration::from_micros(micros);
        let gone = |bucket: &mut TokenBucket, now| (0..).take_while(|_| bucket.admit(1200, now)).count();
        assert_eq!(gone(&mut bucket, begun), 21, "a burst, and the one that empties it");
        assert_eq!(gone(&mut bucket, at(10)), 0);
        let second: usize = (1..=5000).map(|nap| gone(&mut bucket, at(nap * 200))).sum();
        assert!((second * 1200).abs_diff(RATE as usize) < 3 * 1200, "{second}");
        assert_eq!(gone(&mut bucket, at(60_000_000)), 21, "a pause saves up no more than a burst");
    }
}

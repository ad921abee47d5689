//! How much the path to a participant carries, as one value: by transport-wide feedback, and by the receiver's own estimate (REMB). It paces
//! nothing and encodes nothing.

use std::time::Duration;

/// Bits a second that are assumed before there is feedback: a small picture of a good quality. A path that carries less
/// shows it within a second; one that carries more takes some to show it.
pub(crate) const INITIAL: f64 = 1_500_000.0;
/// Bits a second.
pub(crate) const LEAST: f64 = 60_000.0;
/// Bits a second.
pub(crate) const MOST: f64 = 8_000_000.0;

/// What the path to a participant carries, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BandwidthEstimate {
    /// By transport-wide feedback, in bits a second; none before the first.
    pub(crate) measured: Option<u64>,
    /// By the receiver (REMB, draft-alvestrand-rmcat-remb), in bits a second.
    pub(crate) remb: Option<u64>,
    /// The shortest round trip of the last seconds; a little longer than the network's own, as feedback waits to be sent.
    pub round_trip: Option<Duration>,
}

impl BandwidthEstimate {
    /// Before there is feedback.
    pub const UNKNOWN: BandwidthEstimate = BandwidthEstimate { measured: None, remb: None, round_trip: None };

    /// Bits a second that may be sent, media and all: the lower of what was measured and what the receiver reports.
    pub fn bitrate(&self) -> u64 {
        let known = self.measured.into_iter().chain(self.remb).min();
        known.unwrap_or(INITIAL as u64).clamp(LEAST as u64, MOST as u64)
    }

    /// The receiver reports its estimate in bits a second (REMB). Whether that is news.
    pub(crate) fn on_remb(&mut self, bits: f32) -> bool {
        // Saturates; what is no number becomes 0.
        let remb = Some(bits as u64).filter(|bits| *bits > 0);
        std::mem::replace(&mut self.remb, remb) != remb
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_estimate_counts() {
        let path = |measured, remb| BandwidthEstimate { measured, remb, round_trip: None }.bitrate();
        assert_eq!(path(None, None), 1_500_000);
        assert_eq!(path(None, Some(300_000)), 300_000);
        assert_eq!(path(Some(900_000), Some(300_000)), 300_000);
        assert_eq!(path(Some(200_000), Some(300_000)), 200_000);
        assert_eq!(path(Some(1), None), 60_000);
    }

    #[test]
    fn a_remb_that_is_no_rate_is_ignored() {
        let mut estimate = BandwidthEstimate::UNKNOWN;
        for (bits, remb) in [(f32::NAN, None), (-1.0, None), (f32::INFINITY, Some(u64::MAX)), (5e5, Some(500_000))] {
            estimate.on_remb(bits);
            assert_eq!(estimate.remb, remb, "{bits}");
        }
        assert!(!estimate.on_remb(5e5) && estimate.on_remb(6e5));
    }
}

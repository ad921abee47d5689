//! How much a path to a participant carries, as one value that whoever encodes can watch: by transport-wide feedback, and by the receiver's own
//! word (REMB). It paces nothing and encodes nothing.

use std::time::Duration;
use tokio::sync::watch;

/// Bits a second that are believed in before anything was heard: a small picture of a good quality. A path that carries less
/// shows it within a second; one that carries more takes some to show it.
pub(crate) const INITIAL: f64 = 1_500_000.0;
pub(crate) const LEAST: f64 = 60_000.0;
pub(crate) const MOST: f64 = 8_000_000.0;

/// What the path to a participant carries, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BandwidthEstimate {
    /// By transport-wide feedback, in bits a second; none before the first.
    pub(crate) measured: Option<u64>,
    /// By the receiver (REMB, draft-alvestrand-rmcat-remb), in bits a second.
    pub(crate) said: Option<u64>,
    /// The shortest round trip of the last seconds; a little longer than the network's own, as feedback waits to be sent.
    pub round_trip: Option<Duration>,
}

impl BandwidthEstimate {
    /// Before anything was heard.
    pub const UNKNOWN: BandwidthEstimate = BandwidthEstimate { measured: None, said: None, round_trip: None };

    /// Bits a second that may be sent, media and all: the less of what was measured and what the receiver says.
    pub fn bitrate(&self) -> u64 {
        let known = self.measured.into_iter().chain(self.said).min();
        known.unwrap_or(INITIAL as u64).clamp(LEAST as u64, MOST as u64)
    }
}

/// Takes the receiver's word.
pub(crate) fn receiver_says(path: &watch::Sender<BandwidthEstimate>, bits: f32) {
    // Saturates, and takes what is no number for none.
    let said = Some(bits as u64).filter(|bits| *bits > 0);
    path.send_if_modified(|path| std::mem::replace(&mut path.said, said) != said);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_cautious_word_counts() {
        let path = |measured, said| BandwidthEstimate { measured, said, round_trip: None }.bitrate();
        assert_eq!(path(None, None), 1_500_000);
        assert_eq!(path(None, Some(300_000)), 300_000);
        assert_eq!(path(Some(900_000), Some(300_000)), 300_000);
        assert_eq!(path(Some(200_000), Some(300_000)), 200_000);
        assert_eq!(path(Some(1), None), 60_000);
    }

    #[test]
    fn nonsense_from_the_receiver_is_no_word() {
        let (path, watch) = watch::channel(BandwidthEstimate::UNKNOWN);
        for (bits, said) in [(f32::NAN, None), (-1.0, None), (f32::INFINITY, Some(u64::MAX)), (5e5, Some(500_000))] {
            receiver_says(&path, bits);
            assert_eq!(watch.borrow().said, said, "{bits}");
        }
    }
}

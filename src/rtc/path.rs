//! What the path to a participant carries, as one value that whoever encodes can watch: what [`super::congestion`] makes of
//! transport-wide feedback, and the receiver's own word (REMB). It paces nothing and encodes nothing.

use super::congestion::{Control, Report};
use rtc::interceptor::{BandwidthEstimator, PacketReport};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Bits a second that are believed in before anything was heard: a small picture of a good quality. A path that carries less
/// shows it within a second; one that carries more takes some to show it.
const INITIAL: f64 = 1_500_000.0;
const LEAST: f64 = 60_000.0;
const MOST: f64 = 8_000_000.0;
/// The shortest round trip of so long counts.
const ROUND_TRIPS: Duration = Duration::from_secs(5);

/// What the path to a participant carries, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Path {
    /// By transport-wide feedback, in bits a second; none before the first.
    measured: Option<u64>,
    /// By the receiver (REMB, draft-alvestrand-rmcat-remb), in bits a second.
    said: Option<u64>,
    /// The shortest round trip of the last seconds; a little longer than the network's own, as feedback waits to be sent.
    pub round_trip: Option<Duration>,
}

impl Path {
    /// Before anything was heard.
    pub const UNKNOWN: Path = Path { measured: None, said: None, round_trip: None };

    /// Bits a second that may be sent, media and all: the less of what was measured and what the receiver says.
    pub fn bitrate(&self) -> u64 {
        let known = self.measured.into_iter().chain(self.said).min();
        known.unwrap_or(INITIAL as u64).clamp(LEAST as u64, MOST as u64)
    }
}

/// Takes the receiver's word.
pub(super) fn receiver_says(path: &watch::Sender<Path>, bits: f32) {
    // Saturates, and takes what is no number for none.
    let said = Some(bits as u64).filter(|bits| *bits > 0);
    path.send_if_modified(|path| std::mem::replace(&mut path.said, said) != said);
}

/// Tells whoever watches what the receiver's reports come to.
pub(super) struct Estimator {
    control: Control,
    path: watch::Sender<Path>,
    /// The shortest round trips of this span of time and of the one before.
    shortest: [Option<Duration>; 2],
    since: Option<Instant>,
}

impl Estimator {
    pub(super) fn new(path: watch::Sender<Path>) -> Estimator {
        Estimator { control: Control::new(INITIAL, LEAST, MOST), path, shortest: [None; 2], since: None }
    }

    fn round_trip(&mut self, now: Instant, reports: &[PacketReport]) -> Option<Duration> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) > ROUND_TRIPS) {
            self.since = Some(now);
            self.shortest = [None, self.shortest[0]];
        }
        let arrived = reports.iter().filter(|report| report.arrived);
        let shortest = arrived.map(|report| now.saturating_duration_since(report.departure)).min();
        self.shortest[0] = self.shortest[0].into_iter().chain(shortest).min();
        self.shortest.into_iter().flatten().min()
    }
}

impl BandwidthEstimator for Estimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        // The library's history has all packets, also of streams whose other side numbers none (Janus does so with sound), and calls lost what
        // was not told of.
        let reports: Vec<PacketReport> = reports.iter().filter(|report| report.is_twcc).cloned().collect();
        if reports.is_empty() {
            return;
        }
        let round_trip = self.round_trip(now, &reports);
        let told: Vec<Report> = reports
            .iter()
            .map(|report| Report {
                departure: report.departure,
                arrival: report.arrival,
                lost: !report.arrived,
                bytes: report.size,
            })
            .collect();
        self.control.reported(now, &told, round_trip.unwrap_or_default());
        let measured = Some(self.control.target() as u64);
        self.path.send_if_modified(|path| {
            let news = Path { measured, round_trip, ..*path };
            std::mem::replace(path, news) != news
        });
    }
    fn target_bitrate(&self) -> f64 {
        self.control.target()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_cautious_word_counts() {
        let path = |measured, said| Path { measured, said, round_trip: None }.bitrate();
        assert_eq!(path(None, None), 1_500_000);
        assert_eq!(path(None, Some(300_000)), 300_000);
        assert_eq!(path(Some(900_000), Some(300_000)), 300_000);
        assert_eq!(path(Some(200_000), Some(300_000)), 200_000);
        assert_eq!(path(Some(1), None), 60_000);
    }

    #[test]
    fn what_nobody_can_report_on_is_not_lost() {
        let (path, watch) = watch::channel(Path::UNKNOWN);
        let mut estimator = Estimator::new(path);
        let start = Instant::now();
        let report = |id: u64, arrived: bool, is_twcc: bool| PacketReport {
            ssrc: u32::from(is_twcc),
            id,
            rtp_sequence_number: id as u16,
            is_twcc,
            twcc_sequence_number: id as u16,
            size: 900,
            arrived,
            departure: start + Duration::from_millis(10 * id),
            arrival: arrived.then(|| Duration::from_millis(10 * id + 5)),
            ecn: Default::default(),
        };
        // Every other packet is sound without a number.
        for round in 0..20 {
            let reports: Vec<PacketReport> =
                (10 * round..10 * round + 10).map(|n| report(n, n % 2 == 0, n % 2 == 0)).collect();
            estimator.on_reports(start + Duration::from_millis(100 * (round + 1)), &reports);
        }
        assert!(watch.borrow().bitrate() >= 1_500_000, "{:?}", *watch.borrow());
    }

    #[test]
    fn nonsense_from_the_receiver_is_no_word() {
        let (path, watch) = watch::channel(Path::UNKNOWN);
        for (bits, said) in [(f32::NAN, None), (-1.0, None), (f32::INFINITY, Some(u64::MAX)), (5e5, Some(500_000))] {
            receiver_says(&path, bits);
            assert_eq!(watch.borrow().said, said, "{bits}");
        }
    }
}

//! The library's view of the bandwidth estimate: its reports go to [`Control`], and what that makes of them to whoever watches.

use crate::rtc::congestion::BandwidthEstimate;
use crate::rtc::congestion::control::{Control, Report};
use crate::rtc::congestion::estimate::{INITIAL, LEAST, MOST};
use rtc::interceptor::{BandwidthEstimator, PacketReport};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The shortest round trip of so long counts.
const ROUND_TRIPS: Duration = Duration::from_secs(5);

/// Tells whoever watches what the receiver's reports come to.
pub(crate) struct Estimator {
    control: Control,
    path: watch::Sender<BandwidthEstimate>,
    /// The shortest round trips of this span of time and of the one before.
    shortest: [Option<Duration>; 2],
    since: Option<Instant>,
}

impl Estimator {
    pub(crate) fn new(path: watch::Sender<BandwidthEstimate>) -> Estimator {
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
            let news = BandwidthEstimate { measured, round_trip, ..*path };
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
    fn what_nobody_can_report_on_is_not_lost() {
        let (path, watch) = watch::channel(BandwidthEstimate::UNKNOWN);
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
}

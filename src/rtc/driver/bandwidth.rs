//! The library's bandwidth estimator: its reports go to [`RateControl`], and the result to a watch channel.

use crate::rtc::congestion::BandwidthEstimate;
use crate::rtc::congestion::estimate::{INITIAL, LEAST, MOST};
use crate::rtc::congestion::rate_control::{PacketFeedback, RateControl};
use crate::rtc::congestion::windowed_min::WindowedMin;
use rtc::interceptor::{BandwidthEstimator, PacketReport};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The shortest round trip of this span counts.
const ROUND_TRIPS: Duration = Duration::from_secs(5);

/// Publishes what the receiver's reports amount to.
pub(crate) struct Estimator {
    control: RateControl,
    estimate: watch::Sender<BandwidthEstimate>,
    round_trip: WindowedMin<Duration>,
}

impl Estimator {
    pub(crate) fn new(estimate: watch::Sender<BandwidthEstimate>) -> Estimator {
        let control = RateControl::new(INITIAL, LEAST, MOST);
        Estimator { control, estimate, round_trip: WindowedMin::new(ROUND_TRIPS) }
    }
}

impl BandwidthEstimator for Estimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        // The library's history has all packets, also of streams for which the other side sends no feedback (Janus: audio), and calls
        // those lost.
        let reports: Vec<PacketReport> = reports.iter().filter(|report| report.is_twcc).cloned().collect();
        if reports.is_empty() {
            return;
        }
        let arrived = reports.iter().filter(|report| report.arrived);
        let shortest = arrived.map(|report| now.saturating_duration_since(report.departure)).min();
        let round_trip = self.round_trip.update(now, shortest);
        let feedback: Vec<PacketFeedback> = reports
            .iter()
            .map(|report| PacketFeedback {
                departure: report.departure,
                arrival: report.arrival,
                lost: !report.arrived,
                bytes: report.size,
            })
            .collect();
        self.control.on_feedback(now, &feedback, round_trip.unwrap_or_default());
        let measured = Some(self.control.target() as u64);
        self.estimate.send_if_modified(|estimate| {
            let new = BandwidthEstimate { measured, round_trip, ..*estimate };
            std::mem::replace(estimate, new) != new
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
    fn packets_without_feedback_are_not_lost() {
        let (sender, watch) = watch::channel(BandwidthEstimate::UNKNOWN);
        let mut estimator = Estimator::new(sender);
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
        // Every other packet is audio without feedback.
        for round in 0..20 {
            let reports: Vec<PacketReport> =
                (10 * round..10 * round + 10).map(|n| report(n, n % 2 == 0, n % 2 == 0)).collect();
            estimator.on_reports(start + Duration::from_millis(100 * (round + 1)), &reports);
        }
        assert!(watch.borrow().bitrate() >= 1_500_000, "{:?}", *watch.borrow());
    }
}

//! End-to-end delay of frames, from capture to decoded. Pure.

use super::statistics::percentile;
use crate::verify::detections::{DelayBasis, FrameDelay};
use serde::Serialize;

/// Approximate number of points in the report; at most twice as many.
const POINTS: usize = 400;

/// The end-to-end delay of a participant's frames.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DelayMeasurement {
    /// How the capture times are known; none if unknown.
    pub basis: Option<DelayBasis>,
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// Maximum.
    pub max_ms: f64,
    /// When frames were decoded (seconds) and their delay (ms); some hundred points.
    pub points: Vec<(f64, f64)>,
}

/// Measures delays. None without delays.
pub fn measure_delay(delays: &[FrameDelay], basis: Option<DelayBasis>) -> Option<DelayMeasurement> {
    let mut all: Vec<f64> = delays.iter().map(|delay| delay.ms).collect();
    let (p50_ms, p95_ms, max_ms) =
        (percentile(&mut all, 0.5)?, percentile(&mut all, 0.95)?, percentile(&mut all, 1.0)?);
    // The slowest of each group, so that rare delays are visible.
    let slowest =
        |few: &[FrameDelay]| few.iter().max_by(|a, b| a.ms.total_cmp(&b.ms)).map(|delay| (delay.at, delay.ms));
    let points = delays.chunks(delays.len() / POINTS + 1).filter_map(slowest).collect();
    Some(DelayMeasurement { basis, p50_ms, p95_ms, max_ms, points })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_frame_is_among_the_points() {
        assert_eq!(measure_delay(&[], None), None);
        let delay =
            |n: u32| FrameDelay { at: f64::from(n) / 30.0, ms: if n == 1000 { 900.0 } else { f64::from(n % 10) } };
        let found = measure_delay(&(0..3000).map(delay).collect::<Vec<_>>(), None).unwrap();
        assert_eq!((found.p50_ms, found.max_ms), (5.0, 900.0));
        assert!(found.p95_ms >= 9.0 && found.p95_ms < 10.0, "{}", found.p95_ms);
        assert!((300..=800).contains(&found.points.len()), "{}", found.points.len());
        assert!(found.points.iter().any(|(at, ms)| *ms == 900.0 && (*at - 33.3).abs() < 0.1));
    }
}

//! How long pictures took from being made to being decoded. Pure.

use super::percentile;
use crate::verify::evidence::Delay;
use crate::verify::watch::Basis;
use serde::Serialize;

/// Pictures whose delay is told, at most twice as many.
const SHOWN: usize = 400;

/// The end-to-end delay of a participant's pictures, ms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delayed {
    /// What it stands on when they were made; none where nobody said.
    pub basis: Option<Basis>,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub max_ms: f64,
    /// When pictures were decoded (seconds), and how long they had taken (ms): some hundred of them.
    pub points: Vec<(f64, f64)>,
}

/// Measures delays. None where there are none.
pub fn delayed(delays: &[Delay], basis: Option<Basis>) -> Option<Delayed> {
    let mut all: Vec<f64> = delays.iter().map(|delay| delay.ms).collect();
    let (p50_ms, p95_ms, max_ms) =
        (percentile(&mut all, 0.5)?, percentile(&mut all, 0.95)?, percentile(&mut all, 1.0)?);
    // Of each few that lie together the slowest: what is rare and slow must be seen.
    let slowest = |few: &[Delay]| few.iter().max_by(|a, b| a.ms.total_cmp(&b.ms)).map(|delay| (delay.at, delay.ms));
    let points = delays.chunks(delays.len() / SHOWN + 1).filter_map(slowest).collect();
    Some(Delayed { basis, p50_ms, p95_ms, max_ms, points })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_many_is_told() {
        assert_eq!(delayed(&[], None), None);
        let delay = |n: u32| Delay { at: f64::from(n) / 30.0, ms: if n == 1000 { 900.0 } else { f64::from(n % 10) } };
        let found = delayed(&(0..3000).map(delay).collect::<Vec<_>>(), None).unwrap();
        assert_eq!((found.p50_ms, found.max_ms), (5.0, 900.0));
        assert!(found.p95_ms >= 9.0 && found.p95_ms < 10.0, "{}", found.p95_ms);
        assert!((300..=800).contains(&found.points.len()), "{}", found.points.len());
        assert!(found.points.iter().any(|(at, ms)| *ms == 900.0 && (*at - 33.3).abs() < 0.1));
    }
}

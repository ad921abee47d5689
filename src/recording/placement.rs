//! From the time in a track file to session time. Arithmetic only; it opens no file.

use crate::recording::manifest::TrackEntry;
use crate::room::clock::Mapping;
use std::time::Duration;

/// Maps the time in a track file to session time.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The track's clock, and the RTP time of the file's time 0.
    clock: Option<(Mapping, i64)>,
    ticks_per_second: u32,
    start_ns: i64,
}

impl Placement {
    /// By the track's clock where the manifest has one, else from `start_ms` on.
    pub fn of(track: &TrackEntry) -> Placement {
        let clock = track.clock.as_ref().zip(track.first_rtp).map(|(clock, rtp)| (clock.mapping(), rtp));
        let start_ns = i64::try_from(track.start_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        Placement { clock, ticks_per_second: track.clock_rate.max(1), start_ns }
    }

    /// The session time of a time in the file, in nanoseconds.
    pub fn session_ns(&self, in_file: Duration) -> i64 {
        let nanos = in_file.as_nanos();
        match &self.clock {
            Some((mapping, first_rtp)) => {
                let ticks = nanos * u128::from(self.ticks_per_second) / 1_000_000_000;
                mapping.to_session(first_rtp.saturating_add(i64::try_from(ticks).unwrap_or(i64::MAX))).0
            }
            None => self.start_ns.saturating_add(i64::try_from(nanos).unwrap_or(i64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::clock::{Basis, ClockSummary, LinearMapping, SessionTime};
    use crate::room::media::{Codec, Source};

    #[test]
    fn a_file_lies_where_its_clock_says() {
        let mut track = TrackEntry::new("x", "a", Source::Camera, Codec::Vp8, 700);
        assert_eq!(Placement::of(&track).session_ns(Duration::from_millis(40)), 740_000_000);
        // A sender's clock that runs 100 ppm fast, and a file that begins a second after the clock's origin.
        track.first_rtp = Some(190_000);
        track.clock = Some(ClockSummary {
            basis: Basis::SenderReports,
            first: LinearMapping { origin_rtp: 100_000, origin: SessionTime(500_000_000), rate: 90_009.0 },
            error_ms: 1.0,
            drift_ppm: 100.0,
            clock_rate: 90_000,
            reports_used: 3,
            reports_rejected: 0,
            later: vec![],
        });
        let an_hour = Placement::of(&track).session_ns(Duration::from_secs(3600));
        assert!((an_hour - 3_601_139_986_001).abs() < 1_000_000, "{an_hour}");
    }
}

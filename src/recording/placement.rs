//! From the time in a track file to session time. Arithmetic only; it opens no file.

use crate::recording::manifest::TrackEntry;
use crate::room::clock::{LinearMapping, Mapping};
use serde::Serialize;
use std::time::Duration;

/// A part of a track file that lies in the session by one line. It holds from its start to the next part's; the first one before it, too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Piece {
    /// Its start in the file, in milliseconds.
    pub file_ms: f64,
    /// Its start in the session, in milliseconds.
    pub session_ms: f64,
    /// Session milliseconds for each millisecond of the file: 1 but for the drift of the sender's clock.
    pub stretch: f64,
}

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

    /// The same as lines, for those who compute elsewhere; at least one.
    pub fn pieces(&self) -> Vec<Piece> {
        let Some((mapping, first_rtp)) = &self.clock else {
            return vec![Piece { file_ms: 0.0, session_ms: self.start_ns as f64 / 1e6, stretch: 1.0 }];
        };
        let nominal = f64::from(self.ticks_per_second);
        let piece = |part: &LinearMapping, from_rtp: i64| Piece {
            file_ms: from_rtp.saturating_sub(*first_rtp) as f64 / nominal * 1000.0,
            session_ms: part.origin.0 as f64 / 1e6
                + from_rtp.saturating_sub(part.origin_rtp) as f64 / part.rate * 1000.0,
            stretch: nominal / part.rate,
        };
        // Of the parts that hold at the file's time 0, the last.
        let before = mapping.later.iter().filter(|part| part.origin_rtp <= *first_rtp).count();
        let begins = before.checked_sub(1).and_then(|last| mapping.later.get(last)).unwrap_or(&mapping.first);
        let later = mapping.later.iter().skip(before).map(|part| piece(part, part.origin_rtp));
        std::iter::once(piece(begins, *first_rtp)).chain(later).collect()
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

    #[test]
    fn the_pieces_are_the_same_lines() {
        let mut track = TrackEntry::new("x", "a", Source::Camera, Codec::Vp8, 700);
        assert_eq!(Placement::of(&track).pieces(), [Piece { file_ms: 0.0, session_ms: 700.0, stretch: 1.0 }]);
        track.first_rtp = Some(190_000);
        let line = |origin_rtp, origin, rate| LinearMapping { origin_rtp, origin: SessionTime(origin), rate };
        track.clock = Some(ClockSummary {
            basis: Basis::SenderReports,
            first: line(100_000, 500_000_000, 90_009.0),
            error_ms: 1.0,
            drift_ppm: 100.0,
            clock_rate: 90_000,
            reports_used: 3,
            reports_rejected: 0,
            // The first step is before the file.
            later: vec![line(150_000, 1_700_000_000, 90_000.0), line(1_090_000, 20_000_000_000, 90_900.0)],
        });
        let placement = Placement::of(&track);
        let pieces = placement.pieces();
        assert_eq!(pieces.len(), 2);
        for ms in [0u64, 40, 9_999, 10_000, 10_001, 60_000] {
            let piece = pieces.iter().rfind(|piece| piece.file_ms <= ms as f64).unwrap();
            let seen = piece.session_ms + (ms as f64 - piece.file_ms) * piece.stretch;
            let expected = placement.session_ns(Duration::from_millis(ms)) as f64 / 1e6;
            assert!((seen - expected).abs() < 0.01, "{ms}: {seen} {expected}");
        }
    }
}

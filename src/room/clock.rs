//! RTP time to session time: each track's timestamps on one common clock, with an estimate of the error. Pure; is told
//! every time and never asks for one.
//!
//! ```text
//! RTP time --(a line through the track's sender reports)--> the sender's NTP clock
//!          --(the shortest delays of all reports of that sender)--> session time
//! ```
//!
//! The first step has no network in it: it is the sender's own statement, and its errors are those of its clocks. The
//! second is the same for all tracks of a sender, so sound and picture of one participant lie together whatever the
//! network does; what remains in it is the network's shortest delay, which nobody can measure one way. Until the first
//! report, the earliest arrivals of the track itself stand in for both.

mod envelope;
mod line;
mod sender;
#[cfg(test)]
mod tests;
mod track;

pub use sender::SenderClock;
pub use track::TrackClock;

use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Nanoseconds since the session began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionTime(pub i64);

impl SessionTime {
    /// The session time of `at` in a session that began at `start`; negative before it.
    pub fn since(start: Instant, at: Instant) -> Self {
        let nanos = |duration: std::time::Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        match at.checked_duration_since(start) {
            Some(after) => Self(nanos(after)),
            None => Self(-nanos(start.saturating_duration_since(at))),
        }
    }
    /// The session time of a whole number of milliseconds.
    pub fn from_ms(ms: u64) -> Self {
        Self(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000))
    }
    /// Whole milliseconds; 0 before the start.
    pub fn as_ms(self) -> u64 {
        u64::try_from(self.0 / 1_000_000).unwrap_or(0)
    }
    /// Seconds, for people and for arithmetic that need not be exact.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// The 64-bit RTP time nearest to `near` whose low 32 bits are `timestamp`.
pub fn unwrap_rtp(near: i64, timestamp: u32) -> i64 {
    near.wrapping_add(i64::from(timestamp.wrapping_sub(near as u32) as i32))
}

/// What a mapping stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Arrival times: no sender report came.
    Arrival,
    /// RTCP sender reports (RFC 3550, 6.4.1).
    SenderReports,
}

/// A linear part of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LinearMapping {
    /// It holds from this RTP time on; the first part holds before it too.
    pub origin_rtp: i64,
    /// The session time of `origin_rtp`, in nanoseconds.
    #[serde(rename = "origin_ns")]
    pub origin: SessionTime,
    /// True ticks per session second.
    #[serde(rename = "ticks_per_second")]
    pub rate: f64,
}

impl LinearMapping {
    fn to_session(self, rtp_time: i64) -> SessionTime {
        let seconds = rtp_time.saturating_sub(self.origin_rtp) as f64 / self.rate;
        SessionTime(self.origin.0.saturating_add((seconds * 1e9).round() as i64))
    }
}

/// RTP time to session time, for one track.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// The first part; `origin_rtp` is the first RTP time of the track.
    pub first: LinearMapping,
    /// Where the sender's clocks stepped (suspended, set, restarted): the parts after, in order.
    pub later: Vec<LinearMapping>,
    pub basis: Basis,
    /// How far the mapping may be off, in nanoseconds, the network's shortest delay not counted.
    pub error_ns: i64,
    pub reports_used: u32,
    pub reports_rejected: u32,
    /// The nominal rate in Hz.
    pub clock_rate: u32,
}

impl Mapping {
    /// The session time of an RTP time. Where the sender's clock stepped it may go back by as much as the error.
    pub fn to_session(&self, rtp_time: i64) -> SessionTime {
        let part = self.later.iter().rev().find(|part| part.origin_rtp <= rtp_time);
        part.unwrap_or(&self.first).to_session(rtp_time)
    }
    /// How much faster than nominal the track's clock runs, in parts per million of session time.
    pub fn drift_ppm(&self) -> f64 {
        (self.first.rate / f64::from(self.clock_rate.max(1)) - 1.0) * 1e6
    }
    /// The mapping as it stands in the manifest.
    pub fn summary(&self) -> ClockSummary {
        ClockSummary {
            basis: self.basis,
            first: self.first,
            error_ms: self.error_ns as f64 / 1e6,
            drift_ppm: self.drift_ppm(),
            clock_rate: self.clock_rate,
            reports_used: self.reports_used,
            reports_rejected: self.reports_rejected,
            later: self.later.clone(),
        }
    }
}

/// A [`Mapping`] as it stands in the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockSummary {
    pub basis: Basis,
    /// `origin_rtp`, `origin_ns`, `ticks_per_second`.
    #[serde(flatten)]
    pub first: LinearMapping,
    pub error_ms: f64,
    pub drift_ppm: f64,
    pub clock_rate: u32,
    pub reports_used: u32,
    pub reports_rejected: u32,
    /// Pieces after a step of the sender's clocks; mostly none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<LinearMapping>,
}

impl ClockSummary {
    /// The mapping again, from a manifest.
    pub fn mapping(&self) -> Mapping {
        Mapping {
            first: self.first,
            later: self.later.clone(),
            basis: self.basis,
            error_ns: (self.error_ms * 1e6) as i64,
            reports_used: self.reports_used,
            reports_rejected: self.reports_rejected,
            clock_rate: self.clock_rate,
        }
    }
}

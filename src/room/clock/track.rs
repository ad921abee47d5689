//! One track's RTP clock: arrivals and sender reports in, the mapping to session time out.

use super::envelope::Envelope;
use super::line::Line;
use super::sender::{MAX_STEPS, PROOF, SenderClock};
use super::{Basis, LinearMapping, Mapping, SessionTime};

/// A report off the line by more than this (and what the line's own doubt allows) is not believed.
const TOLERANCE_NS: f64 = 40e6;
/// The floor of the error: what senders' reports are good for.
const REPORT_ERROR_NS: f64 = 1e6;
/// The same for arrivals: encoders and pacers delay sound and picture differently, by a frame or so.
const ARRIVAL_ERROR_NS: f64 = 20e6;
/// A line through fewer reports than this is replaced, not followed, by reports that contradict it.
const FEW: u32 = 3;

/// The clock of one track, from its first packet to its last.
#[derive(Debug, Clone)]
pub struct TrackClock {
    clock_rate: u32,
    /// First RTP time, and arrival delay over RTP time from there.
    first: Option<i64>,
    arrivals: Envelope,
    newest: Option<(i64, SessionTime)>,
    /// The largest disagreement of arrivals and RTP times since the last report that fitted, and the RTP time after it:
    /// where the clock stepped, if it turns out that it did.
    jump: Option<(i64, i64)>,
    /// Between steps of the sender's clocks. The newest is last.
    segments: Vec<Segment>,
    suspects: Vec<Report>,
    last: Option<(i64, u64)>,
    used: u32,
    rejected: u32,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    from_rtp: i64,
    /// The sender clock's epoch that its NTP times are in.
    epoch: usize,
    line: Line,
}

#[derive(Debug, Clone, Copy)]
struct Report {
    rtp: i64,
    ntp_ns: i64,
    at: SessionTime,
}

impl TrackClock {
    /// A track whose RTP clock runs at `clock_rate` Hz. It starts with the track and ends at a discontinuity.
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            first: None,
            arrivals: Envelope::default(),
            newest: None,
            jump: None,
            segments: Vec::new(),
            suspects: Vec::new(),
            last: None,
            used: 0,
            rejected: 0,
        }
    }

    /// A frame of unwrapped time `rtp_time` arrived.
    pub fn on_arrival(&mut self, rtp_time: i64, at: SessionTime) {
        let first = *self.first.get_or_insert(rtp_time);
        let time = self.nanos(rtp_time.saturating_sub(first));
        self.arrivals.add(time, at.0.saturating_sub(time));
        if let Some((rtp, before)) = self.newest.replace((rtp_time, at)) {
            let step = at.0.saturating_sub(before.0).saturating_sub(self.nanos(rtp_time.saturating_sub(rtp)));
            if self.jump.is_none_or(|(largest, _)| step.saturating_abs() > largest.saturating_abs()) {
                self.jump = Some((step, rtp_time));
            }
        }
    }

    /// A sender report (RFC 3550, 6.4.1) arrived: its RTP timestamp, unwrapped near the newest frame's
    /// ([`super::unwrap_rtp`]), and its NTP timestamp (32.32 bits). `sender` is the clock that all tracks of that sender share.
    pub fn on_sender_report(&mut self, sender: &mut SenderClock, rtp_time: i64, ntp: u64, at: SessionTime) {
        if self.last.replace((rtp_time, ntp)) == Some((rtp_time, ntp)) {
            return;
        }
        if ntp == 0 {
            // "No wallclock" (section 6.4.1).
            self.rejected += 1;
            return;
        }
        let report = Report { rtp: rtp_time, ntp_ns: ntp_nanos(ntp), at };
        let Some(segment) = self.segments.last_mut() else {
            sender.observe(report.ntp_ns, at);
            self.begin(sender, rtp_time, &[report]);
            return;
        };
        let line = &segment.line;
        let tolerance = TOLERANCE_NS + 4.0 * line.rms() + line.uncertainty(rtp_time);
        if (off(line, &report) as f64).abs() > tolerance {
            self.suspect(sender, report, tolerance);
            return;
        }
        segment.line.add(report.rtp, report.ntp_ns);
        self.used += 1;
        self.rejected += self.suspects.drain(..).len() as u32;
        let fits = sender.observe(report.ntp_ns, at);
        // The sender's NTP and RTP clocks were stopped together: the line goes on in the clock's new epoch.
        if let Some(epoch) = sender.epoch()
            && epoch != segment.epoch
        {
            let stopped = self.jump.filter(|(step, _)| step.saturating_abs() >= 1_000_000_000);
            let next = Segment { from_rtp: stopped.map_or(rtp_time, |(_, rtp)| rtp), epoch, ..*segment };
            self.push(next);
        }
        if fits {
            self.jump = None;
        }
    }

    /// The mapping as far as it is known now; none before the first frame or report.
    pub fn mapping(&self, sender: &SenderClock) -> Option<Mapping> {
        let parts: Option<Vec<LinearMapping>> =
            (0..self.segments.len()).map(|index| self.linear_mapping(index, sender)).collect();
        let (basis, error, mut parts) = match parts.filter(|parts| !parts.is_empty()) {
            Some(parts) => (Basis::SenderReports, self.report_error(sender), parts.into_iter()),
            None => {
                let error = ARRIVAL_ERROR_NS + self.arrivals.excess() / f64::from(self.arrivals.count().max(1)).sqrt();
                (Basis::Arrival, error, vec![self.arrival_mapping()?].into_iter())
            }
        };
        Some(Mapping {
            first: parts.next()?,
            later: parts.collect(),
            basis,
            error_ns: error as i64,
            reports_used: self.used,
            reports_rejected: self.rejected.saturating_add(self.suspects.len() as u32),
            clock_rate: self.clock_rate,
        })
    }

    /// What the sender's own clock showed at an RTP time, by its reports: nanoseconds since 1900 (RFC 5905). None before the first.
    pub fn sender_ns(&self, rtp_time: i64) -> Option<i64> {
        let segment = self.segments.iter().rev().find(|segment| segment.from_rtp <= rtp_time);
        segment.or(self.segments.first()).map(|segment| segment.line.ntp_ns(rtp_time))
    }

    /// A report off the line. Enough of them that agree are a step of one of the sender's clocks.
    fn suspect(&mut self, sender: &mut SenderClock, report: Report, tolerance: f64) {
        self.suspects.push(report);
        let Some(segment) = self.segments.last().copied() else { return };
        let steps: Vec<i64> = self.suspects.iter().map(|suspect| off(&segment.line, suspect)).collect();
        let (Some(least), Some(most), true) = (steps.iter().min(), steps.iter().max(), steps.len() >= PROOF) else {
            return;
        };
        if most.saturating_sub(*least) as f64 > tolerance {
            self.suspects.remove(0);
            self.rejected += 1;
            return;
        }
        let step = *least / 2 + *most / 2;
        let suspects = std::mem::take(&mut self.suspects);
        let reports: Vec<(i64, SessionTime)> = suspects.iter().map(|report| (report.ntp_ns, report.at)).collect();
        sender.track_stepped(step, &reports);
        let mut from_rtp = match self.jump {
            Some((jump, rtp)) if jump.saturating_abs() >= step.saturating_abs() / 2 => rtp,
            _ => suspects.first().map_or(report.rtp, |report| report.rtp),
        };
        if segment.line.count() < FEW {
            // Rather the first reports were wrong.
            self.rejected += segment.line.count();
            self.used -= segment.line.count().min(self.used);
            self.segments.pop();
            from_rtp = segment.from_rtp;
        }
        self.begin(sender, from_rtp, &suspects);
        self.jump = None;
    }

    /// A new segment with these reports, which the sender's clock has seen.
    fn begin(&mut self, sender: &SenderClock, from_rtp: i64, reports: &[Report]) {
        let (Some(epoch), Some((first, rest))) = (sender.epoch(), reports.split_first()) else { return };
        let mut line = Line::new(self.clock_rate, first.rtp, first.ntp_ns);
        rest.iter().for_each(|report| line.add(report.rtp, report.ntp_ns));
        self.used += reports.len() as u32;
        self.push(Segment { from_rtp, epoch, line });
    }

    fn push(&mut self, segment: Segment) {
        if self.segments.len() == MAX_STEPS {
            self.segments.pop();
        }
        self.segments.push(segment);
    }

    fn linear_mapping(&self, index: usize, sender: &SenderClock) -> Option<LinearMapping> {
        let segment = self.segments.get(index)?;
        let origin_rtp = self.first.filter(|_| index == 0).unwrap_or(segment.from_rtp);
        let origin = sender.to_session(segment.epoch, segment.line.ntp_ns(origin_rtp))?;
        let rate = f64::from(self.clock_rate) / ((1.0 + segment.line.slope()) * (1.0 + sender.slope(segment.epoch)));
        Some(LinearMapping { origin_rtp, origin, rate })
    }

    fn arrival_mapping(&self) -> Option<LinearMapping> {
        let origin = SessionTime(self.arrivals.delay_at(0)?);
        Some(LinearMapping {
            origin_rtp: self.first?,
            origin,
            rate: f64::from(self.clock_rate) / (1.0 + self.arrivals.slope()),
        })
    }

    /// The worst of all segments: what the line's reports scatter, and how well the sender's offset is known.
    fn report_error(&self, sender: &SenderClock) -> f64 {
        let error = |segment: &Segment| {
            let line = 2.0 * segment.line.rms() / f64::from(segment.line.count()).sqrt();
            REPORT_ERROR_NS + line + sender.error_ns(segment.epoch)
        };
        self.segments.iter().map(error).fold(0.0, f64::max)
    }

    fn nanos(&self, ticks: i64) -> i64 {
        i64::try_from(i128::from(ticks) * 1_000_000_000 / i128::from(self.clock_rate)).unwrap_or(i64::MAX)
    }
}

/// How far a report's NTP time is ahead of the line, in nanoseconds.
fn off(line: &Line, report: &Report) -> i64 {
    report.ntp_ns.saturating_sub(line.ntp_ns(report.rtp))
}

/// An NTP timestamp (RFC 5905, section 6: 32 bits of seconds, 32 of fraction) in nanoseconds; fits 63 bits.
fn ntp_nanos(ntp: u64) -> i64 {
    let (seconds, fraction) = (ntp >> 32, ntp & 0xffff_ffff);
    (seconds * 1_000_000_000 + ((fraction * 1_000_000_000) >> 32)) as i64
}

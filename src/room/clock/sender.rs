//! One sender's NTP clock against the session's: the offset that all its tracks share. Sees only reports that their
//! tracks found plausible.

use super::SessionTime;
use super::envelope::Envelope;

/// Consecutive reports that agree with each other and not with the past prove a step.
pub(super) const PROOF: usize = 3;
/// A clock that steps more often is not worth following; the last epoch is replaced then.
pub(super) const MAX_STEPS: usize = 64;

/// A report that comes later than expected by more than this may be delayed no more: the clock was stopped.
const LATE_NS: f64 = 2e9;
/// A report cannot come early but by a shorter way through the network, or because the first ones were slow.
const EARLY_AT_FIRST_NS: f64 = 250e6;
const EARLY_NS: f64 = 50e6;
/// "At first": fewer reports than this.
const SETTLED: u32 = 20;
/// With fewer reports than this, one that contradicts them by a network's delay replaces them.
const FEW: u32 = 5;

/// The NTP clock that the tracks of one sender (one RTCP CNAME) share, as seen from the session.
#[derive(Debug, Clone, Default)]
pub struct SenderClock {
    /// Between steps of the sender's clock: delay of reports over NTP time. The newest is last.
    epochs: Vec<Envelope>,
    /// Reports (NTP time, delay) that do not fit the newest epoch.
    suspects: Vec<(i64, i64)>,
}

impl SenderClock {
    /// A sender of which nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A plausible report arrived. True if it fits what is known (or is the first).
    pub(super) fn observe(&mut self, ntp_ns: i64, at: SessionTime) -> bool {
        let delay = at.0.saturating_sub(ntp_ns);
        let Some(epoch) = self.epochs.last_mut() else {
            self.begin(&[(ntp_ns, delay)]);
            return true;
        };
        let off = off(epoch, ntp_ns, delay);
        let slack = 4.0 * epoch.excess();
        let early = if epoch.count() < SETTLED { EARLY_AT_FIRST_NS } else { EARLY_NS };
        if (-early - slack..=LATE_NS + slack).contains(&off) {
            epoch.add(ntp_ns, delay);
            self.suspects.clear();
            return true;
        }
        self.suspects.push((ntp_ns, delay));
        let spread = |suspects: &[(i64, i64)]| {
            let delays = suspects.iter().map(|(_, delay)| *delay);
            delays.clone().max().unwrap_or(0).saturating_sub(delays.min().unwrap_or(0)) as f64
        };
        if self.suspects.len() > PROOF {
            self.suspects.remove(0);
        }
        if self.suspects.len() == PROOF && spread(&self.suspects) <= EARLY_AT_FIRST_NS + slack {
            let suspects = std::mem::take(&mut self.suspects);
            if epoch.count() < FEW && off.abs() < LATE_NS {
                self.epochs.pop();
            }
            self.begin(&suspects);
        }
        false
    }

    /// In one track NTP time stepped against RTP time by `step_ns`, as these reports say: tells whether it was the NTP
    /// clock that stepped (then their delays have changed by as much) and begins a new epoch if so.
    pub(super) fn track_stepped(&mut self, step_ns: i64, reports: &[(i64, SessionTime)]) {
        let delays: Vec<(i64, i64)> =
            reports.iter().map(|(ntp_ns, at)| (*ntp_ns, at.0.saturating_sub(*ntp_ns))).collect();
        let offs =
            |epoch: &Envelope| delays.iter().map(|(ntp_ns, delay)| off(epoch, *ntp_ns, *delay)).min_by(f64::total_cmp);
        match self.epochs.last().and_then(offs) {
            Some(off) if (off + step_ns as f64).abs() < off.abs() => self.begin(&delays),
            _ => reports.iter().for_each(|(ntp_ns, at)| _ = self.observe(*ntp_ns, *at)),
        }
    }

    /// The number of the newest epoch; none before the first report.
    pub(super) fn epoch(&self) -> Option<usize> {
        self.epochs.len().checked_sub(1)
    }

    /// The session time of an NTP time in an epoch.
    pub(super) fn to_session(&self, epoch: usize, ntp_ns: i64) -> Option<SessionTime> {
        let delay = self.epochs.get(epoch)?.delay_at(ntp_ns)?;
        Some(SessionTime(ntp_ns.saturating_add(delay)))
    }

    /// Session seconds gained per NTP second in an epoch.
    pub(super) fn slope(&self, epoch: usize) -> f64 {
        self.epochs.get(epoch).map_or(0.0, Envelope::slope)
    }

    /// How far the offset may be off in an epoch, in nanoseconds. The more reports, the nearer the fastest one came to
    /// the network's shortest delay.
    pub(super) fn error_ns(&self, epoch: usize) -> f64 {
        self.epochs.get(epoch).map_or(0.0, |epoch| epoch.excess() / f64::from(epoch.count().max(1)).sqrt())
    }

    fn begin(&mut self, delays: &[(i64, i64)]) {
        if self.epochs.len() == MAX_STEPS {
            self.epochs.pop();
        }
        let mut epoch = Envelope::default();
        delays.iter().for_each(|(ntp_ns, delay)| epoch.add(*ntp_ns, *delay));
        self.epochs.push(epoch);
        self.suspects.clear();
    }
}

/// How much later than the fastest a report came, in nanoseconds; negative: earlier.
fn off(epoch: &Envelope, ntp_ns: i64, delay: i64) -> f64 {
    delay.saturating_sub(epoch.delay_at(ntp_ns).unwrap_or(delay)) as f64
}

//! Whether the connection to a participant comes about: when to say that it does not although they have media, and when to begin it anew.
//! Pure.

use crate::room::policy::PeerState;
use crate::rtc::PeerEvent;
use std::time::{Duration, Instant};

/// After this time without a connection it is told.
const TELL: Duration = Duration::from_secs(5);
/// After this time it is begun anew; each further time after twice as long.
const RENEW: Duration = Duration::from_secs(8);
/// A connection that has found a path and is busy with DTLS gets as much more.
const DTLS: Duration = Duration::from_secs(8);
/// A connection that fails before it is established is made anew so often.
const MAX_RENEWALS: u32 = 3;

/// What is known of the connection to one participant.
#[derive(Debug, Default)]
pub(crate) struct MediaWatch {
    /// Since when there is no connection and something is to come over it.
    since: Option<Instant>,
    has_path: bool,
    established: bool,
    told: bool,
    renewals: u32,
}

/// What is to be done about a connection that does not come about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// It is to be told so.
    Tell(String),
    /// It is to be begun anew, for this reason.
    Renew(String),
}

impl MediaWatch {
    /// The connection reports something.
    pub fn on_event(&mut self, event: &PeerEvent) {
        match event {
            PeerEvent::State(PeerState::Connected) | PeerEvent::Track(_) => self.established = true,
            PeerEvent::IceConnected => self.has_path = true,
            _ => {}
        }
    }

    /// Whether it may be begun anew; then it is.
    pub fn renew(&mut self) -> bool {
        let may = self.may_renew();
        if may {
            (self.since, self.has_path, self.told, self.renewals) = (None, false, false, self.renewals + 1);
        }
        may
    }

    fn may_renew(&self) -> bool {
        !self.established && self.renewals < MAX_RENEWALS
    }

    /// Looks at the time. `expects`: the participant has labelled media that is not muted; `may_renew`: the other side begins anew with us.
    pub fn look(&mut self, expects: bool, may_renew: bool, now: Instant) -> Option<Stuck> {
        if self.established || !expects {
            self.since = None;
            return None;
        }
        let waited = now.saturating_duration_since(*self.since.get_or_insert(now));
        let why = if self.has_path { "the path is there, DTLS is not" } else { "no network path is found" };
        let text = format!("no connection after {} s, though they have media: {why}", waited.as_secs());
        let may_renew = may_renew && self.may_renew();
        let patience = RENEW * 2u32.saturating_pow(self.renewals) + if self.has_path { DTLS } else { Duration::ZERO };
        if may_renew && waited >= patience {
            return Some(Stuck::Renew(format!("{text}; it is begun anew")));
        }
        (waited >= TELL && !std::mem::replace(&mut self.told, true)).then_some(Stuck::Tell(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(watch: &mut MediaWatch, seconds: u64, may_renew: bool) -> Vec<(u64, Stuck)> {
        let start = Instant::now();
        let look = |s| Some((s, watch.look(true, may_renew, start + Duration::from_secs(s))?));
        (0..seconds).filter_map(look).collect()
    }

    #[test]
    fn it_is_told_and_begun_anew_after_longer_and_longer() {
        let mut watch = MediaWatch::default();
        let text = |n: u64| format!("no connection after {n} s, though they have media: no network path is found");
        let expected = [(5, Stuck::Tell(text(5))), (8, Stuck::Renew(text(8) + "; it is begun anew"))];
        assert_eq!(looks(&mut watch, 9, true), expected);
        assert!(watch.renew());
        watch.on_event(&PeerEvent::IceConnected);
        let stuck = looks(&mut watch, 25, true);
        assert_eq!(stuck.iter().map(|(s, _)| *s).collect::<Vec<_>>(), [5, 24]);
        assert!(matches!(&stuck[1].1, Stuck::Renew(text) if text.contains("DTLS")), "{stuck:?}");
        assert!(watch.renew() && watch.renew() && !watch.renew());
        assert_eq!(looks(&mut watch, 300, true).len(), 1);
    }

    #[test]
    fn who_is_connected_or_sends_nothing_is_left_alone() {
        let mut watch = MediaWatch::default();
        assert_eq!(looks(&mut watch, 60, false).len(), 1);
        watch.on_event(&PeerEvent::State(PeerState::Connected));
        assert_eq!((looks(&mut watch, 60, true).len(), watch.renew()), (0, false));
        assert_eq!(MediaWatch::default().look(false, true, Instant::now()), None);
    }
}

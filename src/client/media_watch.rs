//! Whether the connection to a participant comes about and brings their media: when to say that it does not, and when to begin it anew.
//! Pure.

use crate::room::policy::PeerState;
use crate::rtc::PeerEvent;
use std::time::{Duration, Instant};

/// After this time without a connection, or without a packet on one, it is told.
const TELL: Duration = Duration::from_secs(5);
/// After this time it is begun anew; each further time after twice as long.
const RENEW: Duration = Duration::from_secs(8);
/// A connection that has found a path and is busy with DTLS gets as much more.
const DTLS: Duration = Duration::from_secs(8);
/// A connection that fails before it is established is made anew so often.
const MAX_RENEWALS: u32 = 3;
/// A connection that stands and brings nothing is made anew after this time, once.
const RENEW_SILENT: Duration = Duration::from_secs(10);

/// A connection is made anew so often because the participant does: each costs a socket for as long as the old one takes to close.
const MAX_REPLACEMENTS: u32 = 16;

/// What is known of the connection to one participant.
#[derive(Debug, Default)]
pub(crate) struct MediaWatch {
    /// Since when there is no connection, or nothing comes over it, and something is to come.
    since: Option<Instant>,
    has_path: bool,
    established: bool,
    told: bool,
    renewals: u32,
    /// One that stood was made anew, since it brought nothing.
    renewed_silent: bool,
    replacements: u32,
}

/// What is seen of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// The participant has labelled media that is not muted, and sends it to us.
    pub expects: bool,
    /// A packet of media has come.
    pub heard: bool,
    /// A file is on its way.
    pub busy: bool,
    /// The other side begins anew with us.
    pub may_renew: bool,
}

/// What is to be done about a connection that does not come about, or brings nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// It is to be told so.
    Tell(String),
    /// It is to be told so, and the participant gets a new offer: a path may be dead in one direction.
    Ask(String),
    /// It is to be begun anew, for this reason.
    Renew(String),
    /// The same of one that is established.
    RenewSilent(String),
}

impl MediaWatch {
    /// The connection reports something.
    pub fn on_event(&mut self, event: &PeerEvent) {
        match event {
            PeerEvent::State(PeerState::Connected) | PeerEvent::Track(_) => {
                if !self.established {
                    (self.since, self.told) = (None, false);
                }
                self.established = true;
            }
            PeerEvent::IceConnected => self.has_path = true,
            _ => {}
        }
    }

    /// Whether the connection stands, or has stood.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// Whether it may be begun anew; then it is. `silent`: though it is established.
    pub fn renew(&mut self, silent: bool) -> bool {
        let may = self.renewals < MAX_RENEWALS && (silent || !self.established);
        if may {
            let (renewals, renewed_silent) = (self.renewals + 1, self.renewed_silent || silent);
            *self = MediaWatch { renewals, renewed_silent, replacements: self.replacements, ..MediaWatch::default() };
        }
        may
    }

    /// They go on with another connection; whether it may be made. Then it has everything before it.
    pub fn replaced(&mut self) -> bool {
        let replacements = self.replacements.saturating_add(1);
        *self = MediaWatch { replacements, ..MediaWatch::default() };
        replacements <= MAX_REPLACEMENTS
    }

    /// Looks at the time.
    pub fn look(&mut self, seen: Seen, now: Instant) -> Option<Stuck> {
        if !seen.expects || self.established && seen.heard {
            self.since = None;
            return None;
        }
        let waited = now.saturating_duration_since(*self.since.get_or_insert(now));
        if self.established { self.look_at_silence(seen, waited) } else { self.look_at_making(seen, waited) }
    }

    fn look_at_making(&mut self, seen: Seen, waited: Duration) -> Option<Stuck> {
        let why = if self.has_path { "the path is there, DTLS is not" } else { "no network path is found" };
        let text = format!("no connection after {} s, though they have media: {why}", waited.as_secs());
        let may_renew = seen.may_renew && self.renewals < MAX_RENEWALS;
        let patience = RENEW * 2u32.saturating_pow(self.renewals) + if self.has_path { DTLS } else { Duration::ZERO };
        if may_renew && waited >= patience {
            return Some(Stuck::Renew(format!("{text}; it is begun anew")));
        }
        (waited >= TELL && !std::mem::replace(&mut self.told, true)).then_some(Stuck::Tell(text))
    }

    fn look_at_silence(&mut self, seen: Seen, waited: Duration) -> Option<Stuck> {
        let text = format!("connected for {} s, and nothing of their media has come", waited.as_secs());
        let may_renew = seen.may_renew && !self.renewed_silent && self.renewals < MAX_RENEWALS;
        if may_renew && !seen.busy && waited >= RENEW_SILENT {
            return Some(Stuck::RenewSilent(format!("{text}; the connection is begun anew")));
        }
        if waited < TELL || std::mem::replace(&mut self.told, true) {
            return None;
        }
        Some(if may_renew { Stuck::Ask(format!("{text}; it is asked for again")) } else { Stuck::Tell(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKING: Seen = Seen { expects: true, heard: false, busy: false, may_renew: true };

    fn looks(watch: &mut MediaWatch, seconds: u64, seen: Seen) -> Vec<(u64, Stuck)> {
        let start = Instant::now();
        let look = |s| Some((s, watch.look(seen, start + Duration::from_secs(s))?));
        (0..seconds).filter_map(look).collect()
    }

    #[test]
    fn it_is_told_and_begun_anew_after_longer_and_longer() {
        let mut watch = MediaWatch::default();
        let text = |n: u64| format!("no connection after {n} s, though they have media: no network path is found");
        let expected = [(5, Stuck::Tell(text(5))), (8, Stuck::Renew(text(8) + "; it is begun anew"))];
        assert_eq!(looks(&mut watch, 9, MAKING), expected);
        assert!(watch.renew(false));
        watch.on_event(&PeerEvent::IceConnected);
        let stuck = looks(&mut watch, 25, MAKING);
        assert_eq!(stuck.iter().map(|(s, _)| *s).collect::<Vec<_>>(), [5, 24]);
        assert!(matches!(&stuck[1].1, Stuck::Renew(text) if text.contains("DTLS")), "{stuck:?}");
        assert!(watch.renew(false) && watch.renew(false) && !watch.renew(false));
        assert_eq!(looks(&mut watch, 300, MAKING).len(), 1);
    }

    #[test]
    fn who_begins_anew_again_and_again_is_followed_for_a_while() {
        let mut watch = MediaWatch::default();
        watch.on_event(&PeerEvent::State(PeerState::Connected));
        assert!(watch.replaced());
        assert_eq!(
            looks(&mut watch, 6, Seen { may_renew: false, ..MAKING }).len(),
            1,
            "the new connection has to come about as the first one had"
        );
        assert_eq!((0..100).filter(|_| watch.replaced()).count(), 15);
    }

    #[test]
    fn who_is_connected_or_sends_nothing_is_left_alone() {
        let mut watch = MediaWatch::default();
        assert_eq!(looks(&mut watch, 60, Seen { may_renew: false, ..MAKING }).len(), 1);
        watch.on_event(&PeerEvent::State(PeerState::Connected));
        assert_eq!(looks(&mut watch, 60, Seen { heard: true, ..MAKING }).len(), 0);
        assert_eq!(looks(&mut watch, 60, Seen { expects: false, ..MAKING }).len(), 0);
        assert!(!watch.renew(false), "it stands");
    }

    #[test]
    fn a_connection_that_brings_nothing_is_asked_and_begun_anew_once() {
        let mut watch = MediaWatch::default();
        watch.on_event(&PeerEvent::State(PeerState::Connected));
        let text = |n: u64| format!("connected for {n} s, and nothing of their media has come; ");
        let expected = [
            (5, Stuck::Ask(text(5) + "it is asked for again")),
            (10, Stuck::RenewSilent(text(10) + "the connection is begun anew")),
        ];
        assert_eq!(looks(&mut watch, 11, MAKING), expected);
        assert!(watch.renew(true));
        // The fresh one is made like any other; where it brings nothing either, that is only told.
        assert!(matches!(looks(&mut watch, 6, MAKING)[..], [(5, Stuck::Tell(_))]));
        watch.on_event(&PeerEvent::State(PeerState::Connected));
        assert!(matches!(looks(&mut watch, 60, MAKING)[..], [(5, Stuck::Tell(_))]));
    }

    #[test]
    fn no_file_on_its_way_is_cut_off() {
        let mut watch = MediaWatch::default();
        watch.on_event(&PeerEvent::State(PeerState::Connected));
        let start = Instant::now();
        let mut look = |s, busy| watch.look(Seen { busy, ..MAKING }, start + Duration::from_secs(s));
        assert!(look(0, true).is_none() && matches!(look(5, true), Some(Stuck::Ask(_))));
        assert!((6..60).all(|s| look(s, true).is_none()));
        assert!(matches!(look(60, false), Some(Stuck::RenewSilent(_))));
    }
}

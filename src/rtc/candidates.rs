//! ICE candidates around descriptions (RFC 8838): ours where they do not trickle, theirs where they come too early or too many. Pure: told
//! the time.

use crate::room::description::{Candidate, Description};
use crate::room::sdp::Sdp;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Candidates that are accepted with and after each description; later ones are dropped. Each would be probed with packets.
pub(super) const MAX_CANDIDATES: usize = 256;
/// How long a description waits for our candidates, where they must be in it: a STUN server that does not answer delays it no longer.
const GATHERING_TIMEOUT: Duration = Duration::from_secs(2);

/// Our candidates where they do not trickle, and our descriptions that wait for them.
#[derive(Debug, Default)]
pub(super) struct LocalCandidates {
    candidates: Vec<String>,
    /// There are no more of them.
    complete: bool,
    waiting: VecDeque<Description>,
    deadline: Option<Instant>,
}

impl LocalCandidates {
    /// One more candidate was gathered.
    pub fn add(&mut self, candidate: String) {
        if !self.candidates.contains(&candidate) {
            self.candidates.push(candidate);
        }
    }

    /// All are gathered: the descriptions that waited for them.
    pub fn complete(&mut self) -> Vec<Description> {
        self.complete = true;
        self.release()
    }

    /// They are gathered again. Those that are known stay, for the sockets do.
    pub fn gather_again(&mut self) {
        self.complete = false;
    }

    /// A description of ours: what can be sent now, if anything.
    pub fn hold(&mut self, description: Description, now: Instant) -> Vec<Description> {
        self.waiting.push_back(description);
        if self.complete {
            return self.release();
        }
        self.deadline.get_or_insert(now + GATHERING_TIMEOUT);
        Vec::new()
    }

    /// When [`LocalCandidates::release`] must be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The descriptions that waited, with the candidates that there are.
    pub fn release(&mut self) -> Vec<Description> {
        self.deadline = None;
        let candidates = &self.candidates;
        let with_candidates = |Description { kind, sdp }| Description {
            kind,
            sdp: Sdp::edit(&sdp, |sdp| sdp.add_candidates(candidates)),
        };
        self.waiting.drain(..).map(with_candidates).collect()
    }
}

/// What to do with a candidate of theirs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RemoteCandidate {
    /// Give it to the connection.
    Apply(Candidate),
    /// It is kept until their description is there.
    Kept,
    /// There are too many; `first` for the first of those.
    Dropped { first: bool },
}

/// Their candidates.
#[derive(Debug, Default)]
pub(super) struct RemoteCandidates {
    /// A description of theirs is in force.
    described: bool,
    early: Vec<Candidate>,
    /// Since the last description.
    count: usize,
}

impl RemoteCandidates {
    /// Whether a description of theirs is in force.
    pub fn described(&self) -> bool {
        self.described
    }

    /// A candidate came by itself.
    pub fn add(&mut self, candidate: Candidate) -> RemoteCandidate {
        self.count += 1;
        if self.count > MAX_CANDIDATES {
            RemoteCandidate::Dropped { first: self.count == MAX_CANDIDATES + 1 }
        } else if self.described {
            RemoteCandidate::Apply(candidate)
        } else {
            self.early.push(candidate);
            RemoteCandidate::Kept
        }
    }

    /// A description of theirs is in force: the candidates that came before it.
    pub fn on_description(&mut self) -> Vec<Candidate> {
        if std::mem::replace(&mut self.described, true) {
            self.count = 0;
        }
        std::mem::take(&mut self.early)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\n";
    const ONE: &str = "candidate:1 1 udp 1 127.0.0.1 9 typ host";

    fn offer() -> Description {
        Description { kind: "offer".into(), sdp: SDP.into() }
    }

    #[test]
    fn a_description_waits_for_our_candidates() {
        let (mut local, now) = (LocalCandidates::default(), Instant::now());
        assert!(local.hold(offer(), now).is_empty());
        assert_eq!(local.deadline(), Some(now + GATHERING_TIMEOUT));
        assert!(local.hold(offer(), now + Duration::from_secs(1)).is_empty());
        assert_eq!(local.deadline(), Some(now + GATHERING_TIMEOUT), "the first one's");
        local.add(ONE.into());
        local.add(ONE.into());
        let sent = local.complete();
        assert_eq!((sent.len(), local.deadline()), (2, None));
        assert!(sent[0].sdp.ends_with(&format!("a={ONE}\r\na=end-of-candidates\r\n")), "{}", sent[0].sdp);
        assert_eq!(local.hold(offer(), now), sent[..1], "they are known now");
        local.gather_again();
        assert!(local.hold(offer(), now).is_empty());
        assert_eq!(local.release(), sent[..1], "with what there is");
    }

    #[test]
    fn early_candidates_are_kept_and_too_many_dropped() {
        let mut remote = RemoteCandidates::default();
        let candidate =
            Candidate { candidate: ONE.into(), sdp_mid: None, sdp_m_line_index: None, username_fragment: None };
        assert_eq!(remote.add(candidate.clone()), RemoteCandidate::Kept);
        assert_eq!(remote.on_description(), std::slice::from_ref(&candidate));
        for _ in 1..MAX_CANDIDATES {
            assert_eq!(remote.add(candidate.clone()), RemoteCandidate::Apply(candidate.clone()));
        }
        assert_eq!(remote.add(candidate.clone()), RemoteCandidate::Dropped { first: true });
        assert_eq!(remote.add(candidate.clone()), RemoteCandidate::Dropped { first: false });
        assert!(remote.on_description().is_empty());
        assert_eq!(remote.add(candidate.clone()), RemoteCandidate::Apply(candidate), "after another description");
    }
}

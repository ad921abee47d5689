//! Perfect negotiation (W3C WebRTC 10.7) as a pure state machine: it decides, the connection's actor acts. Never touches a connection.
//!
//! The library has no implicit rollback, so the decision says when an explicit one comes first.

use crate::room::policy::Renegotiation;
use std::time::{Duration, Instant};

/// At least this long between two ICE restarts of ours.
const RESTART_PAUSE: Duration = Duration::from_secs(4);

/// The pause before a failed negotiation is begun anew; it doubles with each failure in a row.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// After so many failures in a row it is left as it is.
const MAX_FAILURES: u32 = 5;

/// What kind of description arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Offer,
    Answer,
}

/// What to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Glare, and we are the impolite side: our offer stands, theirs is ignored, and so are its candidates.
    Ignore,
    /// An answer to nothing that we asked.
    Stale,
    /// Take our own offer back first (polite side of a glare), then apply and answer. Our changes are offered again afterwards.
    RollbackThenAnswer,
    /// Apply and answer.
    Answer,
    /// Apply; that concludes our offer.
    Conclude,
}

/// What to do about changes of ours that no offer has carried yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Nothing, now.
    Wait,
    /// Make an offer; the next answer is for it.
    Offer,
    /// Ask the other side for an offer.
    RequestOffer,
}

/// Where a connection's negotiation stands.
#[derive(Debug)]
pub(super) struct Negotiation {
    polite: bool,
    renegotiation: Renegotiation,
    /// The first offer was made, by them or by us.
    begun: bool,
    /// Our offer is out and unanswered.
    offering: bool,
    /// Something of ours has changed that no offer has carried yet.
    needed: bool,
    /// Nor can it be carried otherwise: an ICE restart.
    pressing: bool,
    /// The connection has been up: before, only the first offer is made, for those who are busy with their handshake.
    connected: bool,
    /// Negotiations that failed in a row, and when the next one is begun.
    failures: u32,
    retry: Option<Instant>,
    /// The last offer from the peer was ignored: errors about its candidates are none.
    ignoring: bool,
    /// When we restarted ICE last.
    restarted: Option<Instant>,
}

impl Negotiation {
    /// `renegotiation`: how this room settles what changes after the first offer.
    pub(super) fn new(polite: bool, renegotiation: Renegotiation) -> Self {
        let (begun, offering, needed, pressing, connected, ignoring) = Default::default();
        let (failures, retry, restarted) = Default::default();
        Self {
            polite,
            renegotiation,
            begun,
            offering,
            needed,
            pressing,
            connected,
            failures,
            retry,
            ignoring,
            restarted,
        }
    }
    /// Whether a track of ours may still be added.
    pub(super) fn may_add_track(&self) -> bool {
        !self.begun || matches!(self.renegotiation, Renegotiation::Offer | Renegotiation::Request)
    }
    /// Whether new sections have to be requested of the other side.
    pub(super) fn requests_sections(&self) -> bool {
        self.begun && self.renegotiation == Renegotiation::Request
    }
    /// A track came or went, or ICE must restart.
    pub(super) fn changed(&mut self) {
        self.needed = true;
    }
    /// The connection is up.
    pub(super) fn connected(&mut self) {
        self.connected = true;
    }
    /// Our answer has carried what had changed.
    pub(super) fn settled(&mut self) {
        self.needed = self.pressing;
    }
    /// What to do now about changes of ours, as this room settles them.
    pub(super) fn next_step(&mut self) -> NextStep {
        if self.begun && !self.connected && !self.pressing && self.renegotiation == Renegotiation::Offer {
            return NextStep::Wait;
        }
        if !self.begun || self.renegotiation == Renegotiation::Offer {
            return if self.begin_offer() { NextStep::Offer } else { NextStep::Wait };
        }
        let changed = std::mem::take(&mut self.needed);
        if changed && self.renegotiation == Renegotiation::Request { NextStep::RequestOffer } else { NextStep::Wait }
    }
    /// Whether to make an offer now, whatever the room's way to settle changes is (the other side requested it). If so, the next answer is
    /// for it.
    pub(super) fn begin_offer(&mut self) -> bool {
        let now = self.needed && !self.offering;
        if now {
            (self.needed, self.pressing) = (false, false);
            self.offering = true;
            self.begun = true;
        }
        now
    }
    /// Their offer is in force.
    pub(super) fn offer_applied(&mut self) {
        self.begun = true;
    }
    /// Whether ICE may be restarted now; if so, it counts.
    pub(super) fn may_restart_ice(&mut self, now: Instant) -> bool {
        let may = self.restarted.is_none_or(|last| now.saturating_duration_since(last) >= RESTART_PAUSE);
        if may {
            self.restarted = Some(now);
        }
        may
    }
    /// ICE was restarted: what to do about that.
    pub(super) fn ice_restarted(&mut self) -> NextStep {
        (self.needed, self.pressing) = (true, true);
        if self.renegotiation != Renegotiation::IceRestart {
            return self.next_step();
        }
        if self.begin_offer() { NextStep::Offer } else { NextStep::Wait }
    }
    /// An exchange of descriptions has failed: what it was for is offered again later, a few times.
    pub(super) fn failed(&mut self, now: Instant) {
        self.offering = false;
        self.failures += 1;
        if self.failures < MAX_FAILURES && self.renegotiation == Renegotiation::Offer {
            self.retry = Some(now + RETRY_PAUSE * 2u32.saturating_pow(self.failures - 1));
        }
    }
    /// One has succeeded.
    pub(super) fn succeeded(&mut self) {
        (self.failures, self.retry) = (0, None);
    }
    /// When [`Negotiation::retry`] is due.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry
    }
    /// Begins a failed negotiation anew.
    pub(super) fn retry(&mut self) -> NextStep {
        self.retry = None;
        self.needed = true;
        // What has failed may be what the connection waits for.
        if self.begin_offer() { NextStep::Offer } else { NextStep::Wait }
    }
    /// Whether their last offer was ignored.
    pub(super) fn ignoring(&self) -> bool {
        self.ignoring
    }
    /// Decides about a description and takes the decision as carried out.
    pub(super) fn received(&mut self, kind: Kind) -> Verdict {
        match (kind, self.offering, self.polite) {
            (Kind::Offer, true, false) => {
                self.ignoring = true;
                Verdict::Ignore
            }
            (Kind::Offer, true, true) => {
                self.offering = false;
                self.needed = true;
                self.ignoring = false;
                Verdict::RollbackThenAnswer
            }
            (Kind::Offer, false, _) => {
                self.ignoring = false;
                Verdict::Answer
            }
            (Kind::Answer, true, _) => {
                self.offering = false;
                Verdict::Conclude
            }
            (Kind::Answer, false, _) => Verdict::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_settled_as_the_room_does_it() {
        let after = |renegotiation| {
            let mut negotiation = Negotiation::new(true, renegotiation);
            negotiation.changed();
            assert_eq!(negotiation.next_step(), NextStep::Offer, "the first offer is always one");
            assert_eq!(negotiation.received(Kind::Answer), Verdict::Conclude);
            negotiation.connected();
            negotiation.changed();
            let change = negotiation.next_step();
            assert_eq!(negotiation.next_step(), NextStep::Wait, "once");
            if change == NextStep::Offer {
                negotiation.received(Kind::Answer);
            }
            (change, negotiation.ice_restarted(), negotiation.may_add_track())
        };
        assert_eq!(after(Renegotiation::Offer), (NextStep::Offer, NextStep::Offer, true));
        assert_eq!(after(Renegotiation::Request), (NextStep::RequestOffer, NextStep::RequestOffer, true));
        assert_eq!(after(Renegotiation::Never), (NextStep::Wait, NextStep::Wait, false));
        assert_eq!(after(Renegotiation::IceRestart), (NextStep::Wait, NextStep::Offer, false));
    }

    #[test]
    fn ice_restarts_keep_their_distance() {
        let (mut negotiation, now) = (Negotiation::new(true, Renegotiation::Offer), Instant::now());
        assert!(negotiation.may_restart_ice(now));
        assert!(!negotiation.may_restart_ice(now + RESTART_PAUSE - Duration::from_millis(1)));
        assert!(negotiation.may_restart_ice(now + RESTART_PAUSE));
    }

    #[test]
    fn nothing_is_offered_without_need_nor_during_the_handshake() {
        let mut negotiation = Negotiation::new(true, Renegotiation::Offer);
        negotiation.changed();
        assert_eq!(negotiation.received(Kind::Offer), Verdict::Answer);
        negotiation.offer_applied();
        assert_eq!(negotiation.next_step(), NextStep::Wait, "they are busy");
        negotiation.connected();
        negotiation.settled();
        assert_eq!(negotiation.next_step(), NextStep::Wait, "our answer carried it");
        negotiation.changed();
        assert_eq!(negotiation.next_step(), NextStep::Offer);
        negotiation.received(Kind::Answer);
        assert_eq!(negotiation.ice_restarted(), NextStep::Offer);
    }

    #[test]
    fn a_failed_negotiation_is_begun_anew_a_few_times() {
        let (mut negotiation, mut now) = (Negotiation::new(true, Renegotiation::Offer), Instant::now());
        negotiation.changed();
        assert_eq!(negotiation.next_step(), NextStep::Offer);
        let mut pauses = Vec::new();
        loop {
            negotiation.received(Kind::Answer);
            negotiation.failed(now);
            let Some(at) = negotiation.retry_at() else { break };
            pauses.push((at - now).as_secs());
            now = at;
            assert_eq!(negotiation.retry(), NextStep::Offer);
        }
        assert_eq!(pauses, [1, 2, 4, 8]);
        negotiation.succeeded();
        negotiation.failed(now);
        assert_eq!(negotiation.retry_at(), Some(now + RETRY_PAUSE));
    }

    /// Two sides over a wire that keeps messages back: whatever the order, both end without an open offer, and every change
    /// of either side was carried by an offer that was answered.
    #[test]
    fn two_sides_always_settle() {
        for seed in 0..2_000u64 {
            let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut roll = move |n: u64| {
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                dice % n
            };
            let mut sides =
                [Negotiation::new(true, Renegotiation::Offer), Negotiation::new(false, Renegotiation::Offer)];
            sides.iter_mut().for_each(Negotiation::connected);
            let mut version = [0u32; 2];
            let mut offered = [0u32; 2];
            let mut agreed = [0u32; 2];
            let mut wires: [std::collections::VecDeque<(Kind, u32)>; 2] = Default::default();
            let mut changes = 6;
            for _ in 0..400 {
                let me = roll(2) as usize;
                if changes > 0 && roll(4) == 0 {
                    changes -= 1;
                    version[me] += 1;
                    sides[me].changed();
                }
                if sides[me].begin_offer() {
                    offered[me] = version[me];
                    wires[1 - me].push_back((Kind::Offer, version[me]));
                }
                if let Some((kind, carried)) = wires[me].pop_front() {
                    match sides[me].received(kind) {
                        Verdict::Answer | Verdict::RollbackThenAnswer => {
                            agreed[1 - me] = carried;
                            wires[1 - me].push_back((Kind::Answer, carried));
                        }
                        Verdict::Conclude => assert_eq!(carried, offered[me], "seed {seed}"),
                        Verdict::Ignore => {}
                        Verdict::Stale => panic!("seed {seed}: an answer that nobody waits for"),
                    }
                }
            }
            assert!(sides.iter().all(|s| !s.offering && !s.needed), "seed {seed}: {sides:?}");
            assert_eq!(agreed, version, "seed {seed}");
        }
    }
}

//! Perfect negotiation (W3C WebRTC 10.7) as a pure state machine: it decides, the peer acts. Never touches a connection.
//!
//! The library has no implicit rollback, so the decision says when an explicit one comes first.

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

/// Where a connection's negotiation stands.
#[derive(Debug)]
pub(super) struct Negotiation {
    polite: bool,
    /// Our offer is out and unanswered.
    offering: bool,
    /// Something of ours has changed that no offer has carried yet.
    needed: bool,
    /// The last offer from the peer was ignored: errors about its candidates are none.
    ignoring: bool,
}

impl Negotiation {
    pub(super) fn new(polite: bool) -> Self {
        Self { polite, offering: false, needed: false, ignoring: false }
    }
    /// A track came or went, or ICE must restart.
    pub(super) fn changed(&mut self) {
        self.needed = true;
    }
    /// True when an offer should be made now; the caller makes it, and the next answer is for it.
    pub(super) fn begin_offer(&mut self) -> bool {
        let now = self.needed && !self.offering;
        if now {
            self.needed = false;
            self.offering = true;
        }
        now
    }
    /// What has changed is not offered by us; true when there was something.
    pub(super) fn give_up_change(&mut self) -> bool {
        std::mem::take(&mut self.needed)
    }
    /// The offer could not be made after all.
    pub(super) fn offer_failed(&mut self) {
        self.offering = false;
    }
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
            let mut sides = [Negotiation::new(true), Negotiation::new(false)];
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

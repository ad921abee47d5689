//! A room for two over one event, as lessons 1, 3, 4 and 6 of the WebRTC guide have it: everybody hears everything that is sent. Pure.
//!
//! Events are not stored, and who joins says nothing. So who offers does so again and again until something comes back; one who has
//! heard an offer answers at once, and a second one would destroy their peer: between two offers lies longer than any answer takes.
//! Who is only called is not there yet: nobody hears of them before they answer.

use super::super::simple_peer::{self, Heard, Labels};
use super::super::talk::Step;
use super::super::{Description, NegotiationPolicy, Signal, SignalCommand, SignalEvent};
use super::{id_of, wire};
use crate::room::participant::{Participant, ParticipantId, Role};
use crate::room::policy::{FirstOffer, PeerState};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Between two offers that nobody has answered. Who hears one answers within a fraction of it, even on a busy machine.
const REPEAT: Duration = Duration::from_secs(1);
/// How long a connection may be disturbed before its end is believed. That is known after five seconds of silence, and pages give up at
/// once then.
const DISTURBED: Duration = Duration::from_secs(2);

/// The other one.
struct Partner {
    who: Participant,
    /// The name that they sign with, once they have said something.
    sender: Option<String>,
    /// Their last offer.
    offer: Option<String>,
    /// Our last offer, until it is answered; and when it is said again.
    unanswered: Option<(String, Instant)>,
    /// Since when the connection is disturbed.
    disturbed: Option<Instant>,
    labels: Labels,
}

impl Partner {
    /// They describe their side; and what their tracks are, where that has changed.
    fn describes(&mut self, kind: &str, sdp: String) -> Vec<Step> {
        let id = self.who.id.clone();
        let labels = self.labels.described(&sdp).map(|tracks| SignalEvent::Tracks { id: id.clone(), tracks });
        if let Some(SignalEvent::Tracks { tracks, .. }) = &labels {
            self.who.tracks.clone_from(tracks);
        }
        let signal = Signal::description(kind, sdp);
        labels.into_iter().chain([SignalEvent::Signal { from: id, signal }]).map(Step::Tell).collect()
    }
}

/// What they sign with, without what everybody has in it.
fn name_of(sender: &str) -> &str {
    sender.strip_prefix("user/").unwrap_or(sender)
}

/// What we know of the room.
pub(super) struct Pair {
    event: &'static str,
    me: String,
    /// We offer.
    initiator: bool,
    policy: NegotiationPolicy,
    partner: Option<Partner>,
    /// Ids that were given so far.
    given: u32,
    /// Others who were told about.
    third: HashSet<String>,
}

impl Pair {
    pub fn new(event: &'static str, me: String, initiator: bool, policy: NegotiationPolicy) -> Pair {
        Pair { event, me, initiator, policy, partner: None, given: 0, third: HashSet::new() }
    }

    pub fn present(&self) -> Vec<Participant> {
        self.partner.iter().map(|partner| partner.who.clone()).collect()
    }

    /// The socket is there and the event subscribed.
    pub fn begin(&mut self) -> Vec<Step> {
        if self.initiator && self.partner.is_none() { vec![self.meet(None)] } else { Vec::new() }
    }

    /// Somebody is to be connected to; each time under another id, as what is under way still has the old one.
    fn meet(&mut self, sender: Option<String>) -> Step {
        self.given += 1;
        let (initiator, number) = (sender.is_none(), self.given);
        let name = sender.as_deref().map_or("Guest", name_of).to_owned();
        let who = Participant { id: id_of(&name, number), name, role: Role::Participant, tracks: Vec::new() };
        self.partner = Some(Partner {
            who: who.clone(),
            sender,
            offer: None,
            unanswered: None,
            disturbed: None,
            labels: Labels::default(),
        });
        let first_offer = if initiator { FirstOffer::Us } else { FirstOffer::Them };
        // Who began the call stands by it: the other side takes its own offer back by itself.
        let policy = NegotiationPolicy { first_offer, polite: Some(!initiator), ..self.policy.clone() };
        Step::Tell(if initiator { SignalEvent::Called { who, policy } } else { SignalEvent::Met { who, policy } })
    }

    /// The other one is gone; who offers waits for the next one.
    fn part(&mut self, reason: &str) -> Vec<Step> {
        let Some(partner) = self.partner.take() else { return Vec::new() };
        let left = Step::Tell(SignalEvent::Left { id: partner.who.id, reason: reason.to_owned() });
        let next = self.initiator.then(|| self.meet(None));
        [left].into_iter().chain(next).collect()
    }

    /// An event came.
    pub fn hear(&mut self, body: &Value) -> Vec<Step> {
        let Some(sender) = body["sender"].as_str().filter(|sender| !sender.is_empty() && sender.len() <= 64) else {
            return Vec::new();
        };
        if sender == self.me {
            return Vec::new();
        }
        let heard = simple_peer::read(&body["signal"]);
        if let Some(partner) = &self.partner
            && partner.sender.as_deref().is_some_and(|known| known != sender)
        {
            return self.heard_third(sender, heard);
        }
        let Some(partner) = &mut self.partner else {
            let Heard::Offer(sdp) = heard else { return Vec::new() };
            return self.called(sender, sdp);
        };
        let from = partner.who.id.clone();
        let mut steps = Vec::new();
        if partner.sender.is_none() && heard != Heard::Nothing {
            partner.sender = Some(sender.to_owned());
            name_of(sender).clone_into(&mut partner.who.name);
            let name = partner.who.name.clone();
            steps.push(Step::Tell(SignalEvent::Answered { id: from.clone(), name }));
        }
        match heard {
            // They say it again, because they have not heard our answer yet; a second answer would be too much.
            Heard::Offer(sdp) if partner.offer.as_ref() == Some(&sdp) => {}
            Heard::Offer(sdp) => {
                let same =
                    partner.offer.as_ref().is_none_or(|last| simple_peer::session(last) == simple_peer::session(&sdp));
                if !same {
                    // Another peer of theirs: the page was loaded again.
                    return self.replace(sender, sdp);
                }
                partner.offer = Some(sdp.clone());
                steps.extend(partner.describes("offer", sdp));
            }
            Heard::Answer(sdp) => {
                if partner.unanswered.take().is_some() {
                    steps.extend(partner.describes("answer", sdp));
                }
            }
            Heard::Candidate(candidate) => {
                let signal = Signal::Candidate(Some(candidate));
                steps.push(Step::Tell(SignalEvent::Signal { from, signal }));
            }
            Heard::Ask(ask) => steps.push(Step::Tell(SignalEvent::Asked { from, ask })),
            Heard::Nothing => {}
        }
        steps
    }

    /// Somebody offers.
    fn called(&mut self, sender: &str, sdp: String) -> Vec<Step> {
        let met = self.meet(Some(sender.to_owned()));
        let call = self.partner.as_mut().map(|partner| {
            partner.offer = Some(sdp.clone());
            partner.describes("offer", sdp)
        });
        [met].into_iter().chain(call.into_iter().flatten()).collect()
    }

    fn replace(&mut self, sender: &str, sdp: String) -> Vec<Step> {
        let left =
            self.partner.take().map(|old| Step::Tell(SignalEvent::Left { id: old.who.id, reason: "left".to_owned() }));
        left.into_iter().chain(self.called(sender, sdp)).collect()
    }

    /// A third one speaks in a room for two. If the second one is disturbed, they are its successor.
    fn heard_third(&mut self, sender: &str, heard: Heard) -> Vec<Step> {
        let Some(partner) = &self.partner else { return Vec::new() };
        match heard {
            Heard::Offer(sdp) if partner.disturbed.is_some() => self.replace(sender, sdp),
            _ if self.third.len() < 64 && self.third.insert(sender.to_owned()) => {
                let name = partner.sender.clone().unwrap_or_default();
                let text = format!("{sender:?} is there too, but this room is for two: only {name:?} is connected to");
                vec![Step::Tell(SignalEvent::Warning { id: partner.who.id.clone(), text })]
            }
            _ => Vec::new(),
        }
    }

    fn say(&self, signal: Value) -> Step {
        let body = json!({"sender": self.me, "signal": signal});
        Step::Say(wire::message("E", "EVT", &[self.event, &wire::typed(&body)]))
    }

    pub fn obey(&mut self, command: SignalCommand, now: Instant) -> Vec<Step> {
        match command {
            SignalCommand::Signal { to, signal } => self.signal(&to, signal, now),
            SignalCommand::Peer { id, state } => {
                let Some(partner) = self.partner.as_mut().filter(|partner| partner.who.id == id) else {
                    return Vec::new();
                };
                match state {
                    PeerState::Failed | PeerState::Closed => return self.part("left"),
                    PeerState::Disconnected => partner.disturbed = partner.disturbed.or(Some(now)),
                    _ => partner.disturbed = None,
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn signal(&mut self, to: &ParticipantId, signal: Signal, now: Instant) -> Vec<Step> {
        let Some(partner) = self.partner.as_mut().filter(|partner| partner.who.id == *to) else { return Vec::new() };
        let Some(written) = simple_peer::write(&signal) else { return Vec::new() };
        if let Signal::Description(Description { kind, sdp }) = signal
            && kind == "offer"
        {
            partner.unanswered = Some((sdp, now + REPEAT));
        }
        vec![self.say(written)]
    }

    pub fn tick(&mut self, now: Instant) -> Vec<Step> {
        let Some(partner) = &mut self.partner else { return Vec::new() };
        if partner.disturbed.is_some_and(|since| now.duration_since(since) > DISTURBED) {
            return self.part("timeout");
        }
        // Once they have said anything, they have heard us.
        match &mut partner.unanswered {
            Some((sdp, again)) if partner.sender.is_none() && *again <= now => {
                *again = now + REPEAT;
                let signal = json!({"type": "offer", "sdp": sdp.as_str()});
                vec![self.say(signal)]
            }
            _ => Vec::new(),
        }
    }
}

//! A room for two over one event, as in lessons 1, 3, 4 and 6 of the WebRTC guide: everybody receives everything that is sent. Pure.
//!
//! Events are not stored, and joining sends nothing. So the initiator repeats its offer until there is an answer. A second offer would
//! destroy a peer that has answered the first, so the time between two is longer than any answer takes. A participant who is only
//! called may not exist: the client is told of them when they answer.

use super::wire;
use crate::room::description::{Description, Signal};
use crate::room::participant::{Participant, ParticipantId, Role};
use crate::room::policy::{FirstOffer, NegotiationPolicy, PeerState};
use crate::signal::connector::Action;
use crate::signal::names::id_from_name;
use crate::signal::signaller::{SignalCommand, SignalEvent};
use crate::signal::simple_peer::{self, InferredLabels, PeerSignal};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Time between two offers without an answer: an answer takes a fraction of it, even on a busy machine.
const OFFER_INTERVAL: Duration = Duration::from_secs(1);
/// How long a connection may be disconnected before the participant counts as gone. ICE notices after five seconds of silence, and pages give
/// up at once then.
const DISCONNECTED_TIMEOUT: Duration = Duration::from_secs(2);

/// The other participant.
struct Partner {
    participant: Participant,
    /// The sender in their events, once there was one.
    sender: Option<String>,
    /// Their last offer.
    offer: Option<String>,
    /// Our last offer, until it is answered, and when it is repeated.
    unanswered_offer: Option<(String, Instant)>,
    disconnected_since: Option<Instant>,
    labels: InferredLabels,
}

impl Partner {
    /// A description of theirs, and their track labels if they changed.
    fn on_description(&mut self, kind: &str, sdp: String) -> Vec<Action> {
        let id = self.participant.id.clone();
        let labels = self.labels.update(&sdp).map(|tracks| SignalEvent::Tracks { id: id.clone(), tracks });
        if let Some(SignalEvent::Tracks { tracks, .. }) = &labels {
            self.participant.tracks.clone_from(tracks);
        }
        let signal = Signal::description(kind, sdp);
        labels.into_iter().chain([SignalEvent::Signal { from: id, signal }]).map(Action::Emit).collect()
    }
}

/// A display name: the sender without its common prefix.
fn display_name(sender: &str) -> &str {
    sender.strip_prefix("user/").unwrap_or(sender)
}

/// The state of the room.
pub(super) struct Pair {
    event: &'static str,
    me: String,
    /// We make the offers.
    initiator: bool,
    policy: NegotiationPolicy,
    partner: Option<Partner>,
    /// Participants seen so far.
    count: u32,
    /// Other senders that the client was warned of.
    ignored_senders: HashSet<String>,
}

impl Pair {
    pub fn new(event: &'static str, me: String, initiator: bool, policy: NegotiationPolicy) -> Pair {
        Pair { event, me, initiator, policy, partner: None, count: 0, ignored_senders: HashSet::new() }
    }

    pub fn present(&self) -> Vec<Participant> {
        self.partner.iter().map(|partner| partner.participant.clone()).collect()
    }

    /// We are subscribed to the event.
    pub fn on_subscribed(&mut self) -> Vec<Action> {
        if self.initiator && self.partner.is_none() { vec![self.add(None)] } else { Vec::new() }
    }

    /// Adds the other participant, each time with another id: signals on their way still have the old one.
    fn add(&mut self, sender: Option<String>) -> Action {
        self.count += 1;
        let (initiator, number) = (sender.is_none(), self.count);
        let name = sender.as_deref().map_or("Guest", display_name).to_owned();
        let participant =
            Participant { id: id_from_name(&name, number), name, role: Role::Participant, tracks: Vec::new() };
        self.partner = Some(Partner {
            participant: participant.clone(),
            sender,
            offer: None,
            unanswered_offer: None,
            disconnected_since: None,
            labels: InferredLabels::default(),
        });
        let first_offer = if initiator { FirstOffer::Us } else { FirstOffer::Them };
        // In a glare, the offer of the initiator counts.
        let policy = NegotiationPolicy { first_offer, polite: Some(!initiator), ..self.policy.clone() };
        Action::Emit(if initiator {
            SignalEvent::Calling { who: participant, policy }
        } else {
            SignalEvent::JoinedWith { who: participant, policy }
        })
    }

    /// The other participant is gone; the initiator calls the next one.
    fn remove(&mut self, reason: &str) -> Vec<Action> {
        let Some(partner) = self.partner.take() else { return Vec::new() };
        let left = Action::Emit(SignalEvent::Left { id: partner.participant.id, reason: reason.to_owned() });
        let next = self.initiator.then(|| self.add(None));
        [left].into_iter().chain(next).collect()
    }

    /// An event of the room.
    pub fn on_event(&mut self, body: &Value) -> Vec<Action> {
        let Some(sender) = body["sender"].as_str().filter(|sender| !sender.is_empty() && sender.len() <= 64) else {
            return Vec::new();
        };
        if sender == self.me {
            return Vec::new();
        }
        let signal = simple_peer::read(&body["signal"]);
        if let Some(partner) = &self.partner
            && partner.sender.as_deref().is_some_and(|known| known != sender)
        {
            return self.on_third_signal(sender, signal);
        }
        let Some(partner) = &mut self.partner else {
            let PeerSignal::Offer(sdp) = signal else { return Vec::new() };
            return self.on_call(sender, sdp);
        };
        let from = partner.participant.id.clone();
        let mut actions = Vec::new();
        if partner.sender.is_none() && signal != PeerSignal::Unknown {
            partner.sender = Some(sender.to_owned());
            display_name(sender).clone_into(&mut partner.participant.name);
            let name = partner.participant.name.clone();
            actions.push(Action::Emit(SignalEvent::Answered { id: from.clone(), name }));
        }
        match signal {
            // A repeated offer: our answer is still on its way, and a second one would be an error.
            PeerSignal::Offer(sdp) if partner.offer.as_ref() == Some(&sdp) => {}
            PeerSignal::Offer(sdp) => {
                let same_peer = partner
                    .offer
                    .as_ref()
                    .is_none_or(|last| simple_peer::session_id(last) == simple_peer::session_id(&sdp));
                if !same_peer {
                    // Another peer object: the page was reloaded.
                    return self.replace(sender, sdp);
                }
                partner.offer = Some(sdp.clone());
                actions.extend(partner.on_description("offer", sdp));
            }
            PeerSignal::Answer(sdp) => {
                if partner.unanswered_offer.take().is_some() {
                    actions.extend(partner.on_description("answer", sdp));
                }
            }
            PeerSignal::Candidate(candidate) => {
                let signal = Signal::Candidate(Some(candidate));
                actions.push(Action::Emit(SignalEvent::Signal { from, signal }));
            }
            PeerSignal::OfferRequest(request) => {
                actions.push(Action::Emit(SignalEvent::OfferRequested { from, request }))
            }
            PeerSignal::Unknown => {}
        }
        actions
    }

    /// An offer of an unknown participant.
    fn on_call(&mut self, sender: &str, sdp: String) -> Vec<Action> {
        let met = self.add(Some(sender.to_owned()));
        let call = self.partner.as_mut().map(|partner| {
            partner.offer = Some(sdp.clone());
            partner.on_description("offer", sdp)
        });
        [met].into_iter().chain(call.into_iter().flatten()).collect()
    }

    fn replace(&mut self, sender: &str, sdp: String) -> Vec<Action> {
        let left = self
            .partner
            .take()
            .map(|old| Action::Emit(SignalEvent::Left { id: old.participant.id, reason: "left".to_owned() }));
        left.into_iter().chain(self.on_call(sender, sdp)).collect()
    }

    /// A signal of a third participant in a room for two. An offer replaces a participant who is disconnected.
    fn on_third_signal(&mut self, sender: &str, signal: PeerSignal) -> Vec<Action> {
        let Some(partner) = &self.partner else { return Vec::new() };
        match signal {
            PeerSignal::Offer(sdp) if partner.disconnected_since.is_some() => self.replace(sender, sdp),
            _ if self.ignored_senders.len() < 64 && self.ignored_senders.insert(sender.to_owned()) => {
                let name = partner.sender.clone().unwrap_or_default();
                let text = format!("{sender:?} is in this room too, but it is for two: only {name:?} is connected");
                vec![Action::Emit(SignalEvent::Warning { id: partner.participant.id.clone(), text })]
            }
            _ => Vec::new(),
        }
    }

    fn send_signal(&self, signal: Value) -> Action {
        let body = json!({"sender": self.me, "signal": signal});
        Action::send(wire::message("E", "EVT", &[self.event, &wire::typed(&body)]))
    }

    pub fn on_command(&mut self, command: SignalCommand, now: Instant) -> Vec<Action> {
        match command {
            SignalCommand::Signal { to, signal } => self.signal(&to, signal, now),
            SignalCommand::Peer { id, state } => {
                let Some(partner) = self.partner.as_mut().filter(|partner| partner.participant.id == id) else {
                    return Vec::new();
                };
                match state {
                    PeerState::Failed | PeerState::Closed => return self.remove("left"),
                    PeerState::Disconnected => partner.disconnected_since = partner.disconnected_since.or(Some(now)),
                    _ => partner.disconnected_since = None,
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn signal(&mut self, to: &ParticipantId, signal: Signal, now: Instant) -> Vec<Action> {
        let Some(partner) = self.partner.as_mut().filter(|partner| partner.participant.id == *to) else {
            return Vec::new();
        };
        let Some(written) = simple_peer::write(&signal) else { return Vec::new() };
        if let Signal::Description(Description { kind, sdp }) = signal
            && kind == "offer"
        {
            partner.unanswered_offer = Some((sdp, now + OFFER_INTERVAL));
        }
        vec![self.send_signal(written)]
    }

    pub fn on_tick(&mut self, now: Instant) -> Vec<Action> {
        let Some(partner) = &mut self.partner else { return Vec::new() };
        if partner.disconnected_since.is_some_and(|since| now.duration_since(since) > DISCONNECTED_TIMEOUT) {
            return self.remove("timeout");
        }
        // Any event of theirs shows that they have received the offer.
        match &mut partner.unanswered_offer {
            Some((sdp, again)) if partner.sender.is_none() && *again <= now => {
                *again = now + OFFER_INTERVAL;
                let signal = json!({"type": "offer", "sdp": sdp.as_str()});
                vec![self.send_signal(signal)]
            }
            _ => Vec::new(),
        }
    }
}

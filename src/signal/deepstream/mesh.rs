//! The full mesh of lesson 2: a list of users to which everybody adds themselves, and an event for each user. Pure.
//!
//! The user with the larger name makes the offer, with all candidates in it. A user who is not connected within seven seconds is removed from
//! the list by the other, perhaps wrongly; then everybody drops them, and they add themselves again. Writes of the list can get lost, and
//! users who closed their page stay in it. So the client is told of a user only once there was a signal of theirs.

use super::wire;
use crate::room::description::{Description, Signal};
use crate::room::participant::{Participant, ParticipantId, Role};
use crate::room::policy::{FirstOffer, NegotiationPolicy, PeerState};
use crate::signal::connector::Action;
use crate::signal::names::id_from_name;
use crate::signal::signaller::{SignalCommand, SignalEvent};
use crate::signal::simple_peer::{self, PeerSignal};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// The record with the list of users.
const USERS: &str = "users";
/// How long a connection may take until the user counts as gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(7);
/// How long a connection may be disconnected before the user counts as gone. ICE notices after five seconds of silence, and pages give up at
/// once then.
const DISCONNECTED_TIMEOUT: Duration = Duration::from_secs(2);
/// How long others take to read the list after we wrote it: before that they ignore our offers.
const LIST_DELAY: Duration = Duration::from_millis(400);
/// The least time between two writes of ours, so that others who write at the same time can finish.
const WRITE_INTERVAL: Duration = Duration::from_millis(250);
/// Bytes of a name at most.
const MAX_NAME: usize = 64;
/// Users at most; the guide's own mesh breaks at ten.
const MAX_MEMBERS: usize = 64;

/// A user to whom we have or try a connection.
struct Member {
    participant: Participant,
    since: Instant,
    /// There was a signal of theirs.
    has_signalled: bool,
    connected: bool,
    disconnected_since: Option<Instant>,
    /// Their last offer.
    offer: Option<String>,
    /// Our offer was not answered yet.
    awaits_answer: bool,
}

/// The state of the mesh.
pub(super) struct Mesh {
    me: String,
    policy: NegotiationPolicy,
    members: HashMap<String, Member>,
    /// In the list, but not reachable.
    unreachable: BTreeSet<String>,
    /// The version and content of the list; none until it was read.
    list: Option<(u64, Vec<String>)>,
    /// When we wrote the list last.
    written_at: Option<Instant>,
    /// We are not in the list and must add ourselves.
    unlisted: bool,
    /// Offers that wait until the others have read the list.
    delayed_offers: Vec<(ParticipantId, String)>,
    count: u32,
}

impl Mesh {
    pub fn new(me: String, policy: NegotiationPolicy) -> Mesh {
        Mesh {
            me,
            policy,
            members: HashMap::new(),
            unreachable: BTreeSet::new(),
            list: None,
            written_at: None,
            unlisted: false,
            delayed_offers: Vec::new(),
            count: 0,
        }
    }

    pub fn present(&self) -> Vec<Participant> {
        self.members.values().map(|member| member.participant.clone()).collect()
    }

    /// The event for us.
    pub fn event(&self) -> String {
        format!("rtc-signal/{}", self.me)
    }

    /// We are subscribed to our event: now others may see us in the list.
    pub fn on_subscribed(&mut self) -> Vec<Action> {
        self.list = None;
        vec![Action::send(wire::message("R", "CR", &[USERS]))]
    }

    /// The list was read, or written by somebody.
    pub fn on_user_list(&mut self, version: u64, list: &Value, now: Instant) -> Vec<Action> {
        let names = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let names: Vec<String> = names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        if self.list.as_ref().is_some_and(|(known, _)| version < *known) {
            return Vec::new();
        }
        let mut actions = Vec::new();
        if !names.contains(&self.me) {
            // Not added yet, removed, or overwritten. Everybody else drops us with this list, and connects again once we are in it.
            self.unlisted = true;
            self.unreachable.clear();
            let all: Vec<String> = self.members.keys().cloned().collect();
            actions.extend(all.iter().filter_map(|name| self.remove(name, "left")));
            self.unreachable.clear();
        }
        self.unreachable.retain(|name| names.contains(name));
        // A user who is removed while connected to us is not gone: somebody else could not reach them.
        let gone = self.members.iter().filter(|(name, m)| !m.connected && !names.contains(name));
        let gone: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
        self.list = Some((version, names));
        for name in gone {
            // Their offer may have been faster than the list.
            if self
                .members
                .get(&name)
                .is_some_and(|m| m.offer.is_none() || now.duration_since(m.since) > CONNECT_TIMEOUT)
            {
                actions.extend(self.remove(&name, "left"));
            }
        }
        actions.extend(self.write(now));
        actions.extend(self.add_listed(now));
        actions
    }

    /// Connects to everybody in the list, once we are in it too.
    fn add_listed(&mut self, now: Instant) -> Vec<Action> {
        let Some((_, names)) = self.list.as_ref().filter(|_| !self.unlisted) else { return Vec::new() };
        let new = |name: &&String| {
            **name != self.me
                && !self.members.contains_key(*name)
                && !self.unreachable.contains(*name)
                && (1..=MAX_NAME).contains(&name.len())
        };
        let new: Vec<String> =
            names.iter().filter(new).take(MAX_MEMBERS.saturating_sub(self.members.len())).cloned().collect();
        new.iter().map(|name| self.add(name, false, now)).collect()
    }

    /// Adds ourselves to the list, if necessary and allowed now.
    fn write(&mut self, now: Instant) -> Option<Action> {
        if !self.unlisted || self.written_at.is_some_and(|last| now.duration_since(last) < WRITE_INTERVAL) {
            return None;
        }
        let (version, names) = self.list.as_mut()?;
        names.push(self.me.clone());
        *version += 1;
        (self.unlisted, self.written_at) = (false, Some(now));
        Some(Action::send(update(*version, names)))
    }

    /// Our write failed: somebody else wrote this version.
    pub fn on_write_conflict(&mut self, version: u64, list: &Value, now: Instant) -> Vec<Action> {
        self.list = None;
        self.on_user_list(version, list, now)
    }

    /// Adds a user: one who called us, or one of the list who may not exist any more.
    fn add(&mut self, name: &str, called: bool, now: Instant) -> Action {
        self.count += 1;
        let participant = Participant {
            id: id_from_name(name, self.count),
            name: name.to_owned(),
            role: Role::Participant,
            tracks: Vec::new(),
        };
        let we_offer = !called && self.me.as_str() > name;
        let first_offer = if we_offer { FirstOffer::Us } else { FirstOffer::Them };
        let policy = NegotiationPolicy { first_offer, polite: Some(!we_offer), ..self.policy.clone() };
        let member = Member {
            participant: participant.clone(),
            since: now,
            has_signalled: called,
            connected: false,
            disconnected_since: None,
            offer: None,
            awaits_answer: false,
        };
        self.members.insert(name.to_owned(), member);
        Action::Emit(if called {
            SignalEvent::JoinedWith { who: participant, policy }
        } else {
            SignalEvent::Calling { who: participant, policy }
        })
    }

    fn remove(&mut self, name: &str, reason: &str) -> Option<Action> {
        let member = self.members.remove(name)?;
        if self.list.as_ref().is_some_and(|(_, names)| names.iter().any(|n| n == name)) {
            self.unreachable.insert(name.to_owned());
        }
        Some(Action::Emit(SignalEvent::Left { id: member.participant.id, reason: reason.to_owned() }))
    }

    /// A signal for us.
    pub fn on_event(&mut self, body: &Value, now: Instant) -> Vec<Action> {
        let Some(name) = body["user"].as_str().filter(|name| (1..=MAX_NAME).contains(&name.len())) else {
            return Vec::new();
        };
        if name == self.me {
            return Vec::new();
        }
        let peer_signal = simple_peer::read(&body["signal"]);
        let mut actions = Vec::new();
        if let PeerSignal::Offer(sdp) = &peer_signal {
            let is_new_peer = self.members.get(name).is_none_or(|member| {
                member.offer.as_ref().is_some_and(|last| simple_peer::session_id(last) != simple_peer::session_id(sdp))
            });
            if is_new_peer && self.members.len() < MAX_MEMBERS {
                // Faster than the list, or a new peer object.
                actions.extend(self.remove(name, "left"));
                self.unreachable.remove(name);
                actions.push(self.add(name, true, now));
            }
        }
        let Some(member) = self.members.get_mut(name) else { return actions };
        let from = member.participant.id.clone();
        if peer_signal != PeerSignal::Unknown && !std::mem::replace(&mut member.has_signalled, true) {
            actions.push(Action::Emit(SignalEvent::Answered { id: from.clone(), name: name.to_owned() }));
        }
        let description = |kind: &str, sdp| Signal::Description(Description { kind: kind.into(), sdp });
        let signal = match peer_signal {
            PeerSignal::Offer(sdp) if member.offer.as_ref() == Some(&sdp) => return actions,
            PeerSignal::Offer(sdp) => {
                member.offer = Some(sdp.clone());
                description("offer", sdp)
            }
            PeerSignal::Answer(sdp) if std::mem::take(&mut member.awaits_answer) => description("answer", sdp),
            PeerSignal::Candidate(candidate) => Signal::Candidate(Some(candidate)),
            PeerSignal::Answer(_) | PeerSignal::OfferRequest(_) | PeerSignal::Unknown => return actions,
        };
        actions.push(Action::Emit(SignalEvent::Signal { from, signal }));
        actions
    }

    pub fn on_command(&mut self, command: SignalCommand, now: Instant) -> Vec<Action> {
        match command {
            SignalCommand::Signal { to, signal } => self.signal(&to, &signal, now).into_iter().collect(),
            SignalCommand::Peer { id, state } => {
                let Some((name, member)) = self.members.iter_mut().find(|(_, member)| member.participant.id == id)
                else {
                    return Vec::new();
                };
                match state {
                    PeerState::Connected => (member.connected, member.disconnected_since) = (true, None),
                    PeerState::Disconnected => member.disconnected_since = member.disconnected_since.or(Some(now)),
                    PeerState::Failed | PeerState::Closed => {
                        let name = name.clone();
                        return self.remove(&name, "left").into_iter().collect();
                    }
                    PeerState::New | PeerState::Connecting => {}
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn signal(&mut self, to: &ParticipantId, signal: &Signal, now: Instant) -> Option<Action> {
        let (name, member) = self.members.iter_mut().find(|(_, member)| member.participant.id == *to)?;
        let body = json!({"user": self.me, "signal": simple_peer::write(signal)?});
        let text = wire::message("E", "EVT", &[&format!("rtc-signal/{name}"), &wire::typed(&body)]);
        if matches!(signal, Signal::Description(description) if description.kind == "offer") {
            member.awaits_answer = true;
            let known =
                self.written_at.is_none_or(|written| now.duration_since(written) >= LIST_DELAY) && !self.unlisted;
            if !known {
                self.delayed_offers.push((to.clone(), text));
                return None;
            }
        }
        Some(Action::send(text))
    }

    pub fn on_tick(&mut self, now: Instant) -> Vec<Action> {
        let mut actions: Vec<Action> = self.write(now).into_iter().collect();
        if !actions.is_empty() {
            actions.extend(self.add_listed(now));
        }
        if !self.unlisted && self.written_at.is_none_or(|written| now.duration_since(written) >= LIST_DELAY) {
            // An old offer to a user who came back would destroy their new peer.
            let is_present = |to: &ParticipantId| self.members.values().any(|member| member.participant.id == *to);
            let offers = std::mem::take(&mut self.delayed_offers);
            actions.extend(offers.into_iter().filter(|(to, _)| is_present(to)).map(|(_, text)| Action::send(text)));
        }
        let late = |member: &Member| {
            (!member.connected && now.duration_since(member.since) > CONNECT_TIMEOUT)
                || member.disconnected_since.is_some_and(|since| now.duration_since(since) > DISCONNECTED_TIMEOUT)
        };
        let late: Vec<String> = self.members.iter().filter(|(_, m)| late(m)).map(|(name, _)| name.clone()).collect();
        for name in late {
            actions.extend(self.remove(&name, "timeout"));
        }
        actions
    }

    /// Removes ourselves from the list.
    pub fn goodbye(&mut self) -> Option<String> {
        let (version, names) = self.list.take()?;
        let others: Vec<String> = names.into_iter().filter(|name| *name != self.me).collect();
        Some(update(version + 1, &others))
    }
}

/// A message that writes the list.
fn update(version: u64, names: &[String]) -> String {
    wire::message("R", "U", &[USERS, &version.to_string(), &json!(names).to_string()])
}

//! The full mesh of lesson 2: a list of users that everybody writes themselves, an event for each of them. Pure.
//!
//! The larger name offers, with all candidates in it. Who is not connected to within seven seconds is taken out of the list by the
//! other, perhaps wrongly; then everybody drops them, and they write themselves in again. Writes of the list get lost; who closes a
//! page stays in it as a ghost, so nobody is told of who has not said anything.

use super::super::simple_peer::{self, Heard};
use super::super::talk::Step;
use super::super::{Description, NegotiationPolicy, Signal, SignalCommand, SignalEvent};
use super::{id_of, wire};
use crate::room::participant::{Participant, ParticipantId, Role};
use crate::room::policy::{FirstOffer, PeerState};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// The list.
const USERS: &str = "users";
/// Who is not connected by then never will be.
const CONNECT: Duration = Duration::from_secs(7);
/// How long a connection may be disturbed before its end is believed. That is known after five seconds of silence, and pages give up at
/// once then.
const DISTURBED: Duration = Duration::from_secs(2);
/// How long after we have written the list others have surely read it: before that, an offer of ours is from nobody they know.
const READ: Duration = Duration::from_millis(400);
/// At least this long between two writes of ours: others that write at the same time come to an end between them.
const WRITES: Duration = Duration::from_millis(250);
/// Bytes of a name.
const LONGEST_NAME: usize = 64;
/// Names in the list that are looked at; the WebRTC guide's own mesh breaks at ten.
const MOST: usize = 64;

/// One that we have a connection to, or try to.
struct Member {
    who: Participant,
    since: Instant,
    /// They have said something.
    heard: bool,
    connected: bool,
    disturbed: Option<Instant>,
    /// Their last offer.
    offer: Option<String>,
    unanswered: bool,
}

/// What we know of the mesh.
pub(super) struct Mesh {
    me: String,
    policy: NegotiationPolicy,
    members: HashMap<String, Member>,
    /// In the list, but not to be reached.
    ghosts: BTreeSet<String>,
    /// The list as we know it, and its version; none until it was read.
    list: Option<(u64, Vec<String>)>,
    /// When we wrote it last; and whether we must again.
    written: Option<Instant>,
    missing: bool,
    /// Offers that wait until we are known.
    early: Vec<(ParticipantId, String)>,
    given: u32,
}

impl Mesh {
    pub fn new(me: String, policy: NegotiationPolicy) -> Mesh {
        Mesh {
            me,
            policy,
            members: HashMap::new(),
            ghosts: BTreeSet::new(),
            list: None,
            written: None,
            missing: false,
            early: Vec::new(),
            given: 0,
        }
    }

    pub fn present(&self) -> Vec<Participant> {
        self.members.values().map(|member| member.who.clone()).collect()
    }

    /// The event for us.
    pub fn event(&self) -> String {
        format!("rtc-signal/{}", self.me)
    }

    /// We are subscribed: now others may see us.
    pub fn begin(&mut self) -> Vec<Step> {
        self.list = None;
        vec![Step::Say(wire::message("R", "CR", &[USERS]))]
    }

    /// The list came, read or written by somebody.
    pub fn listed(&mut self, version: u64, list: &Value, now: Instant) -> Vec<Step> {
        let names = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let names: Vec<String> = names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        if self.list.as_ref().is_some_and(|(known, _)| version < *known) {
            return Vec::new();
        }
        let mut steps = Vec::new();
        if !names.contains(&self.me) {
            // Not yet, evicted, or overwritten. Everybody else has dropped us with this list, and meets us anew once we are in it.
            self.missing = true;
            self.ghosts.clear();
            let all: Vec<String> = self.members.keys().cloned().collect();
            steps.extend(all.iter().filter_map(|name| self.part(name, "left")));
            self.ghosts.clear();
        }
        self.ghosts.retain(|ghost| names.contains(ghost));
        // One who is evicted while connected to us is not gone; another could not reach them.
        let gone = self.members.iter().filter(|(name, m)| !m.connected && !names.contains(name));
        let gone: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
        self.list = Some((version, names));
        for name in gone {
            // An offer of theirs may have been faster than the list.
            if self.members.get(&name).is_some_and(|m| m.offer.is_none() || now.duration_since(m.since) > CONNECT) {
                steps.extend(self.part(&name, "left"));
            }
        }
        steps.extend(self.write(now));
        steps.extend(self.meet_all(now));
        steps
    }

    /// Meets everybody in the list, once we are in it too.
    fn meet_all(&mut self, now: Instant) -> Vec<Step> {
        let Some((_, names)) = self.list.as_ref().filter(|_| !self.missing) else { return Vec::new() };
        let new = |name: &&String| {
            **name != self.me
                && !self.members.contains_key(*name)
                && !self.ghosts.contains(*name)
                && (1..=LONGEST_NAME).contains(&name.len())
        };
        let new: Vec<String> =
            names.iter().filter(new).take(MOST.saturating_sub(self.members.len())).cloned().collect();
        new.iter().map(|name| self.meet(name, false, now)).collect()
    }

    /// Writes ourselves into the list, if we must and may.
    fn write(&mut self, now: Instant) -> Option<Step> {
        if !self.missing || self.written.is_some_and(|last| now.duration_since(last) < WRITES) {
            return None;
        }
        let (version, names) = self.list.as_mut()?;
        names.push(self.me.clone());
        *version += 1;
        (self.missing, self.written) = (false, Some(now));
        Some(written(*version, names))
    }

    /// Our write came too late: another one's is in force.
    pub fn refused(&mut self, version: u64, list: &Value, now: Instant) -> Vec<Step> {
        self.list = None;
        self.listed(version, list, now)
    }

    /// Somebody is connected to: one who has called, or one of the list who may be a ghost.
    fn meet(&mut self, name: &str, called: bool, now: Instant) -> Step {
        self.given += 1;
        let who = Participant {
            id: id_of(name, self.given),
            name: name.to_owned(),
            role: Role::Participant,
            tracks: Vec::new(),
        };
        let we_offer = !called && self.me.as_str() > name;
        let first_offer = if we_offer { FirstOffer::Us } else { FirstOffer::Them };
        let policy = NegotiationPolicy { first_offer, polite: Some(!we_offer), ..self.policy.clone() };
        let member = Member {
            who: who.clone(),
            since: now,
            heard: called,
            connected: false,
            disturbed: None,
            offer: None,
            unanswered: false,
        };
        self.members.insert(name.to_owned(), member);
        Step::Tell(if called { SignalEvent::Met { who, policy } } else { SignalEvent::Called { who, policy } })
    }

    fn part(&mut self, name: &str, reason: &str) -> Option<Step> {
        let member = self.members.remove(name)?;
        if self.list.as_ref().is_some_and(|(_, names)| names.iter().any(|n| n == name)) {
            self.ghosts.insert(name.to_owned());
        }
        Some(Step::Tell(SignalEvent::Left { id: member.who.id, reason: reason.to_owned() }))
    }

    /// Somebody says something to us.
    pub fn hear(&mut self, body: &Value, now: Instant) -> Vec<Step> {
        let Some(name) = body["user"].as_str().filter(|name| (1..=LONGEST_NAME).contains(&name.len())) else {
            return Vec::new();
        };
        if name == self.me {
            return Vec::new();
        }
        let heard = simple_peer::read(&body["signal"]);
        let mut steps = Vec::new();
        if let Heard::Offer(sdp) = &heard {
            let another = self.members.get(name).is_none_or(|member| {
                member.offer.as_ref().is_some_and(|last| simple_peer::session(last) != simple_peer::session(sdp))
            });
            if another && self.members.len() < MOST {
                // Faster than the list, or a new peer of theirs.
                steps.extend(self.part(name, "left"));
                self.ghosts.remove(name);
                steps.push(self.meet(name, true, now));
            }
        }
        let Some(member) = self.members.get_mut(name) else { return steps };
        let from = member.who.id.clone();
        if heard != Heard::Nothing && !std::mem::replace(&mut member.heard, true) {
            steps.push(Step::Tell(SignalEvent::Answered { id: from.clone(), name: name.to_owned() }));
        }
        let description = |kind: &str, sdp| Signal::Description(Description { kind: kind.into(), sdp });
        let signal = match heard {
            Heard::Offer(sdp) if member.offer.as_ref() == Some(&sdp) => return steps,
            Heard::Offer(sdp) => {
                member.offer = Some(sdp.clone());
                description("offer", sdp)
            }
            Heard::Answer(sdp) if std::mem::take(&mut member.unanswered) => description("answer", sdp),
            Heard::Candidate(candidate) => Signal::Candidate(Some(candidate)),
            Heard::Answer(_) | Heard::Ask(_) | Heard::Nothing => return steps,
        };
        steps.push(Step::Tell(SignalEvent::Signal { from, signal }));
        steps
    }

    pub fn obey(&mut self, command: SignalCommand, now: Instant) -> Vec<Step> {
        match command {
            SignalCommand::Signal { to, signal } => self.signal(&to, &signal, now).into_iter().collect(),
            SignalCommand::Peer { id, state } => {
                let Some((name, member)) = self.members.iter_mut().find(|(_, member)| member.who.id == id) else {
                    return Vec::new();
                };
                match state {
                    PeerState::Connected => (member.connected, member.disturbed) = (true, None),
                    PeerState::Disconnected => member.disturbed = member.disturbed.or(Some(now)),
                    PeerState::Failed | PeerState::Closed => {
                        let name = name.clone();
                        return self.part(&name, "left").into_iter().collect();
                    }
                    PeerState::New | PeerState::Connecting => {}
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn signal(&mut self, to: &ParticipantId, signal: &Signal, now: Instant) -> Option<Step> {
        let (name, member) = self.members.iter_mut().find(|(_, member)| member.who.id == *to)?;
        let body = json!({"user": self.me, "signal": simple_peer::write(signal)?});
        let text = wire::message("E", "EVT", &[&format!("rtc-signal/{name}"), &wire::typed(&body)]);
        if matches!(signal, Signal::Description(description) if description.kind == "offer") {
            member.unanswered = true;
            let known = self.written.is_none_or(|written| now.duration_since(written) >= READ) && !self.missing;
            if !known {
                self.early.push((to.clone(), text));
                return None;
            }
        }
        Some(Step::Say(text))
    }

    pub fn tick(&mut self, now: Instant) -> Vec<Step> {
        let mut steps: Vec<Step> = self.write(now).into_iter().collect();
        if !steps.is_empty() {
            steps.extend(self.meet_all(now));
        }
        if !self.missing && self.written.is_none_or(|written| now.duration_since(written) >= READ) {
            // Of those who have gone meanwhile, the next peer would not survive it.
            let there = |to: &ParticipantId| self.members.values().any(|member| member.who.id == *to);
            let early = std::mem::take(&mut self.early);
            steps.extend(early.into_iter().filter(|(to, _)| there(to)).map(|(_, text)| Step::Say(text)));
        }
        let late = |member: &Member| {
            (!member.connected && now.duration_since(member.since) > CONNECT)
                || member.disturbed.is_some_and(|since| now.duration_since(since) > DISTURBED)
        };
        let late: Vec<String> = self.members.iter().filter(|(_, m)| late(m)).map(|(name, _)| name.clone()).collect();
        for name in late {
            steps.extend(self.part(&name, "timeout"));
        }
        steps
    }

    /// Takes ourselves out of the list.
    pub fn goodbye(&mut self) -> Option<String> {
        let (version, names) = self.list.take()?;
        let others: Vec<String> = names.into_iter().filter(|name| *name != self.me).collect();
        match written(version + 1, &others) {
            Step::Say(text) => Some(text),
            _ => None,
        }
    }
}

fn written(version: u64, names: &[String]) -> Step {
    Step::Say(wire::message("R", "U", &[USERS, &version.to_string(), &json!(names).to_string()]))
}

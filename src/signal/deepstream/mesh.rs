//! The full mesh of lesson 2: a list of users that everybody writes themselves, an event for each of them. Pure.
//!
//! The larger name offers, with all candidates in it. Who is not connected to within seven seconds is taken out of the list by the
//! other, perhaps wrongly, and writes itself in again. Writes of the list get lost; who closes a page stays in it as a ghost.

use super::super::simple_peer::{self, Heard};
use super::super::talk::Step;
use super::super::{Description, Manner, Signal, SignalCommand, SignalEvent};
use super::{id_of, wire};
use crate::room::manner::{FirstOffer, PeerState};
use crate::room::people::{Participant, ParticipantId, Role};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// The list.
const USERS: &str = "users";
/// Who is not connected by then never will be.
const CONNECT: Duration = Duration::from_secs(7);
/// How long a connection may be disturbed before its end is believed.
const DISTURBED: Duration = Duration::from_secs(5);
/// How long after we have written the list others have surely read it: before that, an offer of ours is from nobody they know.
const READ: Duration = Duration::from_millis(400);
/// At least this long between two writes of ours: others that write at the same time come to an end between them.
const WRITES: Duration = Duration::from_millis(250);
/// Names in the list that are looked at; the WebRTC guide's own mesh breaks at ten.
const MOST: usize = 64;

/// One that we have a connection to, or try to.
struct Member {
    who: Participant,
    since: Instant,
    connected: bool,
    disturbed: Option<Instant>,
    /// Their last offer.
    offer: Option<String>,
    unanswered: bool,
}

/// What we know of the mesh.
pub(super) struct Mesh {
    me: String,
    manner: Manner,
    members: HashMap<String, Member>,
    /// In the list, but not to be reached.
    ghosts: BTreeSet<String>,
    /// The list as we know it, and its version; none until it was read.
    list: Option<(u64, Vec<String>)>,
    /// When we wrote it last; and whether we must again.
    written: Option<Instant>,
    missing: bool,
    /// Offers that wait until we are known.
    early: Vec<(Instant, String)>,
    given: u32,
}

impl Mesh {
    pub fn new(me: String, manner: Manner) -> Mesh {
        Mesh {
            me,
            manner,
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
            // Not yet, evicted, or overwritten. Those who could not reach us will try again once they see us; so do we.
            self.missing = true;
            self.ghosts.clear();
        }
        self.ghosts.retain(|ghost| names.contains(ghost));
        let others: Vec<&String> = names.iter().filter(|name| **name != self.me).take(MOST).collect();
        for name in others {
            if !self.members.contains_key(name) && !self.ghosts.contains(name) && name.len() <= 64 {
                steps.push(self.meet(name, None, now));
            }
        }
        // One who is evicted while connected to us is not gone; another could not reach them.
        let gone: Vec<String> = self
            .members
            .iter()
            .filter(|(name, m)| !m.connected && !names.contains(name))
            .map(|(n, _)| n.clone())
            .collect();
        for name in gone {
            // An offer of theirs may have been faster than the list.
            if self.members.get(&name).is_some_and(|m| m.offer.is_none() || now.duration_since(m.since) > CONNECT) {
                steps.extend(self.part(&name, "left"));
            }
        }
        self.list = Some((version, names));
        steps.extend(self.write(now));
        steps
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

    fn meet(&mut self, name: &str, offer: Option<String>, now: Instant) -> Step {
        self.given += 1;
        let who = Participant {
            id: id_of(name, self.given),
            name: name.to_owned(),
            role: Role::Participant,
            tracks: Vec::new(),
        };
        let we_offer = offer.is_none() && self.me.as_str() > name;
        let first_offer = if we_offer { FirstOffer::Us } else { FirstOffer::Them };
        let manner = Manner { first_offer, polite: Some(!we_offer), ..self.manner.clone() };
        let member =
            Member { who: who.clone(), since: now, connected: false, disturbed: None, offer, unanswered: false };
        self.members.insert(name.to_owned(), member);
        Step::Tell(SignalEvent::Met { who, manner })
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
        let Some(name) = body["user"].as_str().filter(|name| !name.is_empty() && name.len() <= 64) else {
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
                steps.push(self.meet(name, Some(String::new()), now));
            }
        }
        let Some(member) = self.members.get_mut(name) else { return steps };
        let from = member.who.id.clone();
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
                self.early.push((now, text));
                return None;
            }
        }
        Some(Step::Say(text))
    }

    pub fn tick(&mut self, now: Instant) -> Vec<Step> {
        let mut steps: Vec<Step> = self.write(now).into_iter().collect();
        if !self.missing && self.written.is_none_or(|written| now.duration_since(written) >= READ) {
            let early = std::mem::take(&mut self.early);
            // Who waited longer than that has given us up.
            steps.extend(
                early.into_iter().filter(|(at, _)| now.duration_since(*at) < CONNECT).map(|(_, t)| Step::Say(t)),
            );
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

//! One room's state and rules: who is there, who hears what. Told the time; never waits, never touches a socket.

use super::config::Limits;
use super::outbox::{CloseReason, Outbox, written};
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use crate::signal::IceServer;
use crate::signal::names::numbered;
use crate::signal::protocol::{
    ClientMessage, ErrorCode, Resume, ServerMessage, SignalBody, VERSION, limits::STREAM_BYTES,
};
use axum::extract::ws::Utf8Bytes;
use rand::Rng;
use rand::distr::Alphanumeric;
use sha2::{Digest, Sha256};
use std::time::Instant;

/// Somebody at the door: version, token and name are already checked.
pub(super) struct Arrival {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) resume: Option<Resume>,
}

/// One socket's place in the room. A place that was taken over by a newer socket is stale: what it says is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Viewer {
    pub(super) id: ParticipantId,
    visit: u64,
}

/// How a socket ended, from the room's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// Said goodbye: the others hear at once.
    Left,
    /// Broke a rule: likewise, with another word.
    Kicked,
    /// Vanished: the place is kept for a while, and nobody hears.
    Lost,
}

struct Member {
    who: Participant,
    secret: String,
    visit: u64,
    link: Link,
}

enum Link {
    Here(Outbox),
    /// Lost its socket. Signals are kept for the return; everything else is in the list that the welcome brings.
    Away {
        since: Instant,
        missed: Vec<Utf8Bytes>,
        bytes: usize,
    },
}

impl Member {
    /// Marks a member whose socket was lost as away; one who already is stays so, with what it has missed.
    fn lose(&mut self, now: Instant) {
        if let Link::Here(_) = self.link {
            self.link = Link::Away { since: now, missed: Vec::new(), bytes: 0 };
        }
    }
    /// True when the socket's task is gone, and perhaps has not been able to say so yet.
    fn is_cut(&self) -> bool {
        matches!(&self.link, Link::Here(outbox) if outbox.is_gone())
    }
}

/// The room.
pub(super) struct Room {
    name: String,
    limits: Limits,
    ice_servers: Vec<IceServer>,
    /// In the order of arrival; at most `limits.room_members`, so looking through them is cheap.
    members: Vec<Member>,
    visits: u64,
    /// Members that could not keep up while something was sent to them; removed at the end of each turn.
    behind: Vec<ParticipantId>,
}

impl Room {
    pub(super) fn new(name: String, limits: Limits, ice_servers: Vec<IceServer>) -> Self {
        Self { name, limits, ice_servers, members: Vec::new(), visits: 0, behind: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn people(&self) -> Vec<Participant> {
        self.members.iter().map(|member| member.who.clone()).collect()
    }

    /// Lets somebody in, or back in. The welcome is the first message in `outbox`.
    pub(super) fn join(&mut self, arrival: Arrival, outbox: Outbox) -> Result<Viewer, CloseReason> {
        self.visits += 1;
        let returning = arrival.resume.as_ref().and_then(|proof| {
            self.members.iter().position(|m| m.who.id == proof.id && same_secret(&m.secret, &proof.secret))
        });
        let seat = match returning {
            Some(index) => self.resume(index, outbox),
            None => self.admit(arrival, outbox)?,
        };
        self.drop_those_behind();
        Ok(seat)
    }

    fn admit(&mut self, arrival: Arrival, outbox: Outbox) -> Result<Viewer, CloseReason> {
        if self.members.len() >= self.limits.room_members {
            return Err(CloseReason::new(
                ErrorCode::Full,
                format!("the room is full: {} are there", self.members.len()),
            ));
        }
        let taken = |name: &str| self.members.iter().any(|m| m.who.name == name);
        let name = numbered(&arrival.name, self.limits.name_chars, taken);
        let who = Participant { id: ParticipantId(random_word(12)), name, role: arrival.role, tracks: Vec::new() };
        let member = Member { who: who.clone(), secret: random_word(32), visit: self.visits, link: Link::Here(outbox) };
        let seat = Viewer { id: who.id.clone(), visit: self.visits };
        if !self.deliver(&member, &written(&self.welcome(&member, false))) {
            self.behind.push(who.id.clone());
        }
        self.tell(None, &ServerMessage::PeerJoined { peer: who });
        self.members.push(member);
        Ok(seat)
    }

    fn resume(&mut self, index: usize, outbox: Outbox) -> Viewer {
        let visit = self.visits;
        let member = &mut self.members[index];
        member.visit = visit;
        let missed = match std::mem::replace(&mut member.link, Link::Here(outbox)) {
            Link::Away { missed, .. } => missed,
            Link::Here(old) => {
                old.end(CloseReason::new(ErrorCode::Replaced, "the same member came back on another socket"));
                Vec::new()
            }
        };
        let seat = Viewer { id: member.who.id.clone(), visit };
        let member = &self.members[index];
        let mut kept_up = self.deliver(member, &written(&self.welcome(member, true)));
        for text in &missed {
            kept_up &= self.deliver(member, text);
        }
        if !kept_up {
            self.behind.push(seat.id.clone());
        }
        seat
    }

    /// Something a member said. `Join` and `Leave` are the socket's business.
    pub(super) fn hear(&mut self, seat: &Viewer, message: ClientMessage, now: Instant) {
        let Some(index) = self.find(seat) else { return };
        match message {
            ClientMessage::Signal { to, body } => self.relay(index, &to, body, now),
            ClientMessage::Tracks { tracks } => self.label(index, tracks),
            ClientMessage::Ping => self.reply(index, &ServerMessage::Pong),
            ClientMessage::Pong => {}
            ClientMessage::Join { .. } | ClientMessage::Leave => self.complain(index, "you are already in the room"),
        }
        self.drop_those_behind();
    }

    /// Something a member said that is no message.
    pub(super) fn hear_nonsense(&mut self, seat: &Viewer, why: &str) {
        let Some(index) = self.find(seat) else { return };
        self.complain(index, why);
        self.drop_those_behind();
    }

    /// A member's socket has ended.
    pub(super) fn depart(&mut self, seat: &Viewer, how: Departure, now: Instant) {
        let Some(index) = self.find(seat) else { return };
        match how {
            Departure::Left => drop(self.remove(index, "left")),
            Departure::Kicked => drop(self.remove(index, "kicked")),
            Departure::Lost => self.members[index].lose(now),
        }
        self.drop_those_behind();
    }

    /// Gives up the places of those who have been away for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        // A task that ended without a word (none should) must not keep its place for good.
        self.members.iter_mut().filter(|m| m.is_cut()).for_each(|m| m.lose(now));
        let resume = self.limits.resume;
        let late =
            |m: &Member| matches!(m.link, Link::Away { since, .. } if now.saturating_duration_since(since) >= resume);
        while let Some(index) = self.members.iter().position(late) {
            self.remove(index, "timeout");
        }
        self.drop_those_behind();
    }

    /// Ends every socket.
    pub(super) fn close(&mut self, farewell: &CloseReason) {
        for member in self.members.drain(..) {
            if let Link::Here(outbox) = member.link {
                outbox.end(farewell.clone());
            }
        }
    }

    fn find(&self, seat: &Viewer) -> Option<usize> {
        self.members.iter().position(|m| m.who.id == seat.id && m.visit == seat.visit)
    }

    fn welcome(&self, member: &Member, resumed: bool) -> ServerMessage {
        ServerMessage::Welcome {
            protocol: VERSION,
            id: member.who.id.clone(),
            secret: member.secret.clone(),
            name: member.who.name.clone(),
            room: self.name.clone(),
            resumed,
            peers: self.members.iter().filter(|m| m.who.id != member.who.id).map(|m| m.who.clone()).collect(),
            ice_servers: self.ice_servers.clone(),
        }
    }

    fn relay(&mut self, from: usize, to: &ParticipantId, body: SignalBody, now: Instant) {
        let Some(target) = self.members.iter().position(|m| m.who.id == *to && m.who.id != self.members[from].who.id)
        else {
            let message = "the signal is for somebody who is not in the room".to_owned();
            return self.reply(from, &ServerMessage::Error { code: ErrorCode::NoSuchPeer, message });
        };
        let text = written(&ServerMessage::Signal { from: self.members[from].who.id.clone(), body });
        let limits = &self.limits;
        let target = &mut self.members[target];
        if target.is_cut() {
            target.lose(now);
        }
        let carried = match &mut target.link {
            Link::Here(outbox) => outbox.takes_relayed(&text) && outbox.send(&text),
            Link::Away { missed, bytes, .. } => {
                let fits = missed.len() < limits.queue_messages / 2 && *bytes + text.len() <= limits.queue_bytes / 2;
                if fits {
                    *bytes += text.len();
                    missed.push(text);
                }
                fits
            }
        };
        // Who sends too much is told; who is sent too much stays.
        if !carried {
            let message = "too many signals wait for that member: send them again later".to_owned();
            self.reply(from, &ServerMessage::Error { code: ErrorCode::Busy, message });
        }
    }

    fn label(&mut self, index: usize, tracks: Vec<TrackLabel>) {
        if tracks.len() > self.limits.tracks {
            return self.complain(index, &format!("at most {} track labels", self.limits.tracks));
        }
        if tracks.iter().any(|t| t.stream.is_empty() || t.stream.len() > STREAM_BYTES) {
            return self.complain(index, &format!("a stream id has 1 to {STREAM_BYTES} bytes"));
        }
        let who = &mut self.members[index].who;
        who.tracks = tracks.clone();
        let from = who.id.clone();
        self.tell(Some(&from.clone()), &ServerMessage::Tracks { from, tracks });
    }

    fn complain(&mut self, index: usize, message: &str) {
        self.reply(index, &ServerMessage::Error { code: ErrorCode::BadMessage, message: message.to_owned() });
    }

    fn reply(&mut self, index: usize, message: &ServerMessage) {
        if !self.deliver(&self.members[index], &written(message)) {
            self.behind.push(self.members[index].who.id.clone());
        }
    }

    /// Tells everybody, `except` one.
    fn tell(&mut self, except: Option<&ParticipantId>, message: &ServerMessage) {
        let text = written(message);
        let hearers = self.members.iter().filter(|m| Some(&m.who.id) != except);
        let behind: Vec<_> = hearers.filter(|m| !self.deliver(m, &text)).map(|m| m.who.id.clone()).collect();
        self.behind.extend(behind);
    }

    /// False when the member is too far behind. Those who are away learn of the room's state when they come back.
    fn deliver(&self, member: &Member, text: &Utf8Bytes) -> bool {
        match &member.link {
            Link::Here(outbox) => outbox.send(text) || outbox.is_gone(),
            Link::Away { .. } => true,
        }
    }

    fn drop_those_behind(&mut self) {
        // Telling the others of one removal can find another who is behind; each turn removes one, so this ends.
        while let Some(id) = self.behind.pop() {
            let Some(index) = self.members.iter().position(|m| m.who.id == id) else { continue };
            if let Link::Here(outbox) = self.remove(index, "kicked") {
                outbox.end(CloseReason::new(
                    ErrorCode::Slow,
                    "too many messages wait for you: your end does not read them",
                ));
            }
        }
    }

    /// Takes a member out and tells the others; what is left of its socket is the caller's.
    fn remove(&mut self, index: usize, reason: &str) -> Link {
        let member = self.members.remove(index);
        self.tell(None, &ServerMessage::PeerLeft { id: member.who.id, reason: reason.to_owned() });
        member.link
    }
}

/// A random word of `[A-Za-z0-9]` from the thread's cryptographic generator.
fn random_word(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

/// Compares in a time that tells nothing of where the two differ: their digests are compared, all bytes of them.
pub(super) fn same_secret(a: &str, b: &str) -> bool {
    let (a, b) = (Sha256::digest(a), Sha256::digest(b));
    a.iter().zip(b.iter()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;

//! The state and rules of one room: its members, and which messages each gets. Told the time; never waits, never touches a socket.

use super::config::Limits;
use super::outbox::{CloseReason, Outbox, encode};
use super::rate::RateLimit;
use super::secret::secrets_match;
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use crate::signal::IceServer;
use crate::signal::names::numbered;
use crate::signal::protocol::{
    ClientMessage, ErrorCode, Resume, ServerMessage, SignalBody, VERSION, limits::STREAM_BYTES,
};
use axum::extract::ws::Utf8Bytes;
use rand::Rng;
use rand::distr::Alphanumeric;
use std::time::Instant;

/// Changes of labels of one member that are told at once, a second, averaged over ten; others wait for the next [`Room::on_tick`].
const LABELS_PER_SECOND: u32 = 5;

/// A request to join: version, token and name are checked already.
pub(super) struct JoinRequest {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) resume: Option<Resume>,
}

/// A member's connection. Messages of one that was replaced by a newer connection are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) id: ParticipantId,
    connection: u64,
}

/// How a socket ended, for the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// It left: the others are told at once.
    Left,
    /// It broke a rule: likewise, with another reason.
    Kicked,
    /// It was lost: the membership is kept for a while, and nobody is told.
    Lost,
}

struct Member {
    who: Participant,
    secret: String,
    /// The number of the current connection.
    connection: u64,
    socket: SocketState,
    /// How often its labels are told at once.
    labels_rate: RateLimit,
    /// Members whose last labels it has not been told.
    unheard: Vec<ParticipantId>,
}

enum SocketState {
    Open(Outbox),
    /// The socket was lost. Signals are kept for the resume; everything else is part of the welcome.
    Lost {
        since: Instant,
        missed: Vec<Utf8Bytes>,
        bytes: usize,
    },
}

impl Member {
    /// Marks the socket as lost; if it is already, the missed signals stay.
    fn lose(&mut self, now: Instant) {
        if let SocketState::Open(_) = self.socket {
            self.socket = SocketState::Lost { since: now, missed: Vec::new(), bytes: 0 };
        }
    }
    /// Whether the socket's task has ended, perhaps without telling the room yet.
    fn has_ended(&self) -> bool {
        matches!(&self.socket, SocketState::Open(outbox) if outbox.is_closed())
    }
}

/// The room.
pub(super) struct Room {
    name: String,
    limits: Limits,
    ice_servers: Vec<IceServer>,
    /// In the order of request; at most `limits.room_members`, so looking through them is cheap.
    members: Vec<Member>,
    /// Counts connections.
    connections: u64,
    /// Members whose queue was full; removed at the end of each turn.
    overloaded: Vec<ParticipantId>,
}

impl Room {
    pub(super) fn new(name: String, limits: Limits, ice_servers: Vec<IceServer>) -> Self {
        Self { name, limits, ice_servers, members: Vec::new(), connections: 0, overloaded: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn participants(&self) -> Vec<Participant> {
        self.members.iter().map(|member| member.who.clone()).collect()
    }

    /// Adds a member, or resumes a membership. The welcome is the first message in `outbox`.
    pub(super) fn join(
        &mut self,
        request: JoinRequest,
        outbox: Outbox,
        now: Instant,
    ) -> Result<Membership, CloseReason> {
        self.connections += 1;
        let resumed = request.resume.as_ref().and_then(|resume| {
            self.members.iter().position(|m| m.who.id == resume.id && secrets_match(&m.secret, &resume.secret))
        });
        let membership = match resumed {
            Some(index) => self.resume(index, outbox),
            None => self.admit(request, outbox, now)?,
        };
        self.remove_overloaded();
        Ok(membership)
    }

    fn admit(&mut self, request: JoinRequest, outbox: Outbox, now: Instant) -> Result<Membership, CloseReason> {
        // The place of somebody who has lost their socket is kept as long as there are others; the newest goes first.
        let is_lost = |member: &Member| matches!(member.socket, SocketState::Lost { .. });
        if self.members.len() >= self.limits.room_members
            && let Some(lost) = self.members.iter().rposition(is_lost)
        {
            self.remove(lost, "timeout");
        }
        if self.members.len() >= self.limits.room_members {
            return Err(CloseReason::new(
                ErrorCode::Full,
                format!("the room is full: {} are there", self.members.len()),
            ));
        }
        let taken = |name: &str| self.members.iter().any(|m| m.who.name == name);
        let name = numbered(&request.name, self.limits.name_chars, taken);
        let who = Participant { id: ParticipantId(random_token(12)), name, role: request.role, tracks: Vec::new() };
        let member = Member {
            who: who.clone(),
            secret: random_token(32),
            connection: self.connections,
            socket: SocketState::Open(outbox),
            labels_rate: RateLimit::new(LABELS_PER_SECOND, now),
            unheard: Vec::new(),
        };
        let membership = Membership { id: who.id.clone(), connection: self.connections };
        if !self.deliver(&member, &encode(&self.welcome(&member, false))) {
            self.overloaded.push(who.id.clone());
        }
        self.broadcast(None, &ServerMessage::PeerJoined { peer: who });
        self.members.push(member);
        Ok(membership)
    }

    fn resume(&mut self, index: usize, outbox: Outbox) -> Membership {
        let connection = self.connections;
        let member = &mut self.members[index];
        member.connection = connection;
        // The welcome has everybody's labels.
        member.unheard.clear();
        let missed = match std::mem::replace(&mut member.socket, SocketState::Open(outbox)) {
            SocketState::Lost { missed, .. } => missed,
            SocketState::Open(old) => {
                old.close(CloseReason::new(ErrorCode::Replaced, "the same member came back on another socket"));
                Vec::new()
            }
        };
        let membership = Membership { id: member.who.id.clone(), connection };
        let member = &self.members[index];
        let mut delivered = self.deliver(member, &encode(&self.welcome(member, true)));
        for text in &missed {
            delivered &= self.deliver(member, text);
        }
        if !delivered {
            self.overloaded.push(membership.id.clone());
        }
        membership
    }

    /// A message of a member. The socket handles `Join` and `Leave`.
    pub(super) fn on_message(&mut self, membership: &Membership, message: ClientMessage, now: Instant) {
        let Some(index) = self.find(membership) else { return };
        match message {
            ClientMessage::Signal { to, body } => self.relay(index, &to, body, now),
            ClientMessage::Tracks { tracks } => self.set_tracks(index, tracks, now),
            ClientMessage::Ping => self.reply(index, &ServerMessage::Pong),
            ClientMessage::Pong => {}
            ClientMessage::Join { .. } | ClientMessage::Leave => {
                self.reply_bad_message(index, "you are already in the room")
            }
        }
        self.remove_overloaded();
    }

    /// A member sent something that is no message.
    pub(super) fn on_malformed(&mut self, membership: &Membership, why: &str) {
        let Some(index) = self.find(membership) else { return };
        self.reply_bad_message(index, why);
        self.remove_overloaded();
    }

    /// A member's socket has ended.
    pub(super) fn on_departed(&mut self, membership: &Membership, how: Departure, now: Instant) {
        let Some(index) = self.find(membership) else { return };
        match how {
            Departure::Left => drop(self.remove(index, "left")),
            Departure::Kicked => drop(self.remove(index, "kicked")),
            Departure::Lost => self.members[index].lose(now),
        }
        self.remove_overloaded();
    }

    /// Tells labels that had to wait, and removes members whose socket has been lost for too long.
    pub(super) fn on_tick(&mut self, now: Instant) {
        // The membership of a socket task that ended without telling (a bug) must not stay for ever.
        self.members.iter_mut().filter(|m| m.has_ended()).for_each(|m| m.lose(now));
        let resume = self.limits.resume;
        let late = |m: &Member| matches!(m.socket, SocketState::Lost { since, .. } if now.saturating_duration_since(since) >= resume);
        while let Some(index) = self.members.iter().position(late) {
            self.remove(index, "timeout");
        }
        self.tell_unheard_labels();
        self.remove_overloaded();
    }

    /// Ends every socket.
    pub(super) fn close(&mut self, reason: &CloseReason) {
        for member in self.members.drain(..) {
            if let SocketState::Open(outbox) = member.socket {
                outbox.close(reason.clone());
            }
        }
    }

    fn find(&self, membership: &Membership) -> Option<usize> {
        self.members.iter().position(|m| m.who.id == membership.id && m.connection == membership.connection)
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
        let text = encode(&ServerMessage::Signal { from: self.members[from].who.id.clone(), body });
        let limits = &self.limits;
        let target = &mut self.members[target];
        if target.has_ended() {
            target.lose(now);
        }
        let carried = match &mut target.socket {
            SocketState::Open(outbox) => outbox.accepts_signal(&text) && outbox.send(&text),
            SocketState::Lost { missed, bytes, .. } => {
                let fits = missed.len() < limits.queue_messages / 2 && *bytes + text.len() <= limits.queue_bytes / 2;
                if fits {
                    *bytes += text.len();
                    missed.push(text);
                }
                fits
            }
        };
        // The sender is told; the receiver stays in the room.
        if !carried {
            let message = "too many signals are queued for that member: send them again later".to_owned();
            self.reply(from, &ServerMessage::Error { code: ErrorCode::Busy, message });
        }
    }

    fn set_tracks(&mut self, index: usize, tracks: Vec<TrackLabel>, now: Instant) {
        if tracks.len() > self.limits.tracks {
            return self.reply_bad_message(index, &format!("at most {} track labels", self.limits.tracks));
        }
        if tracks.iter().any(|t| t.stream.is_empty() || t.stream.len() > STREAM_BYTES) {
            return self.reply_bad_message(index, &format!("a stream id has 1 to {STREAM_BYTES} bytes"));
        }
        let sender = &mut self.members[index];
        sender.who.tracks = tracks.clone();
        let at_once = sender.labels_rate.allow(now);
        let from = sender.who.id.clone();
        let text = encode(&ServerMessage::Tracks { from: from.clone(), tracks });
        for member in self.members.iter_mut().filter(|member| member.who.id != from) {
            let SocketState::Open(outbox) = &member.socket else { continue };
            let waits = member.unheard.contains(&from);
            let is_told = !waits && at_once && outbox.accepts_labels(&text) && outbox.send(&text);
            if !is_told && !waits {
                member.unheard.push(from.clone());
            }
        }
    }

    /// Tells everybody the last labels of those whose labels had to wait, as far as there is room in the queues.
    fn tell_unheard_labels(&mut self) {
        let waiting = |id: &ParticipantId| self.members.iter().any(|member| member.unheard.contains(id));
        let senders = self.members.iter().map(|member| &member.who).filter(|who| waiting(&who.id));
        let texts: Vec<_> = senders
            .map(|who| (who.id.clone(), ServerMessage::Tracks { from: who.id.clone(), tracks: who.tracks.clone() }))
            .map(|(id, message)| (id, encode(&message)))
            .collect();
        for member in &mut self.members {
            let SocketState::Open(outbox) = &member.socket else { continue };
            let told = |id: &ParticipantId| {
                texts
                    .iter()
                    .find(|(of, _)| of == id)
                    .is_none_or(|(_, text)| outbox.accepts_labels(text) && outbox.send(text))
            };
            member.unheard.retain(|id| !told(id));
        }
    }

    fn reply_bad_message(&mut self, index: usize, message: &str) {
        self.reply(index, &ServerMessage::Error { code: ErrorCode::BadMessage, message: message.to_owned() });
    }

    fn reply(&mut self, index: usize, message: &ServerMessage) {
        if !self.deliver(&self.members[index], &encode(message)) {
            self.overloaded.push(self.members[index].who.id.clone());
        }
    }

    /// Sends to everybody, `except` one.
    fn broadcast(&mut self, except: Option<&ParticipantId>, message: &ServerMessage) {
        let text = encode(message);
        let recipients = self.members.iter().filter(|m| Some(&m.who.id) != except);
        let overloaded: Vec<_> = recipients.filter(|m| !self.deliver(m, &text)).map(|m| m.who.id.clone()).collect();
        self.overloaded.extend(overloaded);
    }

    /// False when the member's queue is full. Members without a socket get the room's state with the welcome.
    fn deliver(&self, member: &Member, text: &Utf8Bytes) -> bool {
        match &member.socket {
            SocketState::Open(outbox) => outbox.send(text) || outbox.is_closed(),
            SocketState::Lost { .. } => true,
        }
    }

    fn remove_overloaded(&mut self) {
        // Telling the others can fill another queue; each turn removes one member, so this ends.
        while let Some(id) = self.overloaded.pop() {
            let Some(index) = self.members.iter().position(|m| m.who.id == id) else { continue };
            if let SocketState::Open(outbox) = self.remove(index, "kicked") {
                outbox.close(CloseReason::new(
                    ErrorCode::Slow,
                    "too many messages are queued for you: your end does not read them",
                ));
            }
        }
    }

    /// Removes a member and tells the others. The caller closes the socket.
    fn remove(&mut self, index: usize, reason: &str) -> SocketState {
        let member = self.members.remove(index);
        self.members.iter_mut().for_each(|other| other.unheard.retain(|id| *id != member.who.id));
        self.broadcast(None, &ServerMessage::PeerLeft { id: member.who.id, reason: reason.to_owned() });
        member.socket
    }
}

/// Random characters of `[A-Za-z0-9]` from the thread's cryptographic generator.
fn random_token(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;

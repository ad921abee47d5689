//! Our side of the protocol in a Janus room: participants, what we receive of them over the subscriber handle, and what we publish.

mod requests;

use super::handshake::{JoinRequest, Joined, Session};
use super::participants::Participants;
use super::policy::{publisher_id, publisher_policy, subscriber_id, subscriber_policy};
use super::subscriber::Subscriber;
use super::wire;
use crate::room::description::{Candidate, Description, Signal};
use crate::room::end::EndReason;
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use crate::signal::connector::{Action, RoomProtocol};
use crate::signal::signaller::{SignalCommand, SignalEvent};
use crate::signal::websocket::{ConnectError, Message, Socket};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often the session is kept alive: the server ends it after a minute without a message.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Purpose {
    AttachSubscriber,
    Subscribe,
    Publish,
    ListParticipants,
    Other,
}

pub(super) struct Room {
    join: JoinRequest,
    /// What the last connect joined; taken when the socket comes into use.
    joined: Joined,
    /// Whether we subscribe to others; a participant that only sends does not.
    subscribes: bool,
    /// The simulcast layer that we subscribe to.
    substream: u64,
    me: ParticipantId,
    /// Present once the room was joined.
    session: Option<Session>,
    private_id: Option<u64>,
    participants: Participants,
    subscriber: Subscriber,
    /// The labels of our tracks.
    labels: Vec<TrackLabel>,
    /// Whether the room has tracks of ours.
    published: bool,
    /// Our offer that was not answered yet.
    offer: Option<String>,
    transactions: u64,
    pending: HashMap<String, Purpose>,
    last_keep_alive: Instant,
}

impl Room {
    /// Not connected yet.
    pub fn new(join: JoinRequest, role: Role, substream: u64) -> Room {
        Room {
            join,
            joined: Joined::default(),
            subscribes: role != Role::Participant,
            substream,
            me: ParticipantId(String::new()),
            session: None,
            private_id: None,
            participants: Participants::new(""),
            subscriber: Subscriber::default(),
            labels: Vec::new(),
            published: false,
            offer: None,
            transactions: 0,
            pending: HashMap::new(),
            last_keep_alive: Instant::now(),
        }
    }

    fn session(&self) -> Session {
        self.session.unwrap_or_default()
    }

    /// A message on the publisher handle, which is the one in the room.
    fn on_room_message(&mut self, data: &Value, answer: Option<&str>, purpose: Purpose, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        for publisher in list(&data["publishers"]) {
            actions.extend(self.participants.add(
                &publisher,
                Some(wire::streams(&publisher["streams"])),
                &mut self.subscriber,
            ));
        }
        for attendee in list(&data["attendees"]).iter().chain(data.get("joining")) {
            actions.extend(self.participants.add(attendee, Some(Vec::new()), &mut self.subscriber));
        }
        if let Some(id) = wire::id_of(&data["unpublished"]) {
            if id == "ok" {
                self.published = false;
            } else {
                self.participants.unpublish(&id, &mut self.subscriber);
            }
        }
        let kicked = wire::id_of(&data["kicked"]);
        if let Some(id) = wire::id_of(&data["leaving"]).or(kicked.clone()) {
            if id == "ok" || id == self.participants.me {
                let why = data["reason"].as_str().unwrap_or("no reason given").escape_debug().to_string();
                let detail = format!("we were removed from the room: {why}");
                return vec![Action::End(EndReason::Removed { detail })];
            }
            actions.extend(self.participants.remove(
                &id,
                if kicked.is_some() { "kicked" } else { "left" },
                &mut self.subscriber,
            ));
        }
        if let (Some(id), Some(mid)) = (wire::id_of(&data["id"]), wire::id_of(&data["mid"]))
            && let Some(moderation) = data["moderation"].as_str()
        {
            self.participants.set_muted(&id, &mid, moderation == "muted");
        }
        if data["videoroom"] == "destroyed" {
            return vec![Action::End(EndReason::RoomClosed { detail: "the room was closed".to_owned() })];
        }
        if purpose == Purpose::ListParticipants {
            actions.extend(self.participants.reconcile(&list(&data["participants"]), &mut self.subscriber));
        }
        if let Some(sdp) = answer {
            (self.published, self.offer) = (true, None);
            actions.push(signal(publisher_id(), "answer", sdp));
        }
        actions.extend(self.participants.update_labels(&self.subscriber));
        actions.extend(self.subscribe(now));
        actions
    }

    /// A message on the subscriber handle.
    fn on_subscriber_message(&mut self, data: &Value, offer: Option<&str>, answers: bool, now: Instant) -> Vec<Action> {
        let offer = self.subscriber.on_message(data, offer, answers, now);
        let mut actions = Vec::new();
        actions.extend(self.participants.update_labels(&self.subscriber));
        actions.extend(offer.map(|sdp| signal(subscriber_id(), "offer", &sdp)));
        actions.extend(self.subscribe(now));
        actions
    }

    fn on_error(&mut self, (code, text): (u64, String), purpose: Purpose, now: Instant) -> Vec<Action> {
        match purpose {
            _ if code == wire::NO_SUCH_SESSION => {
                vec![Action::Reconnect(format!("the server ended our session: {text}"))]
            }
            Purpose::Publish if code == wire::ALREADY_PUBLISHED && !self.published => {
                self.published = true;
                self.offer.clone().map(|sdp| self.publish(&sdp)).into_iter().collect()
            }
            Purpose::Publish if !self.published => {
                let shown = "this server";
                let (error, _) = wire::join_error(shown, &self.join.address.name, &(code, text));
                vec![Action::End(EndReason::refused(error.code(), error.to_string()))]
            }
            Purpose::Subscribe if !wire::is_gone(code) => {
                tracing::debug!("a subscription failed (code {code}): {text}");
                self.subscriber.request_failed();
                self.subscribe(now)
            }
            Purpose::AttachSubscriber | Purpose::Subscribe => self.resubscribe(&text, now),
            Purpose::Publish | Purpose::ListParticipants | Purpose::Other => {
                let text = format!("Janus reports an error (code {code}): {text}");
                vec![Action::Emit(SignalEvent::Warning { id: publisher_id(), text })]
            }
        }
    }

    /// The server ended a connection.
    fn on_hangup(&mut self, sender: Option<u64>, why: &str, now: Instant) -> Vec<Action> {
        if sender.is_some() && sender == self.subscriber.handle {
            return self.resubscribe(why, now);
        }
        if sender != Some(self.session().handle) || !self.published {
            return Vec::new();
        }
        (self.published, self.offer) = (false, None);
        vec![Action::Emit(SignalEvent::SfuConnection { id: publisher_id(), policy: publisher_policy() })]
    }

    /// A message from the server.
    fn on_text(&mut self, text: &str, now: Instant) -> Vec<Action> {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return Vec::new() };
        let kind = message["janus"].as_str().unwrap_or_default();
        if kind == "ack" {
            return Vec::new();
        }
        let purpose = message["transaction"].as_str().and_then(|t| self.pending.remove(t)).unwrap_or(Purpose::Other);
        if let Some(error) = wire::error(&message) {
            return self.on_error(error, purpose, now);
        }
        let sender = message["sender"].as_u64();
        let jsep = message["jsep"]["sdp"].as_str();
        let data = &message["plugindata"]["data"];
        match kind {
            "success" if purpose == Purpose::AttachSubscriber => match message["data"]["id"].as_u64() {
                Some(handle) => {
                    self.subscriber.attached(handle);
                    // The server's candidates may come before its offer.
                    let policy = subscriber_policy();
                    let mut actions = vec![Action::Emit(SignalEvent::SfuConnection { id: subscriber_id(), policy })];
                    actions.extend(self.subscribe(now));
                    actions
                }
                None => Vec::new(),
            },
            "event" if sender.is_some() && sender == self.subscriber.handle => {
                self.on_subscriber_message(data, jsep, purpose == Purpose::Subscribe, now)
            }
            "event" | "success" if sender == Some(self.session().handle) => {
                self.on_room_message(data, jsep, purpose, now)
            }
            "trickle" => {
                let from = if sender == self.subscriber.handle { subscriber_id() } else { publisher_id() };
                let candidate = serde_json::from_value::<Candidate>(message["candidate"].clone()).ok();
                vec![Action::Emit(SignalEvent::Signal { from, signal: Signal::Candidate(candidate) })]
            }
            "hangup" | "detached" => {
                self.on_hangup(sender, message["reason"].as_str().unwrap_or("no reason given"), now)
            }
            "timeout" => vec![Action::Reconnect("the server ended our session".to_owned())],
            _ => Vec::new(),
        }
    }

    fn handle_of(&self, id: &ParticipantId) -> Option<u64> {
        if *id == subscriber_id() {
            self.subscriber.handle
        } else {
            (*id == publisher_id()).then_some(self.session().handle)
        }
    }
}

fn signal(from: ParticipantId, kind: &str, sdp: &str) -> Action {
    Action::Emit(SignalEvent::Signal { from, signal: Signal::description(kind, sdp) })
}

impl RoomProtocol for Room {
    async fn connect(&mut self) -> Result<Socket, ConnectError> {
        let (socket, joined) = self.join.join(self.session).await?;
        self.session = Some(joined.session);
        if let Some(answer) = &joined.answer {
            self.participants.me = wire::id_of(&answer["id"]).unwrap_or_default();
        }
        if self.me.0.is_empty() {
            self.me = ParticipantId(self.participants.me.clone());
        }
        self.joined = joined;
        Ok(socket)
    }

    fn on_connected(&mut self, _: bool, now: Instant) -> Vec<Action> {
        let Joined { answer, unrelated, .. } = std::mem::take(&mut self.joined);
        self.pending.clear();
        self.last_keep_alive = now;
        let mut actions = Vec::new();
        match answer {
            Some(joined) => {
                // Everything that we had on the server is gone.
                self.private_id = joined["private_id"].as_u64();
                (self.published, self.offer) = (false, None);
                if self.subscriber.reset() {
                    let reason = "the server ended our session".to_owned();
                    actions.push(Action::Emit(SignalEvent::Left { id: subscriber_id(), reason }));
                }
                actions
                    .push(Action::Emit(SignalEvent::SfuConnection { id: publisher_id(), policy: publisher_policy() }));
                let named = [&joined["publishers"], &joined["attendees"]].into_iter().filter_map(Value::as_array);
                actions.extend(
                    self.participants.reconcile(&named.flatten().cloned().collect::<Vec<_>>(), &mut self.subscriber),
                );
                actions.extend(self.on_room_message(&joined, None, Purpose::Other, now));
            }
            None => {
                let list = json!({"request": "listparticipants", "room": self.join.address.room});
                actions.push(self.request(
                    "message",
                    Purpose::ListParticipants,
                    wire::body(self.session().id, self.session().handle, &list, None),
                ));
                if let Some(sdp) = self.offer.clone() {
                    actions.push(self.publish(&sdp));
                }
                if self.subscriber.is_busy() {
                    actions.extend(self.resubscribe("its answer may have been lost", now));
                }
            }
        }
        actions.extend(unrelated.iter().flat_map(|text| self.on_text(text, now)));
        actions
    }

    fn on_message(&mut self, message: &Message, now: Instant) -> Vec<Action> {
        match message {
            Message::Text(text) => self.on_text(text, now),
            Message::Binary(_) => Vec::new(),
        }
    }

    fn on_command(&mut self, command: SignalCommand, now: Instant) -> Vec<Action> {
        match command {
            SignalCommand::Signal { to, signal: Signal::Description(Description { kind, sdp }) } => {
                if to == publisher_id() && kind == "offer" {
                    self.offer = Some(sdp.clone());
                    return vec![self.publish(&sdp)];
                }
                let Some((handle, sdp)) = self.subscriber.answer(&sdp).filter(|_| to == subscriber_id()) else {
                    return Vec::new();
                };
                let body = wire::body(self.session().id, handle, &json!({"request": "start"}), Some(("answer", &sdp)));
                vec![self.request("message", Purpose::Subscribe, body)]
            }
            SignalCommand::Signal { to, signal: Signal::Candidate(candidate) } => {
                let Some(handle) = self.handle_of(&to) else { return Vec::new() };
                let candidate = match candidate {
                    Some(candidate) => json!({"candidate": candidate.candidate, "sdpMid": candidate.sdp_mid,
                        "sdpMLineIndex": candidate.sdp_m_line_index}),
                    None => json!({"completed": true}),
                };
                let members = json!({"session_id": self.session().id, "handle_id": handle, "candidate": candidate});
                vec![self.request("trickle", Purpose::Other, members)]
            }
            SignalCommand::RequestOffer { to, .. } if to == subscriber_id() => {
                self.subscriber.restart_ice(now).map(|request| self.send_request(request)).into_iter().collect()
            }
            SignalCommand::Tracks(labels) => {
                self.labels = labels;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn on_tick(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if now.duration_since(self.last_keep_alive) >= KEEP_ALIVE {
            self.last_keep_alive = now;
            actions.push(self.request("keepalive", Purpose::Other, json!({"session_id": self.session().id})));
        }
        if self.subscriber.is_late(now) {
            actions.extend(self.resubscribe("it was not answered in time", now));
        }
        actions
    }

    fn goodbye(&mut self) -> Vec<Message> {
        match self.request("destroy", Purpose::Other, json!({"session_id": self.session().id})) {
            Action::Send(message) => vec![message],
            _ => Vec::new(),
        }
    }

    fn present(&self) -> (ParticipantId, Vec<Participant>) {
        (self.me.clone(), self.participants.present())
    }
}

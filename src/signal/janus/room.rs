//! Our side of the talk with a Janus room: who is there, what they send and in which section of our connection it comes, and what we send.

use super::super::talk::{Step, Talk};
use super::super::{Description, Signal, SignalCommand, SignalEvent};
use super::dial::{Entry, Shared, lock};
use super::listener::{Listener, Request};
use super::people::People;
use super::wire::{self, Secrets};
use super::{Place, listening, manner_of_listening, manner_of_speaking, sections, speaking};
use crate::room::description::Candidate;
use crate::room::media::MediaKind;
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often the session is kept alive; without a word for a minute it ends.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum For {
    Handle,
    Listening,
    Speaking,
    List,
    Nothing,
}

pub(super) struct Room {
    entry: Shared,
    place: Place,
    secrets: Secrets,
    /// Whether others are heard; who only sends takes nothing.
    listens: bool,
    substream: u64,
    me: ParticipantId,
    session: u64,
    handle: u64,
    private_id: Option<u64>,
    people: People,
    listener: Listener,
    /// Our tracks, whether the room has any of them, and our offer that is out.
    labels: Vec<TrackLabel>,
    published: bool,
    offer: Option<String>,
    asked: u64,
    pending: HashMap<String, For>,
    alive: Instant,
}

impl Room {
    pub fn new(entry: Shared, place: Place, secrets: Secrets, role: Role, substream: u64) -> Room {
        let me = lock(&entry).joined.as_ref().and_then(|joined| wire::id_of(&joined["id"])).unwrap_or_default();
        let people = People::new(&me);
        Room {
            entry,
            place,
            secrets,
            listens: role != Role::Participant,
            substream,
            me: ParticipantId(me),
            session: 0,
            handle: 0,
            private_id: None,
            people,
            listener: Listener::default(),
            labels: Vec::new(),
            published: false,
            offer: None,
            asked: 0,
            pending: HashMap::new(),
            alive: Instant::now(),
        }
    }

    fn ask(&mut self, kind: &str, purpose: For, members: Value) -> Step {
        self.asked += 1;
        let transaction = format!("{}", self.asked);
        let request = wire::request(kind, &transaction, &self.secrets, members);
        if purpose != For::Nothing {
            self.pending.insert(transaction, purpose);
        }
        Step::Say(request.to_string())
    }

    fn carry_out(&mut self, request: Request) -> Step {
        match request {
            Request::Attach => {
                let members = json!({"session_id": self.session, "plugin": "janus.plugin.videoroom"});
                self.ask("attach", For::Handle, members)
            }
            Request::Message(handle, body) => {
                self.ask("message", For::Listening, wire::body(self.session, handle, &body, None))
            }
        }
    }

    /// Takes what is not taken yet.
    fn steer(&mut self, now: Instant) -> Vec<Step> {
        if !self.listens {
            return Vec::new();
        }
        let mut steps = self.people.leave_out();
        let wanted = self.people.wanted();
        let mut join = json!({"request": "join", "ptype": "subscriber", "room": self.place.room});
        if let Some(pin) = &self.place.pin {
            join["pin"] = pin.as_str().into();
        }
        // By which a room may know that who listens is in it.
        if let Some(id) = self.private_id {
            join["private_id"] = id.into();
        }
        let request = self.listener.steer(&wanted, &join, self.substream, now);
        steps.extend(request.map(|request| self.carry_out(request)));
        steps
    }

    /// What the room says on the handle that is in it.
    fn room_says(&mut self, data: &Value, answer: Option<&str>, purpose: For, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        for publisher in list(&data["publishers"]) {
            steps.extend(self.people.meet(&publisher, Some(wire::streams(&publisher["streams"])), &mut self.listener));
        }
        for attendee in list(&data["attendees"]).iter().chain(data.get("joining")) {
            steps.extend(self.people.meet(attendee, Some(Vec::new()), &mut self.listener));
        }
        if let Some(id) = wire::id_of(&data["unpublished"]) {
            if id == "ok" {
                self.published = false;
            } else {
                self.people.falls_silent(&id, &mut self.listener);
            }
        }
        let kicked = wire::id_of(&data["kicked"]);
        if let Some(id) = wire::id_of(&data["leaving"]).or(kicked.clone()) {
            if id == "ok" || id == self.people.me {
                let why = data["reason"].as_str().unwrap_or("the server ended our stay").escape_debug().to_string();
                return vec![Step::Over(format!("we were sent out of the room: {why}"))];
            }
            steps.extend(self.people.part(&id, if kicked.is_some() { "kicked" } else { "left" }, &mut self.listener));
        }
        if let (Some(id), Some(mid)) = (wire::id_of(&data["id"]), wire::id_of(&data["mid"]))
            && let Some(moderation) = data["moderation"].as_str()
        {
            self.people.moderated(&id, &mid, moderation == "muted");
        }
        if data["videoroom"] == "destroyed" {
            return vec![Step::Over("the room was closed".to_owned())];
        }
        if purpose == For::List {
            steps.extend(self.people.listed(&list(&data["participants"]), &mut self.listener));
        }
        if let Some(sdp) = answer {
            (self.published, self.offer) = (true, None);
            steps.push(signal(speaking(), "answer", sdp));
        }
        steps.extend(self.people.label(&self.listener));
        steps.extend(self.steer(now));
        steps
    }

    /// What is said on the handle that listens.
    fn listener_hears(&mut self, data: &Value, offer: Option<&str>, answers: bool, now: Instant) -> Vec<Step> {
        let offer = self.listener.heard(data, offer, answers, now);
        let mut steps = Vec::new();
        steps.extend(self.people.label(&self.listener));
        steps.extend(offer.map(|sdp| signal(listening(), "offer", &sdp)));
        steps.extend(self.steer(now));
        steps
    }

    /// Begins to listen anew, on another handle.
    fn listen_again(&mut self, why: &str, now: Instant) -> Vec<Step> {
        tracing::debug!("listening anew: {why}");
        let mut steps = Vec::new();
        if let Some(handle) = self.listener.handle {
            let members = json!({"session_id": self.session, "handle_id": handle});
            steps.push(self.ask("detach", For::Nothing, members));
        }
        if self.listener.lost() {
            steps.push(Step::Tell(SignalEvent::Left { id: listening(), reason: why.to_owned() }));
        }
        self.pending.retain(|_, purpose| !matches!(purpose, For::Handle | For::Listening));
        steps.extend(self.people.label(&self.listener));
        steps.extend(self.steer(now));
        steps
    }

    /// Offers what we send.
    fn publish(&mut self, sdp: &str) -> Step {
        let tracks = sections::sent(sdp);
        let described: Vec<Value> = tracks
            .iter()
            .filter_map(|track| {
                let label = self.labels.iter().find(|l| l.kind == track.kind && l.stream == track.stream)?;
                Some(json!({"mid": track.mid, "description": label.source.word()}))
            })
            .collect();
        let mut body = json!({"request": if self.published { "configure" } else { "publish" }});
        // Our offers list every codec, and a room takes the one that it likes best: it is told which one will come.
        if let Some(track) = tracks.iter().find(|track| track.kind == MediaKind::Video) {
            body["videocodec"] = track.codec.as_str().into();
        }
        if !described.is_empty() {
            body["descriptions"] = described.into();
        }
        self.ask("message", For::Speaking, wire::body(self.session, self.handle, &body, Some(("offer", sdp))))
    }

    fn complained(&mut self, (code, words): (u64, String), purpose: For, now: Instant) -> Vec<Step> {
        match purpose {
            _ if code == wire::GONE[0] => vec![Step::Again(format!("the server forgot us: {words}"))],
            For::Speaking if code == wire::ALREADY_PUBLISHED && !self.published => {
                self.published = true;
                self.offer.clone().map(|sdp| self.publish(&sdp)).into_iter().collect()
            }
            For::Speaking if !self.published => {
                let shown = "this server";
                vec![Step::Over(wire::refusal(shown, &self.place.name, &(code, words)).0.to_string())]
            }
            For::Listening if !wire::GONE.contains(&code) => {
                tracing::debug!("a stream is not given to us (code {code}): {words}");
                self.listener.complained();
                self.steer(now)
            }
            For::Handle | For::Listening => self.listen_again(&words, now),
            For::Speaking | For::List | For::Nothing => {
                let text = format!("Janus complains (code {code}): {words}");
                vec![Step::Tell(SignalEvent::Warning { id: speaking(), text })]
            }
        }
    }

    /// A connection has ended on the server's side.
    fn hung_up(&mut self, sender: Option<u64>, why: &str, now: Instant) -> Vec<Step> {
        if sender.is_some() && sender == self.listener.handle {
            return self.listen_again(why, now);
        }
        if sender != Some(self.handle) || !self.published {
            return Vec::new();
        }
        (self.published, self.offer) = (false, None);
        vec![Step::Tell(SignalEvent::SfuConnection { id: speaking(), policy: manner_of_speaking() })]
    }

    fn handle_of(&self, id: &ParticipantId) -> Option<u64> {
        if *id == listening() { self.listener.handle } else { (*id == speaking()).then_some(self.handle) }
    }
}

fn signal(from: ParticipantId, kind: &str, sdp: &str) -> Step {
    Step::Tell(SignalEvent::Signal { from, signal: Signal::description(kind, sdp) })
}

impl Talk for Room {
    fn begin(&mut self, _: bool, now: Instant) -> Vec<Step> {
        let Entry { ours, joined, heard } = {
            let mut entry = lock(&self.entry);
            Entry { ours: entry.ours, joined: entry.joined.take(), heard: std::mem::take(&mut entry.heard) }
        };
        (self.session, self.handle) = ours.unwrap_or_default();
        self.pending.clear();
        self.alive = now;
        let mut steps = Vec::new();
        match joined {
            Some(joined) => {
                // All that we had on the server is new.
                self.private_id = joined["private_id"].as_u64();
                self.people.me = wire::id_of(&joined["id"]).unwrap_or_default();
                (self.published, self.offer) = (false, None);
                if self.listener.lost() {
                    let reason = "the server forgot us".to_owned();
                    steps.push(Step::Tell(SignalEvent::Left { id: listening(), reason }));
                }
                steps.push(Step::Tell(SignalEvent::SfuConnection { id: speaking(), policy: manner_of_speaking() }));
                let named = [&joined["publishers"], &joined["attendees"]].into_iter().filter_map(Value::as_array);
                steps.extend(self.people.listed(&named.flatten().cloned().collect::<Vec<_>>(), &mut self.listener));
                steps.extend(self.room_says(&joined, None, For::Nothing, now));
            }
            None => {
                let list = json!({"request": "listparticipants", "room": self.place.room});
                steps.push(self.ask("message", For::List, wire::body(self.session, self.handle, &list, None)));
                if let Some(sdp) = self.offer.clone() {
                    steps.push(self.publish(&sdp));
                }
                if self.listener.is_busy() {
                    steps.extend(self.listen_again("its answer was lost", now));
                }
            }
        }
        steps.extend(heard.iter().flat_map(|text| self.hear(text, now)));
        steps
    }

    fn hear(&mut self, text: &str, now: Instant) -> Vec<Step> {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return Vec::new() };
        let kind = message["janus"].as_str().unwrap_or_default();
        if kind == "ack" {
            return Vec::new();
        }
        let purpose = message["transaction"].as_str().and_then(|t| self.pending.remove(t)).unwrap_or(For::Nothing);
        if let Some(complaint) = wire::complaint(&message) {
            return self.complained(complaint, purpose, now);
        }
        let sender = message["sender"].as_u64();
        let jsep = message["jsep"]["sdp"].as_str();
        let data = &message["plugindata"]["data"];
        match kind {
            "success" if purpose == For::Handle => match message["data"]["id"].as_u64() {
                Some(handle) => {
                    self.listener.attached(handle);
                    // The server's candidates may come before its offer.
                    let policy = manner_of_listening();
                    let mut steps = vec![Step::Tell(SignalEvent::SfuConnection { id: listening(), policy })];
                    steps.extend(self.steer(now));
                    steps
                }
                None => Vec::new(),
            },
            "event" if sender.is_some() && sender == self.listener.handle => {
                self.listener_hears(data, jsep, purpose == For::Listening, now)
            }
            "event" | "success" if sender == Some(self.handle) => self.room_says(data, jsep, purpose, now),
            "trickle" => {
                let from = if sender == self.listener.handle { listening() } else { speaking() };
                let candidate = serde_json::from_value::<Candidate>(message["candidate"].clone()).ok();
                vec![Step::Tell(SignalEvent::Signal { from, signal: Signal::Candidate(candidate) })]
            }
            "hangup" | "detached" => self.hung_up(sender, message["reason"].as_str().unwrap_or("it ended"), now),
            "timeout" => vec![Step::Again("the server forgot us".to_owned())],
            _ => Vec::new(),
        }
    }

    fn obey(&mut self, command: SignalCommand, now: Instant) -> Vec<Step> {
        match command {
            SignalCommand::Signal { to, signal: Signal::Description(Description { kind, sdp }) } => {
                if to == speaking() && kind == "offer" {
                    self.offer = Some(sdp.clone());
                    return vec![self.publish(&sdp)];
                }
                let Some((handle, sdp)) = self.listener.answer(&sdp).filter(|_| to == listening()) else {
                    return Vec::new();
                };
                let body = wire::body(self.session, handle, &json!({"request": "start"}), Some(("answer", &sdp)));
                vec![self.ask("message", For::Listening, body)]
            }
            SignalCommand::Signal { to, signal: Signal::Candidate(candidate) } => {
                let Some(handle) = self.handle_of(&to) else { return Vec::new() };
                let candidate = match candidate {
                    Some(candidate) => json!({"candidate": candidate.candidate, "sdpMid": candidate.sdp_mid,
                        "sdpMLineIndex": candidate.sdp_m_line_index}),
                    None => json!({"completed": true}),
                };
                let members = json!({"session_id": self.session, "handle_id": handle, "candidate": candidate});
                vec![self.ask("trickle", For::Nothing, members)]
            }
            SignalCommand::Ask { to, .. } if to == listening() => {
                self.listener.restart(now).map(|request| self.carry_out(request)).into_iter().collect()
            }
            SignalCommand::Tracks(labels) => {
                self.labels = labels;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        if now.duration_since(self.alive) >= KEEP_ALIVE {
            self.alive = now;
            steps.push(self.ask("keepalive", For::Nothing, json!({"session_id": self.session})));
        }
        if self.listener.is_late(now) {
            steps.extend(self.listen_again("no answer came", now));
        }
        steps
    }

    fn goodbye(&mut self) -> Vec<String> {
        match self.ask("destroy", For::Nothing, json!({"session_id": self.session})) {
            Step::Say(text) => vec![text],
            _ => Vec::new(),
        }
    }

    fn present(&self) -> (ParticipantId, Vec<Participant>) {
        (self.me.clone(), self.people.present())
    }
}

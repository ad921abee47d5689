//! The requests of a [`Room`]: subscribing and publishing. Part of its `impl`.

use super::{Purpose, Room};
use crate::room::media::MediaKind;
use crate::signal::connector::Action;
use crate::signal::janus::policy::subscriber_id;
use crate::signal::janus::subscriber::Request;
use crate::signal::janus::{subscriber_sdp, wire};
use crate::signal::signaller::SignalEvent;
use serde_json::{Value, json};
use std::time::Instant;

impl Room {
    /// A request to the server; its answer is recognized by the transaction.
    pub(super) fn request(&mut self, kind: &str, purpose: Purpose, members: Value) -> Action {
        self.transactions += 1;
        let transaction = format!("{}", self.transactions);
        let request = wire::request(kind, &transaction, &self.join.secrets, members);
        if purpose != Purpose::Other {
            self.pending.insert(transaction, purpose);
        }
        Action::send(request.to_string())
    }

    /// A request of the subscriber.
    pub(super) fn send_request(&mut self, request: Request) -> Action {
        match request {
            Request::Attach => {
                let members = json!({"session_id": self.session().id, "plugin": "janus.plugin.videoroom"});
                self.request("attach", Purpose::AttachSubscriber, members)
            }
            Request::Message(handle, body) => {
                self.request("message", Purpose::Subscribe, wire::body(self.session().id, handle, &body, None))
            }
        }
    }

    /// Subscribes to what is not subscribed to yet.
    pub(super) fn subscribe(&mut self, now: Instant) -> Vec<Action> {
        if !self.subscribes {
            return Vec::new();
        }
        let mut actions = self.participants.disable_other_codecs();
        let wanted = self.participants.wanted();
        let mut join = json!({"request": "join", "ptype": "subscriber", "room": self.join.address.room});
        if let Some(pin) = &self.join.address.pin {
            join["pin"] = pin.as_str().into();
        }
        // Some rooms require it of subscribers, as proof of membership.
        if let Some(id) = self.private_id {
            join["private_id"] = id.into();
        }
        let request = self.subscriber.next_request(&wanted, &join, self.substream, now);
        actions.extend(request.map(|request| self.send_request(request)));
        actions
    }

    /// Subscribes from the start, on another handle.
    pub(super) fn resubscribe(&mut self, why: &str, now: Instant) -> Vec<Action> {
        tracing::debug!("subscribing again: {why}");
        let mut actions = Vec::new();
        if let Some(handle) = self.subscriber.handle {
            let members = json!({"session_id": self.session().id, "handle_id": handle});
            actions.push(self.request("detach", Purpose::Other, members));
        }
        if self.subscriber.reset() {
            actions.push(Action::Emit(SignalEvent::Left { id: subscriber_id(), reason: why.to_owned() }));
        }
        self.pending.retain(|_, purpose| !matches!(purpose, Purpose::AttachSubscriber | Purpose::Subscribe));
        actions.extend(self.participants.update_labels(&self.subscriber));
        actions.extend(self.subscribe(now));
        actions
    }

    /// Publishes our tracks with an offer.
    pub(super) fn publish(&mut self, sdp: &str) -> Action {
        let tracks = subscriber_sdp::sent_tracks(sdp);
        let described: Vec<Value> = tracks
            .iter()
            .filter_map(|track| {
                let label = self.labels.iter().find(|l| l.kind == track.kind && l.stream == track.stream)?;
                Some(json!({"mid": track.mid, "description": label.source.word()}))
            })
            .collect();
        let mut body = json!({"request": if self.published { "configure" } else { "publish" }});
        // Our offers list every codec, and a room would choose the one it prefers: it has to know which one we send.
        if let Some(track) = tracks.iter().find(|track| track.kind == MediaKind::Video) {
            body["videocodec"] = track.codec.as_str().into();
        }
        if !described.is_empty() {
            body["descriptions"] = described.into();
        }
        self.request(
            "message",
            Purpose::Publish,
            wire::body(self.session().id, self.session().handle, &body, Some(("offer", sdp))),
        )
    }
}

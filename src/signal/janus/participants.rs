//! The participants of a Janus room, and what each publishes. Pure.

use super::subscriber::{Subscriber, Wanted};
use super::wire::{self, FeedStream};
use crate::room::media::{MediaKind, Source};
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use crate::signal::connector::Action;
use crate::signal::signaller::SignalEvent;
use serde_json::Value;
use std::collections::BTreeMap;

/// Participants at most; others are ignored.
const MAX_PARTICIPANTS: usize = 256;

struct Remote {
    participant: Participant,
    /// Their id as the server wants it: a number or a text.
    feed: Value,
    /// Their streams; unknown where the server only listed them.
    streams: Option<Vec<FeedStream>>,
    /// MIDs of the streams that a moderator muted.
    muted: Vec<String>,
}

/// Everybody but us, by the server's id.
pub(super) struct Participants {
    remotes: BTreeMap<String, Remote>,
    /// Our own id, in the latest session.
    pub me: String,
    /// Participants seen so far.
    count: u32,
    /// The codec of the first video stream.
    video_codec: Option<String>,
}

impl Participants {
    pub fn new(me: &str) -> Participants {
        Participants { remotes: BTreeMap::new(), me: me.to_owned(), count: 0, video_codec: None }
    }

    /// Disables, with a warning, video in another codec than the first one: our side of a connection answers every section with the codecs of
    /// the first.
    pub fn disable_other_codecs(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for remote in self.remotes.values_mut() {
            for stream in remote.streams.iter_mut().flatten().filter(|stream| !stream.disabled) {
                let Some(codec) = &stream.codec else { continue };
                let first = self.video_codec.get_or_insert_with(|| codec.clone());
                if first != codec {
                    stream.disabled = true;
                    let text = format!(
                        "their {} video is not received: the first video in this room was {first}",
                        codec.escape_debug()
                    );
                    actions.push(Action::Emit(SignalEvent::Warning { id: remote.participant.id.clone(), text }));
                }
            }
        }
        actions
    }

    /// Every stream to subscribe to.
    pub fn wanted(&self) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for (id, remote) in &self.remotes {
            match &remote.streams {
                None => wanted.push((id.clone(), remote.feed.clone(), None)),
                Some(streams) => {
                    let enabled = streams.iter().filter(|stream| !stream.disabled);
                    wanted.extend(enabled.map(|stream| (id.clone(), remote.feed.clone(), Some(stream.mid.clone()))));
                }
            }
        }
        wanted
    }

    /// The track labels of those whose labels changed.
    pub fn update_labels(&mut self, subscriber: &Subscriber) -> Vec<Action> {
        let mut actions = Vec::new();
        for (id, remote) in &mut self.remotes {
            let streams = subscriber.subscribed.iter().filter(|stream| stream.feed == *id);
            let tracks: Vec<TrackLabel> = streams
                .map(|subscribed| {
                    let known = remote.streams.iter().flatten().find(|stream| stream.mid == subscribed.feed_mid);
                    let source = match (known.is_some_and(|stream| stream.screen), subscribed.kind) {
                        (true, MediaKind::Video) => Source::Screen,
                        (true, MediaKind::Audio) => Source::ScreenAudio,
                        (false, kind) => Source::default_for(kind),
                    };
                    let muted = remote.muted.contains(&subscribed.feed_mid);
                    TrackLabel { stream: subscribed.mid.clone(), kind: subscribed.kind, source, muted }
                })
                .collect();
            if remote.participant.tracks != tracks {
                remote.participant.tracks.clone_from(&tracks);
                actions.push(Action::Emit(SignalEvent::Tracks { id: remote.participant.id.clone(), tracks }));
            }
        }
        actions
    }

    /// Adds a participant, or updates one. `streams`: what they publish, where the server says so.
    pub fn add(
        &mut self,
        entry: &Value,
        streams: Option<Vec<FeedStream>>,
        subscriber: &mut Subscriber,
    ) -> Option<Action> {
        let id = wire::id_of(&entry["id"]).filter(|id| *id != self.me)?;
        if let Some(remote) = self.remotes.get_mut(&id) {
            if streams.is_some() && remote.streams != streams {
                remote.streams = streams;
                subscriber.streams_changed(&id);
            }
            return None;
        }
        if self.remotes.len() >= MAX_PARTICIPANTS {
            return None;
        }
        self.count += 1;
        let plain = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') && id.len() <= 64;
        let ours = ParticipantId(if plain { id.clone() } else { format!("feed-{}", self.count) });
        let name: String = entry["display"].as_str().unwrap_or_default().trim().chars().take(64).collect();
        let name = if name.is_empty() { format!("Guest {}", self.count) } else { name };
        let participant = Participant { id: ours, name, role: Role::Participant, tracks: Vec::new() };
        self.remotes.insert(
            id,
            Remote { participant: participant.clone(), feed: entry["id"].clone(), streams, muted: Vec::new() },
        );
        Some(Action::Emit(SignalEvent::Joined(participant)))
    }

    /// A participant publishes nothing any more, and stays.
    pub fn unpublish(&mut self, id: &str, subscriber: &mut Subscriber) {
        if let Some(remote) = self.remotes.get_mut(id) {
            remote.streams = Some(Vec::new());
            subscriber.remove(id);
        }
    }

    pub fn remove(&mut self, id: &str, reason: &str, subscriber: &mut Subscriber) -> Option<Action> {
        subscriber.remove(id);
        let remote = self.remotes.remove(id)?;
        Some(Action::Emit(SignalEvent::Left { id: remote.participant.id, reason: reason.to_owned() }))
    }

    /// A moderator muted or unmuted a stream.
    pub fn set_muted(&mut self, id: &str, mid: &str, muted: bool) {
        if let Some(remote) = self.remotes.get_mut(id) {
            remote.muted.retain(|muted| muted != mid);
            if muted {
                remote.muted.push(mid.to_owned());
            }
        }
    }

    /// The server's list of participants, after a time of which we know nothing.
    pub fn reconcile(&mut self, participants: &[Value], subscriber: &mut Subscriber) -> Vec<Action> {
        let present: Vec<String> = participants.iter().filter_map(|entry| wire::id_of(&entry["id"])).collect();
        let gone: Vec<String> = self.remotes.keys().filter(|id| !present.contains(id)).cloned().collect();
        let mut actions: Vec<Action> = gone.iter().filter_map(|id| self.remove(id, "left", subscriber)).collect();
        for (entry, id) in participants.iter().filter_map(|entry| Some((entry, wire::id_of(&entry["id"])?))) {
            let publishes = entry["publisher"].as_bool();
            match self.remotes.get_mut(&id) {
                // Publishes now and did not before: all streams are subscribed to, as their MIDs are unknown.
                Some(remote) if publishes == Some(true) && remote.streams.as_ref().is_some_and(Vec::is_empty) => {
                    remote.streams = None;
                }
                Some(_) if publishes == Some(false) => self.unpublish(&id, subscriber),
                Some(_) => {}
                None if publishes == Some(true) => actions.extend(self.add(entry, None, subscriber)),
                None => {}
            }
        }
        actions
    }

    pub fn present(&self) -> Vec<Participant> {
        self.remotes.values().map(|remote| remote.participant.clone()).collect()
    }
}

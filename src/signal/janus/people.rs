//! Who is in a Janus room, and what they send. Pure.

use super::super::SignalEvent;
use super::super::talk::Step;
use super::listener::{Listener, Wanted};
use super::wire::{self, FeedStream};
use crate::room::media::{MediaKind, Source};
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use serde_json::Value;
use std::collections::BTreeMap;

/// People who are taken.
const MOST: usize = 256;

struct Person {
    who: Participant,
    feed: Value,
    /// Their streams; none known of somebody who was only listed.
    streams: Option<Vec<FeedStream>>,
    /// Streams that a moderator muted.
    muted: Vec<String>,
}

/// Everybody but us, by the server's id.
pub(super) struct People {
    all: BTreeMap<String, Person>,
    /// Our own, on the latest session.
    pub me: String,
    given: u32,
    /// The codec of the pictures that came first.
    codec: Option<String>,
}

impl People {
    pub fn new(me: &str) -> People {
        People { all: BTreeMap::new(), me: me.to_owned(), given: 0, codec: None }
    }

    /// Leaves out, with a word, pictures in another codec than the first ones: our side of a connection answers every section of theirs with the
    /// codecs of the first.
    pub fn leave_out(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for person in self.all.values_mut() {
            for stream in person.streams.iter_mut().flatten().filter(|stream| !stream.disabled) {
                let Some(codec) = &stream.codec else { continue };
                let first = self.codec.get_or_insert_with(|| codec.clone());
                if first != codec {
                    stream.disabled = true;
                    let text =
                        format!("their {} is not taken: pictures here came as {first} first", codec.escape_debug());
                    steps.push(Step::Tell(SignalEvent::Warning { id: person.who.id.clone(), text }));
                }
            }
        }
        steps
    }

    /// Every stream that is to be taken.
    pub fn wanted(&self) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for (id, person) in &self.all {
            match &person.streams {
                None => wanted.push((id.clone(), person.feed.clone(), None)),
                Some(streams) => {
                    let there = streams.iter().filter(|stream| !stream.disabled);
                    wanted.extend(there.map(|stream| (id.clone(), person.feed.clone(), Some(stream.mid.clone()))));
                }
            }
        }
        wanted
    }

    /// Says who has what, where that changed.
    pub fn label(&mut self, listener: &Listener) -> Vec<Step> {
        let mut steps = Vec::new();
        for (id, person) in &mut self.all {
            let placed = listener.placed.iter().filter(|placed| placed.feed == *id);
            let tracks: Vec<TrackLabel> = placed
                .map(|placed| {
                    let known = person.streams.iter().flatten().find(|stream| stream.mid == placed.feed_mid);
                    let source = match (known.is_some_and(|stream| stream.screen), placed.kind) {
                        (true, MediaKind::Video) => Source::Screen,
                        (true, MediaKind::Audio) => Source::ScreenAudio,
                        (false, kind) => Source::default_for(kind),
                    };
                    let muted = person.muted.contains(&placed.feed_mid);
                    TrackLabel { stream: placed.mid.clone(), kind: placed.kind, source, muted }
                })
                .collect();
            if person.who.tracks != tracks {
                person.who.tracks.clone_from(&tracks);
                steps.push(Step::Tell(SignalEvent::Tracks { id: person.who.id.clone(), tracks }));
            }
        }
        steps
    }

    /// Somebody is there. `streams`: what they send, where that was said.
    pub fn meet(&mut self, entry: &Value, streams: Option<Vec<FeedStream>>, listener: &mut Listener) -> Option<Step> {
        let id = wire::id_of(&entry["id"]).filter(|id| *id != self.me)?;
        if let Some(person) = self.all.get_mut(&id) {
            if streams.is_some() && person.streams != streams {
                person.streams = streams;
                listener.changed(&id);
            }
            return None;
        }
        if self.all.len() >= MOST {
            return None;
        }
        self.given += 1;
        let plain = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') && id.len() <= 64;
        let own = ParticipantId(if plain { id.clone() } else { format!("feed-{}", self.given) });
        let name: String = entry["display"].as_str().unwrap_or_default().trim().chars().take(64).collect();
        let name = if name.is_empty() { format!("Guest {}", self.given) } else { name };
        let who = Participant { id: own, name, role: Role::Participant, tracks: Vec::new() };
        self.all.insert(id, Person { who: who.clone(), feed: entry["id"].clone(), streams, muted: Vec::new() });
        Some(Step::Tell(SignalEvent::Joined(who)))
    }

    /// Somebody sends nothing any more, and stays.
    pub fn falls_silent(&mut self, id: &str, listener: &mut Listener) {
        if let Some(person) = self.all.get_mut(id) {
            person.streams = Some(Vec::new());
            listener.gone(id);
        }
    }

    pub fn part(&mut self, id: &str, reason: &str, listener: &mut Listener) -> Option<Step> {
        listener.gone(id);
        let person = self.all.remove(id)?;
        Some(Step::Tell(SignalEvent::Left { id: person.who.id, reason: reason.to_owned() }))
    }

    /// A moderator mutes a stream of somebody, or lets it speak again.
    pub fn moderated(&mut self, id: &str, mid: &str, muted: bool) {
        if let Some(person) = self.all.get_mut(id) {
            person.muted.retain(|muted| muted != mid);
            if muted {
                person.muted.push(mid.to_owned());
            }
        }
    }

    /// Who is there, after a while of which we know nothing.
    pub fn listed(&mut self, participants: &[Value], listener: &mut Listener) -> Vec<Step> {
        let there: Vec<String> = participants.iter().filter_map(|entry| wire::id_of(&entry["id"])).collect();
        let gone: Vec<String> = self.all.keys().filter(|id| !there.contains(id)).cloned().collect();
        let mut steps: Vec<Step> = gone.iter().filter_map(|id| self.part(id, "left", listener)).collect();
        for (entry, id) in participants.iter().filter_map(|entry| Some((entry, wire::id_of(&entry["id"])?))) {
            let publishes = entry["publisher"].as_bool();
            match self.all.get_mut(&id) {
                // Who sends now and sent nothing before is asked for as a whole.
                Some(person) if publishes == Some(true) && person.streams.as_ref().is_some_and(Vec::is_empty) => {
                    person.streams = None;
                }
                Some(_) if publishes == Some(false) => self.falls_silent(&id, listener),
                Some(_) => {}
                None if publishes == Some(true) => steps.extend(self.meet(entry, None, listener)),
                None => {}
            }
        }
        steps
    }

    pub fn present(&self) -> Vec<Participant> {
        self.all.values().map(|person| person.who.clone()).collect()
    }
}

//! VideoRooms of Janus 1.x: a server that forwards what its publishers send. We join as a publisher, which tells us who comes and goes; what
//! all of them send comes over one connection of a second handle, and what we send goes over one of the first. Knows nothing of media.

mod dial;
mod listener;
mod people;
mod room;
mod sections;
mod wire;

use super::ice;
use super::talk::{self, Dial, start};
use super::{IceServer, JoinAs, Link, NegotiationPolicy, Signaller};
use crate::error::{Error, Result};
use crate::room::participant::ParticipantId;
use crate::room::policy::{Changes, Channels, FirstOffer, Section, Way};
use async_trait::async_trait;
use dial::Dialler;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use url::Url;
use wire::Secrets;

/// A room of such a server: `janus+ws://host:port/ROOM`, or `janus+wss://…`; what stands before ROOM in the path is the server's.
#[derive(Debug, Clone)]
pub struct JanusRoom {
    url: Url,
    place: Place,
    secrets: Secrets,
    /// Which of a sender's simulcast pictures is taken: 0 is the smallest, 2 the best.
    substream: u64,
    ice_servers: Vec<IceServer>,
}

/// Which room, and what opens it.
#[derive(Debug, Clone)]
struct Place {
    room: Value,
    name: String,
    pin: Option<String>,
}

impl JanusRoom {
    /// Reads the URL; nothing is connected yet. `?pin=…` is the room's, `?token=…` the room's or the server's, `?apisecret=…` the
    /// server's; `?substream=0` takes a lower picture of those who send several.
    ///
    /// # Errors
    /// The user must act: not a URL, or no room in it.
    pub fn new(url: &str) -> Result<JanusRoom> {
        let plain = url.split_once('+').map_or(url, |(_, rest)| rest);
        let bad = |why: &str| Error::user(format!("{url:?} is no Janus room: {why}"));
        let mut parsed = Url::parse(plain).map_err(|e| bad(&e.to_string()))?;
        if !matches!(parsed.scheme(), "ws" | "wss") {
            return Err(bad("its scheme is janus+ws or janus+wss"));
        }
        let path = parsed.path().trim_end_matches('/').to_owned();
        let (above, name) = path
            .rsplit_once('/')
            .filter(|(_, name)| !name.is_empty())
            .ok_or_else(|| bad("it must end with /ROOM, the room's number"))?;
        let asked =
            |wanted: &str| parsed.query_pairs().find(|(key, _)| key == wanted).map(|(_, value)| value.into_owned());
        let substream = match asked("substream").as_deref() {
            None => 2,
            Some(text) => text.parse().ok().filter(|n| *n <= 2).ok_or_else(|| bad("substream is 0, 1 or 2"))?,
        };
        let secrets = Secrets { token: asked("token"), api: asked("apisecret") };
        // Rooms are numbers, unless the server was told that they are texts.
        let room = name.parse::<u64>().map_or_else(|_| Value::from(name), Value::from);
        let place = Place { room, name: name.to_owned(), pin: asked("pin") };
        parsed.set_path(if above.is_empty() { "/" } else { above });
        let ice_servers = ice::in_query(&parsed)?;
        parsed.set_query(None);
        parsed.set_fragment(None);
        Ok(JanusRoom { url: parsed, place, secrets, substream, ice_servers })
    }
}

/// The connection over which others are heard, and the one over which we are.
fn listening() -> ParticipantId {
    ParticipantId("janus-subscriber".to_owned())
}
fn speaking() -> ParticipantId {
    ParticipantId("janus-publisher".to_owned())
}

/// How people are met here: their media comes over a connection of the server's.
fn carried() -> NegotiationPolicy {
    NegotiationPolicy { sfu: Some(listening()), channels: Channels::Never, ..NegotiationPolicy::default() }
}

fn manner_of_listening() -> NegotiationPolicy {
    NegotiationPolicy {
        first_offer: FirstOffer::Them,
        polite: Some(true),
        audio: Section::Never,
        video: Section::Never,
        changes: Changes::Ask,
        channels: Channels::Never,
        ..NegotiationPolicy::default()
    }
}

fn manner_of_speaking() -> NegotiationPolicy {
    NegotiationPolicy {
        first_offer: FirstOffer::Us,
        polite: Some(false),
        audio: Section::Published(Way::Send),
        video: Section::Published(Way::Send),
        channels: Channels::Never,
        ..NegotiationPolicy::default()
    }
}

#[async_trait]
impl Signaller for JanusRoom {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let mut secrets = self.secrets.clone();
        secrets.token = how.token.clone().or(secrets.token);
        let entry = Arc::new(Mutex::new(dial::Entry::default()));
        let mut dial = Dialler {
            url: self.url.clone(),
            place: self.place.clone(),
            secrets: secrets.clone(),
            name: how.name.clone(),
            entry: entry.clone(),
        };
        let socket = dial.dial().await.map_err(|no| no.error)?;
        let room =
            talk::Place { room: self.place.name.clone(), ice_servers: self.ice_servers.clone(), policy: carried() };
        let talk = room::Room::new(entry, self.place.clone(), secrets, how.role, self.substream);
        Ok(start(socket, dial, talk, room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Blame;

    #[test]
    fn a_url_says_which_server_and_which_room() {
        let room = JanusRoom::new("janus+ws://127.0.0.1:8188/1234?pin=a%20b&token=t").expect("a room");
        assert_eq!((room.url.as_str(), &room.place.room), ("ws://127.0.0.1:8188/", &Value::from(1234)));
        assert_eq!((room.place.pin.as_deref(), room.secrets.token.as_deref()), (Some("a b"), Some("t")));
        let room = JanusRoom::new("janus+wss://example.org/janus/ws/standup?substream=0").expect("a room");
        assert_eq!((room.url.as_str(), room.place.name.as_str()), ("wss://example.org/janus/ws", "standup"));
        assert_eq!(room.substream, 0);
        for bad in ["janus+ws://a", "janus+http://a/1", "janus+ws://a/1?substream=3", "janus+ws://"] {
            assert_eq!(JanusRoom::new(bad).expect_err(bad).blame(), Blame::User, "{bad}");
        }
    }
}

//! Signalling: how to join a kind of room and exchange descriptions and candidates there. Knows nothing of media.
//!
//! Each kind of room is one file with one type that implements [`Signaller`]. An adapter runs its own task (socket,
//! heartbeat, reconnect with backoff) and talks to the session over the two channels of a [`Link`].

pub mod memory;
pub mod names;
pub mod protocol;
pub mod ws;

use crate::error::{Error, Result};
use crate::room::people::{Participant, ParticipantId, Role, TrackLabel};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// How to appear in the room.
#[derive(Debug, Clone)]
pub struct JoinAs {
    pub name: String,
    pub role: Role,
    /// The room's join token, if it has one.
    pub token: Option<String>,
}

/// A STUN or TURN server (W3C WebRTC `RTCIceServer`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    pub urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<String>,
}

/// A session description or a candidate on its way between two peers, relayed untouched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    Description(Description),
    /// `None` says that there are no more candidates.
    Candidate(Option<Candidate>),
}

/// `RTCSessionDescription`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `offer`, `answer`, `pranswer` or `rollback`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub sdp: String,
}

/// `RTCIceCandidateInit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    pub candidate: String,
    #[serde(default)]
    pub sdp_mid: Option<String>,
    #[serde(default, rename = "sdpMLineIndex")]
    pub sdp_m_line_index: Option<u16>,
    #[serde(default)]
    pub username_fragment: Option<String>,
}

/// What the room tells the session.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalEvent {
    /// Somebody came, after us.
    Joined(Participant),
    /// Somebody went. `reason` is a word for the timeline: `left`, `timeout`, `kicked`.
    Left { id: ParticipantId, reason: String },
    /// Somebody's track labels or mute states changed; the whole new list.
    Tracks { id: ParticipantId, tracks: Vec<TrackLabel> },
    /// A description or candidate for us.
    Signal { from: ParticipantId, signal: Signal },
    /// The socket was lost; the adapter is reconnecting. Media goes on.
    Reconnecting { attempt: u32, cause: String },
    /// The socket is back. The list says who is there now; connections to those who stayed are still good.
    Resumed { me: ParticipantId, peers: Vec<Participant> },
    /// The room is closed to us for good; the last event.
    Closed { cause: String },
}

/// What the session tells the room.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalCommand {
    Signal {
        to: ParticipantId,
        signal: Signal,
    },
    /// Our own track labels; the whole list.
    Tracks(Vec<TrackLabel>),
    /// Leave politely; the adapter ends after it.
    Leave,
}

/// A joined room: who we are, who is there, and the channels to it.
///
/// Both channels are bounded: events at 1,024 (policy Block: the adapter stops reading its socket, TCP pushes back),
/// commands at 1,024 (policy Block).
pub struct Link {
    pub me: ParticipantId,
    pub room: String,
    pub peers: Vec<Participant>,
    pub ice_servers: Vec<IceServer>,
    pub events: mpsc::Receiver<SignalEvent>,
    pub commands: mpsc::Sender<SignalCommand>,
}

/// A kind of room that can be joined.
#[async_trait]
pub trait Signaller: Send + Sync {
    /// Joins, or says who must act. The first attempt is not repeated; a socket lost later is.
    async fn join(&self, how: JoinAs) -> Result<Link>;
}

/// True where the peer with id `me` is the polite side towards `other` (W3C WebRTC 10.7, perfect negotiation).
/// A fixed function of the two ids, so that both sides agree without talking.
pub fn is_polite(me: &ParticipantId, other: &ParticipantId) -> bool {
    me.0 > other.0
}

/// An adapter's constructor, given the whole URL.
type Adapter = fn(&str) -> Result<Box<dyn Signaller>>;

/// Which adapter speaks to which kind of room, by the URL's scheme.
const ADAPTERS: &[(&str, Adapter)] =
    &[("ws", |url| Ok(Box::new(ws::WsRoom::new(url)?))), ("wss", |url| Ok(Box::new(ws::WsRoom::new(url)?)))];

/// The adapter for a room's URL. Nothing is connected yet.
///
/// # Errors
/// The user must act: no URL, an unknown scheme (the message names the known ones), or what the adapter says of it.
pub fn for_url(url: &str) -> Result<Box<dyn Signaller>> {
    let known = || ADAPTERS.iter().map(|(scheme, _)| format!("{scheme}://")).collect::<Vec<_>>().join(", ");
    let Some((scheme, _)) = url.split_once("://") else {
        return Err(Error::user(format!("{url:?} is no room URL: it must begin with one of {}", known())));
    };
    match ADAPTERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(scheme)) {
        Some((_, adapter)) => adapter(url),
        None => Err(Error::user(format!("no kind of room is called {scheme:?}; known are {}", known()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Blame;

    #[test]
    fn the_scheme_chooses_the_adapter() {
        assert!(for_url("ws://127.0.0.1:1/rooms/a").is_ok());
        assert!(for_url("WSS://example.org/rooms/a").is_ok());
    }

    #[test]
    fn an_unknown_scheme_is_told_the_known_ones() {
        for url in ["gopher://a/rooms/b", "standup", ""] {
            let error = for_url(url).err().expect("refused");
            assert_eq!(error.blame(), Blame::User);
            assert!(error.to_string().contains("ws://, wss://"), "{error}");
        }
    }

    #[test]
    fn politeness_is_never_mutual() {
        let (a, b) = (ParticipantId("a".into()), ParticipantId("b".into()));
        assert!(is_polite(&b, &a) && !is_polite(&a, &b));
    }
}

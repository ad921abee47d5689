//! Signalling: how to join a kind of room and exchange descriptions and candidates there. Knows nothing of media.
//!
//! Each kind of room is one file with one type that implements [`Signaller`]. An adapter runs its own task (socket,
//! heartbeat, reconnect with backoff) and talks to the session over the two channels of a [`Link`].

pub mod protocol;
pub mod ws;

use crate::error::Result;
pub use crate::room::exchange::{Candidate, Description, IceServer, Signal};
use crate::room::people::{Participant, ParticipantId, Role, TrackLabel};
use async_trait::async_trait;
use tokio::sync::mpsc;

/// How to appear in the room.
#[derive(Debug, Clone)]
pub struct JoinAs {
    pub name: String,
    pub role: Role,
    /// The room's join token, if it has one.
    pub token: Option<String>,
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
    Signal { to: ParticipantId, signal: Signal },
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

/// Whether we make the first offer to a participant: the member that was there before does, towards the newcomer
/// (`they_are_new`); but a recorder that was there waits for the newcomer's.
pub fn makes_first_offer(me: Role, other: Role, they_are_new: bool) -> bool {
    if they_are_new { me != Role::Recorder } else { other == Role::Recorder }
}

//! What joining a room gives: the channels between a room's adapter and its client, and what goes over them. Knows no room.

use crate::error::Result;
use crate::room::description::{IceServer, Signal};
use crate::room::end::EndReason;
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use crate::room::policy::{NegotiationPolicy, OfferRequest, PeerState};
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
    /// Somebody is to be connected to, in another policy than the room's own ([`Link::policy`]).
    Met { who: Participant, policy: NegotiationPolicy },
    /// The same for somebody of whom it is not known whether they are there: nobody is told of them before they answer.
    Called { who: Participant, policy: NegotiationPolicy },
    /// Who was called is there, and has this name.
    Answered { id: ParticipantId, name: String },
    /// There is a connection to be made to the room's server: over it goes what we send, or comes what those send who are carried by it
    /// ([`NegotiationPolicy::sfu`]). It is no participant. Said again, it takes the earlier one's place; [`SignalEvent::Left`] ends it.
    SfuConnection { id: ParticipantId, policy: NegotiationPolicy },
    /// Somebody went. `reason` is a word for the timeline: `left`, `timeout`, `kicked`.
    Left { id: ParticipantId, reason: String },
    /// Somebody's track labels or mute states changed; the whole new list.
    Tracks { id: ParticipantId, tracks: Vec<TrackLabel> },
    /// A description or candidate for us.
    Signal { from: ParticipantId, signal: Signal },
    /// They ask us, who make the offers, for another one.
    OfferRequested { from: ParticipantId, request: OfferRequest },
    /// They say something, through the room itself.
    Said { from: ParticipantId, text: String },
    /// Something is not as it should be with somebody; it goes on.
    Warning { id: ParticipantId, text: String },
    /// The servers that help connections to be made from now on, instead of those in the [`Link`].
    IceServers(Vec<IceServer>),
    /// The socket was lost; the adapter is reconnecting. Media goes on.
    Reconnecting { attempt: u32, cause: String },
    /// The socket is back. The list says who is there now; connections to those who stayed are still good.
    Resumed { me: ParticipantId, peers: Vec<Participant> },
    /// The room is closed to us for good; the last event.
    Closed(EndReason),
}

/// What the session tells the room.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalCommand {
    Signal {
        to: ParticipantId,
        signal: Signal,
    },
    /// To be asked of who makes the offers; only where the policy says so.
    RequestOffer {
        to: ParticipantId,
        request: OfferRequest,
    },
    /// To be said, to one or to all, where chat goes through the room.
    Say {
        to: Option<ParticipantId>,
        text: String,
    },
    /// Where the connection to somebody stands: for rooms that do not tell who has left.
    Peer {
        id: ParticipantId,
        state: PeerState,
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
    /// How connections are made here.
    pub policy: NegotiationPolicy,
    pub events: mpsc::Receiver<SignalEvent>,
    pub commands: mpsc::Sender<SignalCommand>,
}

impl Link {
    /// Lets `change` see and change every event before it is received.
    pub fn map_events(&mut self, mut change: impl FnMut(&mut SignalEvent) + Send + 'static) {
        let (changed, receiver) = mpsc::channel(self.events.max_capacity());
        let mut events = std::mem::replace(&mut self.events, receiver);
        tokio::spawn(async move {
            while let Some(mut event) = events.recv().await {
                change(&mut event);
                if changed.send(event).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// A kind of room that can be joined.
#[async_trait]
pub trait Signaller: Send + Sync {
    /// Joins, or says who must act. The first attempt is not repeated; a socket lost later is.
    async fn join(&self, how: JoinAs) -> Result<Link>;
}

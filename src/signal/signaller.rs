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
    /// The display name; the room may change it if it is taken.
    pub name: String,
    /// What we are in the room.
    pub role: Role,
    /// The room's join token, if it has one.
    pub token: Option<String>,
}

/// What the room tells its client.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalEvent {
    /// A participant joined after us.
    Joined(Participant),
    /// The same, with a policy other than the room's ([`Link::policy`]).
    JoinedWith {
        /// The participant.
        who: Participant,
        /// How to connect to them.
        policy: NegotiationPolicy,
    },
    /// We are to call a participant of whom it is not known whether they are there: nobody is told of them before they answer.
    Calling {
        /// The participant.
        who: Participant,
        /// How to connect to them.
        policy: NegotiationPolicy,
    },
    /// A participant of [`SignalEvent::Calling`] is there.
    Answered {
        /// Who.
        id: ParticipantId,
        /// Their display name.
        name: String,
    },
    /// A connection to the room's SFU is to be made: it sends our tracks, or receives those of all participants whose policy names it
    /// ([`NegotiationPolicy::sfu`]). It is no participant. A second event with the same id replaces the connection; [`SignalEvent::Left`]
    /// ends it.
    SfuConnection {
        /// The connection.
        id: ParticipantId,
        /// How to make it.
        policy: NegotiationPolicy,
    },
    /// A participant left.
    Left {
        /// Who.
        id: ParticipantId,
        /// A word for the timeline: `left`, `timeout`, `kicked`.
        reason: String,
    },
    /// A participant's track labels or mute states changed.
    Tracks {
        /// Whose.
        id: ParticipantId,
        /// The whole new list.
        tracks: Vec<TrackLabel>,
    },
    /// A description or candidate for us.
    Signal {
        /// Of whom.
        from: ParticipantId,
        /// The description or candidate.
        signal: Signal,
    },
    /// A participant for whom we make the offers requests another one.
    OfferRequested {
        /// Who.
        from: ParticipantId,
        /// What for.
        request: OfferRequest,
    },
    /// A chat message through the room itself.
    Chat {
        /// Of whom.
        from: ParticipantId,
        /// The message.
        text: String,
    },
    /// A problem with a participant that does not end anything.
    Warning {
        /// Whose.
        id: ParticipantId,
        /// For people.
        text: String,
    },
    /// The ICE servers from now on, instead of those in the [`Link`].
    IceServers(Vec<IceServer>),
    /// The socket was lost, and the adapter reconnects. Media goes on.
    Reconnecting {
        /// The number of the attempt, from 1.
        attempt: u32,
        /// For people.
        cause: String,
    },
    /// The room was joined again. Connections to participants who stayed are still good.
    Resumed {
        /// Our id, which may have changed.
        me: ParticipantId,
        /// The other participants now.
        peers: Vec<Participant>,
    },
    /// The membership has ended for good; the last event.
    Closed(EndReason),
}

/// What the client tells the room.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalCommand {
    /// Send a description or candidate.
    Signal {
        /// To whom.
        to: ParticipantId,
        /// The description or candidate.
        signal: Signal,
    },
    /// Request an offer of a participant who makes them; only where the policy says so.
    RequestOffer {
        /// Of whom.
        to: ParticipantId,
        /// What for.
        request: OfferRequest,
    },
    /// Send a chat message, where chat goes through the room.
    Chat {
        /// To whom; to everybody if absent.
        to: Option<ParticipantId>,
        /// The message.
        text: String,
    },
    /// The state of a connection changed: for rooms that do not tell who has left.
    Peer {
        /// To whom.
        id: ParticipantId,
        /// The new state.
        state: PeerState,
    },
    /// Our own track labels; the whole list.
    Tracks(Vec<TrackLabel>),
    /// Leave; the adapter ends after it.
    Leave,
}

/// A joined room: who we are, who is there, and the channels to it.
///
/// Both channels are bounded: events at 1,024 (policy Block: the adapter stops reading its socket, TCP pushes back),
/// commands at 1,024 (policy Block).
pub struct Link {
    /// Our id in the room.
    pub me: ParticipantId,
    /// The room's name.
    pub room: String,
    /// The other participants when we joined.
    pub peers: Vec<Participant>,
    /// The room's ICE servers.
    pub ice_servers: Vec<IceServer>,
    /// How connections are made here.
    pub policy: NegotiationPolicy,
    /// What the room tells us; ends after [`SignalEvent::Closed`].
    pub events: mpsc::Receiver<SignalEvent>,
    /// What we tell the room; dropping it leaves.
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

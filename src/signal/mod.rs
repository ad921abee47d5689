//! Signalling: how to join a kind of room and exchange descriptions and candidates there. Knows nothing of media.
//!
//! Each kind of room is one file with one type that implements [`Signaller`]. An adapter runs its own task (socket,
//! heartbeat, reconnect with backoff) and talks to the session over the two channels of a [`Link`].

pub mod deepstream;
mod ice;
pub mod janus;
pub mod memory;
pub mod names;
pub mod protocol;
mod simple_peer;
pub mod socketio;
mod talk;
pub mod whep;
pub mod whip;
pub mod whip_whep;
pub mod ws;

use crate::error::{Error, Result};
pub use crate::room::description::{Candidate, Description, IceServer, Signal};
use crate::room::end::EndReason;
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use crate::room::policy::PeerState;
pub use crate::room::policy::{Ask, NegotiationPolicy};
use async_trait::async_trait;
pub use ice::parse_ice_server;
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
    Asked { from: ParticipantId, ask: Ask },
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
    Ask {
        to: ParticipantId,
        ask: Ask,
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

/// An adapter's constructor, given the whole URL.
type Adapter = fn(&str) -> Result<Box<dyn Signaller>>;

/// Which adapter speaks to which kind of room, by the URL's schemes: a line for each.
const ADAPTERS: &[(&[&str], Adapter)] = &[
    (&["ws", "wss"], |url| Ok(Box::new(ws::WsRoom::new(url)?))),
    (&["deepstream+ws", "deepstream+wss"], |url| Ok(Box::new(deepstream::GuideRoom::new(url)?))),
    (&["janus+ws", "janus+wss"], |url| Ok(Box::new(janus::JanusRoom::new(url)?))),
    (&["socketio+http", "socketio+https"], |url| Ok(Box::new(socketio::CallRoom::new(url)?))),
    (&["whip+http", "whip+https"], |url| Ok(Box::new(whip::WhipRoom::new(url)?))),
    (&["whep+http", "whep+https"], |url| Ok(Box::new(whep::WhepRoom::new(url)?))),
];

/// The adapter for a room's URL. Nothing is connected yet.
///
/// # Errors
/// The user must act: no URL, an unknown scheme (the message names the known ones), or what the adapter says of it.
pub fn for_url(url: &str) -> Result<Box<dyn Signaller>> {
    let schemes = ADAPTERS.iter().flat_map(|(schemes, _)| schemes.iter());
    let known = || schemes.clone().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(", ");
    let Some((scheme, _)) = url.split_once("://") else {
        return Err(Error::user(format!("{url:?} is no room URL: it must begin with one of {}", known())));
    };
    match ADAPTERS.iter().find(|(known, _)| known.iter().any(|known| known.eq_ignore_ascii_case(scheme))) {
        Some((_, adapter)) => adapter(url),
        None if matches!(scheme, "http" | "https") && url.contains("/rooms/") => {
            let meant = public_url(&url.replacen("http", "ws", 1));
            Err(Error::user(format!("that is the address of the room's page: its room is {meant}")))
        }
        None => Err(Error::user(format!("no kind of room is called {scheme:?}; known are {}", known()))),
    }
}

/// The parameters of a room's URL that say which room it is; all others may be secret.
const TELLING: &str = "app";

/// What a recording of the room at `url` is called: the application of the guide's rooms, the last part of the path elsewhere.
pub fn room_name(url: &str) -> String {
    let Ok(parsed) = url::Url::parse(url) else { return "room".to_owned() };
    let app = parsed.query_pairs().find(|(key, app)| key == TELLING && !app.is_empty());
    if let Some((_, app)) = app.filter(|_| parsed.scheme().starts_with("deepstream+")) {
        return format!("guide-{app}");
    }
    let last = parsed.path_segments().and_then(|mut parts| parts.rfind(|part| !part.is_empty()));
    last.unwrap_or("room").to_owned()
}

/// The URL without what may be secret in it (user, password, parameters but those that name the room), for manifests and logs.
pub fn public_url(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else { return String::new() };
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    let app = parsed.query_pairs().find(|(key, _)| key == TELLING).map(|(_, app)| app.into_owned());
    parsed.set_query(None);
    if let Some(app) = app {
        parsed.query_pairs_mut().append_pair(TELLING, &app);
    }
    parsed.set_fragment(None);
    parsed.to_string()
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
    fn the_address_of_a_page_is_told_its_room() {
        let error = for_url("https://example.org/rooms/standup?token=s3cret").err().expect("refused").to_string();
        assert_eq!(error, "that is the address of the room's page: its room is wss://example.org/rooms/standup");
    }

    #[test]
    fn politeness_is_never_mutual() {
        let (a, b) = (ParticipantId("a".into()), ParticipantId("b".into()));
        assert!(is_polite(&b, &a) && !is_polite(&a, &b));
    }

    #[test]
    fn exactly_one_side_makes_the_first_offer() {
        use Role::{Bot, Participant, Recorder};
        for (here, new) in
            [(Participant, Participant), (Participant, Recorder), (Recorder, Participant), (Bot, Recorder)]
        {
            let (first, second) = (makes_first_offer(here, new, true), makes_first_offer(new, here, false));
            assert!(first != second, "{here:?} was here, {new:?} came");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(public_url("ws://u:p@h:1/rooms/a?token=s#x"), "ws://h:1/rooms/a");
        assert_eq!(room_name("wss://h/rooms/stand-up?token=s"), "stand-up");
        assert_eq!(room_name("nonsense"), "room");
        let guide = "deepstream+ws://u:p@h:1/deepstream?token=s&app=full-mesh&ice=turn:u:p@h#initiator";
        assert_eq!(public_url(guide), "deepstream+ws://h:1/deepstream?app=full-mesh");
        assert_eq!(room_name(guide), "guide-full-mesh");
        assert_eq!(room_name("socketio+http://h:1/calls/r1?token=s"), "r1");
    }
}

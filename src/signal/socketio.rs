//! Group calls of socket.io and simple-peer, as in many tutorials: a server that lists the participants to a newcomer and relays two events.
//! The newcomer calls everybody. Knows nothing of media.

use super::connector::{Action, Keepalive, RoomInfo, RoomProtocol, start};
use super::names::percent_decoded;
use super::signaller::{JoinAs, Link, SignalCommand, SignalEvent, Signaller};
use super::simple_peer::{self, InferredLabels, PeerSignal};
use super::websocket::{ConnectError, Message, Socket};
use super::{address, ice};
use crate::error::{Error, Result};
use crate::room::description::{Description, IceServer, Signal};
use crate::room::end::EndReason;
use crate::room::media::Direction;
use crate::room::participant::{Participant, ParticipantId, Role};
use crate::room::policy::{DataChannels, FirstOffer, MediaSections, NegotiationPolicy, PeerState, Renegotiation};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use url::Url;

/// Packet types of engine.io 4 and, with two digits, of socket.io 5 in an engine.io message.
const OPEN: &str = "0";
const CLOSE: &str = "1";
const PING: &str = "2";
const PONG: &str = "3";
const CONNECT: &str = "40";
const DISCONNECT: &str = "41";
const EVENT: &str = "42";
const CONNECT_ERROR: &str = "44";

/// How long a call may take until it is connected.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may be disconnected before the participant counts as gone: the server does not always tell.
const DISCONNECTED_TIMEOUT: Duration = Duration::from_secs(5);
/// Participants who are called at most.
const MAX_PARTICIPANTS: usize = 64;

/// A room of such a server: `socketio+http://host:port/ROOM`, or `socketio+https://…`.
#[derive(Debug, Clone)]
pub struct CallRoom {
    /// Where the socket is.
    url: Url,
    room: String,
    token: Option<String>,
    ice_servers: Vec<IceServer>,
}

impl CallRoom {
    /// Reads the URL; nothing is connected yet. `?token=…` is the join token, given to the server as `auth.token`; `?ice=…` is
    /// an ICE server, as `roombot room --ice-server` takes it.
    ///
    /// # Errors
    /// The user must act: not a URL, or no room's name in it.
    pub fn new(url: &str) -> Result<CallRoom> {
        let plain = url.split_once('+').map_or(url, |(_, rest)| rest);
        let bad = |why: String| Error::user(format!("{url:?} is no socket.io room: {why}"));
        let mut parsed = Url::parse(plain).map_err(|e| bad(e.to_string()))?;
        let room = parsed.path_segments().and_then(|mut parts| parts.rfind(|part| !part.is_empty()));
        let room = room.map(str::to_owned).ok_or_else(|| bad("it must end with /ROOM".to_owned()))?;
        let room = percent_decoded(&room).ok_or_else(|| bad("the room's name is not UTF-8".to_owned()))?;
        let token = parsed.query_pairs().find(|(key, _)| key == "token").map(|(_, token)| token.into_owned());
        let ice_servers = ice::in_query(&parsed)?;
        let scheme = match parsed.scheme() {
            "http" | "ws" => "ws",
            "https" | "wss" => "wss",
            other => return Err(bad(format!("its scheme is socketio+http or socketio+https, not {other:?}"))),
        };
        parsed.set_scheme(scheme).map_err(|()| bad("its scheme cannot be used".to_owned()))?;
        // The rooms of a server below a path are below that path too.
        let below = parsed.path().trim_end_matches('/').rsplit_once('/').map_or("", |(below, _)| below).to_owned();
        parsed.set_path(&format!("{below}/socket.io/"));
        parsed.set_query(Some("EIO=4&transport=websocket"));
        parsed.set_fragment(None);
        Ok(CallRoom { url: parsed, room, token, ice_servers })
    }

    fn policy(role: Role) -> NegotiationPolicy {
        // Not every page can renegotiate, so the first offer has sections for tracks that a bot sends later.
        let media =
            MediaSections::Preallocated(if role == Role::Recorder { Direction::RecvOnly } else { Direction::SendRecv });
        NegotiationPolicy {
            trickle: false,
            audio: media,
            video: media,
            renegotiation: Renegotiation::Never,
            channels: DataChannels::Single { chat: true, files: true },
            ..NegotiationPolicy::default()
        }
    }
}

#[async_trait]
impl Signaller for CallRoom {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let policy = CallRoom::policy(how.role);
        let mut call = Call {
            url: self.url.clone(),
            room: self.room.clone(),
            token: how.token.or_else(|| self.token.clone()),
            me: String::new(),
            policy: policy.clone(),
            members: HashMap::new(),
            count: 0,
        };
        let socket = call.connect().await.map_err(|failed| failed.error)?;
        let info = RoomInfo { room: self.room.clone(), ice_servers: self.ice_servers.clone(), policy };
        Ok(start(socket, call, info, Keepalive::default()))
    }
}

/// Another participant.
struct Member {
    participant: Participant,
    /// We called them.
    is_callee: bool,
    since: Instant,
    connected: bool,
    disconnected_since: Option<Instant>,
    /// Their last offer.
    offer: Option<String>,
    /// Our offer was not answered yet.
    awaits_answer: bool,
    labels: InferredLabels,
}

/// Our side of the protocol.
struct Call {
    url: Url,
    room: String,
    token: Option<String>,
    /// Our id, another one on each socket.
    me: String,
    policy: NegotiationPolicy,
    members: HashMap<String, Member>,
    /// Participants seen so far.
    count: u32,
}

impl Call {
    fn on_event(&mut self, name: &str, value: &Value, now: Instant) -> Vec<Action> {
        let text = |value: &Value| value.as_str().filter(|t| !t.is_empty() && t.len() <= 64).map(str::to_owned);
        match name {
            "all users" => {
                let ids = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let ids: Vec<String> =
                    ids.iter().filter_map(text).filter(|id| *id != self.me).take(MAX_PARTICIPANTS).collect();
                ids.into_iter().map(|id| self.add(&id, true, now)).collect()
            }
            "user joined" => match text(&value["callerID"]) {
                Some(id) => self.on_signal(&id, simple_peer::read(&value["signal"]), now),
                None => Vec::new(),
            },
            "receiving returned signal" => match text(&value["id"]) {
                Some(id) => self.on_signal(&id, simple_peer::read(&value["signal"]), now),
                None => Vec::new(),
            },
            "user left" | "user disconnected" => {
                text(value).and_then(|id| self.remove(&id, "left")).into_iter().collect()
            }
            "room full" => vec![Action::End(EndReason::RoomFull { detail: "the room is full".to_owned() })],
            _ => Vec::new(),
        }
    }

    fn add(&mut self, id: &str, is_callee: bool, now: Instant) -> Action {
        self.count += 1;
        // The protocol has no names, and the id is not readable.
        let name = format!("Guest {}", self.count);
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
        let short: String = id.chars().take(48).map(plain).collect();
        let participant = Participant {
            id: ParticipantId(format!("{short}-{}", self.count)),
            name,
            role: Role::Participant,
            tracks: Vec::new(),
        };
        let (first_offer, renegotiation) =
            if is_callee { (FirstOffer::Us, Renegotiation::Never) } else { (FirstOffer::Them, Renegotiation::Request) };
        let policy = NegotiationPolicy { first_offer, renegotiation, polite: Some(!is_callee), ..self.policy.clone() };
        let member = Member {
            participant: participant.clone(),
            is_callee,
            since: now,
            connected: false,
            disconnected_since: None,
            offer: None,
            awaits_answer: false,
            labels: InferredLabels::default(),
        };
        self.members.insert(id.to_owned(), member);
        Action::Emit(SignalEvent::JoinedWith { who: participant, policy })
    }

    fn remove(&mut self, id: &str, reason: &str) -> Option<Action> {
        let member = self.members.remove(id)?;
        Some(Action::Emit(SignalEvent::Left { id: member.participant.id, reason: reason.to_owned() }))
    }

    fn on_signal(&mut self, id: &str, signal: PeerSignal, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if let PeerSignal::Offer(sdp) = &signal {
            let is_new_peer = self.members.get(id).is_none_or(|member| {
                member.offer.as_ref().is_some_and(|last| simple_peer::session_id(last) != simple_peer::session_id(sdp))
            });
            if is_new_peer && self.members.len() < MAX_PARTICIPANTS {
                actions.extend(self.remove(id, "left"));
                actions.push(self.add(id, false, now));
            }
        }
        let Some(member) = self.members.get_mut(id) else { return actions };
        let from = member.participant.id.clone();
        let description = |kind: &str, sdp| Signal::Description(Description { kind: kind.into(), sdp });
        if let PeerSignal::Offer(sdp) | PeerSignal::Answer(sdp) = &signal
            && let Some(tracks) = member.labels.update(sdp)
        {
            actions.push(Action::Emit(SignalEvent::Tracks { id: from.clone(), tracks }));
        }
        let event = match signal {
            PeerSignal::Offer(sdp) if member.offer.as_ref() == Some(&sdp) => return actions,
            PeerSignal::Offer(sdp) => {
                member.offer = Some(sdp.clone());
                SignalEvent::Signal { from, signal: description("offer", sdp) }
            }
            PeerSignal::Answer(sdp) if std::mem::take(&mut member.awaits_answer) => {
                SignalEvent::Signal { from, signal: description("answer", sdp) }
            }
            PeerSignal::Candidate(candidate) => {
                SignalEvent::Signal { from, signal: Signal::Candidate(Some(candidate)) }
            }
            PeerSignal::OfferRequest(request) => SignalEvent::OfferRequested { from, request },
            PeerSignal::Answer(_) | PeerSignal::Unknown => return actions,
        };
        actions.push(Action::Emit(event));
        actions
    }

    /// Sends a signal to a participant: the event depends on who called whom.
    fn send_signal(&mut self, to: &ParticipantId, signal: Value, is_offer: bool) -> Option<Action> {
        let (id, member) = self.members.iter_mut().find(|(_, member)| member.participant.id == *to)?;
        member.awaits_answer |= is_offer;
        let event = match member.is_callee {
            true => json!(["sending signal", {"userToSignal": id, "callerID": self.me, "signal": signal}]),
            false => json!(["returning signal", {"signal": signal, "callerID": id}]),
        };
        Some(Action::send(format!("{EVENT}{event}")))
    }
}

impl RoomProtocol for Call {
    async fn connect(&mut self) -> Result<Socket, ConnectError> {
        let shown = address::public_url(self.url.as_str());
        let mut socket = Socket::connect(self.url.as_str(), &shown, None).await?;
        loop {
            let text = socket.receive_text(&shown).await?;
            match (text.get(..1), text.get(..2)) {
                (Some(OPEN), _) => {
                    let auth = self.token.as_ref().map(|token| json!({"token": token}).to_string()).unwrap_or_default();
                    socket.request(format!("{CONNECT}{auth}"), &shown).await?;
                }
                (Some(PING), _) => socket.request(PONG.to_owned(), &shown).await?,
                (_, Some(CONNECT)) => {
                    let opened: Value = serde_json::from_str(&text[2..]).unwrap_or_default();
                    let Some(sid) = opened["sid"].as_str() else {
                        let why = format!("{shown} speaks another version of socket.io than 3 and 4");
                        return Err(ConnectError::refused(why));
                    };
                    sid.clone_into(&mut self.me);
                    return Ok(socket);
                }
                (_, Some(CONNECT_ERROR)) => {
                    let why: Value = serde_json::from_str(&text[2..]).unwrap_or_default();
                    let why = why["message"].as_str().unwrap_or("no reason given");
                    return Err(ConnectError::refused(format!("{shown} refused: {}", why.escape_debug())));
                }
                _ => tracing::debug!("unknown message ignored: {}", text.escape_debug()),
            }
        }
    }

    fn on_connected(&mut self, _: bool, _: Instant) -> Vec<Action> {
        self.members.clear();
        vec![Action::send(format!("{EVENT}{}", json!(["join room", self.room])))]
    }

    fn on_message(&mut self, message: &Message, now: Instant) -> Vec<Action> {
        let Message::Text(text) = message else { return Vec::new() };
        match (text.get(..1), text.get(..2)) {
            (Some(PING), _) => vec![Action::send(PONG)],
            (Some(CLOSE), _) => vec![Action::Reconnect("the server closed the connection".to_owned())],
            (_, Some(DISCONNECT)) => vec![Action::Reconnect("the server disconnected us".to_owned())],
            (_, Some(EVENT)) => {
                // Between the packet type and the event may be the number of an acknowledgement.
                let event = text[2..].trim_start_matches(|c: char| c.is_ascii_digit());
                match serde_json::from_str::<Value>(event) {
                    Ok(event) => self.on_event(event[0].as_str().unwrap_or_default(), &event[1], now),
                    Err(_) => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn on_command(&mut self, command: SignalCommand, now: Instant) -> Vec<Action> {
        match command {
            SignalCommand::Signal { to, signal } => {
                let Some(written) = simple_peer::write(&signal) else { return Vec::new() };
                let is_offer = written["type"] == "offer";
                self.send_signal(&to, written, is_offer).into_iter().collect()
            }
            SignalCommand::RequestOffer { to, request } => {
                self.send_signal(&to, simple_peer::write_request(request), false).into_iter().collect()
            }
            SignalCommand::Peer { id, state } => {
                let Some((key, member)) = self.members.iter_mut().find(|(_, member)| member.participant.id == id)
                else {
                    return Vec::new();
                };
                match state {
                    PeerState::Connected => (member.connected, member.disconnected_since) = (true, None),
                    PeerState::Disconnected => member.disconnected_since = member.disconnected_since.or(Some(now)),
                    PeerState::Failed | PeerState::Closed => {
                        let key = key.clone();
                        return self.remove(&key, "left").into_iter().collect();
                    }
                    PeerState::New | PeerState::Connecting => {}
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn on_tick(&mut self, now: Instant) -> Vec<Action> {
        let late = |member: &Member| {
            (!member.connected && now.duration_since(member.since) > CALL_TIMEOUT)
                || member.disconnected_since.is_some_and(|since| now.duration_since(since) > DISCONNECTED_TIMEOUT)
        };
        let late: Vec<String> = self.members.iter().filter(|(_, m)| late(m)).map(|(id, _)| id.clone()).collect();
        late.iter().filter_map(|id| self.remove(id, "timeout")).collect()
    }

    fn goodbye(&mut self) -> Vec<Message> {
        vec![Message::Text(DISCONNECT.to_owned())]
    }

    fn present(&self) -> (ParticipantId, Vec<Participant>) {
        // Each socket has another id: nobody knows us after a reconnect, and everybody is called again.
        (ParticipantId(self.me.clone()), Vec::new())
    }
}

//! Group calls of socket.io and simple-peer, as many tutorials have them: a server that tells the newcomer who is there and relays two
//! events. The newcomer calls everybody. Knows nothing of media.

use super::ice;
use super::names::percent_decoded;
use super::simple_peer::{self, Heard, Labels};
use super::talk::{Dial, NoEntry, Place, Socket, Step, Talk, start};
use super::{Description, IceServer, JoinAs, Link, NegotiationPolicy, Signal, SignalCommand, SignalEvent, Signaller};
use crate::error::{Error, Result};
use crate::room::participant::{Participant, ParticipantId, Role};
use crate::room::policy::{Changes, Channels, FirstOffer, PeerState, Section, Way};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use url::Url;

/// How long a call may ring.
const RING: Duration = Duration::from_secs(30);
/// How long a connection may be disturbed before its end is believed: nobody says goodbye here.
const DISTURBED: Duration = Duration::from_secs(5);
/// People who are called.
const MOST: usize = 64;

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
        // A server below a path has its rooms below it too.
        let below = parsed.path().trim_end_matches('/').rsplit_once('/').map_or("", |(below, _)| below).to_owned();
        parsed.set_path(&format!("{below}/socket.io/"));
        parsed.set_query(Some("EIO=4&transport=websocket"));
        parsed.set_fragment(None);
        Ok(CallRoom { url: parsed, room, token, ice_servers })
    }

    fn policy(role: Role) -> NegotiationPolicy {
        // The first exchange is the only one that every page survives, so it has a place for what a bot sends later.
        let media = Section::Always(if role == Role::Recorder { Way::Receive } else { Way::Both });
        NegotiationPolicy {
            trickle: false,
            audio: media,
            video: media,
            changes: Changes::Never,
            channels: Channels::One { chat: true, files: true },
            ..NegotiationPolicy::default()
        }
    }
}

#[async_trait]
impl Signaller for CallRoom {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let token = how.token.clone().or_else(|| self.token.clone());
        let id = Arc::new(Mutex::new(String::new()));
        let mut dial = Dialler { url: self.url.clone(), token, id: id.clone() };
        let socket = dial.dial().await.map_err(|no| no.error)?;
        let policy = CallRoom::policy(how.role);
        let talk = Caller {
            room: self.room.clone(),
            id,
            me: String::new(),
            policy: policy.clone(),
            members: HashMap::new(),
            given: 0,
        };
        let place = Place { room: self.room.clone(), ice_servers: self.ice_servers.clone(), policy };
        Ok(start(socket, dial, talk, place))
    }
}

struct Dialler {
    url: Url,
    token: Option<String>,
    /// Our id on the latest socket.
    id: Arc<Mutex<String>>,
}

#[async_trait]
impl Dial for Dialler {
    async fn dial(&mut self) -> Result<Socket, NoEntry> {
        let shown = super::public_url(self.url.as_str());
        let mut socket = Socket::open(self.url.as_str(), &shown).await?;
        loop {
            let text = socket.hear(&shown).await?;
            match (text.get(..1), text.get(..2)) {
                (Some("0"), _) => {
                    let auth = self.token.as_ref().map(|token| json!({"token": token}).to_string()).unwrap_or_default();
                    socket.say(format!("40{auth}"), &shown).await?;
                }
                (Some("2"), _) => socket.say("3".to_owned(), &shown).await?,
                (_, Some("40")) => {
                    let opened: Value = serde_json::from_str(&text[2..]).unwrap_or_default();
                    let Some(sid) = opened["sid"].as_str() else {
                        return Err(NoEntry::refused(format!(
                            "{shown} speaks another version of socket.io than 3 and 4"
                        )));
                    };
                    sid.clone_into(&mut self.id.lock().unwrap_or_else(PoisonError::into_inner));
                    return Ok(socket);
                }
                (_, Some("44")) => {
                    let why: Value = serde_json::from_str(&text[2..]).unwrap_or_default();
                    let why = why["message"].as_str().unwrap_or("without a word");
                    return Err(NoEntry::refused(format!("{shown} refused: {}", why.escape_debug())));
                }
                _ => tracing::debug!("not understood and ignored: {}", text.escape_debug()),
            }
        }
    }
}

/// One of the others.
struct Member {
    who: Participant,
    /// We called them.
    ours: bool,
    since: Instant,
    connected: bool,
    disturbed: Option<Instant>,
    /// Their last offer.
    offer: Option<String>,
    unanswered: bool,
    labels: Labels,
}

/// Our side of the talk.
struct Caller {
    room: String,
    /// Our id on the latest socket, and the one that others know.
    id: Arc<Mutex<String>>,
    me: String,
    policy: NegotiationPolicy,
    members: HashMap<String, Member>,
    given: u32,
}

impl Caller {
    fn event(&mut self, name: &str, value: &Value, now: Instant) -> Vec<Step> {
        let text = |value: &Value| value.as_str().filter(|t| !t.is_empty() && t.len() <= 64).map(str::to_owned);
        match name {
            "all users" => {
                let ids = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let ids: Vec<String> = ids.iter().filter_map(text).filter(|id| *id != self.me).take(MOST).collect();
                ids.into_iter().map(|id| self.meet(&id, true, now)).collect()
            }
            "user joined" => match text(&value["callerID"]) {
                Some(id) => self.signalled(&id, simple_peer::read(&value["signal"]), now),
                None => Vec::new(),
            },
            "receiving returned signal" => match text(&value["id"]) {
                Some(id) => self.signalled(&id, simple_peer::read(&value["signal"]), now),
                None => Vec::new(),
            },
            "user left" | "user disconnected" => {
                text(value).and_then(|id| self.part(&id, "left")).into_iter().collect()
            }
            "room full" => vec![Step::Over("the room is full".to_owned())],
            _ => Vec::new(),
        }
    }

    fn meet(&mut self, id: &str, ours: bool, now: Instant) -> Step {
        self.given += 1;
        // Nobody has a name here; the id would be none for people.
        let name = format!("Guest {}", self.given);
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
        let short: String = id.chars().take(48).map(plain).collect();
        let who = Participant {
            id: ParticipantId(format!("{short}-{}", self.given)),
            name,
            role: Role::Participant,
            tracks: Vec::new(),
        };
        let (first_offer, changes) =
            if ours { (FirstOffer::Us, Changes::Never) } else { (FirstOffer::Them, Changes::Ask) };
        let policy = NegotiationPolicy { first_offer, changes, polite: Some(!ours), ..self.policy.clone() };
        let member = Member {
            who: who.clone(),
            ours,
            since: now,
            connected: false,
            disturbed: None,
            offer: None,
            unanswered: false,
            labels: Labels::default(),
        };
        self.members.insert(id.to_owned(), member);
        Step::Tell(SignalEvent::Met { who, policy })
    }

    fn part(&mut self, id: &str, reason: &str) -> Option<Step> {
        let member = self.members.remove(id)?;
        Some(Step::Tell(SignalEvent::Left { id: member.who.id, reason: reason.to_owned() }))
    }

    fn signalled(&mut self, id: &str, heard: Heard, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Heard::Offer(sdp) = &heard {
            let another = self.members.get(id).is_none_or(|member| {
                member.offer.as_ref().is_some_and(|last| simple_peer::session(last) != simple_peer::session(sdp))
            });
            if another && self.members.len() < MOST {
                steps.extend(self.part(id, "left"));
                steps.push(self.meet(id, false, now));
            }
        }
        let Some(member) = self.members.get_mut(id) else { return steps };
        let from = member.who.id.clone();
        let description = |kind: &str, sdp| Signal::Description(Description { kind: kind.into(), sdp });
        if let Heard::Offer(sdp) | Heard::Answer(sdp) = &heard
            && let Some(tracks) = member.labels.described(sdp)
        {
            steps.push(Step::Tell(SignalEvent::Tracks { id: from.clone(), tracks }));
        }
        let event = match heard {
            Heard::Offer(sdp) if member.offer.as_ref() == Some(&sdp) => return steps,
            Heard::Offer(sdp) => {
                member.offer = Some(sdp.clone());
                SignalEvent::Signal { from, signal: description("offer", sdp) }
            }
            Heard::Answer(sdp) if std::mem::take(&mut member.unanswered) => {
                SignalEvent::Signal { from, signal: description("answer", sdp) }
            }
            Heard::Candidate(candidate) => SignalEvent::Signal { from, signal: Signal::Candidate(Some(candidate)) },
            Heard::Ask(ask) => SignalEvent::Asked { from, ask },
            Heard::Answer(_) | Heard::Nothing => return steps,
        };
        steps.push(Step::Tell(event));
        steps
    }

    /// Says something to one of them: those whom we called are signalled, the others are answered.
    fn say(&mut self, to: &ParticipantId, signal: Value, is_offer: bool) -> Option<Step> {
        let (id, member) = self.members.iter_mut().find(|(_, member)| member.who.id == *to)?;
        member.unanswered |= is_offer;
        let event = match member.ours {
            true => json!(["sending signal", {"userToSignal": id, "callerID": self.me, "signal": signal}]),
            false => json!(["returning signal", {"signal": signal, "callerID": id}]),
        };
        Some(Step::Say(format!("42{event}")))
    }
}

impl Talk for Caller {
    fn begin(&mut self, _: bool, _: Instant) -> Vec<Step> {
        self.me.clone_from(&self.id.lock().unwrap_or_else(PoisonError::into_inner));
        self.members.clear();
        vec![Step::Say(format!("42{}", json!(["join room", self.room])))]
    }

    fn hear(&mut self, text: &str, now: Instant) -> Vec<Step> {
        match text.get(..2) {
            _ if text.starts_with('2') => vec![Step::Say("3".to_owned())],
            _ if text.starts_with('1') => vec![Step::Again("the server closed the connection".to_owned())],
            Some("41") => vec![Step::Again("the server sent us away".to_owned())],
            Some("42") => {
                // Between the kind and the event may stand the number of an acknowledgement.
                let event = text[2..].trim_start_matches(|c: char| c.is_ascii_digit());
                match serde_json::from_str::<Value>(event) {
                    Ok(event) => self.event(event[0].as_str().unwrap_or_default(), &event[1], now),
                    Err(_) => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn obey(&mut self, command: SignalCommand, now: Instant) -> Vec<Step> {
        match command {
            SignalCommand::Signal { to, signal } => {
                let Some(written) = simple_peer::write(&signal) else { return Vec::new() };
                let is_offer = written["type"] == "offer";
                self.say(&to, written, is_offer).into_iter().collect()
            }
            SignalCommand::Ask { to, ask } => self.say(&to, simple_peer::write_ask(ask), false).into_iter().collect(),
            SignalCommand::Peer { id, state } => {
                let Some((key, member)) = self.members.iter_mut().find(|(_, member)| member.who.id == id) else {
                    return Vec::new();
                };
                match state {
                    PeerState::Connected => (member.connected, member.disturbed) = (true, None),
                    PeerState::Disconnected => member.disturbed = member.disturbed.or(Some(now)),
                    PeerState::Failed | PeerState::Closed => {
                        let key = key.clone();
                        return self.part(&key, "left").into_iter().collect();
                    }
                    PeerState::New | PeerState::Connecting => {}
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Step> {
        let late = |member: &Member| {
            (!member.connected && now.duration_since(member.since) > RING)
                || member.disturbed.is_some_and(|since| now.duration_since(since) > DISTURBED)
        };
        let late: Vec<String> = self.members.iter().filter(|(_, m)| late(m)).map(|(id, _)| id.clone()).collect();
        late.iter().filter_map(|id| self.part(id, "timeout")).collect()
    }

    fn goodbye(&mut self) -> Vec<String> {
        vec!["41".to_owned()]
    }

    fn present(&self) -> (ParticipantId, Vec<Participant>) {
        // With another socket comes another id: nobody knows us any more, and everybody is called again.
        let id = self.id.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (ParticipantId(id), Vec::new())
    }
}

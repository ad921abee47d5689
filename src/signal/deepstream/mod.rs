//! The rooms of the WebRTC guide (deepstreamHub, 2017): the applications of its six lessons over a deepstream server, with pages that use
//! simple-peer 8.1. `docs/rooms.md` says which room is which lesson. Knows nothing of media.

mod mesh;
mod pair;
mod wire;

use super::connector::{Action, Keepalive, RoomInfo, RoomProtocol, start};
use super::ice;
use super::names::{id_from_name, percent_decoded};
use super::signaller::{JoinAs, Link, SignalCommand, Signaller};
use super::websocket::{ConnectError, Message, Socket};
use crate::error::{Error, Result};
use crate::room::description::IceServer;
use crate::room::end::EndReason;
use crate::room::media::Direction;
use crate::room::participant::{Participant, ParticipantId, Role};
use crate::room::policy::{DataChannels, MediaSections, NegotiationPolicy, Renegotiation};
use async_trait::async_trait;
use mesh::Mesh;
use pair::Pair;
use serde_json::{Value, json};
use std::time::Instant;
use url::Url;

/// Servers that are tried until none redirects us.
const MAX_SERVERS: u32 = 4;

/// The guide's applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum App {
    /// Lesson 1: two that chat.
    Data,
    /// Lesson 2: many that chat.
    FullMesh,
    /// Lessons 3 and 5: two with audio and video; a screen is sent as the video.
    AudioVideo,
    /// Lesson 4: two with video.
    Video,
    /// Lesson 6: two that send files.
    Files,
}

/// The applications by their value of `?app=`.
const APPS: &[(&str, App)] = &[
    ("data", App::Data),
    ("full-mesh", App::FullMesh),
    ("audio-video", App::AudioVideo),
    ("video", App::Video),
    ("files", App::Files),
];

impl App {
    /// The event of a room for two.
    fn event(self) -> &'static str {
        match self {
            App::AudioVideo | App::Video => "rtc-signal-03",
            App::Data | App::FullMesh | App::Files => "rtc-signal",
        }
    }

    /// How connections are made with its pages.
    fn policy(self, role: Role) -> NegotiationPolicy {
        // A section for a track that a bot sends later; a recorder must not appear as an empty video.
        let media =
            MediaSections::Preallocated(if role == Role::Recorder { Direction::RecvOnly } else { Direction::SendRecv });
        let (audio, video) = match self {
            App::AudioVideo => (media, media),
            App::Video => (MediaSections::None, media),
            App::Data | App::FullMesh | App::Files => (MediaSections::None, MediaSections::None),
        };
        NegotiationPolicy {
            trickle: false,
            audio,
            video,
            // Pages with simple-peer 8.1 answer a second offer once the first is answered.
            renegotiation: Renegotiation::Offer,
            channels: DataChannels::Single { chat: self != App::Files, files: self == App::Files },
            ..NegotiationPolicy::default()
        }
    }
}

/// A room of the guide: `deepstream+ws://host:port/deepstream?app=…`, or `deepstream+wss://…`.
///
/// `#initiator` behind it makes us the side that offers, as it does with the guide's pages, in the rooms for two. A server that wants
/// a login gets user and password of the URL, or the join token. `&ice=…` is an ICE server, as `roombot room --ice-server` takes it.
#[derive(Debug, Clone)]
pub struct GuideRoom {
    /// Where the socket is.
    url: Url,
    app: App,
    initiator: bool,
    login: Option<(String, String)>,
    ice_servers: Vec<IceServer>,
}

impl GuideRoom {
    /// Reads the URL; nothing is connected yet.
    ///
    /// # Errors
    /// The user must act: not a URL, or no or an unknown application.
    pub fn new(url: &str) -> Result<GuideRoom> {
        let plain = url.split_once('+').map_or(url, |(_, rest)| rest);
        let mut parsed = Url::parse(plain).map_err(|e| Error::user(format!("{url:?} is no URL: {e}")))?;
        if !matches!(parsed.scheme(), "ws" | "wss") || parsed.path().len() < 2 {
            return Err(Error::user(format!(
                "a room of the WebRTC guide is at deepstream+ws://host:port/deepstream?app=…, not at {url:?}"
            )));
        }
        let word = parsed.query_pairs().find(|(key, _)| key == "app").map(|(_, app)| app.into_owned());
        let known = || APPS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let app =
            APPS.iter().find(|(known, _)| Some(*known) == word.as_deref()).map(|(_, app)| *app).ok_or_else(|| {
                let which = word.map_or("none is named".to_owned(), |word| format!("none is called {word:?}"));
                Error::user(format!(
                    "the WebRTC guide has several applications, and {which}: ?app= must be one of {}",
                    known()
                ))
            })?;
        let initiator = parsed.fragment() == Some("initiator");
        if initiator && app == App::FullMesh {
            return Err(Error::user("in the full mesh the names decide who offers; #initiator is for rooms of two"));
        }
        let decoded = |text: &str| {
            percent_decoded(text).ok_or_else(|| Error::user("user and password of a room's URL must be UTF-8"))
        };
        let login = match parsed.username() {
            "" => None,
            user => Some((decoded(user)?, decoded(parsed.password().unwrap_or_default())?)),
        };
        let ice_servers = ice::in_query(&parsed)?;
        let _ = (parsed.set_username(""), parsed.set_password(None));
        parsed.set_query(None);
        parsed.set_fragment(None);
        Ok(GuideRoom { url: parsed, app, initiator, login, ice_servers })
    }
}

#[async_trait]
impl Signaller for GuideRoom {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let login = match (&self.login, &how.token) {
            (_, Some(token)) => json!({"token": token}),
            (Some((user, password)), None) => json!({"username": user, "password": password}),
            (None, None) => json!({}),
        };
        let me = format!("{}-{:06x}", id_from_name(&how.name, 1), rand::random::<u32>() & 0xff_ffff);
        let policy = self.app.policy(how.role);
        let members = match self.app {
            App::FullMesh => Members::Mesh(Mesh::new(me.clone(), policy.clone())),
            app => Members::Pair(Pair::new(app.event(), format!("user/{me}"), self.initiator, policy.clone())),
        };
        let word = APPS.iter().find(|(_, app)| *app == self.app).map_or("", |(word, _)| *word);
        let (url, event) = (self.url.to_string(), self.app.event());
        let mut client = Client { url, login, me: ParticipantId(me), event, members, policy: policy.clone() };
        let socket = client.connect().await.map_err(|failed| failed.error)?;
        let info = RoomInfo { room: format!("guide-{word}"), ice_servers: self.ice_servers.clone(), policy };
        Ok(start(socket, client, info, Keepalive::default()))
    }
}

enum Login {
    Done(Box<Socket>),
    /// The server's URL to connect to instead.
    Redirect(String),
}

/// The two kinds of room.
enum Members {
    Pair(Pair),
    Mesh(Mesh),
}

/// Our side of the protocol.
struct Client {
    url: String,
    login: Value,
    me: ParticipantId,
    event: &'static str,
    members: Members,
    policy: NegotiationPolicy,
}

impl Client {
    /// Connects to one server and logs in.
    async fn log_in(&self, url: &str) -> Result<Login, ConnectError> {
        let mut socket = Socket::connect(url, url, None).await?;
        loop {
            for message in wire::Message::parse(&socket.receive_text(url).await?) {
                match (message.topic.as_str(), message.action.as_str()) {
                    ("C", "CH") => socket.request(wire::message("C", "CHR", &[url]), url).await?,
                    ("C", "PI") => socket.request(wire::message("C", "PO", &[]), url).await?,
                    ("C", "RED") => return Ok(Login::Redirect(message.field(0).to_owned())),
                    ("C", "REJ") => return Err(ConnectError::refused(format!("{url} rejects us"))),
                    ("C", "A") => {
                        let login = wire::message("A", "REQ", &[&self.login.to_string()]);
                        socket.request(login, url).await?;
                    }
                    ("A", "A") => return Ok(Login::Done(Box::new(socket))),
                    ("A" | "C", "E") => {
                        let why = message.field(0).to_lowercase().replace('_', " ");
                        let hint = if message.topic == "A" { ": user and password in the URL, or --token" } else { "" };
                        return Err(ConnectError::refused(format!("{url} refuses us, {why}{hint}")));
                    }
                    _ => tracing::debug!("unknown message ignored: {} {}", message.topic, message.action),
                }
            }
        }
    }

    fn on_server_message(&mut self, message: &wire::Message, now: Instant) -> Vec<Action> {
        match (message.topic.as_str(), message.action.as_str()) {
            ("C", "PI") => vec![Action::send(wire::message("C", "PO", &[]))],
            ("C", "RED" | "REJ") => vec![Action::Reconnect("the server redirects or rejects us".to_owned())],
            ("E", "EVT") => {
                let Some(body) = wire::untyped(message.field(1)) else { return Vec::new() };
                match &mut self.members {
                    Members::Pair(pair) if message.field(0) == self.event => pair.on_event(&body),
                    Members::Mesh(mesh) if message.field(0) == mesh.event() => mesh.on_event(&body, now),
                    _ => Vec::new(),
                }
            }
            // Subscribed.
            ("E", "A") if message.field(0) == "S" => match &mut self.members {
                Members::Pair(pair) => pair.on_subscribed(),
                Members::Mesh(mesh) => mesh.on_subscribed(),
            },
            ("R", "R" | "U") => self.on_record(&message.data, false, now),
            ("R", "E") if message.field(0) == "VERSION_EXISTS" => self.on_record(&message.data[1..], true, now),
            (topic, "E") => {
                let (code, about) = (message.field(0), message.field(1));
                match (topic, code) {
                    ("E" | "R", "MESSAGE_DENIED") => {
                        let detail = format!("the server does not let us take part: {code} {about}");
                        vec![Action::End(EndReason::Refused { detail })]
                    }
                    _ => {
                        tracing::warn!("the server says: {topic} {code} {about}");
                        Vec::new()
                    }
                }
            }
            _ => Vec::new(),
        }
    }

    /// A record of the server: its name, version and content.
    fn on_record(&mut self, fields: &[String], conflict: bool, now: Instant) -> Vec<Action> {
        let Members::Mesh(mesh) = &mut self.members else { return Vec::new() };
        let [name, version, content, ..] = fields else { return Vec::new() };
        let (Ok(version), Ok(content)) = (version.parse(), serde_json::from_str(content)) else { return Vec::new() };
        match name == "users" {
            true if conflict => mesh.on_write_conflict(version, &content, now),
            true => mesh.on_user_list(version, &content, now),
            false => Vec::new(),
        }
    }
}

impl RoomProtocol for Client {
    async fn connect(&mut self) -> Result<Socket, ConnectError> {
        let mut url = self.url.clone();
        for _ in 0..MAX_SERVERS {
            match self.log_in(&url).await? {
                Login::Done(socket) => return Ok(*socket),
                Login::Redirect(other) => url = other,
            }
        }
        Err(ConnectError::refused(format!("{} redirects us too often", self.url)))
    }

    fn on_connected(&mut self, _: bool, _: Instant) -> Vec<Action> {
        let event = match &self.members {
            Members::Pair(_) => self.event.to_owned(),
            Members::Mesh(mesh) => mesh.event(),
        };
        vec![Action::send(wire::message("E", "S", &[&event]))]
    }

    fn on_message(&mut self, message: &Message, now: Instant) -> Vec<Action> {
        let Message::Text(text) = message else { return Vec::new() };
        wire::Message::parse(text).iter().flat_map(|message| self.on_server_message(message, now)).collect()
    }

    fn on_command(&mut self, command: SignalCommand, now: Instant) -> Vec<Action> {
        if let SignalCommand::Tracks(labels) = &command {
            if labels.iter().any(|label| !self.policy.sections(label.kind).sends()) {
                tracing::warn!("this room of the guide does not accept all of our tracks: see docs/rooms.md");
            }
            return Vec::new();
        }
        match &mut self.members {
            Members::Pair(pair) => pair.on_command(command, now),
            Members::Mesh(mesh) => mesh.on_command(command, now),
        }
    }

    fn on_tick(&mut self, now: Instant) -> Vec<Action> {
        match &mut self.members {
            Members::Pair(pair) => pair.on_tick(now),
            Members::Mesh(mesh) => mesh.on_tick(now),
        }
    }

    fn goodbye(&mut self) -> Vec<Message> {
        match &mut self.members {
            Members::Pair(_) => Vec::new(),
            Members::Mesh(mesh) => mesh.goodbye().map(Message::Text).into_iter().collect(),
        }
    }

    fn present(&self) -> (ParticipantId, Vec<Participant>) {
        let peers = match &self.members {
            Members::Pair(pair) => pair.present(),
            Members::Mesh(mesh) => mesh.present(),
        };
        (self.me.clone(), peers)
    }
}

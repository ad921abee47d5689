//! The rooms of the WebRTC guide (deepstreamHub, 2017): its six lessons' applications over a deepstream server, with pages on
//! simple-peer 8.1. `docs/rooms.md` says which room is which lesson. Knows nothing of media.

mod mesh;
mod pair;
mod wire;

use super::ice;
use super::names::percent_decoded;
use super::talk::{Dial, NoEntry, Place, Socket, Step, Talk, start};
use super::{IceServer, JoinAs, Link, NegotiationPolicy, SignalCommand, Signaller};
use crate::error::{Error, Result};
use crate::room::participant::{Participant, ParticipantId, Role};
use crate::room::policy::{Changes, Channels, Section, Way};
use async_trait::async_trait;
use mesh::Mesh;
use pair::Pair;
use serde_json::{Value, json};
use std::time::Instant;
use url::Url;

/// The guide's applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum App {
    /// Lesson 1: two that chat.
    Data,
    /// Lesson 2: many that chat.
    FullMesh,
    /// Lessons 3 and 5: two with sound and picture; a screen is a picture.
    AudioVideo,
    /// Lesson 4: two with pictures.
    Video,
    /// Lesson 6: two that send files.
    Files,
}

/// By their words in the URL.
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
        // A place for a track that a bot sends later; a recorder shows nobody an empty one.
        let media = Section::Always(if role == Role::Recorder { Way::Receive } else { Way::Both });
        let (audio, video) = match self {
            App::AudioVideo => (media, media),
            App::Video => (Section::Never, media),
            App::Data | App::FullMesh | App::Files => (Section::Never, Section::Never),
        };
        NegotiationPolicy {
            trickle: false,
            audio,
            video,
            // Pages of 8.1 answer a second offer, once the first is answered.
            changes: Changes::Offer,
            channels: Channels::One { chat: self != App::Files, files: self == App::Files },
            ..NegotiationPolicy::default()
        }
    }
}

/// The id of somebody with that name, the number of those before them. Names may be anything.
fn id_of(name: &str, number: u32) -> ParticipantId {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
    let name: String = name.chars().take(48).map(plain).collect();
    ParticipantId(if number == 1 { name } else { format!("{name}-{number}") })
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
                let which = word.map_or("which one is not said".to_owned(), |word| format!("none is called {word:?}"));
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
        let mut dial = Dialler { url: self.url.to_string(), login };
        let socket = dial.dial().await.map_err(|no| no.error)?;
        let uid = format!("{}-{:06x}", id_of(&how.name, 1), rand::random::<u32>() & 0xff_ffff);
        let policy = self.app.policy(how.role);
        let party = match self.app {
            App::FullMesh => Party::Mesh(Mesh::new(uid.clone(), policy.clone())),
            app => Party::Pair(Pair::new(app.event(), format!("user/{uid}"), self.initiator, policy.clone())),
        };
        let word = APPS.iter().find(|(_, app)| *app == self.app).map_or("", |(word, _)| *word);
        let talk = Guest { me: ParticipantId(uid), event: self.app.event(), party, policy: policy.clone() };
        let place = Place { room: format!("guide-{word}"), ice_servers: self.ice_servers.clone(), policy };
        Ok(start(socket, dial, talk, place))
    }
}

struct Dialler {
    url: String,
    login: Value,
}

#[async_trait]
impl Dial for Dialler {
    async fn dial(&mut self) -> Result<Socket, NoEntry> {
        let mut url = self.url.clone();
        // A server may send us on, but not for ever.
        for _ in 0..4 {
            match self.enter(&url).await? {
                Entry::In(socket) => return Ok(*socket),
                Entry::Elsewhere(other) => url = other,
            }
        }
        Err(NoEntry::refused(format!("{} sends us from one server to the next", self.url)))
    }
}

enum Entry {
    In(Box<Socket>),
    Elsewhere(String),
}

impl Dialler {
    async fn enter(&self, url: &str) -> Result<Entry, NoEntry> {
        let mut socket = Socket::open(url, url).await?;
        loop {
            for message in wire::Message::parse(&socket.hear(url).await?) {
                match (message.topic.as_str(), message.action.as_str()) {
                    ("C", "CH") => socket.say(wire::message("C", "CHR", &[url]), url).await?,
                    ("C", "PI") => socket.say(wire::message("C", "PO", &[]), url).await?,
                    ("C", "RED") => return Ok(Entry::Elsewhere(message.field(0).to_owned())),
                    ("C", "REJ") => return Err(NoEntry::refused(format!("{url} rejects us"))),
                    ("C", "A") => socket.say(wire::message("A", "REQ", &[&self.login.to_string()]), url).await?,
                    ("A", "A") => return Ok(Entry::In(Box::new(socket))),
                    ("A" | "C", "E") => {
                        let why = message.field(0).to_lowercase().replace('_', " ");
                        let hint = if message.topic == "A" { ": user and password in the URL, or --token" } else { "" };
                        return Err(NoEntry::refused(format!("{url} refuses us, {why}{hint}")));
                    }
                    _ => tracing::debug!("not understood and ignored: {} {}", message.topic, message.action),
                }
            }
        }
    }
}

/// The two kinds of room.
enum Party {
    Pair(Pair),
    Mesh(Mesh),
}

/// Our side of the talk.
struct Guest {
    me: ParticipantId,
    event: &'static str,
    party: Party,
    policy: NegotiationPolicy,
}

impl Guest {
    fn understand(&mut self, message: &wire::Message, now: Instant) -> Vec<Step> {
        match (message.topic.as_str(), message.action.as_str()) {
            ("C", "PI") => vec![Step::Say(wire::message("C", "PO", &[]))],
            ("C", "RED" | "REJ") => vec![Step::Again("the server sends us away".to_owned())],
            ("E", "EVT") => {
                let Some(body) = wire::untyped(message.field(1)) else { return Vec::new() };
                match &mut self.party {
                    Party::Pair(pair) if message.field(0) == self.event => pair.hear(&body),
                    Party::Mesh(mesh) if message.field(0) == mesh.event() => mesh.hear(&body, now),
                    _ => Vec::new(),
                }
            }
            // Subscribed.
            ("E", "A") if message.field(0) == "S" => match &mut self.party {
                Party::Pair(pair) => pair.begin(),
                Party::Mesh(mesh) => mesh.begin(),
            },
            ("R", "R" | "U") => self.listed(&message.data, false, now),
            ("R", "E") if message.field(0) == "VERSION_EXISTS" => self.listed(&message.data[1..], true, now),
            (topic, "E") => {
                let (code, about) = (message.field(0), message.field(1));
                match (topic, code) {
                    ("E" | "R", "MESSAGE_DENIED") => {
                        vec![Step::Over(format!("the server does not let us take part: {code} {about}"))]
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

    /// A list of the server's: its name, version and content.
    fn listed(&mut self, fields: &[String], refused: bool, now: Instant) -> Vec<Step> {
        let Party::Mesh(mesh) = &mut self.party else { return Vec::new() };
        let [name, version, content, ..] = fields else { return Vec::new() };
        let (Ok(version), Ok(content)) = (version.parse(), serde_json::from_str(content)) else { return Vec::new() };
        match name == "users" {
            true if refused => mesh.refused(version, &content, now),
            true => mesh.listed(version, &content, now),
            false => Vec::new(),
        }
    }
}

impl Talk for Guest {
    fn begin(&mut self, _: bool, _: Instant) -> Vec<Step> {
        let event = match &self.party {
            Party::Pair(_) => self.event.to_owned(),
            Party::Mesh(mesh) => mesh.event(),
        };
        vec![Step::Say(wire::message("E", "S", &[&event]))]
    }

    fn hear(&mut self, text: &str, now: Instant) -> Vec<Step> {
        wire::Message::parse(text).iter().flat_map(|message| self.understand(message, now)).collect()
    }

    fn obey(&mut self, command: SignalCommand, now: Instant) -> Vec<Step> {
        if let SignalCommand::Tracks(labels) = &command {
            if labels.iter().any(|label| !self.policy.section(label.kind).sends()) {
                tracing::warn!("this room of the guide does not take everything that is sent: see docs/rooms.md");
            }
            return Vec::new();
        }
        match &mut self.party {
            Party::Pair(pair) => pair.obey(command, now),
            Party::Mesh(mesh) => mesh.obey(command, now),
        }
    }

    fn tick(&mut self, now: Instant) -> Vec<Step> {
        match &mut self.party {
            Party::Pair(pair) => pair.tick(now),
            Party::Mesh(mesh) => mesh.tick(now),
        }
    }

    fn goodbye(&mut self) -> Vec<String> {
        match &mut self.party {
            Party::Pair(_) => Vec::new(),
            Party::Mesh(mesh) => mesh.goodbye().into_iter().collect(),
        }
    }

    fn present(&self) -> (ParticipantId, Vec<Participant>) {
        let peers = match &self.party {
            Party::Pair(pair) => pair.present(),
            Party::Mesh(mesh) => mesh.present(),
        };
        (self.me.clone(), peers)
    }
}

//! The way into a Janus room: a socket, a session, a handle, the join; or, after a loss, the claim of what is still there.

use super::super::talk::{Dial, NoEntry, Socket};
use super::Place;
use super::wire::{self, Secrets};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use url::Url;

/// The WebSocket protocol that Janus speaks.
const PROTOCOL: &str = "janus-protocol";
/// Messages that may come while we come in and are not for that.
const OTHERS: usize = 1024;

/// What is ours on the server.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Our session, and in it the handle that is in the room.
    pub ours: Option<(u64, u64)>,
    /// What the room said to our joining, unless an earlier join was claimed.
    pub joined: Option<Value>,
    /// What came meanwhile.
    pub heard: Vec<String>,
}

pub(super) type Shared = Arc<Mutex<Entry>>;

pub(super) fn lock(entry: &Shared) -> MutexGuard<'_, Entry> {
    entry.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Dialler {
    pub url: Url,
    pub place: Place,
    pub secrets: Secrets,
    pub name: String,
    pub entry: Shared,
}

/// A conversation while we come in.
struct Door<'a> {
    socket: Socket,
    dialler: &'a Dialler,
    shown: String,
    asked: u32,
    heard: Vec<String>,
}

impl Door<'_> {
    /// Asks, and waits for the answer; what comes meanwhile is kept.
    async fn ask(&mut self, kind: &str, members: Value) -> Result<Value, NoEntry> {
        self.asked += 1;
        let transaction = format!("door-{}", self.asked);
        let request = wire::request(kind, &transaction, &self.dialler.secrets, members);
        self.socket.say(request.to_string(), &self.shown).await?;
        loop {
            let text = self.socket.hear(&self.shown).await?;
            let message: Value = serde_json::from_str(&text).unwrap_or_default();
            if message["transaction"] != transaction.as_str() {
                if self.heard.len() < OTHERS {
                    self.heard.push(text);
                }
            } else if message["janus"] != "ack" {
                return Ok(message);
            }
        }
    }

    /// The same, where a complaint is the end.
    async fn ask_for(&mut self, kind: &str, members: Value) -> Result<Value, NoEntry> {
        let answer = self.ask(kind, members).await?;
        match wire::complaint(&answer) {
            None => Ok(answer),
            Some(complaint) => {
                let (error, try_again) = wire::refusal(&self.shown, &self.dialler.place.name, &complaint);
                Err(NoEntry { error, try_again })
            }
        }
    }

    fn id(&self, answer: &Value) -> Result<u64, NoEntry> {
        let shown = &self.shown;
        answer["data"]["id"]
            .as_u64()
            .ok_or_else(|| NoEntry::refused(format!("{shown} does not talk as Janus 1.x does")))
    }

    async fn come_in(&mut self) -> Result<Entry, NoEntry> {
        let session = self.ask_for("create", json!({})).await?;
        let session = self.id(&session)?;
        let attach = json!({"session_id": session, "plugin": "janus.plugin.videoroom"});
        let handle = self.ask_for("attach", attach).await?;
        let handle = self.id(&handle)?;
        let Dialler { place, secrets, name, .. } = self.dialler;
        let mut join = json!({"request": "join", "ptype": "publisher", "room": place.room, "display": name});
        for (name, secret) in [("pin", &place.pin), ("token", &secrets.token)] {
            if let Some(secret) = secret {
                join[name] = secret.as_str().into();
            }
        }
        let mut joined = self.ask_for("message", wire::body(session, handle, &join, None)).await?;
        let joined = joined["plugindata"]["data"].take();
        if joined["videoroom"] != "joined" {
            return Err(NoEntry::refused(format!("{} did not answer the join as Janus 1.x does", self.shown)));
        }
        Ok(Entry { ours: Some((session, handle)), joined: Some(joined), heard: Vec::new() })
    }
}

#[async_trait]
impl Dial for Dialler {
    async fn dial(&mut self) -> Result<Socket, NoEntry> {
        let shown = super::super::public_url(self.url.as_str());
        let before = lock(&self.entry).ours;
        let socket = Socket::open_for(self.url.as_str(), &shown, Some(PROTOCOL)).await?;
        let mut door = Door { socket, dialler: self, shown, asked: 0, heard: Vec::new() };
        let mut entry = None;
        if let Some((session, handle)) = before {
            let answer = door.ask("claim", json!({"session_id": session})).await?;
            if answer["janus"] == "success" {
                entry = Some(Entry { ours: Some((session, handle)), ..Entry::default() });
            }
        }
        let mut entry = match entry {
            Some(entry) => entry,
            None => door.come_in().await?,
        };
        let Door { socket, heard, .. } = door;
        entry.heard = heard;
        *lock(&self.entry) = entry;
        Ok(socket)
    }
}

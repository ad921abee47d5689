//! Joining a Janus room: a session, a handle, the join; or, after a loss, claiming the session that the server still has. It keeps no state.

use super::address::RoomAddress;
use super::wire::{self, Secrets};
use crate::signal::public_url;
use crate::signal::websocket::{ConnectError, Socket};
use serde_json::{Value, json};

/// The WebSocket subprotocol of Janus.
const SUBPROTOCOL: &str = "janus-protocol";
/// Messages that are kept for later while the room is being joined.
const MAX_UNRELATED: usize = 1024;

/// Our session on the server, and in it the handle that has joined the room as a publisher.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Session {
    pub id: u64,
    pub handle: u64,
}

/// What was joined.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub session: Session,
    /// The room's answer to the join; absent where an earlier session was claimed.
    pub answer: Option<Value>,
    /// Messages that came meanwhile and belong to neither.
    pub unrelated: Vec<String>,
}

/// Where to join, and as whom.
#[derive(Debug, Clone)]
pub(super) struct JoinRequest {
    pub address: RoomAddress,
    pub secrets: Secrets,
    pub display_name: String,
}

impl JoinRequest {
    /// Connects, then claims the session `before` or makes another one.
    pub async fn join(&self, before: Option<Session>) -> Result<(Socket, Joined), ConnectError> {
        let url = self.address.url.as_str();
        let shown = public_url(url);
        let socket = Socket::connect(url, &shown, Some(SUBPROTOCOL)).await?;
        let mut handshake = Handshake { socket, request: self, shown, transactions: 0, unrelated: Vec::new() };
        let claimed = match before {
            Some(session) if handshake.claim(session).await? => Some(session),
            _ => None,
        };
        let mut joined = match claimed {
            Some(session) => Joined { session, ..Joined::default() },
            None => handshake.join().await?,
        };
        joined.unrelated = handshake.unrelated;
        Ok((handshake.socket, joined))
    }
}

struct Handshake<'a> {
    socket: Socket,
    request: &'a JoinRequest,
    shown: String,
    transactions: u32,
    unrelated: Vec<String>,
}

impl Handshake<'_> {
    /// Sends a request and waits for the answer; other messages are kept.
    async fn request(&mut self, kind: &str, members: Value) -> Result<Value, ConnectError> {
        self.transactions += 1;
        let transaction = format!("door-{}", self.transactions);
        let request = wire::request(kind, &transaction, &self.request.secrets, members);
        self.socket.request(request.to_string(), &self.shown).await?;
        loop {
            let text = self.socket.receive_text(&self.shown).await?;
            let message: Value = serde_json::from_str(&text).unwrap_or_default();
            if message["transaction"] != transaction.as_str() {
                if self.unrelated.len() < MAX_UNRELATED {
                    self.unrelated.push(text);
                }
            } else if message["janus"] != "ack" {
                return Ok(message);
            }
        }
    }

    /// The same, where an error ends the attempt.
    async fn require(&mut self, kind: &str, members: Value) -> Result<Value, ConnectError> {
        let answer = self.request(kind, members).await?;
        match wire::error(&answer) {
            None => Ok(answer),
            Some(error) => {
                let (error, retry) = wire::join_error(&self.shown, &self.request.address.name, &error);
                Err(ConnectError { error, retry })
            }
        }
    }

    fn id(&self, answer: &Value) -> Result<u64, ConnectError> {
        let shown = &self.shown;
        answer["data"]["id"]
            .as_u64()
            .ok_or_else(|| ConnectError::refused(format!("{shown} does not answer as Janus 1.x does")))
    }

    async fn claim(&mut self, session: Session) -> Result<bool, ConnectError> {
        let answer = self.request("claim", json!({"session_id": session.id})).await?;
        Ok(answer["janus"] == "success")
    }

    async fn join(&mut self) -> Result<Joined, ConnectError> {
        let session = self.require("create", json!({})).await?;
        let id = self.id(&session)?;
        let attach = json!({"session_id": id, "plugin": "janus.plugin.videoroom"});
        let handle = self.require("attach", attach).await?;
        let handle = self.id(&handle)?;
        let JoinRequest { address, secrets, display_name } = self.request;
        let mut join = json!({"request": "join", "ptype": "publisher", "room": address.room, "display": display_name});
        for (name, secret) in [("pin", &address.pin), ("token", &secrets.token)] {
            if let Some(secret) = secret {
                join[name] = secret.as_str().into();
            }
        }
        let mut answer = self.require("message", wire::body(id, handle, &join, None)).await?;
        let answer = answer["plugindata"]["data"].take();
        if answer["videoroom"] != "joined" {
            return Err(ConnectError::refused(format!("{} did not answer the join as Janus 1.x does", self.shown)));
        }
        Ok(Joined { session: Session { id, handle }, answer: Some(answer), unrelated: Vec::new() })
    }
}

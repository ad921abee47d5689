//! A member by hand: a WebSocket that says what it likes.

use super::within;
use futures_util::{SinkExt, StreamExt};
use roombot::room::participant::{ParticipantId, Role};
use roombot::signal::Signal;
use roombot::signal::protocol::{ClientMessage, ErrorCode, ServerMessage, VERSION};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A socket that says what it likes.
pub struct Raw(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Raw {
    pub async fn connect(url: &str) -> Raw {
        Raw(within(10, "a connection", connect_async(url)).await.expect("connected").0)
    }
    pub async fn join(url: &str, name: &str) -> Raw {
        let mut raw = Raw::connect(url).await;
        let (name, role) = (name.to_owned(), Role::Participant);
        let join = ClientMessage::Join { protocol: VERSION, name, role, token: None, resume: None };
        raw.say(&serde_json::to_string(&join).expect("JSON")).await;
        assert!(matches!(raw.hear().await, Some(ServerMessage::Welcome { .. })));
        raw
    }
    /// Joins, and finds the recorder that is there.
    pub async fn join_recorder(url: &str, name: &str) -> (Raw, ParticipantId) {
        let mut raw = Raw::connect(url).await;
        let (name, role) = (name.to_owned(), Role::Participant);
        let join = ClientMessage::Join { protocol: VERSION, name, role, token: None, resume: None };
        raw.say(&serde_json::to_string(&join).expect("JSON")).await;
        let Some(ServerMessage::Welcome { peers, .. }) = raw.hear().await else { panic!("no welcome") };
        let recorder = peers.into_iter().find(|peer| peer.role == Role::Recorder).expect("a recorder");
        (raw, recorder.id)
    }
    /// Sends a description or candidate.
    pub async fn signal(&mut self, to: &ParticipantId, signal: Signal) {
        let message = ClientMessage::Signal { to: to.clone(), body: signal.into() };
        self.say(&serde_json::to_string(&message).expect("JSON")).await;
    }
    pub async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("sent");
    }
    /// The next message; `None` when the socket is closed.
    pub async fn hear(&mut self) -> Option<ServerMessage> {
        loop {
            match within(20, "a message", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).expect("a server message")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
    /// The next error; `None` when the socket is closed without one.
    pub async fn error(&mut self) -> Option<ErrorCode> {
        loop {
            match self.hear().await? {
                ServerMessage::Error { code, .. } => return Some(code),
                _ => continue,
            }
        }
    }
    /// Checks that the last word is this error.
    pub async fn ends_with(&mut self, code: ErrorCode) {
        assert_eq!(self.error().await, Some(code));
        assert_eq!(self.error().await, None, "the socket is closed after it");
    }
}

//! This project's own rooms: JSON over WebSocket (`docs/protocol.md`). Knows nothing of media.

use super::connector::{Action, Keepalive, RoomInfo, RoomProtocol, start};
use super::names::is_room_name;
use super::protocol::{ClientMessage, ErrorCode, Resume, ServerMessage, VERSION, limits};
use super::signaller::{JoinAs, Link, SignalCommand, SignalEvent, Signaller};
use super::websocket::{CONNECT_TIMEOUT, ConnectError, Disconnect, Message, Socket};
use crate::error::{Error, Result};
use crate::room::description::IceServer;
use crate::room::end::EndReason;
use crate::room::participant::{Participant, ParticipantId, TrackLabel};
use crate::room::policy::NegotiationPolicy;
use async_trait::async_trait;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;
use url::Url;

/// Close codes (RFC 6455, 7.4.1) that the server uses on purpose; others come from a failing network or a proxy.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const POLICY_VIOLATION: u16 = 1008;

/// The server pings three times as often as this silence takes, in messages of the protocol.
const KEEPALIVE: Keepalive = Keepalive {
    ping: None,
    silence: Duration::from_secs(limits::SILENCE_SECONDS),
    tick: None,
    close_code: Some(NORMAL),
};

/// A room of our own server: `ws://host/rooms/NAME` or `wss://host/rooms/NAME`.
///
/// `?token=…` in the URL is the join token, unless [`JoinAs::token`] is set; the rest of the query belongs to the page and is ignored, so
/// that an address copied from a browser works with its scheme changed.
#[derive(Debug, Clone)]
pub struct WsRoom {
    url: Url,
    token: Option<String>,
}

impl WsRoom {
    /// Reads the URL; nothing is connected yet.
    ///
    /// # Errors
    /// The user must act: not a URL, another scheme, or a path that is not `/rooms/NAME`.
    pub fn new(url: &str) -> Result<WsRoom> {
        let mut url = Url::parse(url).map_err(|e| Error::user(format!("{url:?} is no URL: {e}")))?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(Error::user(format!("a room of our own is at ws:// or wss://, not at {}://", url.scheme())));
        }
        let name = url.path().strip_prefix("/rooms/").unwrap_or_default();
        if !is_room_name(name) {
            return Err(Error::user(format!(
                "a room's URL ends with /rooms/NAME, where NAME is 1 to 64 letters, digits, '.', '_' or '-'; not with {:?}",
                url.path()
            )));
        }
        let token = url.query_pairs().find(|(key, _)| key == "token").map(|(_, token)| token.into_owned());
        url.set_query(None);
        url.set_fragment(None);
        Ok(WsRoom { url, token })
    }
}

#[async_trait]
impl Signaller for WsRoom {
    async fn join(&self, mut how: JoinAs) -> Result<Link> {
        how.token = how.token.or_else(|| self.token.clone());
        let mut protocol = WsProtocol {
            url: self.url.clone(),
            how,
            me: ParticipantId(String::new()),
            secret: None,
            resumed: true,
            room: String::new(),
            peers: Vec::new(),
            ice_servers: Vec::new(),
            labels: Vec::new(),
            fatal_error: None,
        };
        let socket = protocol.connect().await.map_err(|failed| failed.error)?;
        let info = RoomInfo {
            room: protocol.room.clone(),
            ice_servers: std::mem::take(&mut protocol.ice_servers),
            policy: NegotiationPolicy::default(),
        };
        Ok(start(socket, protocol, info, KEEPALIVE))
    }
}

/// A member's side of the protocol.
struct WsProtocol {
    url: Url,
    how: JoinAs,
    me: ParticipantId,
    /// Proves our id when we join again; absent before the first welcome.
    secret: Option<String>,
    /// Whether the server still knew us at the last join.
    resumed: bool,
    room: String,
    peers: Vec<Participant>,
    ice_servers: Vec<IceServer>,
    /// Our last labels, for a server that has forgotten us.
    labels: Vec<TrackLabel>,
    /// The last fatal error that the server sent: it explains the close that follows.
    fatal_error: Option<(ErrorCode, String)>,
}

impl WsProtocol {
    /// Sends the join and waits for the server's answer to it.
    async fn introduce(&self, socket: &mut Socket) -> Result<ServerMessage, ConnectError> {
        let url = self.url.as_str();
        let join = ClientMessage::Join {
            protocol: VERSION,
            name: self.how.name.clone(),
            role: self.how.role,
            token: self.how.token.clone(),
            resume: self.secret.clone().map(|secret| Resume { id: self.me.clone(), secret }),
        };
        socket.request(encode(&join), url).await?;
        loop {
            match serde_json::from_str(&socket.receive_text(url).await?) {
                Ok(ServerMessage::Ping) => {}
                Ok(message) => return Ok(message),
                Err(error) => {
                    return Err(ConnectError::unreachable(url, tungstenite::Error::Io(std::io::Error::other(error))));
                }
            }
        }
    }
}

/// A message as it goes over the wire.
fn encode(message: &ClientMessage) -> String {
    // Strings, numbers and lists only: there is no value of this type that JSON cannot hold.
    serde_json::to_string(message).unwrap_or_default()
}

fn send(message: &ClientMessage) -> Vec<Action> {
    vec![Action::send(encode(message))]
}

impl RoomProtocol for WsProtocol {
    async fn connect(&mut self) -> Result<Socket, ConnectError> {
        let url = self.url.as_str();
        let mut socket = Socket::connect(url, url, None).await?;
        let answer = timeout(CONNECT_TIMEOUT, self.introduce(&mut socket)).await;
        match answer.unwrap_or_else(|_| Err(ConnectError::timed_out(url)))? {
            ServerMessage::Welcome { id, secret, room, resumed, peers, ice_servers, .. } => {
                self.resumed = resumed;
                (self.me, self.secret, self.room) = (id, Some(secret), room);
                (self.peers, self.ice_servers) = (peers, ice_servers);
                self.fatal_error = None;
                Ok(socket)
            }
            ServerMessage::Error { code, message } => {
                let retry = matches!(code, ErrorCode::Full | ErrorCode::Closed);
                let error = Error::room(format!("{url} refused: {message}"));
                let error = code.of_error().into_iter().fold(error, Error::coded);
                Err(ConnectError { error, retry })
            }
            _ => Err(ConnectError::refused(format!("{url} did not answer the join with a welcome"))),
        }
    }

    fn on_connected(&mut self, reconnected: bool, _: Instant) -> Vec<Action> {
        match reconnected && !self.resumed {
            true => send(&ClientMessage::Tracks { tracks: self.labels.clone() }),
            false => Vec::new(),
        }
    }

    fn on_message(&mut self, message: &Message, _: Instant) -> Vec<Action> {
        // Messages of this protocol are text.
        let Message::Text(text) = message else { return Vec::new() };
        let message = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(error) => {
                // A newer server may know more messages.
                tracing::debug!(room = %self.url, "unknown message ignored: {error}");
                return Vec::new();
            }
        };
        let event = match message {
            ServerMessage::PeerJoined { peer } => SignalEvent::Joined(peer),
            ServerMessage::PeerLeft { id, reason } => SignalEvent::Left { id, reason },
            ServerMessage::Signal { from, body } => SignalEvent::Signal { from, signal: body.into() },
            ServerMessage::Tracks { from, tracks } => SignalEvent::Tracks { id: from, tracks },
            ServerMessage::Ping => return send(&ClientMessage::Pong),
            ServerMessage::Pong | ServerMessage::Welcome { .. } => return Vec::new(),
            ServerMessage::Error { code: ErrorCode::NoSuchPeer | ErrorCode::Busy | ErrorCode::BadMessage, message } => {
                tracing::warn!(room = %self.url, "the room server says: {message}");
                return Vec::new();
            }
            ServerMessage::Error { code, message } => {
                self.fatal_error = Some((code, message));
                return Vec::new();
            }
        };
        vec![Action::Emit(event)]
    }

    fn on_command(&mut self, command: SignalCommand, _: Instant) -> Vec<Action> {
        match command {
            SignalCommand::Signal { to, signal } => send(&ClientMessage::Signal { to, body: signal.into() }),
            SignalCommand::Tracks(tracks) => {
                self.labels.clone_from(&tracks);
                send(&ClientMessage::Tracks { tracks })
            }
            // Our own rooms have no message for these.
            SignalCommand::RequestOffer { .. }
            | SignalCommand::Chat { .. }
            | SignalCommand::Peer { .. }
            | SignalCommand::Leave => Vec::new(),
        }
    }

    fn on_disconnect(&mut self, how: &Disconnect) -> Option<EndReason> {
        match self.fatal_error.take() {
            // We were behind; the welcome of a new membership has everything that was missed.
            Some((ErrorCode::Slow, _)) => return None,
            Some((code, message)) => return Some(code.end_reason(message)),
            None => {}
        }
        let detail = "the room server closed the connection".to_owned();
        match how {
            Disconnect::Closed(Some(NORMAL | GOING_AWAY)) => Some(EndReason::RoomClosed { detail }),
            Disconnect::Closed(Some(POLICY_VIOLATION)) => Some(EndReason::Removed { detail }),
            Disconnect::Closed(_) | Disconnect::Failed(_) => None,
        }
    }

    fn is_queued(command: &SignalCommand) -> bool {
        !matches!(command, SignalCommand::Peer { .. })
    }

    /// A server that has forgotten us has told the others to close their connections: signals for those are of no use any more.
    fn is_still_valid(&self, command: &SignalCommand) -> bool {
        self.resumed || matches!(command, SignalCommand::Tracks(_))
    }

    fn goodbye(&mut self) -> Vec<Message> {
        vec![Message::Text(encode(&ClientMessage::Leave))]
    }

    fn present(&self) -> (ParticipantId, Vec<Participant>) {
        (self.me.clone(), self.peers.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::participant::Role;
    use tokio::net::TcpListener;

    fn as_bot() -> JoinAs {
        JoinAs { name: "Bot".into(), role: Role::Bot, token: None }
    }

    async fn refusal(url: &str) -> Error {
        WsRoom::new(url).expect("a good URL").join(as_bot()).await.err().expect("nobody is there")
    }

    /// An address on which nobody listens.
    async fn closed_port() -> std::net::SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.and_then(|socket| socket.local_addr()).expect("a free port")
    }

    #[test]
    fn urls_that_are_no_rooms_are_the_users_to_mend() {
        for url in [
            "",
            "ws://",
            "http://a/rooms/b",
            "ws://a",
            "ws://a/rooms/",
            "ws://a/rooms/b/c",
            "ws://a/rooms/b%20c",
            "ws://a/b",
        ] {
            assert!(matches!(WsRoom::new(url).expect_err(url), crate::error::Error::User(_)), "{url}");
        }
    }

    #[test]
    fn a_token_in_the_url_is_taken_out_of_it() {
        let room = WsRoom::new("wss://example.org/rooms/a?name=x&token=s%20e#f").expect("a room");
        assert_eq!((room.url.as_str(), room.token.as_deref()), ("wss://example.org/rooms/a", Some("s e")));
    }

    #[tokio::test]
    async fn a_closed_port_is_the_rooms_fault_with_and_without_tls() {
        let address = closed_port().await;
        for scheme in ["ws", "wss"] {
            let error = refusal(&format!("{scheme}://{address}/rooms/a")).await;
            assert!(matches!(error, crate::error::Error::Room(_)));
            assert!(error.to_string().contains("cannot reach"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_server_without_tls_is_an_error_and_no_panic() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let answer = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("a client");
            tokio::io::AsyncWriteExt::write_all(&mut socket, b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .expect("written");
        });
        let error = refusal(&format!("wss://{address}/rooms/a")).await;
        assert!(matches!(error, crate::error::Error::Room(_)));
        answer.await.expect("the server ran");
    }

    #[tokio::test]
    async fn who_is_thrown_out_for_being_slow_joins_again() {
        use futures_util::{SinkExt, StreamExt};
        use tokio_tungstenite::tungstenite::Message as Frame;
        use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}/rooms/a", listener.local_addr().expect("its address"));
        let server = async move {
            for id in ["first", "second"] {
                let (socket, _) = listener.accept().await.expect("a client");
                let mut socket = tokio_tungstenite::accept_async(socket).await.expect("a WebSocket");
                let join = socket.next().await.expect("a join").expect("a frame").into_text().expect("text");
                assert_eq!(join.contains(r#""resume":{"id":"first""#), id == "second", "{join}");
                let welcome = format!(
                    r#"{{"type":"welcome","protocol":1,"id":"{id}","secret":"s","name":"Bot","room":"a","resumed":false,"peers":[],"ice_servers":[]}}"#
                );
                socket.send(Frame::text(welcome)).await.expect("sent");
                if id == "second" {
                    return socket;
                }
                let slow = r#"{"type":"error","code":"slow","message":"you do not read"}"#;
                socket.send(Frame::text(slow)).await.expect("sent");
                let policy = CloseFrame { code: CloseCode::Policy, reason: "".into() };
                socket.close(Some(policy)).await.expect("closed");
            }
            unreachable!("two rounds");
        };
        let client = async {
            let mut link = WsRoom::new(&url).expect("a good URL").join(as_bot()).await.expect("joined");
            let mut told = Vec::new();
            while told.len() < 2 {
                told.push(link.events.recv().await.expect("an event"));
            }
            told
        };
        let both = async { tokio::join!(server, client) };
        let (_socket, told) = timeout(Duration::from_secs(20), both).await.expect("in time");
        assert!(matches!(told[0], SignalEvent::Reconnecting { attempt: 1, .. }), "{told:?}");
        assert!(matches!(&told[1], SignalEvent::Resumed { me, .. } if me.0 == "second"), "{told:?}");
    }
}

//! This project's own rooms: JSON over WebSocket. Joins, and hands the socket to a driver that keeps it alive. Knows nothing of media.

mod driver;

use super::names::is_room_name;
use super::protocol::{ClientMessage, ErrorCode, Resume, ServerMessage, VERSION};
use super::{IceServer, JoinAs, Link, NegotiationPolicy, Signaller};
use crate::error::{Error, Result};
use crate::room::participant::{Participant, ParticipantId};
use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use url::Url;

/// How long a connection, and then the welcome, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of one message from the server: a welcome to a full room with full label lists fits several times.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// Events and commands that wait in a [`Link`].
const QUEUE: usize = 1024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A room of our own server: `ws://host/rooms/NAME` or `wss://host/rooms/NAME`.
///
/// `?token=…` in the URL is the join token, unless [`JoinAs::token`] says another; the rest of the query belongs to the
/// page and is ignored, so that an address copied from a browser works with its scheme changed.
#[derive(Debug, Clone)]
pub struct WsRoom {
    url: Url,
    token: Option<String>,
}

/// A place in the room, on a fresh socket.
struct Entry {
    socket: Socket,
    id: ParticipantId,
    secret: String,
    room: String,
    resumed: bool,
    peers: Vec<Participant>,
    ice_servers: Vec<IceServer>,
}

/// Why there is none.
struct NoEntry {
    error: Error,
    /// True when another attempt may go better.
    try_again: bool,
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

    /// Connects and joins, or comes back.
    async fn enter(&self, how: &JoinAs, resume: Option<Resume>) -> Result<Entry, NoEntry> {
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let connected = timeout(PATIENCE, connect_async_with_config(self.url.as_str(), Some(config), true)).await;
        let mut socket = match connected {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(error)) => return Err(self.unreachable(error)),
            Err(_) => return Err(self.silent()),
        };
        let join = ClientMessage::Join {
            protocol: VERSION,
            name: how.name.clone(),
            role: how.role,
            token: how.token.clone().or_else(|| self.token.clone()),
            resume,
        };
        match timeout(PATIENCE, introduce(&mut socket, &join)).await {
            Ok(Ok(ServerMessage::Welcome { id, secret, room, resumed, peers, ice_servers, .. })) => {
                Ok(Entry { socket, id, secret, room, resumed, peers, ice_servers })
            }
            Ok(Ok(ServerMessage::Error { code, message })) => {
                let try_again = matches!(code, ErrorCode::Full | ErrorCode::Closed);
                Err(NoEntry { error: Error::room(format!("{} refused: {message}", self.url)), try_again })
            }
            Ok(Ok(_)) => {
                let error = Error::room(format!("{} did not answer the join with a welcome", self.url));
                Err(NoEntry { error, try_again: false })
            }
            Ok(Err(error)) => Err(self.unreachable(error)),
            Err(_) => Err(self.silent()),
        }
    }

    fn unreachable(&self, error: tungstenite::Error) -> NoEntry {
        let (why, try_again) = match &error {
            tungstenite::Error::Http(response) => {
                let status = response.status();
                (format!("{} answered with HTTP {status}: is a room server there?", self.url), status.is_server_error())
            }
            error => (format!("cannot reach the room at {}: {error}", self.url), true),
        };
        NoEntry { error: Error::room(why).because(error), try_again }
    }

    fn silent(&self) -> NoEntry {
        let why = format!("the room at {} does not answer within {} seconds", self.url, PATIENCE.as_secs());
        NoEntry { error: Error::room(why), try_again: true }
    }
}

/// Sends the join and waits for what the server says to it.
async fn introduce(socket: &mut Socket, join: &ClientMessage) -> Result<ServerMessage, tungstenite::Error> {
    socket.send(written(join)).await?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(ServerMessage::Ping) => {}
                Ok(message) => return Ok(message),
                Err(error) => return Err(tungstenite::Error::Io(std::io::Error::other(error))),
            },
            Some(Ok(Message::Close(_))) | None => return Err(tungstenite::Error::ConnectionClosed),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
        }
    }
}

/// A message as it goes over the wire.
fn written(message: &ClientMessage) -> Message {
    // Strings, numbers and lists only: there is no value of this type that JSON cannot hold.
    Message::text(serde_json::to_string(message).unwrap_or_default())
}

#[async_trait]
impl Signaller for WsRoom {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let entry = self.enter(&how, None).await.map_err(|no_entry| no_entry.error)?;
        let (events, link_events) = mpsc::channel(QUEUE);
        let (link_commands, commands) = mpsc::channel(QUEUE);
        let link = Link {
            me: entry.id.clone(),
            room: entry.room.clone(),
            peers: entry.peers.clone(),
            ice_servers: entry.ice_servers.clone(),
            policy: NegotiationPolicy::default(),
            events: link_events,
            commands: link_commands,
        };
        tokio::spawn(driver::Driver::new(self.clone(), how, entry, events, commands).run());
        Ok(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Blame;
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
            assert_eq!(WsRoom::new(url).expect_err(url).blame(), Blame::User, "{url}");
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
            assert_eq!(error.blame(), Blame::Room);
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
        assert_eq!(error.blame(), Blame::Room);
        answer.await.expect("the server ran");
    }
}

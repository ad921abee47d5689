//! A WebSocket to a room's server (RFC 6455): text and binary messages with a size limit and deadlines. Knows no room.

use crate::error::Error;
use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use std::fmt;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message as Frame};

/// How long the connection may take, and then each answer until the room is joined.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one received message: the participant list of a full room fits several times.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// A message of a signalling protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Text(String),
    /// Used by protocols that are not JSON or text, such as protobuf.
    Binary(Bytes),
}

impl From<String> for Message {
    fn from(text: String) -> Message {
        Message::Text(text)
    }
}

impl From<Message> for Frame {
    fn from(message: Message) -> Frame {
        match message {
            Message::Text(text) => Frame::text(text),
            Message::Binary(bytes) => Frame::Binary(bytes),
        }
    }
}

/// How an established socket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Disconnect {
    /// By a close frame, with the code in it (RFC 6455, 7.4), or by the end of the stream.
    Closed(Option<u16>),
    /// By an error of the network or of the WebSocket protocol.
    Failed(String),
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disconnect::Closed(_) => f.write_str("the server closed the connection"),
            Disconnect::Failed(error) => f.write_str(error),
        }
    }
}

impl From<tungstenite::Error> for Disconnect {
    fn from(error: tungstenite::Error) -> Disconnect {
        Disconnect::Failed(error.to_string())
    }
}

/// Why a room could not be joined, or joined again.
#[derive(Debug)]
pub(super) struct ConnectError {
    pub error: Error,
    /// True where another attempt may succeed.
    pub retry: bool,
}

impl ConnectError {
    /// The room or its server does not let us in.
    pub fn refused(why: impl Into<String>) -> ConnectError {
        ConnectError { error: Error::room(why.into()), retry: false }
    }

    /// The server at `url` did not answer within [`CONNECT_TIMEOUT`].
    pub fn timed_out(url: &str) -> ConnectError {
        let why = format!("the room at {url} does not answer within {} seconds", CONNECT_TIMEOUT.as_secs());
        ConnectError { error: Error::room(why), retry: true }
    }

    pub fn unreachable(url: &str, error: tungstenite::Error) -> ConnectError {
        let (why, retry) = match &error {
            tungstenite::Error::Http(response) => {
                let status = response.status();
                (format!("{url} answered with HTTP {status}: is there a room server?"), status.is_server_error())
            }
            error => (format!("cannot reach the room at {url}: {error}"), true),
        };
        ConnectError { error: Error::room(why).because(error), retry }
    }
}

/// What carries the frames: a connection, or a pipe in memory for tests.
trait Transport:
    Stream<Item = Result<Frame, tungstenite::Error>> + Sink<Frame, Error = tungstenite::Error> + Send + Unpin
{
}

impl<T> Transport for T where
    T: Stream<Item = Result<Frame, tungstenite::Error>> + Sink<Frame, Error = tungstenite::Error> + Send + Unpin
{
}

/// A socket to a room's server.
pub(super) struct Socket(Box<dyn Transport>);

impl Socket {
    /// Connects to a `ws://` or `wss://` URL. `shown` is the URL without secrets, for error messages. `subprotocol` is one that the
    /// server must speak (RFC 6455, 1.9).
    ///
    /// # Errors
    /// The server cannot be reached, does not answer in time, or is no WebSocket server.
    pub async fn connect(url: &str, shown: &str, subprotocol: Option<&'static str>) -> Result<Socket, ConnectError> {
        let mut request = url.into_client_request().map_err(|e| ConnectError::unreachable(shown, e))?;
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        match timeout(CONNECT_TIMEOUT, connect_async_with_config(request, Some(config()), true)).await {
            Ok(Ok((socket, _))) => Ok(Socket(Box::new(socket))),
            Ok(Err(error)) => Err(ConnectError::unreachable(shown, error)),
            Err(_) => Err(ConnectError::timed_out(shown)),
        }
    }

    /// Sends a message while the room is being joined.
    ///
    /// # Errors
    /// The socket failed, or nothing can be sent for [`CONNECT_TIMEOUT`].
    pub async fn request(&mut self, message: impl Into<Message>, shown: &str) -> Result<(), ConnectError> {
        match timeout(CONNECT_TIMEOUT, self.0.send(message.into().into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ConnectError::unreachable(shown, error)),
            Err(_) => Err(ConnectError::timed_out(shown)),
        }
    }

    /// The next text message while the room is being joined; binary ones are skipped.
    ///
    /// # Errors
    /// The socket ended, or no text comes for [`CONNECT_TIMEOUT`].
    pub async fn receive_text(&mut self, shown: &str) -> Result<String, ConnectError> {
        let text = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Frame::Text(text))) => return Ok(text.as_str().to_owned()),
                    Some(Ok(Frame::Close(_))) | None => return Err(tungstenite::Error::ConnectionClosed),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                }
            }
        };
        match timeout(CONNECT_TIMEOUT, text).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(ConnectError::unreachable(shown, error)),
            Err(_) => Err(ConnectError::timed_out(shown)),
        }
    }

    /// The next message; `None` for a ping or pong, which is only a sign of life. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Message>, Disconnect> {
        match self.0.next().await {
            Some(Ok(Frame::Text(text))) => Ok(Some(Message::Text(text.as_str().to_owned()))),
            Some(Ok(Frame::Binary(bytes))) => Ok(Some(Message::Binary(bytes))),
            Some(Ok(Frame::Close(frame))) => Err(Disconnect::Closed(frame.map(|frame| frame.code.into()))),
            None => Err(Disconnect::Closed(None)),
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(error.into()),
        }
    }

    pub async fn send(&mut self, message: Message) -> Result<(), Disconnect> {
        Ok(self.0.send(message.into()).await?)
    }

    /// Sends a ping (RFC 6455, 5.5.2); the pong comes as `None` from [`Socket::next`].
    pub async fn ping(&mut self) -> Result<(), Disconnect> {
        Ok(self.0.send(Frame::Ping(Bytes::new())).await?)
    }

    /// Sends a close frame, with a code if there is one, and waits for the server's.
    pub async fn close(&mut self, code: Option<u16>) -> Result<(), Disconnect> {
        let frame = code.map(|code| CloseFrame { code: CloseCode::from(code), reason: "".into() });
        self.0.send(Frame::Close(frame)).await?;
        while let Some(Ok(_)) = self.0.next().await {}
        Ok(())
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES)).max_frame_size(Some(MAX_MESSAGE_BYTES))
}

#[cfg(test)]
pub(super) mod testing {
    //! Sockets in memory.

    use super::*;
    use tokio::io::DuplexStream;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    /// A connected client socket and the server's end of it.
    pub async fn pair() -> (Socket, WebSocketStream<DuplexStream>) {
        let (client, server) = tokio::io::duplex(1 << 16);
        let client = WebSocketStream::from_raw_socket(client, Role::Client, Some(config())).await;
        (Socket(Box::new(client)), WebSocketStream::from_raw_socket(server, Role::Server, None).await)
    }
}

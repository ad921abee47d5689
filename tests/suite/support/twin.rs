//! A server that says again what a real one once said to one member: a transcript from `fixtures/rooms`, and how it is made.
//!
//! A line of a transcript is one text, by the server or the member. The twin says the server's lines up to the member's next one, then
//! waits for it. Names that are drawn by lot stand in it as `Bot-ME`, addresses as `HERE`.

use super::pause;
use super::within;
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, connect_async};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum By {
    Server,
    Member,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    by: By,
    text: String,
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rooms").join(format!("{name}.jsonl"))
}

/// A text without what another run has otherwise; and the name in it.
fn plain(text: &str) -> (String, Option<String>) {
    let (text, name) = without(text, "Bot-", "Bot-ME", |c| c.is_ascii_hexdigit());
    let (text, _) = without(&text, "127.0.0.1:", "HERE", |c| c.is_ascii_digit());
    (text, name)
}

/// The text with another word for what begins so and goes on with such letters; and the last of those.
fn without(text: &str, begin: &str, word: &str, goes_on: fn(char) -> bool) -> (String, Option<String>) {
    let (mut out, mut found) = (String::new(), None);
    let mut parts = text.split(begin);
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let rest = part.trim_start_matches(goes_on);
        match part.len() - rest.len() {
            0 => out.push_str(begin),
            length => {
                found = Some(format!("{begin}{}", &part[..length]));
                out.push_str(word);
            }
        }
        out.push_str(rest);
    }
    (out, found)
}

/// A transcript that is being replayed.
pub struct Twin {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Twin {
    pub async fn start(transcript: &str) -> Twin {
        let path = file(transcript);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let task = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("a member");
            replay(lines, socket, address).await;
        });
        Twin { address, task }
    }

    /// Waits until everything was said.
    pub async fn done(self) {
        within(40, "the transcript is at its end", self.task).await.expect("it was followed");
    }
}

/// What protocol the member wants to speak, and where; a server says that it speaks it too.
struct Wanted {
    protocol: Option<HeaderValue>,
    path: String,
}

async fn accept(socket: TcpStream) -> (WebSocketStream<TcpStream>, Wanted) {
    let mut wanted = Wanted { protocol: None, path: String::new() };
    #[expect(clippy::result_large_err, reason = "the library's type")]
    let look = |request: &Request, mut response: Response| {
        wanted.path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        wanted.protocol = request.headers().get(SEC_WEBSOCKET_PROTOCOL).cloned();
        if let Some(protocol) = &wanted.protocol {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        Ok(response)
    };
    let socket = accept_hdr_async(socket, look).await.expect("a WebSocket");
    (socket, wanted)
}

async fn replay(lines: Vec<Line>, socket: TcpStream, address: SocketAddr) {
    let (mut socket, _) = accept(socket).await;
    let (mut me, mut heard) = (String::new(), HashSet::new());
    for Line { by, text } in lines {
        if by == By::Server {
            let text = text.replace("Bot-ME", &me).replace("HERE", &address.to_string());
            socket.send(Message::text(text)).await.expect("sent");
            continue;
        }
        loop {
            let said = within(40, &text, socket.next()).await;
            let said = said.unwrap_or_else(|| panic!("the member has gone instead of: {text}")).expect("a message");
            let Message::Text(said) = said else { continue };
            let (said, name) = plain(said.as_str());
            me = name.unwrap_or(me);
            if said == text {
                heard.insert(said);
                break;
            }
            // What nobody answered is said again.
            assert!(heard.contains(&said), "the member said:\n{said}\ninstead of:\n{text}");
        }
    }
    // It is the member who goes.
    while let Some(Ok(_)) = socket.next().await {}
}

/// A way to a real server that writes down what is said.
pub struct Scribe {
    pub address: SocketAddr,
    lines: Arc<Mutex<Vec<Line>>>,
    task: JoinHandle<()>,
}

impl Scribe {
    pub async fn start(port: u16) -> Scribe {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let lines: Arc<Mutex<Vec<Line>>> = Arc::default();
        let written = lines.clone();
        let task = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("a member");
            let (mut near, wanted) = accept(socket).await;
            let url = format!("ws://127.0.0.1:{port}{}", wanted.path);
            let mut request = url.into_client_request().expect("an address");
            if let Some(protocol) = wanted.protocol {
                request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
            }
            let (mut far, _) = connect_async(request).await.expect("the server");
            let write = |by, text: &str| written.lock().expect("lock").push(Line { by, text: plain(text).0 });
            loop {
                tokio::select! {
                    Some(Ok(message)) = near.next() => if let Message::Text(text) = &message {
                        write(By::Member, text.as_str());
                        far.send(message).await.expect("sent");
                    },
                    Some(Ok(message)) = far.next() => if let Message::Text(text) = &message {
                        write(By::Server, text.as_str());
                        near.send(message).await.expect("sent");
                    },
                    else => return,
                }
            }
        });
        Scribe { address, lines, task }
    }

    /// Writes the transcript.
    pub async fn write(self, transcript: &str) {
        pause(Duration::from_millis(300), "as it was when the transcript was made").await;
        self.task.abort();
        let lines = self.lines.lock().expect("lock").clone();
        let text: String = lines.iter().map(|line| serde_json::to_string(line).expect("JSON") + "\n").collect();
        std::fs::create_dir_all(file(transcript).parent().expect("a folder")).expect("a folder");
        std::fs::write(file(transcript), text).expect("written");
    }
}

//! Keeps a membership alive in rooms that talk in texts over a WebSocket: carries what is said both ways, notices silence, comes back
//! after a loss. One task, one loop. What the texts mean is the adapter's ([`Talk`]), which never waits and touches no socket.

use super::{IceServer, Link, NegotiationPolicy, SignalCommand, SignalEvent};
use crate::error::{Error, Result};
use crate::room::end::EndReason;
use crate::room::participant::{Participant, ParticipantId};
use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{SinkExt, StreamExt};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// How long a connection may take, and each answer while one comes in.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of one message.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// Events and commands that wait in a [`Link`].
const QUEUE: usize = 1024;
/// How often the server is pinged (RFC 6455, 5.5.2), and the silence after which the socket counts as lost.
const PING: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(20);
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often the adapter is told the time.
const TICK: Duration = Duration::from_millis(100);

/// Waits of a quarter of a second to five seconds between attempts to come back, for about two minutes.
const COME_BACK: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(250))
    .with_max_delay(Duration::from_secs(5))
    .with_max_times(28)
    .with_jitter();

/// A socket to a server of rooms.
pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// Why there is none.
pub(super) struct NoEntry {
    pub error: Error,
    /// True when another attempt may go better.
    pub try_again: bool,
}

impl NoEntry {
    /// The room does not want us.
    pub fn refused(why: impl Into<String>) -> NoEntry {
        NoEntry { error: Error::room(why.into()), try_again: false }
    }
    fn unreachable(url: &str, error: tungstenite::Error) -> NoEntry {
        let (why, try_again) = match &error {
            tungstenite::Error::Http(response) => {
                let status = response.status();
                (format!("{url} answered with HTTP {status}: is such a room there?"), status.is_server_error())
            }
            error => (format!("cannot reach the room at {url}: {error}"), true),
        };
        NoEntry { error: Error::room(why).because(error), try_again }
    }
}

impl Socket {
    /// Connects to a `ws://` or `wss://` address; `shown` is what errors call it.
    pub async fn open(url: &str, shown: &str) -> Result<Socket, NoEntry> {
        Socket::open_for(url, shown, None).await
    }

    /// The same for a protocol that the server must speak (RFC 6455, 1.9).
    pub async fn open_for(url: &str, shown: &str, protocol: Option<&'static str>) -> Result<Socket, NoEntry> {
        let mut request = url.into_client_request().map_err(|e| NoEntry::unreachable(shown, e))?;
        if let Some(protocol) = protocol {
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        match timeout(PATIENCE, connect_async_with_config(request, Some(config), true)).await {
            Ok(Ok((socket, _))) => Ok(Socket(socket)),
            Ok(Err(error)) => Err(NoEntry::unreachable(shown, error)),
            Err(_) => Err(silent(shown)),
        }
    }

    pub async fn say(&mut self, text: String, shown: &str) -> Result<(), NoEntry> {
        match timeout(PATIENCE, self.0.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(NoEntry::unreachable(shown, error)),
            Err(_) => Err(silent(shown)),
        }
    }

    /// The next text, while we come in.
    pub async fn hear(&mut self, shown: &str) -> Result<String, NoEntry> {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                    Some(Ok(Message::Close(_))) | None => return Err(tungstenite::Error::ConnectionClosed),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                }
            }
        };
        match timeout(PATIENCE, next).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(NoEntry::unreachable(shown, error)),
            Err(_) => Err(silent(shown)),
        }
    }
}

fn silent(shown: &str) -> NoEntry {
    let why = format!("the room at {shown} does not answer within {} seconds", PATIENCE.as_secs());
    NoEntry { error: Error::room(why), try_again: true }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Say this to the server.
    Say(String),
    Tell(SignalEvent),
    /// The socket is of no use any more: come back on another.
    Again(String),
    /// The room is closed to us.
    Over(String),
}

/// An adapter's side of the talk. It is told the time, never asks for it.
pub(super) trait Talk: Send + 'static {
    /// What is said first on a new socket. `back`: it is not the first one.
    fn begin(&mut self, back: bool, now: std::time::Instant) -> Vec<Step>;
    /// The server says something.
    fn hear(&mut self, text: &str, now: std::time::Instant) -> Vec<Step>;
    /// The session wants something; never [`SignalCommand::Leave`].
    fn obey(&mut self, command: SignalCommand, now: std::time::Instant) -> Vec<Step>;
    /// Time passes.
    fn tick(&mut self, now: std::time::Instant) -> Vec<Step>;
    /// The last words.
    fn goodbye(&mut self) -> Vec<String>;
    /// Our id, and who is there: for the session when we are back.
    fn present(&self) -> (ParticipantId, Vec<Participant>);
}

/// Connects and comes in, as far as a socket on which the talk can begin.
#[async_trait]
pub(super) trait Dial: Send + 'static {
    async fn dial(&mut self) -> Result<Socket, NoEntry>;
}

/// What a [`Link`] says of the room.
pub(super) struct Place {
    pub room: String,
    pub ice_servers: Vec<IceServer>,
    pub policy: NegotiationPolicy,
}

/// Starts to talk on a fresh socket.
pub(super) fn start(socket: Socket, dial: impl Dial, talk: impl Talk, room: Place) -> Link {
    let Place { room, ice_servers, policy } = room;
    let (events, link_events) = mpsc::channel(QUEUE);
    let (link_commands, commands) = mpsc::channel(QUEUE);
    let (me, peers) = talk.present();
    let driver = Driver { socket, dial, talk, events, commands, untaken: VecDeque::new(), unsent: VecDeque::new() };
    tokio::spawn(driver.run());
    Link { me, room, peers, ice_servers, policy, events: link_events, commands: link_commands }
}

/// How a stay on one socket ended.
enum Ending {
    Left,
    Closed(String),
    Lost(String),
}

struct Driver<D, T> {
    socket: Socket,
    dial: D,
    talk: T,
    events: mpsc::Sender<SignalEvent>,
    commands: mpsc::Receiver<SignalCommand>,
    /// What the session has not taken yet. Nothing more is read meanwhile (policy Block), but commands are still carried out.
    untaken: VecDeque<SignalEvent>,
    /// Commands that came while there was no socket; at most as many as wait in the link.
    unsent: VecDeque<SignalCommand>,
}

impl<D: Dial, T: Talk> Driver<D, T> {
    async fn run(mut self) {
        let mut back = false;
        loop {
            let ending = match self.converse(back).await {
                Ending::Lost(cause) => match self.come_back(cause).await {
                    Ok(()) => {
                        back = true;
                        continue;
                    }
                    Err(ending) => ending,
                },
                ending => ending,
            };
            match ending {
                Ending::Left => self.say_goodbye().await,
                Ending::Closed(cause) | Ending::Lost(cause) => {
                    self.untaken.push_back(SignalEvent::Closed(EndReason::RoomClosed { detail: cause }));
                    for event in self.untaken {
                        // A session that has gone needs no reason.
                        let _ = self.events.send(event).await;
                    }
                }
            }
            return;
        }
    }

    async fn converse(&mut self, back: bool) -> Ending {
        let steps = self.talk.begin(back, now());
        if let Err(ending) = self.perform(steps).await {
            return ending;
        }
        while let Some(command) = self.unsent.pop_front() {
            if let Err(ending) = self.obey(command).await {
                return ending;
            }
        }
        let events = self.events.clone();
        let (mut tick, mut ping) = (interval(TICK), interval(PING));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let done = tokio::select! {
                permit = events.reserve(), if !self.untaken.is_empty() => match (permit, self.untaken.pop_front()) {
                    (Ok(permit), Some(event)) => { permit.send(event); Ok(()) }
                    _ => return Ending::Left,
                },
                command = self.commands.recv() => self.obey(command.unwrap_or(SignalCommand::Leave)).await,
                frame = self.socket.0.next(), if self.untaken.is_empty() => {
                    heard = Instant::now();
                    self.hear(frame).await
                }
                _ = ping.tick() => self.send(Message::Ping(Vec::new().into())).await,
                _ = tick.tick() => {
                    if self.untaken.is_empty() && heard.elapsed() > SILENCE {
                        return Ending::Lost(format!("nothing was heard for {} seconds", SILENCE.as_secs()));
                    }
                    let steps = self.talk.tick(now());
                    self.perform(steps).await
                }
            };
            if let Err(ending) = done {
                return ending;
            }
        }
    }

    async fn obey(&mut self, command: SignalCommand) -> Result<(), Ending> {
        if command == SignalCommand::Leave {
            return Err(Ending::Left);
        }
        let steps = self.talk.obey(command, now());
        self.perform(steps).await
    }

    async fn hear(&mut self, frame: Option<Result<Message, tungstenite::Error>>) -> Result<(), Ending> {
        match frame {
            Some(Ok(Message::Text(text))) => {
                let steps = self.talk.hear(text.as_str(), now());
                self.perform(steps).await
            }
            Some(Ok(Message::Close(_))) | None => Err(Ending::Lost("the server closed the connection".to_owned())),
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Ending::Lost(error.to_string())),
        }
    }

    async fn perform(&mut self, steps: Vec<Step>) -> Result<(), Ending> {
        for step in steps {
            match step {
                Step::Say(text) => self.send(Message::text(text)).await?,
                Step::Tell(event) => self.untaken.push_back(event),
                Step::Again(cause) => return Err(Ending::Lost(cause)),
                Step::Over(cause) => return Err(Ending::Closed(cause)),
            }
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Ending> {
        match timeout(SILENCE, self.socket.0.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Ending::Lost(error.to_string())),
            Err(_) => Err(Ending::Lost(format!("nothing could be sent for {} seconds", SILENCE.as_secs()))),
        }
    }

    /// Tries to come back until it works, is refused, or has been tried often enough.
    async fn come_back(&mut self, mut cause: String) -> Result<(), Ending> {
        for (attempt, delay) in (1..).zip(COME_BACK.build()) {
            // Only news: where the session is too busy to take it, the next attempt has some again.
            let _ = self.events.try_send(SignalEvent::Reconnecting { attempt, cause: cause.clone() });
            match self.try_again(delay).await? {
                Ok(socket) => {
                    self.socket = socket;
                    let (me, peers) = self.talk.present();
                    self.untaken.push_back(SignalEvent::Resumed { me, peers });
                    return Ok(());
                }
                Err(no) if no.try_again => cause = no.error.to_string(),
                Err(no) => return Err(Ending::Closed(no.error.to_string())),
            }
        }
        Err(Ending::Closed(format!("gave up coming back to the room: {cause}")))
    }

    /// Waits, then dials again; commands that come meanwhile are kept.
    async fn try_again(&mut self, delay: Duration) -> Result<Result<Socket, NoEntry>, Ending> {
        let dial = &mut self.dial;
        let again = async {
            sleep(delay).await;
            dial.dial().await
        };
        tokio::pin!(again);
        loop {
            tokio::select! {
                outcome = &mut again => return Ok(outcome),
                command = self.commands.recv(), if self.unsent.len() < QUEUE => match command {
                    None | Some(SignalCommand::Leave) => return Err(Ending::Left),
                    Some(command) => self.unsent.push_back(command),
                }
            }
        }
    }

    async fn say_goodbye(mut self) {
        let last_words = async {
            for text in self.talk.goodbye() {
                self.socket.0.send(Message::text(text)).await?;
            }
            self.socket.0.close(None).await?;
            while let Some(Ok(_)) = self.socket.0.next().await {}
            Ok::<(), tungstenite::Error>(())
        };
        // A server that is not there any more needs none.
        let _ = timeout(GOODBYE, last_words).await;
    }
}

fn now() -> std::time::Instant {
    std::time::Instant::now()
}

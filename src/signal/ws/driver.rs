//! Keeps one membership alive: carries events and commands, answers pings, notices silence, comes back after a loss. One task, one loop.

use super::{Entry, NoEntry, Socket, WsRoom, written};
use crate::room::end::EndReason;
use crate::room::participant::{ParticipantId, TrackLabel};
use crate::signal::protocol::{ClientMessage, ErrorCode, Resume, ServerMessage, limits};
use crate::signal::{JoinAs, SignalCommand, SignalEvent};
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{SinkExt, StreamExt};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

/// Silence after which the socket counts as lost (the server pings three times as often), and the longest wait for a write.
const SILENCE: Duration = Duration::from_secs(limits::SILENCE_SECONDS);
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Commands kept for the time after a reconnect; while that many wait, no more are taken (policy Block).
const UNSENT: usize = 1024;

/// Waits of a quarter of a second to five seconds between attempts to come back, for about two minutes.
const COME_BACK: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(250))
    .with_max_delay(Duration::from_secs(5))
    .with_max_times(28)
    .with_jitter();

/// How a stay on one socket ended.
enum Ending {
    /// We wanted to go.
    Left,
    /// The room does not want us any more.
    Closed(String),
    /// The socket failed; the place is kept for a while.
    Lost(String),
}

/// The task behind a [`crate::signal::Link`].
pub(super) struct Driver {
    room: WsRoom,
    how: JoinAs,
    socket: Socket,
    me: ParticipantId,
    secret: String,
    events: mpsc::Sender<SignalEvent>,
    commands: mpsc::Receiver<SignalCommand>,
    /// What the session has not taken yet. Nothing more is read from the socket meanwhile, but commands are still
    /// carried out: a session that waits to give a command must not wait for itself.
    untaken: VecDeque<SignalEvent>,
    /// Commands that came while there was no socket.
    unsent: VecDeque<SignalCommand>,
    /// Our last labels, for a server that has forgotten us.
    labels: Vec<TrackLabel>,
    /// The last fatal error that the server sent; the close that follows is explained by it.
    verdict: Option<String>,
}

impl Driver {
    pub(super) fn new(
        room: WsRoom,
        how: JoinAs,
        entry: Entry,
        events: mpsc::Sender<SignalEvent>,
        commands: mpsc::Receiver<SignalCommand>,
    ) -> Self {
        Self {
            room,
            how,
            socket: entry.socket,
            me: entry.id,
            secret: entry.secret,
            events,
            commands,
            untaken: VecDeque::new(),
            unsent: VecDeque::new(),
            labels: Vec::new(),
            verdict: None,
        }
    }

    /// Runs until we leave or the room is closed to us.
    pub(super) async fn run(mut self) {
        loop {
            let ending = match self.converse().await {
                Ending::Lost(cause) => match self.come_back(cause).await {
                    Ok(()) => continue,
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

    /// Carries events and commands over one socket.
    async fn converse(&mut self) -> Ending {
        while let Some(command) = self.unsent.pop_front() {
            if let Err(ending) = self.obey(command).await {
                return ending;
            }
        }
        let events = self.events.clone();
        let mut deadline = Instant::now() + SILENCE;
        loop {
            tokio::select! {
                permit = events.reserve(), if !self.untaken.is_empty() => match (permit, self.untaken.pop_front()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    _ => return Ending::Left,
                },
                command = self.commands.recv() => {
                    if let Err(ending) = self.obey(command.unwrap_or(SignalCommand::Leave)).await {
                        return ending;
                    }
                }
                frame = timeout_at(deadline, self.socket.next()), if self.untaken.is_empty() => {
                    let heard = match frame {
                        Ok(frame) => self.hear(frame).await,
                        Err(_) => Err(Ending::Lost(format!("nothing was heard for {} seconds", SILENCE.as_secs()))),
                    };
                    if let Err(ending) = heard {
                        return ending;
                    }
                    deadline = Instant::now() + SILENCE;
                }
            }
        }
    }

    async fn obey(&mut self, command: SignalCommand) -> Result<(), Ending> {
        let message = match command {
            SignalCommand::Signal { to, signal } => ClientMessage::Signal { to, body: signal.into() },
            SignalCommand::Tracks(tracks) => {
                self.labels.clone_from(&tracks);
                ClientMessage::Tracks { tracks }
            }
            // Nothing of this is said in our own rooms.
            SignalCommand::Ask { .. } | SignalCommand::Say { .. } | SignalCommand::Peer { .. } => return Ok(()),
            SignalCommand::Leave => return Err(Ending::Left),
        };
        self.send(&message).await
    }

    async fn send(&mut self, message: &ClientMessage) -> Result<(), Ending> {
        match timeout(SILENCE, self.socket.send(written(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.gone(&error.to_string())),
            Err(_) => Err(Ending::Lost(format!("nothing could be sent for {} seconds", SILENCE.as_secs()))),
        }
    }

    /// One frame from the server, or its end.
    async fn hear(&mut self, frame: Option<Result<Message, tungstenite::Error>>) -> Result<(), Ending> {
        match frame {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(message) => self.understand(message).await,
                Err(error) => {
                    // A newer server may say more than we know.
                    tracing::debug!(room = %self.room.url, "not understood and ignored: {error}");
                    Ok(())
                }
            },
            Some(Ok(Message::Close(Some(frame)))) if is_final(frame.code) => {
                let cause = self.verdict.take().unwrap_or_else(|| "the room server closed the connection".to_owned());
                Err(Ending::Closed(cause))
            }
            Some(Ok(Message::Close(_))) | None => Err(self.gone("the connection was closed without a goodbye")),
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(self.gone(&error.to_string())),
        }
    }

    /// The socket has failed: for good where the server has said why, else only for now.
    fn gone(&mut self, cause: &str) -> Ending {
        self.verdict.take().map_or_else(|| Ending::Lost(cause.to_owned()), Ending::Closed)
    }

    async fn understand(&mut self, message: ServerMessage) -> Result<(), Ending> {
        let event = match message {
            ServerMessage::PeerJoined { peer } => SignalEvent::Joined(peer),
            ServerMessage::PeerLeft { id, reason } => SignalEvent::Left { id, reason },
            ServerMessage::Signal { from, body } => SignalEvent::Signal { from, signal: body.into() },
            ServerMessage::Tracks { from, tracks } => SignalEvent::Tracks { id: from, tracks },
            ServerMessage::Ping => return self.send(&ClientMessage::Pong).await,
            ServerMessage::Pong | ServerMessage::Welcome { .. } => return Ok(()),
            ServerMessage::Error { code: ErrorCode::NoSuchPeer | ErrorCode::Busy | ErrorCode::BadMessage, message } => {
                tracing::warn!(room = %self.room.url, "the room server says: {message}");
                return Ok(());
            }
            ServerMessage::Error { message, .. } => {
                self.verdict = Some(message);
                return Ok(());
            }
        };
        self.untaken.push_back(event);
        Ok(())
    }

    /// Tries to come back until it works, is refused, or has been tried often enough.
    async fn come_back(&mut self, mut cause: String) -> Result<(), Ending> {
        for (attempt, delay) in (1..).zip(COME_BACK.build()) {
            tracing::info!(room = %self.room.url, attempt, "reconnecting: {cause}");
            // Only news: where the session is too busy to take it, the next attempt has some again.
            let _ = self.events.try_send(SignalEvent::Reconnecting { attempt, cause: cause.clone() });
            match self.try_again(delay).await? {
                Ok(entry) => {
                    self.settle(entry);
                    return Ok(());
                }
                Err(no) if no.try_again => cause = no.error.to_string(),
                Err(no) => return Err(Ending::Closed(no.error.to_string())),
            }
        }
        Err(Ending::Closed(format!("gave up coming back to the room: {cause}")))
    }

    /// Waits, then joins with the proof of the old membership; commands that come meanwhile are kept.
    async fn try_again(&mut self, delay: Duration) -> Result<Result<Entry, NoEntry>, Ending> {
        let proof = Resume { id: self.me.clone(), secret: self.secret.clone() };
        let again = async {
            sleep(delay).await;
            self.room.enter(&self.how, Some(proof)).await
        };
        tokio::pin!(again);
        loop {
            tokio::select! {
                outcome = &mut again => return Ok(outcome),
                command = self.commands.recv(), if self.unsent.len() < UNSENT => match command {
                    None | Some(SignalCommand::Leave) => return Err(Ending::Left),
                    Some(SignalCommand::Peer { .. }) => {}
                    Some(command) => self.unsent.push_back(command),
                }
            }
        }
    }

    /// Takes the new socket over.
    fn settle(&mut self, entry: Entry) {
        if !entry.resumed {
            // The server has forgotten us: signals were for connections that the others have closed, labels are told anew.
            self.unsent.retain(|command| matches!(command, SignalCommand::Tracks(_)));
            self.unsent.push_front(SignalCommand::Tracks(std::mem::take(&mut self.labels)));
        }
        self.socket = entry.socket;
        self.me = entry.id;
        self.secret = entry.secret;
        self.verdict = None;
        self.untaken.push_back(SignalEvent::Resumed { me: self.me.clone(), peers: entry.peers });
    }

    async fn say_goodbye(mut self) {
        let last_words = async {
            self.socket.send(written(&ClientMessage::Leave)).await?;
            let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            self.socket.close(Some(normal)).await?;
            while let Some(Ok(_)) = self.socket.next().await {}
            Ok::<(), tungstenite::Error>(())
        };
        // A server that is not there any more will notice by itself.
        let _ = timeout(GOODBYE, last_words).await;
    }
}

/// True for closes that the server means: normal, going away, policy. Others are accidents of the network or of a proxy.
fn is_final(code: CloseCode) -> bool {
    matches!(code, CloseCode::Normal | CloseCode::Away | CloseCode::Policy)
}

//! Keeps the membership in a room alive over WebSockets: carries messages, events and commands, notices silence, reconnects with backoff.
//! One task, one loop. What the messages mean is the [`RoomProtocol`]'s.

use super::backoff::reconnect_delays;
use super::signaller::{Link, SignalCommand, SignalEvent};
use super::websocket::{ConnectError, Disconnect, Message, Socket};
use crate::room::description::IceServer;
use crate::room::end::EndReason;
use crate::room::participant::{Participant, ParticipantId};
use crate::room::policy::NegotiationPolicy;
use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, Instant as StdInstant};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout, timeout_at};

/// Events and commands that wait in a [`Link`], and commands that are kept while there is no socket (policy Block).
const QUEUE: usize = 1024;
/// How long leaving may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a protocol wants done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Send this to the server.
    Send(Message),
    /// Give this to the client.
    Emit(SignalEvent),
    /// The socket is of no use any more: connect again. The text is the cause, for people.
    Reconnect(String),
    /// The membership has ended for good.
    End(EndReason),
}

impl Action {
    /// Sends a text message.
    pub fn send(text: impl Into<String>) -> Action {
        Action::Send(Message::Text(text.into()))
    }
}

/// What differs between kinds of rooms in how a socket is kept.
#[derive(Debug, Clone)]
pub(super) struct Keepalive {
    /// How often the server is pinged (RFC 6455, 5.5.2), for protocols without a heartbeat of the server's.
    pub ping: Option<Duration>,
    /// The socket is lost when nothing is received, or nothing can be sent, for this long.
    pub silence: Duration,
    /// How often [`RoomProtocol::on_tick`] is called.
    pub tick: Option<Duration>,
    /// The code of the close frame when we leave.
    pub close_code: Option<u16>,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive {
            ping: Some(Duration::from_secs(5)),
            silence: Duration::from_secs(20),
            tick: Some(Duration::from_millis(100)),
            close_code: None,
        }
    }
}

/// A kind of room: how it is joined, and what its messages mean. Apart from `connect` it does not wait, and is told the time.
pub(super) trait RoomProtocol: Send + 'static {
    /// Connects and joins; after a loss, joins again. What was learned is kept in `self`, and only on success: it may be cancelled.
    fn connect(&mut self) -> impl Future<Output = Result<Socket, ConnectError>> + Send;

    /// The socket of the last [`RoomProtocol::connect`] is in use. `reconnected`: it is not the first one.
    fn on_connected(&mut self, reconnected: bool, now: StdInstant) -> Vec<Action>;

    fn on_message(&mut self, message: &Message, now: StdInstant) -> Vec<Action>;

    /// A command of the client, never [`SignalCommand::Leave`].
    fn on_command(&mut self, command: SignalCommand, now: StdInstant) -> Vec<Action>;

    fn on_tick(&mut self, _now: StdInstant) -> Vec<Action> {
        Vec::new()
    }

    /// The socket ended. A reason ends the membership for good; without one, the room is joined again.
    fn on_disconnect(&mut self, _how: &Disconnect) -> Option<EndReason> {
        None
    }

    /// Whether a command is kept for later while there is no socket.
    fn is_queued(_command: &SignalCommand) -> bool {
        true
    }

    /// Whether a command that was kept still makes sense on the new socket.
    fn is_still_valid(&self, _command: &SignalCommand) -> bool {
        true
    }

    /// The last messages before we leave.
    fn goodbye(&mut self) -> Vec<Message>;

    /// Our id and the other participants, as of the last [`RoomProtocol::connect`].
    fn present(&self) -> (ParticipantId, Vec<Participant>);
}

/// What a [`Link`] says of the room.
pub(super) struct RoomInfo {
    pub room: String,
    pub ice_servers: Vec<IceServer>,
    pub policy: NegotiationPolicy,
}

/// Starts the task of a room that was joined over `socket`.
pub(super) fn start(socket: Socket, protocol: impl RoomProtocol, info: RoomInfo, keepalive: Keepalive) -> Link {
    let RoomInfo { room, ice_servers, policy } = info;
    let (events, link_events) = mpsc::channel(QUEUE);
    let (link_commands, commands) = mpsc::channel(QUEUE);
    let (me, peers) = protocol.present();
    let connector = Connector {
        room: room.clone(),
        socket,
        protocol,
        keepalive,
        events,
        commands,
        pending_events: VecDeque::new(),
        queued_commands: VecDeque::new(),
    };
    tokio::spawn(connector.run());
    Link { me, room, peers, ice_servers, policy, events: link_events, commands: link_commands }
}

/// Why a socket is not used any longer.
enum Outcome {
    /// The client wants to leave.
    Leave,
    /// The membership has ended for good.
    Ended(EndReason),
    /// The socket is lost; the cause, for people.
    Lost(String),
}

struct Connector<P> {
    /// Its name, for the log.
    room: String,
    socket: Socket,
    protocol: P,
    keepalive: Keepalive,
    events: mpsc::Sender<SignalEvent>,
    commands: mpsc::Receiver<SignalCommand>,
    /// Events that the client has not received yet. Nothing more is read from the socket meanwhile, but commands are still carried
    /// out: a client that waits to give a command must not wait for itself.
    pending_events: VecDeque<SignalEvent>,
    /// Commands that came while there was no socket.
    queued_commands: VecDeque<SignalCommand>,
}

impl<P: RoomProtocol> Connector<P> {
    async fn run(mut self) {
        let mut reconnected = false;
        let outcome = loop {
            match self.serve(reconnected).await {
                Outcome::Lost(cause) => match self.reconnect(cause).await {
                    Ok(()) => reconnected = true,
                    Err(outcome) => break outcome,
                },
                outcome => break outcome,
            }
        };
        match outcome {
            Outcome::Leave => self.leave().await,
            Outcome::Ended(reason) => self.close(reason).await,
            Outcome::Lost(detail) => self.close(EndReason::ConnectionLost { detail }).await,
        }
    }

    /// Carries messages, events and commands over one socket.
    async fn serve(&mut self, reconnected: bool) -> Outcome {
        match self.serve_until_end(reconnected).await {
            Ok(never) => match never {},
            Err(outcome) => outcome,
        }
    }

    async fn serve_until_end(&mut self, reconnected: bool) -> Result<std::convert::Infallible, Outcome> {
        let actions = self.protocol.on_connected(reconnected, now());
        self.perform(actions).await?;
        while let Some(command) = self.queued_commands.pop_front() {
            if self.protocol.is_still_valid(&command) {
                self.on_command(command).await?;
            }
        }
        let events = self.events.clone();
        let (mut tick, mut ping) = (every(self.keepalive.tick), every(self.keepalive.ping));
        let mut deadline = Instant::now() + self.keepalive.silence;
        loop {
            tokio::select! {
                permit = events.reserve(), if !self.pending_events.is_empty() => {
                    let permit = permit.map_err(|_| Outcome::Leave)?;
                    if let Some(event) = self.pending_events.pop_front() {
                        permit.send(event);
                    }
                }
                command = self.commands.recv() => self.on_command(command.unwrap_or(SignalCommand::Leave)).await?,
                received = timeout_at(deadline, self.socket.next()), if self.pending_events.is_empty() => {
                    match received {
                        Ok(Ok(Some(message))) => {
                            let actions = self.protocol.on_message(&message, now());
                            self.perform(actions).await?;
                        }
                        Ok(Ok(None)) => {}
                        Ok(Err(how)) => return Err(self.disconnected(&how)),
                        Err(_) => {
                            let seconds = self.keepalive.silence.as_secs();
                            return Err(Outcome::Lost(format!("nothing was received for {seconds} seconds")));
                        }
                    }
                    deadline = Instant::now() + self.keepalive.silence;
                }
                () = next(&mut ping) => {
                    let sent = timeout(self.keepalive.silence, self.socket.ping()).await;
                    self.sent(sent)?;
                }
                () = next(&mut tick) => {
                    let actions = self.protocol.on_tick(now());
                    self.perform(actions).await?;
                }
            }
        }
    }

    async fn on_command(&mut self, command: SignalCommand) -> Result<(), Outcome> {
        if command == SignalCommand::Leave {
            return Err(Outcome::Leave);
        }
        let actions = self.protocol.on_command(command, now());
        self.perform(actions).await
    }

    async fn perform(&mut self, actions: Vec<Action>) -> Result<(), Outcome> {
        for action in actions {
            match action {
                Action::Send(message) => {
                    let sent = timeout(self.keepalive.silence, self.socket.send(message)).await;
                    self.sent(sent)?;
                }
                Action::Emit(event) => self.pending_events.push_back(event),
                Action::Reconnect(cause) => return Err(Outcome::Lost(cause)),
                Action::End(reason) => return Err(Outcome::Ended(reason)),
            }
        }
        Ok(())
    }

    fn sent(&mut self, sent: Result<Result<(), Disconnect>, tokio::time::error::Elapsed>) -> Result<(), Outcome> {
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(how)) => Err(self.disconnected(&how)),
            Err(_) => {
                let seconds = self.keepalive.silence.as_secs();
                Err(Outcome::Lost(format!("nothing could be sent for {seconds} seconds")))
            }
        }
    }

    fn disconnected(&mut self, how: &Disconnect) -> Outcome {
        self.protocol.on_disconnect(how).map_or_else(|| Outcome::Lost(how.to_string()), Outcome::Ended)
    }

    /// Tries to join again until it succeeds, is refused, or the attempts are used up.
    async fn reconnect(&mut self, mut cause: String) -> Result<(), Outcome> {
        for (attempt, delay) in (1..).zip(reconnect_delays()) {
            tracing::info!(room = self.room, attempt, "reconnecting: {cause}");
            // For information only: a client that is too busy for it gets the next one.
            let _ = self.events.try_send(SignalEvent::Reconnecting { attempt, cause: cause.clone() });
            match self.connect_after(delay).await? {
                Ok(socket) => {
                    self.socket = socket;
                    let (me, peers) = self.protocol.present();
                    self.pending_events.push_back(SignalEvent::Resumed { me, peers });
                    return Ok(());
                }
                Err(failed) if failed.retry => cause = failed.error.to_string(),
                Err(ConnectError { error, .. }) => {
                    return Err(Outcome::Ended(EndReason::refused(error.code(), error.to_string())));
                }
            }
        }
        let detail = format!("could not reconnect to the room: {cause}");
        Err(Outcome::Ended(EndReason::ConnectionLost { detail }))
    }

    /// Waits, then connects; commands that come meanwhile are kept.
    async fn connect_after(&mut self, delay: Duration) -> Result<Result<Socket, ConnectError>, Outcome> {
        let protocol = &mut self.protocol;
        let connected = async {
            sleep(delay).await;
            protocol.connect().await
        };
        tokio::pin!(connected);
        loop {
            tokio::select! {
                outcome = &mut connected => return Ok(outcome),
                command = self.commands.recv(), if self.queued_commands.len() < QUEUE => match command {
                    None | Some(SignalCommand::Leave) => return Err(Outcome::Leave),
                    Some(command) if P::is_queued(&command) => self.queued_commands.push_back(command),
                    Some(_) => {}
                }
            }
        }
    }

    /// Tells the client why it ended, after everything that happened before.
    async fn close(mut self, reason: EndReason) {
        self.pending_events.push_back(SignalEvent::Closed(reason));
        for event in self.pending_events {
            // A client that has gone needs no reason.
            let _ = self.events.send(event).await;
        }
    }

    async fn leave(mut self) {
        let leave = async {
            for message in self.protocol.goodbye() {
                self.socket.send(message).await?;
            }
            self.socket.close(self.keepalive.close_code).await
        };
        // A server that is gone needs no goodbye.
        let _ = timeout(LEAVE_TIMEOUT, leave).await;
    }
}

/// The time as the runtime has it: in tests it can stand still.
fn now() -> StdInstant {
    Instant::now().into_std()
}

fn every(period: Option<Duration>) -> Option<Interval> {
    period.map(|period| {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    })
}

async fn next(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "connector_tests.rs"]
mod tests;

//! A session at a WHIP or WHEP endpoint: offer and answer over HTTP, then the state of the connection. One task, one loop. If an ICE restart
//! does not restore the connection, another session begins.

mod exchange;

use crate::error::{Error, Result};
use crate::room::description::{Description, IceServer, Signal};
use crate::room::end::EndReason;
use crate::room::participant::{Participant, ParticipantId, Role};
use crate::room::policy::{NegotiationPolicy, OfferRequest, PeerState};
use crate::signal::backoff::reconnect_delays;
use crate::signal::signaller::{Link, SignalCommand, SignalEvent};
use crate::signal::whip_whep::endpoint::Endpoint;
use crate::signal::whip_whep::http::{Http, HttpFailure, Reply, shown};
use backon::ExponentialBackoff;
use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use url::Url;

/// Events and commands that wait in a [`Link`].
const QUEUE: usize = 1024;
/// How long an ICE restart may take.
const RESTART_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that is disconnected for longer than this is restarted (ICE).
const DISCONNECTED_TIMEOUT: Duration = Duration::from_secs(1);
/// How much longer an answer is awaited after the client has left: a session that it begins must be ended.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_millis(400);
/// How long the DELETE may take.
const DELETE_TIMEOUT: Duration = Duration::from_secs(1);

/// Asks the endpoint whether a session may begin, then waits for the client's offer.
///
/// # Errors
/// The room's: the endpoint cannot be reached, or refuses already.
pub(crate) async fn join(
    endpoint: &Endpoint,
    token: Option<&str>,
    room: String,
    policy: NegotiationPolicy,
) -> Result<Link> {
    let http = Http::new(token.or(endpoint.token.as_deref()))?;
    let (events, link_events) = mpsc::channel(QUEUE);
    let (link_commands, commands) = mpsc::channel(QUEUE);
    let mut session = HttpSession::new(endpoint.clone(), http, policy.clone(), events, commands);
    session.probe().await.map_err(|failure| Error::room(failure.why))?;
    let link = Link {
        me: our_id(),
        room,
        peers: vec![session.other_side()],
        ice_servers: session.ice_servers.clone(),
        policy,
        events: link_events,
        commands: link_commands,
    };
    tokio::spawn(session.run());
    Ok(link)
}

fn our_id() -> ParticipantId {
    ParticipantId("me".to_owned())
}

/// The state of the connection.
enum Health {
    Connected,
    /// It must be connected by this time.
    Connecting(Instant),
    /// It is restarted at this time.
    Disconnected(Instant),
    /// It must be connected again by this time.
    Restarting(Instant),
}

/// The session resource at the endpoint.
struct Resource {
    url: Url,
    /// Their answer; none where they made the offer.
    answer: Option<String>,
}

/// Why a session ended.
enum Outcome {
    Leave,
    /// For good.
    Ended(EndReason),
    /// Another attempt may succeed.
    Lost(HttpFailure),
}

struct HttpSession {
    http: Http,
    endpoint: Endpoint,
    policy: NegotiationPolicy,
    events: mpsc::Sender<SignalEvent>,
    commands: mpsc::Receiver<SignalCommand>,
    /// Commands that came while an answer was awaited.
    queued_commands: VecDeque<SignalCommand>,
    leaving: bool,
    /// Counts connections: each is another participant's.
    connection: u32,
    ice_servers: Vec<IceServer>,
    resource: Option<Resource>,
    health: Health,
    delays: ExponentialBackoff,
    attempt: u32,
}

impl HttpSession {
    fn new(
        endpoint: Endpoint,
        http: Http,
        policy: NegotiationPolicy,
        events: mpsc::Sender<SignalEvent>,
        commands: mpsc::Receiver<SignalCommand>,
    ) -> HttpSession {
        HttpSession {
            http,
            endpoint,
            policy,
            events,
            commands,
            queued_commands: VecDeque::new(),
            leaving: false,
            connection: 1,
            ice_servers: Vec::new(),
            resource: None,
            health: Health::Connected,
            delays: reconnect_delays(),
            attempt: 0,
        }
    }

    /// Asks whether a session may begin.
    async fn probe(&mut self) -> Result<(), HttpFailure> {
        let reply = self.http.probe(&self.endpoint.url).await?;
        self.check_probe(&reply)
    }

    fn id(&self) -> ParticipantId {
        ParticipantId(format!("endpoint-{}", self.connection))
    }

    fn other_side(&self) -> Participant {
        Participant { id: self.id(), name: self.endpoint.name.clone(), role: Role::Participant, tracks: Vec::new() }
    }

    /// What an answer to OPTIONS means: other servers than WHIP endpoints may answer anything.
    fn check_probe(&mut self, reply: &Reply) -> Result<(), HttpFailure> {
        if reply.is_of_endpoint() && !reply.status.is_success() {
            return Err(reply.failure(self.http.has_token()));
        }
        let servers = reply.ice_servers();
        if !servers.is_empty() {
            self.ice_servers = servers;
        }
        Ok(())
    }

    /// Until we leave, or the endpoint refuses.
    async fn run(mut self) {
        let outcome = loop {
            let outcome = match self.serve().await {
                Outcome::Lost(failure) => match self.begin_again(failure).await {
                    Ok(()) => continue,
                    Err(outcome) => outcome,
                },
                outcome => outcome,
            };
            break outcome;
        };
        if let Some(resource) = self.resource.take() {
            // A server that is gone needs no DELETE.
            let _ = timeout(DELETE_TIMEOUT, self.http.end(&resource.url)).await;
        }
        let reason = match outcome {
            Outcome::Leave => return,
            Outcome::Ended(reason) => reason,
            Outcome::Lost(failure) => EndReason::ConnectionLost { detail: failure.why },
        };
        // A client that has gone needs no reason.
        let _ = self.events.send(SignalEvent::Closed(reason)).await;
    }

    async fn serve(&mut self) -> Outcome {
        loop {
            if self.leaving {
                return Outcome::Leave;
            }
            let due = match self.health {
                Health::Connected => None,
                Health::Connecting(at) | Health::Disconnected(at) | Health::Restarting(at) => Some(at),
            };
            let due = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let done = match self.queued_commands.pop_front() {
                Some(command) => self.on_command(command).await,
                None => tokio::select! {
                    command = self.commands.recv() => self.on_command(command.unwrap_or(SignalCommand::Leave)).await,
                    () = due => self.on_deadline().await,
                },
            };
            if let Err(outcome) = done {
                return outcome;
            }
        }
    }

    async fn on_command(&mut self, command: SignalCommand) -> Result<(), Outcome> {
        match command {
            SignalCommand::Leave => Err(Outcome::Leave),
            SignalCommand::Signal { to, signal: Signal::Description(Description { kind, sdp }) } if to == self.id() => {
                match (kind.as_str(), &self.resource) {
                    ("offer", None) => self.begin(&sdp).await,
                    ("offer", Some(Resource { answer: Some(_), .. })) => self.restart(&sdp).await,
                    ("answer", Some(Resource { answer: None, .. })) => self.answer(&sdp).await,
                    _ => Ok(()),
                }
            }
            SignalCommand::Peer { id, state } if id == self.id() => self.on_peer_state(state),
            _ => Ok(()),
        }
    }

    fn on_peer_state(&mut self, state: PeerState) -> Result<(), Outcome> {
        let now = Instant::now();
        match (state, &self.health) {
            (PeerState::Connected, _) => {
                self.health = Health::Connected;
                (self.delays, self.attempt) = (reconnect_delays(), 0);
            }
            (PeerState::Disconnected, Health::Connected) => {
                self.health = Health::Disconnected(now + DISCONNECTED_TIMEOUT)
            }
            // The connection restarts ICE by itself then.
            (PeerState::Failed, Health::Connected | Health::Disconnected(_)) => {
                self.health = Health::Restarting(now + RESTART_TIMEOUT)
            }
            (PeerState::Failed, Health::Connecting(_)) => return Err(self.lost("no connection could be made")),
            (PeerState::Closed, _) => return Err(self.lost("the connection was closed")),
            _ => {}
        }
        Ok(())
    }

    /// The time of [`Health`] is over.
    async fn on_deadline(&mut self) -> Result<(), Outcome> {
        match self.health {
            Health::Connected => Ok(()),
            Health::Connecting(_) => Err(self.lost("no connection could be made")),
            Health::Restarting(_) => Err(self.lost("the connection was lost")),
            // They made the offer, so they would have to restart.
            Health::Disconnected(_) if self.resource.as_ref().is_none_or(|resource| resource.answer.is_none()) => {
                Err(self.lost("the connection was lost"))
            }
            Health::Disconnected(_) => {
                self.health = Health::Restarting(Instant::now() + RESTART_TIMEOUT);
                self.emit(SignalEvent::OfferRequested { from: self.id(), request: OfferRequest::IceRestart }).await
            }
        }
    }

    fn lost(&self, why: &str) -> Outcome {
        let why = format!("{}: {why}", shown(&self.endpoint.url));
        Outcome::Lost(HttpFailure { why, retry: true, retry_after: None, missing: false })
    }

    /// The connection is lost: ends the session, waits until the endpoint answers, and lets the client make another connection.
    async fn begin_again(&mut self, mut failure: HttpFailure) -> Result<(), Outcome> {
        if let Some(resource) = self.resource.take().filter(|_| !failure.missing) {
            let http = self.http.clone();
            tokio::spawn(async move { timeout(DELETE_TIMEOUT, http.end(&resource.url)).await });
        }
        self.health = Health::Connected;
        self.emit(SignalEvent::Left { id: self.id(), reason: "timeout".to_owned() }).await?;
        loop {
            // For information only: a client that is too busy for it gets the next one.
            let event = SignalEvent::Reconnecting { attempt: self.attempt + 1, cause: failure.why.clone() };
            let _ = self.events.try_send(event);
            self.pause(failure).await?;
            let (http, at) = (self.http.clone(), self.endpoint.url.clone());
            failure = match self.wait_for(async move { http.probe(&at).await }).await? {
                Ok(reply) => match self.check_probe(&reply) {
                    Ok(()) => break,
                    // The participant that we watched may come back.
                    Err(failure) if failure.retry || failure.missing => failure,
                    Err(failure) => return Err(Outcome::Ended(EndReason::Refused { detail: failure.why })),
                },
                Err(failure) => failure,
            };
        }
        self.connection += 1;
        self.emit(SignalEvent::IceServers(self.ice_servers.clone())).await?;
        self.emit(SignalEvent::Resumed { me: our_id(), peers: vec![self.other_side()] }).await
    }

    /// Waits before another attempt, until the attempts are used up.
    async fn pause(&mut self, failure: HttpFailure) -> Result<(), Outcome> {
        self.attempt += 1;
        let Some(delay) = self.delays.next() else {
            let detail = format!("gave up: {}", failure.why);
            return Err(Outcome::Ended(EndReason::ConnectionLost { detail }));
        };
        self.wait_for(sleep(delay.max(failure.retry_after.unwrap_or_default()))).await
    }

    /// Waits for an answer, while commands are queued (policy DropNewest: a client gives far fewer meanwhile).
    async fn wait_for<T>(&mut self, answer: impl Future<Output = T>) -> Result<T, Outcome> {
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                command = self.commands.recv() => match command {
                    None | Some(SignalCommand::Leave) => break,
                    Some(command) if self.queued_commands.len() < QUEUE => self.queued_commands.push_back(command),
                    Some(_) => {}
                },
            }
        }
        self.leaving = true;
        timeout(LAST_ANSWER_TIMEOUT, answer).await.map_err(|_| Outcome::Leave)
    }

    async fn emit(&self, event: SignalEvent) -> Result<(), Outcome> {
        self.events.send(event).await.map_err(|_| Outcome::Leave)
    }
}

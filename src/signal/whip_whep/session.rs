//! A visit to a WHIP or WHEP endpoint: one description to and fro, and what becomes of the connection after it. One task, one loop.
//! Where the connection cannot be had back by an ICE restart, a new session begins.

use crate::room::description::{Description, IceServer, Signal};
use crate::room::end::EndReason;
use crate::room::participant::{Participant, ParticipantId, Role};
use crate::room::policy::{Ask, FirstOffer, NegotiationPolicy, PeerState};
use crate::room::sdp::Sdp;
use crate::signal::whip_whep::endpoint::Endpoint;
use crate::signal::whip_whep::fragment::Fragment;
use crate::signal::whip_whep::http::{Http, No, Reply, shown};
use crate::signal::whip_whep::{muxed_only, screens};
use crate::signal::{SignalCommand, SignalEvent};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use reqwest::StatusCode;
use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use url::Url;

/// Events and commands that wait in a link.
pub(crate) const QUEUE: usize = 1024;
/// How long a connection may take to stand; where it might need ICE servers that came late; and to stand again by an ICE restart.
const CONNECTING: Duration = Duration::from_secs(15);
const WITHOUT_SERVERS: Duration = Duration::from_secs(4);
const RESTARTING: Duration = Duration::from_secs(10);
/// A connection that is disturbed for longer than this looks for other paths.
const DOUBT: Duration = Duration::from_secs(1);
/// Who leaves while an answer is awaited waits so much longer for it: what has begun there has to be ended.
const LAST_ANSWER: Duration = Duration::from_millis(400);
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Waits of a quarter of a second to five seconds between attempts, for about two minutes.
const AGAIN: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(250))
    .with_max_delay(Duration::from_secs(5))
    .with_max_times(28)
    .with_jitter();

/// How the connection is.
enum Health {
    Well,
    /// It is to stand by then.
    Beginning(Instant),
    /// Disturbed; what then is done about it.
    Doubted(Instant),
    /// It is to stand again by then.
    Restarting(Instant),
}

/// A session that has begun there.
struct Open {
    at: Url,
    /// Their description; none where they made the offer.
    answer: Option<String>,
}

/// Why a conversation ends.
enum Ending {
    Left,
    /// For good.
    Closed(String),
    /// Perhaps not for good.
    Lost(No),
}

pub(crate) struct HttpSession {
    http: Http,
    endpoint: Endpoint,
    policy: NegotiationPolicy,
    events: mpsc::Sender<SignalEvent>,
    commands: mpsc::Receiver<SignalCommand>,
    /// Commands that came while an answer was awaited.
    kept: VecDeque<SignalCommand>,
    leaving: bool,
    /// Of the connection: each has another one, and is another participant's.
    number: u32,
    pub ice_servers: Vec<IceServer>,
    session: Option<Open>,
    health: Health,
    again: ExponentialBackoff,
    attempt: u32,
}

impl HttpSession {
    pub fn new(
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
            kept: VecDeque::new(),
            leaving: false,
            number: 1,
            ice_servers: Vec::new(),
            session: None,
            health: Health::Well,
            again: AGAIN.build(),
            attempt: 0,
        }
    }

    /// Asks whether a session could begin.
    pub async fn knock(&mut self) -> Result<(), No> {
        let reply = self.http.may_begin(&self.endpoint.url).await?;
        self.welcomed(&reply)
    }

    fn id(&self) -> ParticipantId {
        ParticipantId(format!("endpoint-{}", self.number))
    }

    pub fn other_side(&self) -> Participant {
        Participant { id: self.id(), name: self.endpoint.name.clone(), role: Role::Participant, tracks: Vec::new() }
    }

    /// What an answer to the question whether we may begin means: others than WHIP endpoints answer it in any way.
    fn welcomed(&mut self, reply: &Reply) -> Result<(), No> {
        if reply.is_of_endpoint() && !reply.status.is_success() {
            return Err(reply.refusal(self.http.has_token()));
        }
        let servers = reply.ice_servers();
        if !servers.is_empty() {
            self.ice_servers = servers;
        }
        Ok(())
    }

    /// Until we leave, or the endpoint wants us no more.
    pub async fn run(mut self) {
        let ending = loop {
            let ending = match self.converse().await {
                Ending::Lost(no) => match self.come_back(no).await {
                    Ok(()) => continue,
                    Err(ending) => ending,
                },
                ending => ending,
            };
            break ending;
        };
        if let Some(session) = self.session.take() {
            // A server that is not there any more needs no goodbye.
            let _ = timeout(GOODBYE, self.http.end(&session.at)).await;
        }
        if let Ending::Closed(cause) | Ending::Lost(No { why: cause, .. }) = ending {
            let _ = self.events.send(SignalEvent::Closed(EndReason::RoomClosed { detail: cause })).await;
        }
    }

    async fn converse(&mut self) -> Ending {
        loop {
            if self.leaving {
                return Ending::Left;
            }
            let due = match self.health {
                Health::Well => None,
                Health::Beginning(at) | Health::Doubted(at) | Health::Restarting(at) => Some(at),
            };
            let due = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let done = match self.kept.pop_front() {
                Some(command) => self.obey(command).await,
                None => tokio::select! {
                    command = self.commands.recv() => self.obey(command.unwrap_or(SignalCommand::Leave)).await,
                    () = due => self.overdue().await,
                },
            };
            if let Err(ending) = done {
                return ending;
            }
        }
    }

    async fn obey(&mut self, command: SignalCommand) -> Result<(), Ending> {
        match command {
            SignalCommand::Leave => Err(Ending::Left),
            SignalCommand::Signal { to, signal: Signal::Description(Description { kind, sdp }) } if to == self.id() => {
                match (kind.as_str(), &self.session) {
                    ("offer", None) => self.begin(&sdp).await,
                    ("offer", Some(Open { answer: Some(_), .. })) => self.restart(&sdp).await,
                    ("answer", Some(Open { answer: None, .. })) => self.answer(&sdp).await,
                    _ => Ok(()),
                }
            }
            SignalCommand::Peer { id, state } if id == self.id() => self.stands(state),
            _ => Ok(()),
        }
    }

    fn stands(&mut self, state: PeerState) -> Result<(), Ending> {
        let now = Instant::now();
        match (state, &self.health) {
            (PeerState::Connected, _) => {
                self.health = Health::Well;
                (self.again, self.attempt) = (AGAIN.build(), 0);
            }
            (PeerState::Disconnected, Health::Well) => self.health = Health::Doubted(now + DOUBT),
            // The connection looks for other paths by itself then.
            (PeerState::Failed, Health::Well | Health::Doubted(_)) => {
                self.health = Health::Restarting(now + RESTARTING)
            }
            (PeerState::Failed, Health::Beginning(_)) => return Err(self.lost("no connection could be made")),
            (PeerState::Closed, _) => return Err(self.lost("the connection was closed")),
            _ => {}
        }
        Ok(())
    }

    /// A time that something had is over.
    async fn overdue(&mut self) -> Result<(), Ending> {
        match self.health {
            Health::Well => Ok(()),
            Health::Beginning(_) => Err(self.lost("no connection could be made")),
            Health::Restarting(_) => Err(self.lost("the connection was lost")),
            // Of a session that they offered, they would have to offer the restart.
            Health::Doubted(_) if self.session.as_ref().is_none_or(|session| session.answer.is_none()) => {
                Err(self.lost("the connection was lost"))
            }
            Health::Doubted(_) => {
                self.health = Health::Restarting(Instant::now() + RESTARTING);
                self.tell(SignalEvent::Asked { from: self.id(), ask: Ask::Paths }).await
            }
        }
    }

    fn lost(&self, why: &str) -> Ending {
        let why = format!("{}: {why}", shown(&self.endpoint.url));
        Ending::Lost(No { why, try_again: true, after: None, missing: false })
    }

    /// Begins a session with an offer.
    async fn begin(&mut self, offer: &str) -> Result<(), Ending> {
        if Sdp::sections_of(offer).is_empty() {
            return Err(Ending::Closed(
                "there is nothing to send from the start, and later nothing can be added".to_owned(),
            ));
        }
        let offer = muxed_only(offer);
        loop {
            let (http, at, offer) = (self.http.clone(), self.endpoint.url.clone(), offer.as_str());
            let no = match self.asked(async move { http.begin(&at, offer).await }).await? {
                Ok(reply) => match (reply.status.as_u16(), reply.session()) {
                    (200..300, Some(at)) if !Sdp::sections_of(&reply.body).is_empty() => {
                        return self.begun(&reply, at).await;
                    }
                    (200..300, _) => No::refused(format!("{} gives no session and description", shown(&reply.url))),
                    // Only where media comes to us: who sends knows best what.
                    (406, Some(at)) if !self.policy.video.sends() && reply.is_description() => {
                        return self.counter_offered(at, reply.body).await;
                    }
                    _ => reply.refusal(self.http.has_token()),
                },
                Err(no) => no,
            };
            if !no.try_again {
                return Err(Ending::Closed(no.why));
            }
            tracing::warn!("{}; trying again", no.why);
            self.pause(no).await?;
        }
    }

    async fn begun(&mut self, reply: &Reply, at: Url) -> Result<(), Ending> {
        let answer = reply.body.clone();
        self.session = Some(Open { at, answer: Some(answer.clone()) });
        let (before, id) = (self.ice_servers.clone(), self.id());
        let _ = self.welcomed(reply);
        // They help the next connection, if this one does not stand without them.
        let patience = if before == self.ice_servers { CONNECTING } else { WITHOUT_SERVERS };
        self.health = Health::Beginning(Instant::now() + patience);
        let tracks = screens(&answer);
        if !tracks.is_empty() {
            self.tell(SignalEvent::Tracks { id: id.clone(), tracks }).await?;
        }
        self.tell(SignalEvent::Signal { from: id, signal: Signal::description("answer", answer) }).await
    }

    /// Our offer is not taken, but theirs may be: another connection answers it.
    async fn counter_offered(&mut self, at: Url, offer: String) -> Result<(), Ending> {
        self.session = Some(Open { at, answer: None });
        self.health = Health::Beginning(Instant::now() + CONNECTING);
        self.tell(SignalEvent::Left { id: self.id(), reason: "left".to_owned() }).await?;
        self.number += 1;
        let policy = NegotiationPolicy { first_offer: FirstOffer::Them, ..self.policy.clone() };
        self.tell(SignalEvent::Met { who: self.other_side(), policy }).await?;
        self.tell(SignalEvent::Signal { from: self.id(), signal: Signal::description("offer", offer) }).await
    }

    async fn answer(&mut self, answer: &str) -> Result<(), Ending> {
        let Some(at) = self.session.as_ref().map(|session| session.at.clone()) else { return Ok(()) };
        let (http, answer) = (self.http.clone(), muxed_only(answer));
        match self.asked(async move { http.answer(&at, &answer).await }).await? {
            Ok(reply) if reply.status.is_success() => Ok(()),
            Ok(reply) => Err(Ending::Lost(reply.refusal(self.http.has_token()))),
            Err(no) => Err(Ending::Lost(no)),
        }
    }

    /// The connection has new credentials and addresses (RFC 9725, 4.3.3).
    async fn restart(&mut self, offer: &str) -> Result<(), Ending> {
        let Some(Open { at, answer: Some(before) }) = &self.session else { return Ok(()) };
        let (http, at, before) = (self.http.clone(), at.clone(), before.clone());
        self.health = Health::Restarting(Instant::now() + RESTARTING);
        let fragment = Fragment { ended: true, ..Fragment::parse(offer).unwrap_or_default() }.write(offer);
        let reply = match self.asked(async move { http.restart(&at, &fragment).await }).await? {
            Ok(reply) => reply,
            Err(no) => return Err(Ending::Lost(no)),
        };
        let theirs = Fragment::parse(&reply.body).filter(|_| reply.status == StatusCode::OK);
        let Some(Fragment { credentials: Some(new), candidates, .. }) = theirs else {
            let restarts_not =
                || No { try_again: true, ..No::refused(format!("{} restarts no ICE", shown(&reply.url))) };
            return Err(Ending::Lost(if reply.status.is_success() {
                restarts_not()
            } else {
                reply.refusal(self.http.has_token())
            }));
        };
        let lines: Vec<&str> = candidates.iter().map(|candidate| candidate.candidate.as_str()).collect();
        let answer = Sdp::edit(&before, |sdp| {
            sdp.restart_ice(&new);
            sdp.add_candidates(&lines);
        });
        if let Some(session) = &mut self.session {
            session.answer = Some(answer.clone());
        }
        self.tell(SignalEvent::Signal { from: self.id(), signal: Signal::description("answer", answer) }).await
    }

    /// The connection is gone: ends the session, waits until the endpoint is there, and has another connection made.
    async fn come_back(&mut self, mut no: No) -> Result<(), Ending> {
        if let Some(session) = self.session.take().filter(|_| !no.missing) {
            let http = self.http.clone();
            tokio::spawn(async move { timeout(GOODBYE, http.end(&session.at)).await });
        }
        self.health = Health::Well;
        self.tell(SignalEvent::Left { id: self.id(), reason: "timeout".to_owned() }).await?;
        loop {
            // Only news: where the session is too busy to take it, the next attempt has some again.
            let news = SignalEvent::Reconnecting { attempt: self.attempt + 1, cause: no.why.clone() };
            let _ = self.events.try_send(news);
            self.pause(no).await?;
            let (http, at) = (self.http.clone(), self.endpoint.url.clone());
            no = match self.asked(async move { http.may_begin(&at).await }).await? {
                Ok(reply) => match self.welcomed(&reply) {
                    Ok(()) => break,
                    // Whom we watched may come again.
                    Err(no) if no.try_again || no.missing => no,
                    Err(no) => return Err(Ending::Closed(no.why)),
                },
                Err(no) => no,
            };
        }
        self.number += 1;
        self.tell(SignalEvent::IceServers(self.ice_servers.clone())).await?;
        let me = ParticipantId("me".to_owned());
        self.tell(SignalEvent::Resumed { me, peers: vec![self.other_side()] }).await
    }

    /// Waits before another attempt; not for ever.
    async fn pause(&mut self, no: No) -> Result<(), Ending> {
        self.attempt += 1;
        let Some(delay) = self.again.next() else { return Err(Ending::Closed(format!("gave up: {}", no.why))) };
        self.asked(sleep(delay.max(no.after.unwrap_or_default()))).await
    }

    /// Waits for an answer, while commands are kept (policy DropNewest: nobody says so much meanwhile).
    async fn asked<T>(&mut self, answer: impl Future<Output = T>) -> Result<T, Ending> {
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                command = self.commands.recv() => match command {
                    None | Some(SignalCommand::Leave) => break,
                    Some(command) if self.kept.len() < QUEUE => self.kept.push_back(command),
                    Some(_) => {}
                },
            }
        }
        self.leaving = true;
        timeout(LAST_ANSWER, answer).await.map_err(|_| Ending::Left)
    }

    async fn tell(&self, event: SignalEvent) -> Result<(), Ending> {
        self.events.send(event).await.map_err(|_| Ending::Left)
    }
}

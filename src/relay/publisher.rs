//! Somebody who sends from outside, as a participant of a room: what comes goes on to everybody there, with its times. Never
//! transcodes, and hears nothing of what the room sends.

use super::contact::{Caller, Contact};
use super::stream::Stream;
use super::{Door, Refused, Request, Requests};
use crate::room::clock::SenderClock;
use crate::room::media::{MediaKind, Source};
use crate::room::people::{Role, TrackLabel};
use crate::rtc::{Inbound, Inbox, PeerEvent, PeerState, RemoteTrack, Wake};
use crate::session::{Session, SessionConfig};
use crate::signal::JoinAs;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a connection may take to stand, and to stand again.
const CONNECTING: Duration = Duration::from_secs(20);
/// Without any packet for this long, the sender is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// A track without packets for this long is shown as muted.
const MUTED: Duration = Duration::from_secs(3);
/// How often streams are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Two key frames that the room asks for are at least so far apart.
const KEY_FRAME_PAUSE: Duration = Duration::from_millis(300);

/// How somebody appears in the room.
#[derive(Debug, Clone)]
pub struct Publication {
    pub room: String,
    pub name: String,
    pub token: Option<String>,
    /// What their picture is.
    pub source: Source,
}

/// A publisher in the room, not yet at work.
pub(super) struct Publisher {
    session: Session,
    contact: Contact,
    source: Source,
    inbox: Arc<Inbox>,
    sender: SenderClock,
    streams: HashMap<MediaKind, Passing>,
    asks: mpsc::Sender<MediaKind>,
    asked: mpsc::Receiver<MediaKind>,
    batch: Vec<Inbound>,
    /// Since when there is no connection.
    down: Option<Instant>,
    heard: Instant,
}

/// A stream that is published.
struct Passing {
    stream: Stream,
    muted: bool,
    /// Carries key-frame requests of those in the room.
    asking: JoinHandle<()>,
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl Publisher {
    /// Joins the room, then answers.
    pub async fn start(door: &Door, what: Publication, caller: Caller) -> Result<(Publisher, String), Refused> {
        let room = door(&what.room).map_err(|e| Refused::Room(e.to_string()))?;
        let how = JoinAs { name: what.name, role: Role::Participant, token: what.token };
        let config = SessionConfig { wake: Wake::OnArrival, ..SessionConfig::default() };
        let session = Session::join(room.as_ref(), how, config).await.map_err(|e| Refused::Room(e.to_string()))?;
        let (contact, answer) = match Contact::answer(caller, Vec::new()).await {
            Ok(answered) => answered,
            Err(refused) => {
                session.leave().await;
                return Err(refused);
            }
        };
        let now = Instant::now();
        let (asks, asked) = mpsc::channel(8);
        let inbox = contact.inbox();
        let publisher = Publisher {
            session,
            contact,
            source: what.source,
            inbox,
            sender: SenderClock::new(),
            streams: HashMap::new(),
            asks,
            asked,
            batch: Vec::new(),
            down: Some(now),
            heard: now,
        };
        Ok((publisher, answer))
    }

    pub fn etag(&self) -> &str {
        self.contact.etag()
    }

    /// Passes on until one of the three ends it; says why.
    pub async fn run(mut self, mut requests: Requests) -> String {
        let inbox = self.inbox.clone();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let why = loop {
            let due = self.streams.values().filter_map(|passing| passing.stream.deadline()).min();
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                request = requests.recv() => match request {
                    Some(Request::Patch { wanted, fragment, reply }) => {
                        let _ = reply.send(self.contact.patch(&wanted, fragment, Instant::now()).await);
                    }
                    Some(Request::Answer { reply, .. }) => drop(reply.send(Err(Refused::Stale))),
                    Some(Request::End) => break "they have left".to_owned(),
                    None => break "the server stops".to_owned(),
                },
                event = self.contact.next() => match event {
                    Some(event) => if let Some(why) = self.happened(event).await {
                        break why;
                    },
                    None => break "the connection is closed".to_owned(),
                },
                cause = self.session.ended() => break format!("the room ended: {cause}"),
                Some(kind) = self.asked.recv() => {
                    if let Some(passing) = self.streams.get(&kind) {
                        self.contact.request_key_frame(passing.stream.ssrc());
                    }
                }
                () = inbox.arrived() => self.drain(),
                () = due => self.look(Instant::now()),
                _ = tick.tick() => {
                    let now = Instant::now();
                    self.look(now);
                    self.follow(now).await;
                    if self.down.is_some_and(|since| now.saturating_duration_since(since) > CONNECTING) {
                        break format!("no connection for {} s", CONNECTING.as_secs());
                    }
                    if now.saturating_duration_since(self.heard) > SILENCE {
                        break format!("nothing was heard for {} s", SILENCE.as_secs());
                    }
                }
            }
        };
        self.streams.clear();
        self.session.leave().await;
        self.contact.close().await;
        why
    }

    /// Something about the connection; why it is over, if it is.
    async fn happened(&mut self, event: PeerEvent) -> Option<String> {
        match event {
            PeerEvent::State(PeerState::Connected) => self.down = None,
            PeerEvent::State(PeerState::Closed) => return Some("they have closed the connection".to_owned()),
            PeerEvent::State(PeerState::Disconnected | PeerState::Failed) => {
                self.down.get_or_insert_with(Instant::now);
            }
            PeerEvent::Track(track) => self.add(track).await,
            PeerEvent::Warning(warning) => tracing::info!("from outside: {warning}"),
            _ => {}
        }
        None
    }

    /// One track of a kind is passed on: a second one is a new beginning of the first.
    async fn add(&mut self, track: RemoteTrack) {
        let kind = track.kind();
        if let Some(passing) = self.streams.get_mut(&kind) {
            if passing.stream.go_on(track.clone()) {
                return;
            }
            let old = passing.stream.out().label().stream.clone();
            self.streams.remove(&kind);
            self.session.handle().unpublish(&label(&old, kind, self.source)).await;
        }
        // Sound and picture share a stream, and so one clock at whoever plays them; another codec is another stream.
        let name = if self.source == Source::Screen { "screen" } else { "main" };
        let stream = Stream::new(track, label(name, kind, self.source), Instant::now());
        self.session.publish(stream.out().clone()).await;
        let (out, asks) = (stream.out().clone(), self.asks.clone());
        let asking = tokio::spawn(async move {
            let mut requests = out.key_frame_requests();
            while requests.changed().await.is_ok() && asks.send(kind).await.is_ok() {
                tokio::time::sleep(KEY_FRAME_PAUSE).await;
            }
        });
        self.streams.insert(kind, Passing { stream, muted: false, asking });
    }

    fn drain(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        let dropped = self.inbox.drain(&mut batch);
        if dropped > 0 {
            tracing::warn!("from outside: {dropped} packets came too fast to be passed on");
        }
        for item in batch.drain(..) {
            match item {
                Inbound::Rtp(packet) => {
                    self.heard = self.heard.max(packet.arrival);
                    if let Some(passing) = find(&mut self.streams, packet.ssrc) {
                        passing.stream.packet(packet);
                    }
                }
                Inbound::SenderReport { ssrc, ntp, rtp, arrival } => {
                    if let Some(passing) = find(&mut self.streams, ssrc) {
                        passing.stream.report(&mut self.sender, ntp, rtp, arrival);
                    }
                }
            }
        }
        self.batch = batch;
    }

    fn look(&mut self, now: Instant) {
        for passing in self.streams.values_mut() {
            if passing.stream.tick(now) {
                self.contact.request_key_frame(passing.stream.ssrc());
            }
        }
    }

    /// Labels follow what comes: there is no other word for a mute in WHIP. A screen that stands still sends nothing.
    async fn follow(&mut self, now: Instant) {
        let handle = self.session.handle();
        for passing in self.streams.values_mut() {
            let still = passing.stream.kind() == MediaKind::Video && self.source == Source::Screen;
            let muted = !still && now.saturating_duration_since(passing.stream.heard()) > MUTED;
            if std::mem::replace(&mut passing.muted, muted) != muted {
                handle.mute(passing.stream.out().label(), muted).await;
            }
        }
    }
}

fn find(streams: &mut HashMap<MediaKind, Passing>, ssrc: u32) -> Option<&mut Passing> {
    streams.values_mut().find(|passing| passing.stream.ssrc() == ssrc)
}

fn label(stream: &str, kind: MediaKind, picture: Source) -> TrackLabel {
    let source = match (kind, picture) {
        (MediaKind::Video, picture) => picture,
        (MediaKind::Audio, Source::Screen) => Source::ScreenAudio,
        (MediaKind::Audio, _) => Source::Mic,
    };
    TrackLabel { stream: stream.to_owned(), kind, source, muted: false }
}

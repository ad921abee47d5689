//! Somebody who sends from outside, as a participant of a room: what comes goes on to everybody there, with its times. Never
//! transcodes, and hears nothing of what the room sends.

use super::contact::{Caller, Contact};
use super::offers::{expected, sends_one_each};
use super::stream::{Early, Stream, ssrc_of};
use super::{Door, Refused, Request, Requests};
use crate::client::event::RoomEvent;
use crate::client::{Client, ClientConfig};
use crate::room::clock::SenderClock;
use crate::room::media::{MediaKind, Source};
use crate::room::participant::{ParticipantId, Role, TrackLabel};
use crate::rtc::{Inbound, Inbox, PeerEvent, PeerState, RemoteTrack, Wake, due};
use crate::signal::JoinAs;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

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

/// How long their answer waits for connections to those who are in the room.
const MEETING: Duration = Duration::from_secs(2);
/// What they sent last has so long to get through.
const LAST_WORDS: Duration = Duration::from_millis(200);

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
    session: Client,
    contact: Contact,
    source: Source,
    inbox: Arc<Inbox>,
    sender: SenderClock,
    streams: HashMap<MediaKind, Passing>,
    asks: mpsc::Sender<MediaKind>,
    asked: mpsc::Receiver<MediaKind>,
    batch: Vec<Inbound>,
    early: Early,
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

impl Passing {
    fn new(stream: Stream, asks: mpsc::Sender<MediaKind>) -> Passing {
        let (kind, mut requests) = (stream.kind(), stream.out().key_frame_requests());
        let asking = tokio::spawn(async move {
            while requests.changed().await.is_ok() && asks.send(kind).await.is_ok() {
                tokio::time::sleep(KEY_FRAME_PAUSE).await;
            }
        });
        Passing { stream, muted: false, asking }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl Publisher {
    /// Answers, then joins the room with what will come, and waits until those who are there can receive it: what is sent first, often
    /// a key frame that is not sent again for long, would else reach nobody.
    pub async fn start(door: &Door, what: Publication, caller: Caller) -> Result<(Publisher, String), Refused> {
        let sent = sends_one_each(&caller.offer)?;
        let room = door(&what.room).map_err(|e| Refused::Room(e.to_string()))?;
        let (contact, answer) = Contact::answer(caller, Vec::new()).await?;
        let taken = expected(&answer);
        // Half a session would look like a whole one to whoever sends (RFC 9725, 4.4.3).
        if let Some(left) = sent.iter().find(|kind| !taken.iter().any(|codec| codec.kind() == **kind)) {
            contact.close().await;
            let what = if *left == MediaKind::Video { "picture" } else { "sound" };
            return Err(Refused::Unfit(format!("the {what} comes in no codec that is taken here")));
        }
        let now = Instant::now();
        let (asks, asked) = mpsc::channel(8);
        let mut streams = HashMap::new();
        for codec in taken {
            let (kind, asks) = (codec.kind(), asks.clone());
            let stream = || Stream::expected(codec, label(what.source, kind), now);
            streams.entry(kind).or_insert_with(|| Passing::new(stream(), asks));
        }
        let how = JoinAs { name: what.name, role: Role::Participant, token: what.token };
        let (observer, events) = mpsc::channel(256);
        let config = ClientConfig {
            publish: streams.values().map(|passing| passing.stream.out().clone()).collect(),
            wake: Wake::OnArrival,
            observer: Some(observer),
            ..ClientConfig::default()
        };
        let session = match Client::join(room.as_ref(), how, config).await {
            Ok(session) => session,
            Err(e) => {
                contact.close().await;
                return Err(Refused::Room(e.to_string()));
            }
        };
        let _ = timeout(MEETING, met(session.present().to_vec(), events)).await;
        let now = Instant::now();
        let inbox = contact.inbox();
        let publisher = Publisher {
            session,
            contact,
            source: what.source,
            inbox,
            sender: SenderClock::new(),
            streams,
            asks,
            asked,
            batch: Vec::new(),
            early: Early::default(),
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
            let due = due(self.streams.values().filter_map(|passing| passing.stream.deadline()).min());
            tokio::select! {
                biased;
                request = requests.recv() => match request {
                    Some(Request::Patch { wanted, fragment, reply }) => {
                        self.contact.patch(&wanted, fragment, reply, Instant::now()).await;
                    }
                    Some(Request::Answer { reply, .. }) => drop(reply.send(Err(Refused::Unasked))),
                    Some(Request::End) => break "they have left".to_owned(),
                    None => break "the server stops".to_owned(),
                },
                event = self.contact.next() => match event {
                    Some(event) => if let Some(why) = self.happened(event).await {
                        break why;
                    },
                    None => break "the connection is closed".to_owned(),
                },
                reason = self.session.ended() => break reason.to_string(),
                Some(kind) = self.asked.recv() => {
                    if let Some(ssrc) = self.streams.get(&kind).and_then(|passing| passing.stream.ssrc()) {
                        self.contact.request_key_frame(ssrc);
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
        self.last_words().await;
        self.streams.clear();
        self.session.leave().await;
        self.contact.close().await;
        why
    }

    /// What they sent last may still be on its way to us, and then to the room.
    async fn last_words(&mut self) {
        tokio::time::sleep(LAST_WORDS / 2).await;
        self.drain();
        self.streams.values_mut().for_each(|passing| passing.stream.finish());
        tokio::time::sleep(LAST_WORDS / 2).await;
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
        self.place(&track).await;
        for item in self.early.take(track.ssrc) {
            self.take(item);
        }
    }

    async fn place(&mut self, track: &RemoteTrack) {
        let kind = track.kind();
        let label = label(self.source, kind);
        match self.streams.get_mut(&kind).map(|passing| passing.stream.go_on(track)) {
            Some(true) => return,
            Some(false) => {
                self.streams.remove(&kind);
                self.session.handle().unpublish(&label).await;
            }
            None => {}
        }
        let stream = Stream::new(track, label, Instant::now());
        self.session.publish(stream.out().clone()).await;
        self.streams.insert(kind, Passing::new(stream, self.asks.clone()));
    }

    fn drain(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        let dropped = self.inbox.drain(&mut batch);
        if dropped > 0 {
            tracing::warn!("from outside: {dropped} packets came too fast to be passed on");
        }
        for item in batch.drain(..) {
            if let Inbound::Rtp(packet) = &item {
                self.heard = self.heard.max(packet.arrival);
            }
            self.take(item);
        }
        self.batch = batch;
    }

    fn take(&mut self, item: Inbound) {
        let ssrc = Some(ssrc_of(&item));
        match self.streams.values_mut().find(|passing| passing.stream.ssrc() == ssrc) {
            Some(passing) => passing.stream.take(item, &mut self.sender),
            None => self.early.keep(item),
        }
    }

    fn look(&mut self, now: Instant) {
        for passing in self.streams.values_mut() {
            if passing.stream.tick(now)
                && let Some(ssrc) = passing.stream.ssrc()
            {
                self.contact.request_key_frame(ssrc);
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

/// Sound and picture share a stream, and so one clock at whoever plays them.
fn label(picture: Source, kind: MediaKind) -> TrackLabel {
    let source = match (kind, picture) {
        (MediaKind::Video, picture) => picture,
        (MediaKind::Audio, Source::Screen) => Source::ScreenAudio,
        (MediaKind::Audio, _) => Source::Mic,
    };
    let stream = if picture == Source::Screen { "screen" } else { "main" }.to_owned();
    TrackLabel { stream, kind, source, muted: false }
}

/// Waits until there is a connection to each of those, or none is to be had.
async fn met(mut those: Vec<ParticipantId>, mut events: mpsc::Receiver<RoomEvent>) {
    while !those.is_empty()
        && let Some(happening) = events.recv().await
    {
        let (RoomEvent::ConnectionState { id, state: PeerState::Connected | PeerState::Failed | PeerState::Closed }
        | RoomEvent::Left { id, .. }) = happening
        else {
            continue;
        };
        those.retain(|other| *other != id);
    }
}

//! Those outside who watch one participant of a room: one presence there, however many they are. What the participant sends goes on to
//! all of them, with its times; never transcoded.

use super::contact::Contact;
use super::stream::{Early, Stream, ssrc_of};
use super::{Door, Refused, Request, Requests};
use crate::client::event::RoomEvent;
use crate::client::{Client, ClientConfig};
use crate::room::clock::SenderClock;
use crate::room::media::{MediaKind, Source};
use crate::room::participant::{ParticipantId, Role, TrackLabel};
use crate::rtc::{Inbound, Inbox, OutboundTrack, PeerEvent, PeerState, RemoteTrack, Wake, due};
use crate::signal::JoinAs;
use crate::signal::protocol::limits::NAME_CHARS;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// How long the first of an audience waits for the participant's media.
const MEDIA: Duration = Duration::from_secs(8);
/// How long for the second track, where nobody has said what there is.
const MORE_MEDIA: Duration = Duration::from_secs(2);
/// How long a viewer's connection may take to stand, and to stand again.
const CONNECTING: Duration = Duration::from_secs(20);
/// How long an offer of ours stands (draft-ietf-wish-whep, 4.3.2).
const COUNTER_OFFER: Duration = Duration::from_secs(30);
/// An audience of nobody goes home after this long, and one whose participant has left, too.
const EMPTY: Duration = Duration::from_secs(10);
/// How often all is looked at.
const TICK: Duration = Duration::from_millis(100);
/// Two key frames that viewers ask for are at least so far apart.
const KEY_FRAME_PAUSE: Duration = Duration::from_millis(300);

/// What an audience sees and hears.
pub(super) type Show = Vec<OutboundTrack>;

/// Asks an audience for its show; the answer keeps it together until it is dropped.
pub(super) type Ask = oneshot::Sender<Result<(Show, Viewer), Refused>>;

/// A place in an audience; its channel closes when the show is over.
pub(super) type Viewer = watch::Receiver<()>;

/// Whom to watch.
#[derive(Debug, Clone)]
pub struct Watched {
    pub room: String,
    /// The participant's name, as the room shows it.
    pub name: String,
    pub token: Option<String>,
}

/// The task of an audience.
pub(super) struct WhepSource {
    session: Client,
    name: String,
    events: mpsc::Receiver<RoomEvent>,
    /// The participant, once met.
    id: Option<ParticipantId>,
    labels: Vec<TrackLabel>,
    inbox: Option<Arc<Inbox>>,
    sender: SenderClock,
    streams: HashMap<Source, Passing>,
    asks: mpsc::Sender<Source>,
    asked: mpsc::Receiver<Source>,
    batch: Vec<Inbound>,
    early: Early,
    /// Those who wait for media, and since when.
    waiting: Vec<(Ask, Instant)>,
    /// When the first media came.
    first: Option<Instant>,
    seats: watch::Sender<()>,
    alone: Instant,
    gone: Option<Instant>,
}

struct Passing {
    stream: Stream,
    asking: JoinHandle<()>,
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl WhepSource {
    /// Joins the room.
    pub async fn start(door: &Door, watched: Watched) -> Result<WhepSource, Refused> {
        let room = door(&watched.room).map_err(|e| Refused::Room(e.to_string()))?;
        let (observer, events) = mpsc::channel(1024);
        let name: String = format!("Viewers of {}", watched.name).chars().take(NAME_CHARS).collect();
        let how = JoinAs { name: name.trim_end().to_owned(), role: Role::Bot, token: watched.token };
        let config = ClientConfig {
            wake: Wake::OnArrival,
            only: vec![watched.name.clone()],
            observer: Some(observer),
            ..ClientConfig::default()
        };
        let session = Client::join(room.as_ref(), how, config).await.map_err(|e| Refused::Room(e.to_string()))?;
        let (asks, asked) = mpsc::channel(8);
        Ok(WhepSource {
            session,
            name: watched.name,
            events,
            id: None,
            labels: Vec::new(),
            inbox: None,
            sender: SenderClock::new(),
            streams: HashMap::new(),
            asks,
            asked,
            batch: Vec::new(),
            early: Early::default(),
            waiting: Vec::new(),
            first: None,
            seats: watch::Sender::new(()),
            alone: Instant::now(),
            gone: None,
        })
    }

    /// Passes on until nobody watches any more, or nobody is there to be watched.
    pub async fn run(mut self, mut doors: mpsc::Receiver<Ask>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let inbox = self.inbox.clone();
            let arrived = async {
                match &inbox {
                    Some(inbox) => inbox.arrived().await,
                    None => std::future::pending().await,
                }
            };
            let due = due(self.streams.values().filter_map(|passing| passing.stream.deadline()).min());
            tokio::select! {
                biased;
                happening = self.events.recv() => match happening {
                    Some(happening) => self.happened(happening).await,
                    None => break,
                },
                Some(ask) = doors.recv() => self.waiting.push((ask, Instant::now())),
                Some(source) = self.asked.recv() => {
                    let ssrc = self.streams.get(&source).and_then(|passing| passing.stream.ssrc());
                    if let (Some(id), Some(ssrc)) = (&self.id, ssrc) {
                        self.session.handle().request_key_frame(id, ssrc);
                    }
                }
                _ = self.session.ended() => break,
                () = arrived => self.drain(),
                () = due => self.give_up_holes(Instant::now()),
                _ = tick.tick() => if self.look(Instant::now()) {
                    break;
                },
            }
        }
        // Who comes now is told to come again.
        doors.close();
        while let Ok(ask) = doors.try_recv() {
            let _ = ask.send(Err(Refused::Gone));
        }
        self.streams.clear();
        self.session.leave().await;
    }

    async fn happened(&mut self, happening: RoomEvent) {
        match happening {
            RoomEvent::Joined(who) if who.name == self.name => {
                self.id = Some(who.id);
                self.labels = who.tracks;
                self.gone = None;
            }
            RoomEvent::Labels { id, tracks } if self.id.as_ref() == Some(&id) => self.labels = tracks,
            RoomEvent::ConnectionOpened { id, media, .. } if self.id.as_ref() == Some(&id) => {
                self.inbox = Some(media.inbox);
                self.early = Early::default();
                self.sender = SenderClock::new();
            }
            RoomEvent::Left { id, .. } if self.id.as_ref() == Some(&id) => {
                self.gone = Some(Instant::now());
                self.inbox = None;
            }
            RoomEvent::TrackAdded { id, track, .. } if self.id.as_ref() == Some(&id) => self.add(&track),
            _ => {}
        }
    }

    fn add(&mut self, track: &RemoteTrack) {
        self.place(track);
        for item in self.early.take(track.ssrc) {
            self.take(item);
        }
    }

    fn place(&mut self, track: &RemoteTrack) {
        let kind = track.kind();
        let label = self.labels.iter().find(|label| label.stream == track.stream && label.kind == kind);
        let source = label.map_or(Source::default_for(kind), |label| label.source);
        match self.streams.get_mut(&source).map(|passing| passing.stream.go_on(track)) {
            Some(true) => return,
            // There is no way to tell viewers of another codec: they are sent away, and come again if they want to.
            Some(false) => {
                self.seats = watch::Sender::new(());
                self.first = None;
            }
            None => {}
        }
        let screen = matches!(source, Source::Screen | Source::ScreenAudio);
        let stream = if screen { "screen" } else { "main" }.to_owned();
        let now = Instant::now();
        let stream = Stream::new(track, TrackLabel { stream, kind, source, muted: false }, now);
        let (out, asks) = (stream.out().clone(), self.asks.clone());
        let asking = tokio::spawn(async move {
            let mut requests = out.key_frame_requests();
            while requests.changed().await.is_ok() && asks.send(source).await.is_ok() {
                tokio::time::sleep(KEY_FRAME_PAUSE).await;
            }
        });
        self.first.get_or_insert(now);
        self.streams.insert(source, Passing { stream, asking });
    }

    fn drain(&mut self) {
        let Some(inbox) = self.inbox.clone() else { return };
        let mut batch = std::mem::take(&mut self.batch);
        if inbox.drain(&mut batch) > 0 {
            tracing::warn!("{}: packets came too fast to be passed on", self.name);
        }
        for item in batch.drain(..) {
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

    fn give_up_holes(&mut self, now: Instant) {
        for passing in self.streams.values_mut() {
            if passing.stream.tick(now)
                && let (Some(id), Some(ssrc)) = (&self.id, passing.stream.ssrc())
            {
                self.session.handle().request_key_frame(id, ssrc);
            }
        }
    }

    /// What time brings; true when it is over.
    fn look(&mut self, now: Instant) -> bool {
        self.give_up_holes(now);
        self.admit(now);
        if self.seats.receiver_count() > 0 || !self.waiting.is_empty() {
            self.alone = now;
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        since(self.alone) > EMPTY || self.gone.is_some_and(|gone| since(gone) > EMPTY)
    }

    /// Lets in those who wait, once there is something to see.
    fn admit(&mut self, now: Instant) {
        if self.waiting.is_empty() {
            return;
        }
        let show = self.show();
        let expected = |kind| self.labels.iter().any(|label| label.kind == kind && !label.muted);
        let has = |kind| show.iter().any(|track| track.label().kind == kind);
        let kinds = [MediaKind::Audio, MediaKind::Video];
        let complete = kinds.iter().all(|kind| has(*kind))
            || (!show.is_empty() && !self.labels.is_empty() && kinds.iter().all(|kind| has(*kind) || !expected(*kind)))
            || self.first.is_some_and(|first| now.saturating_duration_since(first) > MORE_MEDIA);
        for (ask, since) in std::mem::take(&mut self.waiting) {
            if complete && !show.is_empty() {
                let _ = ask.send(Ok((show.clone(), self.seats.subscribe())));
            } else if now.saturating_duration_since(since) > MEDIA {
                let _ = ask.send(Err(Refused::NothingSent));
            } else {
                self.waiting.push((ask, since));
            }
        }
    }

    /// One sound and one picture: the camera before the screen, and the sound that belongs to it.
    fn show(&self) -> Show {
        let pick = |sources: [Source; 2]| {
            sources.iter().find_map(|source| self.streams.get(source)).map(|passing| passing.stream.out().clone())
        };
        let picture = pick([Source::Camera, Source::Screen]);
        pick([Source::Mic, Source::ScreenAudio]).into_iter().chain(picture).collect()
    }
}

/// A viewer's connection, until it ends; says why.
pub(super) async fn serve(mut contact: Contact, mut seat: Viewer, mut requests: Requests) -> String {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut down = Some(Instant::now());
    let why = loop {
        tokio::select! {
            biased;
            request = requests.recv() => match request {
                Some(Request::Patch { wanted, fragment, reply }) => {
                    contact.patch(&wanted, fragment, reply, Instant::now()).await;
                }
                Some(Request::Answer { sdp, reply }) => {
                    if contact.waits() {
                        down = Some(Instant::now());
                    }
                    let _ = reply.send(contact.answered(sdp).await);
                }
                Some(Request::End) => break "they have left",
                None => break "the server stops",
            },
            event = contact.next() => match event {
                Some(PeerEvent::State(PeerState::Connected)) => down = None,
                Some(PeerEvent::State(PeerState::Closed)) | None => break "the connection is closed",
                Some(PeerEvent::State(PeerState::Disconnected | PeerState::Failed)) => {
                    down.get_or_insert_with(Instant::now);
                }
                Some(PeerEvent::Warning(warning)) => tracing::info!("a viewer: {warning}"),
                Some(_) => {}
            },
            _ = seat.changed() => break "what they watched is over",
            _ = tick.tick() => {
                let patience = if contact.waits() { COUNTER_OFFER } else { CONNECTING };
                if down.is_some_and(|since| since.elapsed() > patience) {
                    break "no connection for too long";
                }
            }
        }
    };
    contact.close().await;
    why.to_owned()
}

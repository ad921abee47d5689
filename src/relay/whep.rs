//! WHEP viewers of one participant: one member of the room for all of them. The participant's media is forwarded to every viewer with its
//! timestamps, never transcoded.

use super::http_peer::HttpPeer;
use super::outputs::{Change, Outputs, announce, ssrc_of, subscriber_config};
use super::request::{Request, RequestError, Requests, RoomFactory};
use crate::client::event::RoomEvent;
use crate::client::{Client, ClientConfig};
use crate::room::media::{MediaKind, Source};
use crate::room::participant::{ParticipantId, Role, TrackLabel};
use crate::rtc::subscriber::{StreamInfo, Subscriber};
use crate::rtc::{Inbound, Inbox, OutboundTrack, PeerEvent, PeerState, RemoteTrack, Wake, due};
use crate::signal::JoinAs;
use crate::signal::protocol::limits::NAME_CHARS;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// How long the first viewer waits for the participant's media.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(8);
/// How long to wait for a second track if the participant has no labels.
const SECOND_TRACK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a viewer's connection may take to be established, and re-established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long an offer of ours stands (draft-ietf-wish-whep, 4.3.2).
const COUNTER_OFFER_TIMEOUT: Duration = Duration::from_secs(30);
/// A source without viewers, or whose participant has left, ends after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of periodic work.
const TICK: Duration = Duration::from_millis(100);

/// The tracks that viewers receive.
pub(super) type ViewTracks = Vec<OutboundTrack>;

/// Asks a source for its tracks; the source lives at least as long as the answer.
pub(super) type ViewRequest = oneshot::Sender<Result<(ViewTracks, Viewer), RequestError>>;

/// Held by a viewer; its channel closes when the tracks end.
pub(super) type Viewer = watch::Receiver<()>;

/// The participant that a WHEP session receives.
#[derive(Debug, Clone)]
pub struct Watched {
    pub room: String,
    /// The participant's name, as the room shows it.
    pub name: String,
    pub token: Option<String>,
}

/// Receives one participant for all viewers.
pub(super) struct WhepSource {
    session: Client,
    name: String,
    events: mpsc::Receiver<RoomEvent>,
    /// The participant, once met.
    id: Option<ParticipantId>,
    inbox: Option<Arc<Inbox>>,
    subscriber: Subscriber<Source>,
    outputs: Outputs<Source>,
    /// Sources of which a viewer wants a key frame.
    key_frames: mpsc::Receiver<Source>,
    batch: Vec<Inbound>,
    /// Viewers that wait for media, and since when.
    waiting: Vec<(ViewRequest, Instant)>,
    /// When the first media came.
    first: Option<Instant>,
    viewers: watch::Sender<()>,
    alone: Instant,
    gone: Option<Instant>,
}

impl WhepSource {
    /// Joins the room.
    pub async fn start(room_factory: &RoomFactory, watched: Watched) -> Result<WhepSource, RequestError> {
        let room = room_factory(&watched.room).map_err(|e| RequestError::Room(e.to_string()))?;
        let (observer, events) = mpsc::channel(1024);
        let name: String = format!("Viewers of {}", watched.name).chars().take(NAME_CHARS).collect();
        let how = JoinAs { name: name.trim_end().to_owned(), role: Role::Bot, token: watched.token };
        let config = ClientConfig {
            wake: Wake::OnArrival,
            only: vec![watched.name.clone()],
            observer: Some(observer),
            ..ClientConfig::default()
        };
        let session = Client::join(room.as_ref(), how, config).await.map_err(|e| RequestError::Room(e.to_string()))?;
        let (sender, key_frames) = mpsc::channel(8);
        let now = Instant::now();
        Ok(WhepSource {
            session,
            name: watched.name,
            events,
            id: None,
            inbox: None,
            subscriber: Subscriber::new(subscriber_config(now), Vec::new()),
            outputs: Outputs::new(label, sender),
            key_frames,
            batch: Vec::new(),
            waiting: Vec::new(),
            first: None,
            viewers: watch::Sender::new(()),
            alone: now,
            gone: None,
        })
    }

    /// Runs until there are no viewers, or the participant is gone.
    pub async fn run(mut self, mut requests: mpsc::Receiver<ViewRequest>) {
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
            let due = due(self.subscriber.deadline());
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(event) => self.on_event(event),
                    None => break,
                },
                Some(request) = requests.recv() => self.waiting.push((request, Instant::now())),
                Some(source) = self.key_frames.recv() => {
                    self.outputs.key_frame_requests.extend(ssrc_of(&mut self.subscriber, source));
                }
                _ = self.session.ended() => break,
                () = arrived => self.drain(),
                () = due => self.subscriber.expire(Instant::now(), &mut self.outputs),
                _ = tick.tick() => if self.look(Instant::now()) {
                    break;
                },
            }
            self.act();
        }
        // Who comes now is told to come again.
        requests.close();
        while let Ok(request) = requests.try_recv() {
            let _ = request.send(Err(RequestError::Gone));
        }
        self.outputs.clear();
        self.session.leave().await;
    }

    fn on_event(&mut self, event: RoomEvent) {
        let now = Instant::now();
        match event {
            RoomEvent::Joined(who) if who.name == self.name => {
                self.id = Some(who.id);
                self.subscriber.set_labels(who.tracks, now, &mut self.outputs);
                self.gone = None;
            }
            RoomEvent::Labels { id, tracks } if self.id.as_ref() == Some(&id) => {
                self.subscriber.set_labels(tracks, now, &mut self.outputs);
            }
            RoomEvent::ConnectionOpened { id, media, .. } if self.id.as_ref() == Some(&id) => {
                self.inbox = Some(media.inbox);
                let labels = self.subscriber.labels().to_vec();
                self.subscriber = Subscriber::new(subscriber_config(now), labels);
            }
            RoomEvent::Left { id, .. } if self.id.as_ref() == Some(&id) => {
                self.gone = Some(now);
                self.inbox = None;
            }
            RoomEvent::TrackAdded { id, track, .. } if self.id.as_ref() == Some(&id) => self.add(track),
            RoomEvent::TrackRemoved { id, ssrcs, .. } if self.id.as_ref() == Some(&id) => {
                self.subscriber.remove(&ssrcs, now, &mut self.outputs);
            }
            _ => {}
        }
    }

    /// Announces a track under the source that its label gives.
    fn add(&mut self, track: RemoteTrack) {
        let label = self.subscriber.labels().iter().find(|l| l.stream == track.stream && l.kind == track.kind());
        let source = label.map_or(Source::default_for(track.kind()), |label| label.source);
        announce(&mut self.subscriber, &mut self.outputs, source, track);
    }

    /// Applies the changes that packets and time have caused.
    fn act(&mut self) {
        for change in std::mem::take(&mut self.outputs.changes) {
            match change {
                Change::Published(_) => {
                    self.first.get_or_insert_with(Instant::now);
                }
                // There is no way to tell viewers of another codec, or of an end: they are sent away, and come again if they want to.
                Change::Withdrawn(_) => {
                    self.viewers = watch::Sender::new(());
                    self.first = None;
                }
            }
        }
        for ssrc in self.outputs.key_frame_requests.drain(..) {
            if let Some(id) = &self.id {
                self.session.handle().request_key_frame(id, ssrc);
            }
        }
    }

    fn drain(&mut self) {
        let Some(inbox) = self.inbox.clone() else { return };
        let mut batch = std::mem::take(&mut self.batch);
        if inbox.drain(&mut batch) > 0 {
            tracing::warn!("{}: packets came too fast to be passed on", self.name);
        }
        for item in batch.drain(..) {
            self.subscriber.receive(item, &mut self.outputs);
        }
        self.batch = batch;
    }

    /// Periodic work; true when the source ends.
    fn look(&mut self, now: Instant) -> bool {
        self.subscriber.tick(now, &mut self.outputs);
        self.outputs.tick(now);
        self.act();
        self.admit(now);
        if self.viewers.receiver_count() > 0 || !self.waiting.is_empty() {
            self.alone = now;
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        since(self.alone) > IDLE_TIMEOUT || self.gone.is_some_and(|gone| since(gone) > IDLE_TIMEOUT)
    }

    /// Answers waiting viewers once there is media.
    fn admit(&mut self, now: Instant) {
        if self.waiting.is_empty() {
            return;
        }
        let tracks = self.tracks();
        let labels = self.subscriber.labels();
        let expected = |kind| labels.iter().any(|label| label.kind == kind && !label.muted);
        let has = |kind| tracks.iter().any(|track| track.label().kind == kind);
        let kinds = [MediaKind::Audio, MediaKind::Video];
        let complete = kinds.iter().all(|kind| has(*kind))
            || (!tracks.is_empty() && !labels.is_empty() && kinds.iter().all(|kind| has(*kind) || !expected(*kind)))
            || self.first.is_some_and(|first| now.saturating_duration_since(first) > SECOND_TRACK_TIMEOUT);
        for (request, since) in std::mem::take(&mut self.waiting) {
            if complete && !tracks.is_empty() {
                let _ = request.send(Ok((tracks.clone(), self.viewers.subscribe())));
            } else if now.saturating_duration_since(since) > MEDIA_TIMEOUT {
                let _ = request.send(Err(RequestError::NothingSent));
            } else {
                self.waiting.push((request, since));
            }
        }
    }

    /// One sound and one picture: the camera before the screen, and the sound that belongs to it.
    fn tracks(&self) -> ViewTracks {
        let pick = |sources: [Source; 2]| {
            sources.iter().find_map(|source| self.outputs.get(*source)).map(|output| output.out.clone())
        };
        let picture = pick([Source::Camera, Source::Screen]);
        pick([Source::Mic, Source::ScreenAudio]).into_iter().chain(picture).collect()
    }
}

/// What a track of the participant is called for viewers.
fn label(info: &StreamInfo) -> TrackLabel {
    let screen = matches!(info.source, Source::Screen | Source::ScreenAudio);
    let stream = if screen { "screen" } else { "main" }.to_owned();
    TrackLabel { stream, kind: info.track.kind(), source: info.source, muted: false }
}

/// Serves a viewer's connection until it ends; returns why.
pub(super) async fn serve(mut peer: HttpPeer, mut viewer: Viewer, mut requests: Requests) -> String {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut down = Some(Instant::now());
    let why = loop {
        tokio::select! {
            biased;
            request = requests.recv() => match request {
                Some(Request::Patch { wanted, fragment, reply }) => {
                    peer.patch(&wanted, fragment, reply, Instant::now()).await;
                }
                Some(Request::Answer { sdp, reply }) => {
                    if peer.awaits_answer() {
                        down = Some(Instant::now());
                    }
                    let _ = reply.send(peer.answered(sdp).await);
                }
                Some(Request::End) => break "they have left",
                None => break "the server stops",
            },
            event = peer.next() => match event {
                Some(PeerEvent::State(PeerState::Connected)) => down = None,
                Some(PeerEvent::State(PeerState::Closed)) | None => break "the connection is closed",
                Some(PeerEvent::State(PeerState::Disconnected | PeerState::Failed)) => {
                    down.get_or_insert_with(Instant::now);
                }
                Some(PeerEvent::Warning(warning)) => tracing::info!("a viewer: {warning}"),
                Some(_) => {}
            },
            _ = viewer.changed() => break "what they watched is over",
            _ = tick.tick() => {
                let patience = if peer.awaits_answer() { COUNTER_OFFER_TIMEOUT } else { CONNECT_TIMEOUT };
                if down.is_some_and(|since| since.elapsed() > patience) {
                    break "no connection for too long";
                }
            }
        }
    };
    peer.close().await;
    why.to_owned()
}

//! A WHIP client as a participant of a room: its media is forwarded to everybody there with its timestamps. It never transcodes and receives
//! nothing from the room.

use super::http_peer::{HttpPeer, RemoteOffer};
use super::offers::{expected, sends_one_each};
use super::outputs::{Change, Outputs, announce, ssrc_of, subscriber_config};
use super::request::{Request, RequestError, Requests, RoomFactory};
use crate::client::event::RoomEvent;
use crate::client::{Client, ClientConfig};
use crate::room::media::{MediaKind, Source};
use crate::room::participant::{ParticipantId, Role, TrackLabel};
use crate::rtc::subscriber::{StreamInfo, Subscriber};
use crate::rtc::{Inbound, Inbox, OutboundTrack, PeerEvent, PeerState, Wake, due};
use crate::signal::JoinAs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a connection may take to be established, and re-established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Without any packet for this long, the sender is gone.
const SENDER_TIMEOUT: Duration = Duration::from_secs(30);
/// A track without packets for this long is shown as muted.
const MUTE_AFTER: Duration = Duration::from_secs(3);
/// How often streams are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long the answer waits for connections to the room's participants.
const PEERS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the last packets may take to reach the room.
const DRAIN_TIME: Duration = Duration::from_millis(200);

/// How a WHIP client appears in the room.
#[derive(Debug, Clone)]
pub struct Publication {
    pub room: String,
    pub name: String,
    pub token: Option<String>,
    /// What its video shows.
    pub source: Source,
}

/// A WHIP client as a participant of the room.
pub(super) struct Publisher {
    session: Client,
    peer: HttpPeer,
    source: Source,
    inbox: Arc<Inbox>,
    subscriber: Subscriber<MediaKind>,
    outputs: Outputs<MediaKind>,
    /// Kinds of which somebody in the room wants a key frame.
    key_frames: mpsc::Receiver<MediaKind>,
    batch: Vec<Inbound>,
    /// Since when there is no connection.
    down: Option<Instant>,
    heard: Instant,
}

impl Publisher {
    /// Answers, then joins the room with what will come, and waits until those who are there can receive it: what is sent first, often
    /// a key frame that is not sent again for long, would else reach nobody.
    pub async fn start(
        room_factory: &RoomFactory,
        what: Publication,
        caller: RemoteOffer,
    ) -> Result<(Publisher, String), RequestError> {
        let sent = sends_one_each(&caller.offer)?;
        let room = room_factory(&what.room).map_err(|e| RequestError::Room(e.to_string()))?;
        let (peer, answer) = HttpPeer::answer(caller, Vec::new()).await?;
        let taken = expected(&answer);
        // Half a session would look like a whole one to whoever sends (RFC 9725, 4.4.3).
        if let Some(left) = sent.iter().find(|kind| !taken.iter().any(|codec| codec.kind() == **kind)) {
            peer.close().await;
            let what = if *left == MediaKind::Video { "picture" } else { "sound" };
            return Err(RequestError::Unsupported(format!("the {what} comes in no codec that is taken here")));
        }
        let now = Instant::now();
        let (sender, key_frames) = mpsc::channel(8);
        let source = what.source;
        let mut outputs = Outputs::new(move |info: &StreamInfo| label(source, info.track.kind()), sender);
        let mut publish: Vec<OutboundTrack> = Vec::new();
        for codec in taken {
            let kind = codec.kind();
            if outputs.get(kind).is_none() {
                publish.push(outputs.add_expected(kind, codec, label(source, kind), now));
            }
        }
        let how = JoinAs { name: what.name, role: Role::Participant, token: what.token };
        let (observer, events) = mpsc::channel(256);
        let config =
            ClientConfig { publish, wake: Wake::OnArrival, observer: Some(observer), ..ClientConfig::default() };
        let session = match Client::join(room.as_ref(), how, config).await {
            Ok(session) => session,
            Err(e) => {
                peer.close().await;
                return Err(RequestError::Room(e.to_string()));
            }
        };
        let _ = timeout(PEERS_TIMEOUT, met(session.present().to_vec(), events)).await;
        let now = Instant::now();
        let inbox = peer.inbox();
        let publisher = Publisher {
            session,
            peer,
            source: what.source,
            inbox,
            subscriber: Subscriber::new(subscriber_config(now), Vec::new()),
            outputs,
            key_frames,
            batch: Vec::new(),
            down: Some(now),
            heard: now,
        };
        Ok((publisher, answer))
    }

    pub fn etag(&self) -> &str {
        self.peer.etag()
    }

    /// Runs until client, room or server ends it; returns why.
    pub async fn run(mut self, mut requests: Requests) -> String {
        let inbox = self.inbox.clone();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let why = loop {
            let due = due(self.subscriber.deadline());
            tokio::select! {
                biased;
                request = requests.recv() => match request {
                    Some(Request::Patch { wanted, fragment, reply }) => {
                        self.peer.patch(&wanted, fragment, reply, Instant::now()).await;
                    }
                    Some(Request::Answer { reply, .. }) => drop(reply.send(Err(RequestError::UnexpectedAnswer))),
                    Some(Request::End) => break "they have left".to_owned(),
                    None => break "the server stops".to_owned(),
                },
                event = self.peer.next() => match event {
                    Some(event) => if let Some(why) = self.on_peer_event(event).await {
                        break why;
                    },
                    None => break "the connection is closed".to_owned(),
                },
                reason = self.session.ended() => break reason.to_string(),
                Some(kind) = self.key_frames.recv() => {
                    if let Some(ssrc) = ssrc_of(&mut self.subscriber, kind) {
                        self.peer.request_key_frame(ssrc);
                    }
                }
                () = inbox.arrived() => self.drain(),
                () = due => self.subscriber.expire(Instant::now(), &mut self.outputs),
                _ = tick.tick() => {
                    let now = Instant::now();
                    self.subscriber.tick(now, &mut self.outputs);
                    self.outputs.tick(now);
                    self.follow(now).await;
                    if self.down.is_some_and(|since| now.saturating_duration_since(since) > CONNECT_TIMEOUT) {
                        break format!("no connection for {} s", CONNECT_TIMEOUT.as_secs());
                    }
                    if now.saturating_duration_since(self.heard) > SENDER_TIMEOUT {
                        break format!("nothing was heard for {} s", SENDER_TIMEOUT.as_secs());
                    }
                }
            }
            self.act().await;
        };
        self.drain_last().await;
        self.outputs.clear();
        self.session.leave().await;
        self.peer.close().await;
        why
    }

    /// Drains the packets that are still under way.
    async fn drain_last(&mut self) {
        tokio::time::sleep(DRAIN_TIME / 2).await;
        self.drain();
        let now = Instant::now();
        let subscriber = std::mem::replace(&mut self.subscriber, Subscriber::new(subscriber_config(now), Vec::new()));
        subscriber.end(now, &mut self.outputs);
        tokio::time::sleep(DRAIN_TIME / 2).await;
    }

    /// Handles an event of the connection; returns why it ended, if it did.
    async fn on_peer_event(&mut self, event: PeerEvent) -> Option<String> {
        match event {
            PeerEvent::State(PeerState::Connected) => self.down = None,
            PeerEvent::State(PeerState::Closed) => return Some("they have closed the connection".to_owned()),
            PeerEvent::State(PeerState::Disconnected | PeerState::Failed) => {
                self.down.get_or_insert_with(Instant::now);
            }
            PeerEvent::Track(track) => announce(&mut self.subscriber, &mut self.outputs, track.kind(), track),
            PeerEvent::TrackEnded { ssrcs, .. } => self.subscriber.remove(&ssrcs, Instant::now(), &mut self.outputs),
            PeerEvent::Warning(warning) => tracing::info!("from outside: {warning}"),
            _ => {}
        }
        None
    }

    /// Tells the room and the sender what has changed.
    async fn act(&mut self) {
        for change in std::mem::take(&mut self.outputs.changes) {
            match change {
                Change::Published(track) => self.session.publish(track).await,
                Change::Withdrawn(label) => self.session.handle().unpublish(&label).await,
            }
        }
        for ssrc in self.outputs.key_frame_requests.drain(..) {
            self.peer.request_key_frame(ssrc);
        }
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
            self.subscriber.receive(item, &mut self.outputs);
        }
        self.batch = batch;
    }

    /// Labels follow what comes: there is no other word for a mute in WHIP. A screen that stands still sends nothing.
    async fn follow(&mut self, now: Instant) {
        let handle = self.session.handle();
        for output in self.outputs.values_mut() {
            let still = output.out.label().kind == MediaKind::Video && self.source == Source::Screen;
            let muted = !still && now.saturating_duration_since(output.heard) > MUTE_AFTER;
            if std::mem::replace(&mut output.muted, muted) != muted {
                handle.mute(output.out.label(), muted).await;
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

/// Waits until each of these participants is connected or has failed.
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

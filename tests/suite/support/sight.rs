//! What comes to a person in a room: frames by the subscriber of the product, labels, texts, and who is there.

use roombot::client::KeyFrameRequester;
use roombot::client::event::RoomEvent;
use roombot::room::clock::SenderClock;
use roombot::room::event::ConnectionId;
use roombot::room::media::{Frame, MediaKind, RemoteTrack};
use roombot::room::participant::{ParticipantId, TrackLabel};
use roombot::rtc::Inbox;
use roombot::rtc::feedback::KeyFrameTiming;
use roombot::rtc::media::depacketize::AssemblerConfig;
use roombot::rtc::subscriber::{MediaHandler, Report, Stream, StreamInfo, Subscriber, SubscriberConfig};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What a person sees of one track that comes to them.
pub struct Seen {
    pub remote: RemoteTrack,
    pub frames: Vec<Frame>,
    /// Sender reports: NTP time, RTP time (unwrapped near the newest frame).
    pub reports: Vec<(u64, i64)>,
}

/// Everything that comes to a person.
#[derive(Default)]
pub struct Sight {
    connections: Vec<Connection>,
    /// Of all connections, in the order of their first packets.
    pub tracks: Vec<Seen>,
    /// The last labels that came, whosever they are.
    pub labels: Vec<TrackLabel>,
    pub texts: Vec<String>,
    /// Who is there, by name.
    pub there: BTreeMap<ParticipantId, String>,
    /// How often the room was lost, and found again.
    pub lost: usize,
    pub resumed: usize,
}

/// One connection, which one participant's media come by.
struct Connection {
    of: (ParticipantId, ConnectionId),
    inbox: Arc<Inbox>,
    /// Keeps of each stream where its track is in [`Sight::tracks`].
    subscriber: Subscriber<usize>,
}

/// Sorts what a subscriber gives into the tracks.
struct Sorter<'a> {
    tracks: &'a mut Vec<Seen>,
    from: ParticipantId,
    requester: &'a KeyFrameRequester,
}

impl Sight {
    /// The track of this kind that comes last.
    pub fn track(&self, kind: MediaKind) -> Option<&Seen> {
        self.tracks.iter().rev().find(|seen| seen.remote.kind() == kind)
    }

    /// Frames of this kind, of all tracks.
    pub fn count(&self, kind: MediaKind) -> usize {
        self.tracks.iter().filter(|seen| seen.remote.kind() == kind).map(|seen| seen.frames.len()).sum()
    }

    fn on_event(&mut self, event: RoomEvent, requester: &KeyFrameRequester) {
        let now = Instant::now();
        match event {
            RoomEvent::ConnectionOpened { id, connection, media } => {
                let config = SubscriberConfig {
                    label_wait: Duration::ZERO,
                    key_frames: KeyFrameTiming { retry: Duration::from_secs(1), interval: None },
                    ..SubscriberConfig::live(now, AssemblerConfig::default().hold)
                };
                let subscriber = Subscriber::new(config, Vec::new());
                self.connections.push(Connection { of: (id, connection), inbox: media.inbox, subscriber });
            }
            RoomEvent::ConnectionClosed { id, connection } => self.close(&(id, connection), now, requester),
            RoomEvent::TrackAdded { id, connection, track } => self.with(&(id, connection), requester, |to, sorter| {
                to.subscriber.announce(track, now, sorter);
            }),
            RoomEvent::TrackRemoved { id, connection, ssrcs } => {
                self.with(&(id, connection), requester, |to, sorter| {
                    to.drain(sorter);
                    to.subscriber.remove(&ssrcs, now, sorter);
                })
            }
            RoomEvent::Labels { tracks, .. } => self.labels = tracks,
            RoomEvent::Joined(who) => {
                if !who.tracks.is_empty() {
                    self.labels = who.tracks;
                }
                self.there.insert(who.id, who.name);
            }
            RoomEvent::Left { id, .. } => drop(self.there.remove(&id)),
            RoomEvent::Reconnecting { .. } => self.lost += 1,
            RoomEvent::Resumed => self.resumed += 1,
            RoomEvent::Chat { text, .. } => self.texts.push(text),
            RoomEvent::Warning { text, .. } | RoomEvent::NothingComes { text, .. } => println!("warning: {text}"),
            _ => {}
        }
    }

    fn with(
        &mut self,
        of: &(ParticipantId, ConnectionId),
        requester: &KeyFrameRequester,
        does: impl FnOnce(&mut Connection, &mut Sorter),
    ) {
        if let Some(connection) = self.connections.iter_mut().find(|connection| connection.of == *of) {
            does(connection, &mut Sorter { tracks: &mut self.tracks, from: of.0.clone(), requester });
        }
    }

    fn close(&mut self, of: &(ParticipantId, ConnectionId), now: Instant, requester: &KeyFrameRequester) {
        let Some(at) = self.connections.iter().position(|connection| connection.of == *of) else { return };
        let mut connection = self.connections.remove(at);
        let mut sorter = Sorter { tracks: &mut self.tracks, from: of.0.clone(), requester };
        connection.drain(&mut sorter);
        connection.subscriber.end(now, &mut sorter);
    }

    fn tick(&mut self, requester: &KeyFrameRequester) {
        for connection in &mut self.connections {
            let mut sorter = Sorter { tracks: &mut self.tracks, from: connection.of.0.clone(), requester };
            connection.drain(&mut sorter);
            connection.subscriber.tick(Instant::now(), &mut sorter);
        }
    }
}

impl Connection {
    fn drain(&mut self, sorter: &mut Sorter) {
        let mut batch = Vec::new();
        self.inbox.drain(&mut batch);
        batch.into_iter().for_each(|item| self.subscriber.receive(item, sorter));
    }
}

impl MediaHandler for Sorter<'_> {
    type State = usize;

    fn on_begin(&mut self, info: &StreamInfo, _: Instant) -> Option<usize> {
        self.tracks.push(Seen { remote: info.track.clone(), frames: Vec::new(), reports: Vec::new() });
        Some(self.tracks.len() - 1)
    }

    fn on_frame(&mut self, stream: &mut Stream<usize>, frame: Frame, _: &SenderClock) {
        self.tracks[stream.state].frames.push(frame);
    }

    fn on_report(&mut self, stream: &mut Stream<usize>, report: &Report, _: &SenderClock) {
        self.tracks[stream.state].reports.push((report.ntp, report.rtp_time));
    }

    fn request_key_frame(&mut self, _: &mut Stream<usize>, ssrc: u32, _: Instant) {
        self.requester.request_key_frame(&self.from, ssrc);
    }
}

/// Takes in what happens until the room's events end.
pub async fn look(mut events: mpsc::Receiver<RoomEvent>, sight: Arc<Mutex<Sight>>, requester: KeyFrameRequester) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => sight.lock().expect("lock").on_event(event, &requester),
                None => return,
            },
            _ = tick.tick() => sight.lock().expect("lock").tick(&requester),
        }
    }
}

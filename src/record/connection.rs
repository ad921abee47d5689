//! One participant's connection: its subscriber, and what the recorder does with what that gives out.

use super::context::RecordingContext;
use super::notices::Notices;
use super::stream::{self, TrackCapture, TrackStream};
use crate::room::clock::{SenderClock, SessionTime};
use crate::room::media::{Frame, RemoteTrack, RtpPacket, Source};
use crate::room::participant::{ParticipantId, TrackLabel};
use crate::room::speaker::SpeakerDetector;
use crate::rtc::subscriber::{Gap, MediaHandler, PacketAccount, StreamInfo, Subscriber, SubscriberConfig};
use crate::rtc::{Inbound, Inbox};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A stream of a participant that needs a key frame.
pub(super) type KeyFrameRequest = (ParticipantId, u32);

/// What the connections of a recording share.
pub(super) struct Shared {
    pub context: RecordingContext,
    pub speakers: SpeakerDetector,
    /// When a packet of a microphone came last that does not tell its level.
    pub unlevelled: Option<Instant>,
    /// Unbounded: at most one a second and stream.
    pub key_frame_requests: mpsc::UnboundedSender<KeyFrameRequest>,
}

/// One participant's connection.
pub(super) struct Connection {
    owner: Owner,
    inbox: Arc<Inbox>,
    subscriber: Subscriber<TrackCapture>,
    notices: Notices,
    batch: Vec<Inbound>,
}

/// Whose connection it is.
struct Owner {
    id: ParticipantId,
    /// The participant's key in the manifest.
    key: String,
}

impl Connection {
    /// A connection to the participant `id`, whose key in the manifest is `key` and whose tracks are labelled so.
    pub fn new(
        (id, key): (ParticipantId, String),
        inbox: Arc<Inbox>,
        labels: Vec<TrackLabel>,
        notices: Notices,
        config: SubscriberConfig,
    ) -> Connection {
        Connection {
            owner: Owner { id, key },
            inbox,
            notices,
            subscriber: Subscriber::new(config, labels),
            batch: Vec::new(),
        }
    }

    pub fn participant(&self) -> &ParticipantId {
        &self.owner.id
    }

    pub fn key(&self) -> &str {
        &self.owner.key
    }

    /// The open streams, and the clock that they share.
    pub fn streams(&mut self) -> (impl Iterator<Item = &mut TrackStream>, &SenderClock) {
        self.subscriber.streams()
    }

    /// Takes what waits in the inbox. Returns how many packets the inbox had to drop.
    pub fn drain(&mut self, shared: &mut Shared) -> u64 {
        let mut batch = std::mem::take(&mut self.batch);
        let dropped = self.inbox.drain(&mut batch);
        self.receive(batch.drain(..), shared);
        self.batch = batch;
        dropped
    }

    /// Takes what arrived.
    pub fn receive(&mut self, items: impl Iterator<Item = Inbound>, shared: &mut Shared) {
        let mut handler = Handler { owner: &self.owner, notices: &mut self.notices, shared };
        items.for_each(|item| self.subscriber.receive(item, &mut handler));
    }

    /// A stream was announced.
    pub fn track(&mut self, track: RemoteTrack, now: Instant, shared: &mut Shared) {
        self.subscriber.announce(track, now, &mut Handler { owner: &self.owner, notices: &mut self.notices, shared });
    }

    /// The participant's labels changed.
    pub fn labelled(&mut self, labels: Vec<TrackLabel>, now: Instant, shared: &mut Shared) {
        self.subscriber.set_labels(
            labels,
            now,
            &mut Handler { owner: &self.owner, notices: &mut self.notices, shared },
        );
    }

    /// The sender took these streams away.
    pub fn removed(&mut self, ssrcs: &[u32], now: Instant, shared: &mut Shared) {
        self.subscriber.remove(ssrcs, now, &mut Handler { owner: &self.owner, notices: &mut self.notices, shared });
    }

    /// What time brings.
    pub fn tick(&mut self, now: Instant, shared: &mut Shared) {
        self.subscriber.tick(now, &mut Handler { owner: &self.owner, notices: &mut self.notices, shared });
    }

    /// Looks what comes and is not recorded.
    pub fn watch(&mut self, now: Instant, shared: &mut Shared) {
        self.notices.watch(&mut self.subscriber, now, &mut shared.context.log);
    }

    /// The recorder goes on after a pause: what is missing is missing from now on.
    pub fn resume(&mut self, now: Instant) {
        self.notices.resume(now);
    }

    /// The connection is gone: everything that came is written, and every file ends.
    pub fn end(self, at: Instant, shared: &mut Shared) {
        let Connection { owner, subscriber, mut notices, .. } = self;
        subscriber.end(at, &mut Handler { owner: &owner, notices: &mut notices, shared });
        notices.end(at, &mut shared.context.log);
    }
}

struct Handler<'a> {
    owner: &'a Owner,
    notices: &'a mut Notices,
    shared: &'a mut Shared,
}

impl MediaHandler for Handler<'_> {
    type State = TrackCapture;

    fn on_begin(&mut self, _: &StreamInfo, _: Instant) -> Option<TrackCapture> {
        Some(TrackCapture::new(self.owner.key.clone()))
    }

    fn on_packet(&mut self, stream: &mut TrackStream, packet: &RtpPacket) {
        if stream.state.arrived.replace(packet.arrival).is_none()
            && !stream.is_transformed()
            && let Some(transforms) = &self.shared.context.reception.transforms
            && let Some(transform) = transforms(&self.owner.key, &stream.info)
        {
            stream.set_transform(transform);
        }
        stream.state.ledger.packet(packet.arrival);
        if packet.audio_level.is_none() && stream.info.source == Source::Mic {
            self.shared.unlevelled = Some(packet.arrival);
        }
        if let Some(level) = packet.audio_level
            && stream.info.source == Source::Mic
            && !self.shared.context.is_paused()
        {
            let at = self.shared.context.log.session(packet.arrival);
            self.shared.speakers.heard(&self.owner.key, level, at.as_ms());
        }
    }

    fn on_frame(&mut self, stream: &mut TrackStream, frame: Frame, sender: &SenderClock) {
        stream::frame(stream, &frame, sender, &mut self.shared.context);
    }

    fn on_key_frame_wait_over(&mut self, stream: &mut TrackStream, waited: Duration, at: Instant) {
        stream::key_frame_wait_over(stream, waited, at, &mut self.shared.context);
    }

    fn on_gap(&mut self, stream: &mut TrackStream, gap: Gap, sender: &SenderClock) {
        stream::gap(stream, gap, sender, &mut self.shared.context);
    }

    fn on_restart(&mut self, stream: &mut TrackStream, sender: &SenderClock) {
        let at = stream.state.arrived.map_or(SessionTime::default(), |at| self.shared.context.log.session(at));
        stream::close(stream, at, sender, &mut self.shared.context);
    }

    fn on_end(&mut self, mut stream: TrackStream, at: Instant, sender: &SenderClock) {
        let ended = self.shared.context.log.session(at);
        stream::close(&mut stream, ended, sender, &mut self.shared.context);
        self.notices.ended(&stream, at, &mut self.shared.context.log);
    }

    fn on_account(&mut self, account: &PacketAccount) {
        self.notices.other(account, Instant::now(), &mut self.shared.context.log);
    }

    fn request_key_frame(&mut self, _: &mut TrackStream, ssrc: u32, _: Instant) {
        let _ = self.shared.key_frame_requests.send((self.owner.id.clone(), ssrc));
    }
}

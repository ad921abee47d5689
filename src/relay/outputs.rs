//! What is received goes on to published tracks, with the sender's times and without transcoding. A track outlives the stream that feeds it:
//! where a sender begins anew, its time goes on. Pure but for the tasks that carry key-frame requests.

use crate::client::KeyFrameForwarder;
use crate::room::clock::SenderClock;
use crate::room::media::{Codec, Frame, MediaKind, RemoteTrack, RtpPacket, Source};
use crate::room::participant::TrackLabel;
use crate::rtc::OutboundTrack;
use crate::rtc::subscriber::{ContinuousTime, MediaHandler, Stream, StreamInfo, Subscriber, SubscriberConfig};
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a hole waits for its repair: what comes too late for a call is lost.
const HOLD: Duration = Duration::from_millis(100);

/// How a relay receives.
pub(super) fn subscriber_config(now: Instant) -> SubscriberConfig {
    SubscriberConfig { label_wait: Duration::ZERO, key_frame_at_begin: true, ..SubscriberConfig::live(now, HOLD) }
}

/// What a stream is to a relay: each kind of output is fed by one stream at a time.
pub(super) trait OutputKey: Copy + Eq + Hash + Send + 'static {
    fn of(info: &StreamInfo) -> Self;
}

impl OutputKey for MediaKind {
    fn of(info: &StreamInfo) -> MediaKind {
        info.track.kind()
    }
}

impl OutputKey for Source {
    fn of(info: &StreamInfo) -> Source {
        info.source
    }
}

/// A track whose stream has ended is withdrawn after this long, unless another stream takes its place.
const ENDED_TIMEOUT: Duration = Duration::from_millis(600);

/// A published track and its time.
pub(super) struct Output {
    pub out: OutboundTrack,
    /// Labelled as muted.
    pub muted: bool,
    /// When the newest packet came.
    pub heard: Instant,
    time: ContinuousTime,
    /// A stream feeds it, or did.
    fed: bool,
    /// When the stream ended that fed it; none while one feeds it.
    ended: Option<Instant>,
    /// Passes on key-frame requests of whoever receives it.
    _key_frames: KeyFrameForwarder,
}

/// A change of what is published.
pub(super) enum Change {
    Published(OutboundTrack),
    Withdrawn(TrackLabel),
}

/// The tracks of a relay, and what is to be done after packets were taken.
pub(super) struct Outputs<K> {
    outputs: HashMap<K, Output>,
    label: Box<dyn Fn(&StreamInfo) -> TrackLabel + Send>,
    key_frames: mpsc::Sender<K>,
    /// Changes that the room has not been told of, in their order.
    pub changes: Vec<Change>,
    /// SSRCs of streams whose sender is to be asked for a key frame.
    pub key_frame_requests: Vec<u32>,
}

impl<K: OutputKey> Outputs<K> {
    /// No tracks yet. `label` says what a stream is called; receivers' wishes for key frames go to `key_frames`.
    pub fn new(label: impl Fn(&StreamInfo) -> TrackLabel + Send + 'static, key_frames: mpsc::Sender<K>) -> Outputs<K> {
        Outputs {
            outputs: HashMap::new(),
            label: Box::new(label),
            key_frames,
            changes: Vec::new(),
            key_frame_requests: Vec::new(),
        }
    }

    /// A track of which nothing has come yet.
    pub fn add_expected(&mut self, key: K, codec: Codec, label: TrackLabel, now: Instant) -> OutboundTrack {
        let out = OutboundTrack::new(label, codec);
        let key_frames = KeyFrameForwarder::start(&out, key, self.key_frames.clone());
        let time = ContinuousTime::new(codec.clock_rate());
        let output = Output {
            out: out.clone(),
            muted: false,
            heard: now,
            time,
            fed: false,
            ended: None,
            _key_frames: key_frames,
        };
        self.outputs.insert(key, output);
        out
    }

    pub fn get(&self, key: K) -> Option<&Output> {
        self.outputs.get(&key)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Output> {
        self.outputs.values_mut()
    }

    /// Withdraws tracks that nothing has fed for a while since what fed them ended.
    pub fn tick(&mut self, now: Instant) {
        let over = |_: &K, output: &mut Output| {
            output.ended.is_some_and(|ended| now.saturating_duration_since(ended) >= ENDED_TIMEOUT)
        };
        for (_, output) in self.outputs.extract_if(over) {
            self.changes.push(Change::Withdrawn(output.out.label().clone()));
        }
    }

    /// Ends every track.
    pub fn clear(&mut self) {
        self.outputs.clear();
    }
}

/// Announces a stream; one that feeds the same output ends: the new one is its new beginning.
pub(super) fn announce<K: OutputKey>(
    subscriber: &mut Subscriber<K>,
    outputs: &mut Outputs<K>,
    key: K,
    track: RemoteTrack,
) {
    let now = Instant::now();
    let replaced = |stream: &&mut Stream<K>| stream.state == key && stream.ssrc() != track.ssrc;
    let replaced: Vec<u32> = subscriber.streams().0.filter(replaced).map(|stream| stream.ssrc()).collect();
    subscriber.remove(&replaced, now, outputs);
    subscriber.announce(track, now, outputs);
}

/// The SSRC of the packets that feed an output.
pub(super) fn ssrc_of<K: OutputKey>(subscriber: &mut Subscriber<K>, key: K) -> Option<u32> {
    subscriber.streams().0.find(|stream| stream.state == key).map(|stream| stream.current_ssrc())
}

impl<K: OutputKey> MediaHandler for Outputs<K> {
    type State = K;

    fn on_begin(&mut self, info: &StreamInfo, now: Instant) -> Option<K> {
        let key = K::of(info);
        match self.outputs.get_mut(&key) {
            Some(output) if output.out.codec() == info.track.codec => {
                output.ended = None;
                if std::mem::replace(&mut output.fed, true) {
                    output.time.restart();
                }
                return Some(key);
            }
            // The published track cannot carry another codec.
            Some(output) => {
                self.changes.push(Change::Withdrawn(output.out.label().clone()));
                self.outputs.remove(&key);
            }
            None => {}
        }
        let out = self.add_expected(key, info.track.codec, (self.label)(info), now);
        self.changes.push(Change::Published(out));
        if let Some(output) = self.outputs.get_mut(&key) {
            output.fed = true;
        }
        Some(key)
    }

    fn on_packet(&mut self, stream: &mut Stream<K>, packet: &RtpPacket) {
        if let Some(output) = self.outputs.get_mut(&stream.state) {
            output.heard = packet.arrival;
        }
    }

    fn on_frame(&mut self, stream: &mut Stream<K>, mut frame: Frame, _: &SenderClock) {
        let Some(output) = self.outputs.get_mut(&stream.state) else { return };
        // Once the sender's reports say when it was taken, that is what ours say.
        let taken = stream.captured_at(frame.rtp_time).unwrap_or(frame.arrival);
        let offset = output.time.offset(frame.rtp_time, frame.arrival);
        frame.rtp_time = frame.rtp_time.saturating_add(offset);
        output.time.sent(frame.rtp_time, frame.arrival);
        output.out.send_captured(&frame, taken);
    }

    fn on_restart(&mut self, stream: &mut Stream<K>, _: &SenderClock) {
        if let Some(output) = self.outputs.get_mut(&stream.state) {
            output.time.restart();
        }
    }

    fn on_end(&mut self, stream: Stream<K>, at: Instant, _: &SenderClock) {
        if let Some(output) = self.outputs.get_mut(&stream.state) {
            output.ended = Some(at);
        }
    }

    fn request_key_frame(&mut self, _: &mut Stream<K>, ssrc: u32, _: Instant) {
        self.key_frame_requests.push(ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::Inbound;

    fn label(info: &StreamInfo) -> TrackLabel {
        TrackLabel { stream: "a".into(), kind: info.track.kind(), source: info.source, muted: false }
    }

    fn track(ssrc: u32, codec: Codec) -> RemoteTrack {
        RemoteTrack { ssrc, codec, stream: "s".into(), track: "t".into(), channels: 2, rid: None }
    }

    fn packet(ssrc: u32, sequence: u16, timestamp: u32, arrival: Instant) -> Inbound {
        Inbound::Rtp(RtpPacket {
            ssrc,
            payload_type: 111,
            format: Codec::Opus.into(),
            sequence,
            timestamp,
            marker: false,
            audio_level: None,
            arrival,
            payload: vec![0xf8, 0xff, 0xfe].into(),
        })
    }

    #[tokio::test]
    async fn times_are_the_senders_and_go_on_when_it_begins_anew() {
        let now = Instant::now();
        let mut outputs: Outputs<MediaKind> = Outputs::new(label, mpsc::channel(8).0);
        let mut subscriber = Subscriber::new(subscriber_config(now), Vec::new());
        let sent = |outputs: &Outputs<MediaKind>| outputs.get(MediaKind::Audio).and_then(|output| output.time.last());
        subscriber.announce(track(1, Codec::Opus), now, &mut outputs);
        subscriber.receive(packet(1, 7, 960_000, now), &mut outputs);
        subscriber.tick(now, &mut outputs);
        assert_eq!(sent(&outputs), Some((960_000, now)));
        assert!(matches!(outputs.changes.as_slice(), [Change::Published(_)]));

        let later = now + Duration::from_secs(1);
        subscriber.remove(&[1], later, &mut outputs);
        subscriber.announce(track(2, Codec::Opus), later, &mut outputs);
        for (sequence, timestamp) in [(900, 5), (901, 965)] {
            subscriber.receive(packet(2, sequence, timestamp, later), &mut outputs);
        }
        subscriber.tick(later, &mut outputs);
        assert_eq!(sent(&outputs), Some((960_000 + 48_961, later)));
        assert_eq!(outputs.changes.len(), 1, "the same track goes on");
        assert!(outputs.key_frame_requests.is_empty(), "sound needs no key frame");
    }

    #[test]
    fn a_track_that_has_ended_is_withdrawn_unless_another_takes_its_place() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _guard = runtime.enter();
        let now = Instant::now();
        let mut outputs: Outputs<MediaKind> = Outputs::new(label, mpsc::channel(8).0);
        let mut subscriber = Subscriber::new(subscriber_config(now), Vec::new());
        for ssrc in [1, 2] {
            subscriber.announce(track(ssrc, Codec::Opus), now, &mut outputs);
            subscriber.receive(packet(ssrc, 7, 960_000, now), &mut outputs);
            subscriber.tick(now, &mut outputs);
            subscriber.remove(&[ssrc], now, &mut outputs);
            outputs.tick(now + ENDED_TIMEOUT / 2);
        }
        assert!(matches!(outputs.changes.as_slice(), [Change::Published(_)]));
        outputs.tick(now + ENDED_TIMEOUT);
        assert!(matches!(outputs.changes.as_slice(), [_, Change::Withdrawn(_)]));
        assert!(outputs.get(MediaKind::Audio).is_none());
    }
}

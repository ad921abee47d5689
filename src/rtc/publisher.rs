//! The one send path: a track that we publish is made once, and its packets go to every connection that takes them. It knows no connection.

use crate::room::media::{Codec, Frame, RtpPacket};
use crate::room::participant::TrackLabel;
use crate::rtc::media::packetize::Packetizer;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;
use tokio::sync::{broadcast, watch};

/// Frames that wait for a connection: 10 s of audio, 17 s of video.
const QUEUED_FRAMES: usize = 512;

/// A published track. Frames go in once; each connection takes the packets and gives them its own SSRC and payload type: at once, on the
/// thread that sends the frame ([`PacketSink`]), or from a queue.
///
/// The queue to each connection holds 512 frames (policy DropOldest: a connection that is so late skips ahead and requests a key frame).
#[derive(Clone)]
pub struct OutboundTrack {
    label: TrackLabel,
    codec: Codec,
    packets: broadcast::Sender<Arc<Vec<RtpPacket>>>,
    sinks: Arc<Sinks>,
    key_frame_requests: watch::Sender<u64>,
    packetizer: Arc<Mutex<Packetizer>>,
    no_playout_delay: bool,
}

/// One connection's packets of an [`OutboundTrack`], those of one frame at a time.
pub type Subscription = broadcast::Receiver<Arc<Vec<RtpPacket>>>;

/// Takes the packets of each frame as soon as they are made.
pub(crate) trait PacketSink: Send + Sync {
    /// Those of one frame. Never waits: the sender of the frame does.
    fn take(&self, packets: &Arc<Vec<RtpPacket>>);
}

/// Copied when it changes, which is seldom: no lock is held while packets are taken.
type Sinks = Mutex<Arc<Vec<Arc<dyn PacketSink>>>>;

/// A sink takes packets as long as this lives.
pub(crate) struct Attached {
    sinks: Weak<Sinks>,
    sink: Arc<dyn PacketSink>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let Some(sinks) = self.sinks.upgrade() else { return };
        let mut sinks = sinks.lock().unwrap_or_else(PoisonError::into_inner);
        *sinks = Arc::new(sinks.iter().filter(|sink| !Arc::ptr_eq(sink, &self.sink)).cloned().collect());
    }
}

impl OutboundTrack {
    /// A track that sends `codec` under `label` (the label's stream id must be unique among our streams, and its kind the
    /// codec's).
    pub fn new(label: TrackLabel, codec: Codec) -> Self {
        Self {
            label,
            codec,
            packets: broadcast::channel(QUEUED_FRAMES).0,
            sinks: Arc::default(),
            key_frame_requests: watch::channel(0).0,
            packetizer: Arc::new(Mutex::new(Packetizer::new(codec, 0))),
            no_playout_delay: false,
        }
    }
    /// Asks receivers to show its pictures as soon as they arrive instead of smoothing their rate first (the header extension
    /// `playout-delay` of libwebrtc, both limits 0). For media that was delayed on its way here and must not be delayed again.
    pub fn without_playout_delay(self) -> Self {
        Self { no_playout_delay: true, ..self }
    }
    /// Whether receivers are asked to show its pictures as soon as they arrive.
    pub(crate) fn has_no_playout_delay(&self) -> bool {
        self.no_playout_delay
    }
    /// What the track is.
    pub fn label(&self) -> &TrackLabel {
        &self.label
    }
    /// The codec of its frames.
    pub fn codec(&self) -> Codec {
        self.codec
    }
    /// Sends one frame that was captured now: splits it into packets of at most 1,200 bytes and hands them to every connection.
    /// `frame.rtp_time` must not decrease. Never waits.
    pub fn send(&self, frame: &Frame) {
        self.send_captured(frame, Instant::now());
    }
    /// The same for a frame that was captured at another time: sender reports say so (RFC 3550, 6.4.1), and receivers synchronize audio
    /// and video of one stream by it, however long each took on its way here.
    pub fn send_captured(&self, frame: &Frame, captured: Instant) {
        let packets = self.packetizer.lock().unwrap_or_else(PoisonError::into_inner).packetize(frame, captured);
        self.send_packets(packets);
    }
    /// Sends packets as they are (sequence numbers and timestamps included), for tests of bad senders.
    pub fn send_packets(&self, packets: Vec<RtpPacket>) {
        let packets = Arc::new(packets);
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sinks.iter().for_each(|sink| sink.take(&packets));
        let _ = self.packets.send(packets);
    }
    /// How many key frames have been requested so far (PLI, FIR, a new subscriber). The source waits for a change and answers
    /// with one.
    pub fn key_frame_requests(&self) -> watch::Receiver<u64> {
        self.key_frame_requests.subscribe()
    }
    /// Requests a key frame of the source.
    pub(crate) fn request_key_frame(&self) {
        self.key_frame_requests.send_modify(|requests| *requests += 1);
    }
    /// The sink takes all packets from now on; requests a key frame to begin with.
    pub(crate) fn attach(&self, sink: Arc<dyn PacketSink>) -> Attached {
        {
            let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
            *sinks = Arc::new(sinks.iter().cloned().chain([sink.clone()]).collect());
        }
        self.request_key_frame();
        Attached { sinks: Arc::downgrade(&self.sinks), sink }
    }
    /// All packets from now on, in a queue; requests a key frame to begin with.
    pub(crate) fn subscribe(&self) -> Subscription {
        let packets = self.packets.subscribe();
        self.request_key_frame();
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::{MediaKind, Source};

    #[derive(Default)]
    struct Counter(Mutex<Vec<u16>>);

    impl PacketSink for Counter {
        fn take(&self, packets: &Arc<Vec<RtpPacket>>) {
            self.0.lock().unwrap().extend(packets.iter().map(|packet| packet.sequence));
        }
    }

    #[test]
    fn a_sink_gets_packets_at_once_while_it_is_attached() {
        let label = TrackLabel { stream: "s".into(), kind: MediaKind::Video, source: Source::Camera, muted: false };
        let track = OutboundTrack::new(label, Codec::Vp8);
        let [one, other] = [(); 2].map(|()| Arc::new(Counter::default()));
        let attached = track.attach(one.clone());
        let _other = track.clone().attach(other.clone());
        assert_eq!(*track.key_frame_requests().borrow(), 2);
        let send = |sequence| track.send_packets(vec![crate::rtc::egress::tests::packet(sequence, 1)]);
        send(1);
        drop(attached);
        send(2);
        assert_eq!((&*one.0.lock().unwrap(), &*other.0.lock().unwrap()), (&vec![1], &vec![1, 2]));
    }

    #[tokio::test]
    async fn every_subscriber_gets_every_packet_and_begins_with_a_request() {
        let label = TrackLabel { stream: "s".into(), kind: MediaKind::Video, source: Source::Camera, muted: false };
        let track = OutboundTrack::new(label, Codec::Vp8);
        let mut requests = track.key_frame_requests();
        let (mut one, mut other) = (track.subscribe(), track.clone().subscribe());
        assert_eq!(*requests.borrow_and_update(), 2);
        let packet = |sequence| RtpPacket {
            ssrc: 0,
            payload_type: 0,
            format: Default::default(),
            sequence,
            timestamp: 0,
            marker: true,
            audio_level: None,
            arrival: Instant::now(),
            payload: vec![1].into(),
        };
        track.send_packets(vec![packet(1), packet(2)]);
        for subscription in [&mut one, &mut other] {
            let sequences: Vec<u16> = subscription.recv().await.unwrap().iter().map(|packet| packet.sequence).collect();
            assert_eq!(sequences, [1, 2]);
        }
        for sequence in 0..600 {
            track.send_packets(vec![packet(sequence)]);
        }
        assert!(matches!(one.recv().await, Err(broadcast::error::RecvError::Lagged(88))), "the oldest are dropped");
    }
}

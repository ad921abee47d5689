//! The one send path: a track that we publish is made once, and its packets go to every connection that subscribes. It knows no connection.

use crate::room::media::{Codec, Frame, RtpPacket};
use crate::room::participant::TrackLabel;
use crate::rtc::media::packetize::Packetizer;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{broadcast, watch};

/// Frames that wait for a connection: 10 s of audio, 17 s of video.
const QUEUED_FRAMES: usize = 512;

/// A published track. Frames go in once; each connection takes the packets and gives them its own SSRC and payload type.
///
/// The queue to each connection holds 512 frames (policy DropOldest: a connection that is so late skips ahead and requests a key frame).
#[derive(Clone)]
pub struct OutboundTrack {
    label: TrackLabel,
    codec: Codec,
    packets: broadcast::Sender<Arc<Vec<RtpPacket>>>,
    key_frame_requests: watch::Sender<u64>,
    packetizer: Arc<Mutex<Packetizer>>,
    no_playout_delay: bool,
}

/// One connection's packets of an [`OutboundTrack`], those of one frame at a time.
pub type Subscription = broadcast::Receiver<Arc<Vec<RtpPacket>>>;

impl OutboundTrack {
    /// A track that sends `codec` under `label` (the label's stream id must be unique among our streams, and its kind the
    /// codec's).
    pub fn new(label: TrackLabel, codec: Codec) -> Self {
        Self {
            label,
            codec,
            packets: broadcast::channel(QUEUED_FRAMES).0,
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
        let _ = self.packets.send(Arc::new(packets));
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
    /// All packets from now on; requests a key frame to begin with.
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

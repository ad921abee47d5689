//! A track that we publish: made once, sent to every peer that subscribes.

use crate::room::media::{Codec, Frame, RtpPacket};
use crate::room::people::TrackLabel;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

/// A published track. Frames go in once; each connection takes the packets and gives them its own SSRC and payload type.
///
/// The queue to each connection holds 512 frames (17 s of sound, more of picture; policy DropOldest: a connection
/// that is so late skips ahead and is sent a key frame).
#[derive(Clone)]
pub struct OutboundTrack {
    label: TrackLabel,
    codec: Codec,
    packets: broadcast::Sender<Arc<Vec<RtpPacket>>>,
    key_frame: watch::Sender<u64>,
}

/// One connection's view of an [`OutboundTrack`].
pub type Subscription = broadcast::Receiver<Arc<Vec<RtpPacket>>>;

impl OutboundTrack {
    /// A track that sends `codec` under `label` (the label's stream id must be unique among our streams, and its kind the codec's).
    pub fn new(label: TrackLabel, codec: Codec) -> Self {
        Self { label, codec, packets: broadcast::channel(512).0, key_frame: watch::channel(0).0 }
    }
    pub fn label(&self) -> &TrackLabel {
        &self.label
    }
    pub fn codec(&self) -> Codec {
        self.codec
    }
    /// Sends one frame now: splits it into packets of at most 1,200 bytes and hands them to every connection.
    /// `frame.rtp_time` must not decrease. Never waits.
    pub fn send(&self, _frame: &Frame) {
        unimplemented!("written by the owner of rtc/")
    }
    /// How many key frames have been asked for so far (PLI, FIR, a new subscriber). The source waits on a change and answers with one.
    pub fn key_frame_requests(&self) -> watch::Receiver<u64> {
        self.key_frame.subscribe()
    }
}

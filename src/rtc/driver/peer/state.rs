//! What a connection's actor keeps for its data channels and for the tracks that it sends.

use crate::error::Result;
use crate::room::media::MediaKind;
use crate::rtc::driver::channel::{Common, DataChannel, IncomingChannels};
use crate::rtc::driver::placement::Shared;
use crate::rtc::driver::sender_report::CaptureTimes;
use crate::rtc::driver::text_queue::TextQueue;
use crate::rtc::driver::track_sender::TrackSender;
use crate::rtc::transport::pacer::Pacer;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::{Semaphore, oneshot};
use webrtc::data_channel::DataChannel as Library;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::rtp_transceiver::RtpSender;

/// Who waits for a channel.
pub(crate) type ChannelReply = oneshot::Sender<Result<DataChannel>>;

/// The data channels of a connection.
pub(crate) struct ConnectionChannels {
    /// Where open channels go.
    pub incoming: Option<IncomingChannels>,
    /// Held by each open channel.
    pub common: Arc<Common>,
    /// Texts of ours, by the label of their channel.
    pub texts: HashMap<String, TextQueue>,
    pub shared: SharedChannel,
    /// The SCTP association is up: channels can be opened.
    pub associated: bool,
}

/// The only channel of a room that has a single one.
pub(crate) struct SharedChannel {
    pub channel: Option<Arc<dyn Library>>,
    pub waiting: Vec<ChannelReply>,
    /// Held by whoever sends.
    pub turn: Arc<Semaphore>,
}

impl ConnectionChannels {
    pub(crate) fn new(incoming: Option<IncomingChannels>, pacer: Arc<Pacer>) -> Self {
        let shared = SharedChannel { channel: None, waiting: Vec::new(), turn: Arc::new(Semaphore::new(1)) };
        Self {
            incoming,
            common: Arc::new(Common { pacer, transfers: AtomicUsize::new(0) }),
            texts: HashMap::new(),
            shared,
            associated: false,
        }
    }
}

/// A transceiver that is negotiated from the start, for a track that is published later.
pub(crate) struct ReservedTransceiver {
    pub kind: MediaKind,
    pub local: Arc<TrackLocalStaticRTP>,
    pub sender: Arc<dyn RtpSender>,
    pub ssrc: u32,
    pub in_use: bool,
}

/// Tracks of ours on a connection.
pub(crate) struct PublishedTracks {
    pub senders: Vec<TrackSender>,
    pub reserved: Vec<ReservedTransceiver>,
    pub capture_times: Arc<CaptureTimes>,
}

impl PublishedTracks {
    pub(crate) fn new(capture_times: Arc<CaptureTimes>) -> Self {
        Self { senders: Vec::new(), reserved: Vec::new(), capture_times }
    }
    /// Whether packets may go out.
    pub(crate) fn set_connected(&self, connected: bool) {
        self.senders.iter().for_each(|sender| sender.set_connected(connected));
    }
    /// The peer requests a key frame of the stream with this SSRC.
    pub(crate) fn on_key_frame_request(&self, ssrc: u32) {
        if let Some(sender) = self.senders.iter().find(|sender| sender.ssrc == ssrc) {
            sender.track.request_key_frame();
        }
    }
    /// Descriptions are in force. Returns warnings about tracks that the peer does not support.
    pub(crate) async fn apply_negotiated(&mut self, shared: &Shared) -> Vec<String> {
        let mut warnings = Vec::new();
        for sender in &mut self.senders {
            warnings.extend(sender.apply_negotiated(shared).await);
        }
        warnings
    }
    /// Sends nothing more.
    pub(crate) fn stop(&mut self) {
        self.senders.drain(..).for_each(TrackSender::stop);
    }
}

//! The library's callbacks. They are awaited inside its driver, so they only forward.

use std::sync::Arc;
use tokio::sync::mpsc;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceConnectionState, RTCIceGatheringState, RTCPeerConnectionIceEvent,
    RTCPeerConnectionState,
};

/// What the library's callbacks forward. Unbounded: each is caused by one local or remote negotiation step or track, and both
/// have limits; media never comes this way.
pub(crate) enum Callback {
    Candidate(RTCPeerConnectionIceEvent),
    Gathered,
    State(RTCPeerConnectionState),
    IceConnected,
    Track(Arc<dyn TrackRemote>),
    /// A stream of a track begins.
    Open {
        track: Arc<dyn TrackRemote>,
        ssrc: u32,
        /// Which layer it is, if the track has several.
        rid: Option<String>,
    },
    Ended {
        track: String,
    },
    Channel(Arc<dyn DataChannel>),
    /// The SCTP association is up: data channels can be opened.
    Associated,
}

/// Forwards every callback to the actor.
pub(crate) struct Handler(pub mpsc::UnboundedSender<Callback>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let _ = self.0.send(Callback::Candidate(event));
    }
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.0.send(Callback::Gathered);
        }
    }
    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if state == RTCIceConnectionState::Connected {
            let _ = self.0.send(Callback::IceConnected);
        }
    }
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let _ = self.0.send(Callback::State(state));
    }
    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.0.send(Callback::Channel(channel));
    }
    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.0.send(Callback::Track(track));
    }
}

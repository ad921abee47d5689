//! The candidates of a connection of the library's own, for members that no connection of ours would be.

use tokio::sync::mpsc;
use webrtc::peer_connection::{PeerConnectionEventHandler, RTCPeerConnectionIceEvent};

/// Passes candidates on.
pub struct Candidates(pub mpsc::UnboundedSender<String>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Candidates {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(init) = event.candidate.to_json() {
            let _ = self.0.send(init.candidate);
        }
    }
}

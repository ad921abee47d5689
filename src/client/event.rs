//! Events of a joined room as the client reports them, with the receiving end of each connection.

use crate::rtc::{BandwidthEstimate, Inbox};
use std::sync::Arc;
use tokio::sync::watch;

/// Something that happened in a room that was joined.
pub type RoomEvent = crate::room::event::RoomEvent<IncomingMedia>;

/// Sees every event in order, before the consumer that acts on it.
pub trait RoomObserver: Send + Sync {
    /// Called for each event. Must not block.
    fn on_event(&self, event: &RoomEvent);
}

/// The receiving end of a connection.
#[derive(Debug, Clone)]
pub struct IncomingMedia {
    /// Where its packets arrive.
    pub inbox: Arc<Inbox>,
    /// What the path to the participant carries, for those who encode what they send.
    pub bandwidth: watch::Receiver<BandwidthEstimate>,
}

//! What a client tells whoever listens: the room's events, with the receiving end of each connection.

use crate::rtc::{BandwidthEstimate, Inbox};
use std::sync::Arc;
use tokio::sync::watch;

/// Something that happened in a room that was joined.
pub type RoomEvent = crate::room::event::RoomEvent<IncomingMedia>;

/// Looks at what happens, in its order, and before whoever acts on it.
pub trait RoomObserver: Send + Sync {
    /// Something happened. Must not wait.
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

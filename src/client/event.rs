//! What happens in a room, as a recorder wants to know it. Values only.

use crate::room::participant::{Participant, ParticipantId, TrackLabel};
use crate::rtc::{BandwidthEstimate, Inbox, PeerEvent};
use crate::transfer::FileReport;
use std::sync::Arc;
use tokio::sync::watch;

/// Something that happened in a room that was joined.
#[derive(Debug, Clone)]
pub enum RoomEvent {
    Joined(Participant),
    Left {
        id: ParticipantId,
        reason: String,
    },
    /// The participant's whole new list of labels and mute states.
    Tracks {
        id: ParticipantId,
        tracks: Vec<TrackLabel>,
    },
    /// A connection to a participant exists; its packets will arrive there.
    Attached {
        id: ParticipantId,
        inbox: Arc<Inbox>,
        /// What the path to the participant carries, for those who encode what they send.
        path: watch::Receiver<BandwidthEstimate>,
    },
    /// The connection is gone. What is in its inbox is still good.
    Detached {
        id: ParticipantId,
    },
    /// From the connection; never [`PeerEvent::Signal`].
    Peer {
        id: ParticipantId,
        event: PeerEvent,
    },
    /// Something became of a file that they send us.
    File {
        id: ParticipantId,
        report: FileReport,
    },
    /// The way to the room server is lost; media goes on.
    Reconnecting {
        cause: String,
    },
    Resumed,
}

//! What happens in a room, as a client tells whoever listens. Values only.

use crate::room::file::FileReport;
use crate::room::media::RemoteTrack;
use crate::room::participant::{Participant, ParticipantId, TrackLabel};
use crate::room::policy::PeerState;
use std::time::Instant;

/// One connection of a client, unique for as long as the client is in its room. A participant may have several, at once (an SFU with a
/// connection for each stream) or one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Something that happened in a room. `Media` is the receiving end of a connection; this module knows nothing of it.
#[derive(Debug, Clone)]
pub enum RoomEvent<Media> {
    /// Somebody is there.
    Joined(Participant),
    /// Somebody has gone; `reason` is a word for the timeline (`left`, `timeout`, `kicked`).
    Left { id: ParticipantId, reason: String },
    /// The participant's whole new list of track labels and mute states.
    Labels { id: ParticipantId, tracks: Vec<TrackLabel> },
    /// There is a connection that brings media of the participant.
    ConnectionOpened { id: ParticipantId, connection: ConnectionId, media: Media },
    /// The connection is gone. What it brought before is still good.
    ConnectionClosed { id: ParticipantId, connection: ConnectionId },
    /// Where the connection to the participant stands.
    ConnectionState { id: ParticipantId, state: PeerState },
    /// A network path to the participant was found (ICE); what follows is DTLS.
    PathFound { id: ParticipantId },
    /// Packets of this stream arrive on the connection from now on; some may be there already.
    TrackAdded { id: ParticipantId, connection: ConnectionId, track: RemoteTrack },
    /// The sender took the track away. Packets of these SSRCs that have arrived are still good.
    TrackRemoved { id: ParticipantId, connection: ConnectionId, ssrcs: Vec<u32> },
    /// Packets of a room's server that belong to no participant, and were dropped; `reason`: the word of the account.
    Unowned { ssrc: u32, reason: &'static str, packets: u64, bytes: u64, first: Instant, last: Instant },
    /// The participant said something in the chat, at most 64 KiB of UTF-8.
    Chat { id: ParticipantId, text: String },
    /// Something became of a file that the participant sends us.
    File { id: ParticipantId, report: FileReport },
    /// Something went wrong with the participant that the client survives.
    Warning { id: ParticipantId, text: String },
    /// Nothing comes of media that the participant has labelled: there is no connection, or it brings nothing. The client mends it.
    NothingComes { id: ParticipantId, text: String },
    /// The way to the room server is lost; media goes on.
    Reconnecting { cause: String },
    /// The way to the room server is back.
    Resumed,
}

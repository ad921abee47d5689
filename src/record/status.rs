//! How a recording stands, for whoever watches it. Values only.

use crate::room::media::{Codec, Source};
use crate::room::participant::Role;
use serde::Serialize;

/// A recording at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Status {
    pub elapsed_ms: u64,
    /// Bytes of media captured so far.
    pub bytes: u64,
    pub people: Vec<PersonStatus>,
    /// For how long nobody has spoken, while somebody was there.
    pub quiet_ms: u64,
    /// For how long only bots have been there.
    pub only_bots_ms: u64,
    /// Nothing is recorded, as somebody wished.
    pub paused: bool,
    /// Nobody but recorders is in the room.
    pub empty: bool,
    /// Files that were received, their bytes, and files that come now.
    pub files: u64,
    pub file_bytes: u64,
    pub files_coming: u64,
    /// Texts that were said.
    pub chats: u64,
    /// What was lost or went wrong so far, one line each; a line may change, its place does not.
    pub warnings: Vec<String>,
    /// What the disk complains about, while it does.
    pub trouble: Option<String>,
    /// Packets that were dropped because capture could not keep up.
    pub dropped: u64,
}

/// Somebody in the room.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PersonStatus {
    pub name: String,
    pub role: Role,
    pub tracks: Vec<TrackStatus>,
}

/// A track that is being recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackStatus {
    pub source: Source,
    pub codec: Codec,
    /// Bits a second over the last second.
    pub bitrate: u64,
    /// Share of packets lost for good since the start, 0.0 to 1.0.
    pub loss: f64,
    pub size: Option<(u32, u32)>,
    /// Waiting for a key frame to begin or go on with.
    pub waiting: bool,
}

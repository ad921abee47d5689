//! Participants and the labels of their tracks: what a room server knows and every signalling adapter reports.

use crate::room::media::{MediaKind, Source};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// A participant's id, given by the room server. Unique within a room; 1 to 64 of `[A-Za-z0-9_-]` in our own rooms.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParticipantId(pub String);

impl std::fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this display name is meant by what a person typed, who may not mind capitals.
pub fn is_called(name: &str, typed: &str) -> bool {
    let plain = |text: &str| text.nfc().collect::<String>().to_lowercase();
    plain(name) == plain(typed)
}

/// What a participant is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person, or a fed fixture that plays one.
    #[default]
    Participant,
    /// Receives everything, sends nothing; others are shown that they are recorded.
    Recorder,
    /// Sends back what it receives (filter, echo).
    Bot,
}

/// What one of a participant's tracks is. A track is named by its media stream id (`a=msid`) and its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackLabel {
    /// The media stream id, at most 128 bytes.
    pub stream: String,
    pub kind: MediaKind,
    pub source: Source,
    #[serde(default)]
    pub muted: bool,
}

/// Somebody in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    pub id: ParticipantId,
    /// The display name, unique within the room at the time of joining; any text of at most 64 characters.
    pub name: String,
    #[serde(default)]
    pub role: Role,
    #[serde(default)]
    pub tracks: Vec<TrackLabel>,
}

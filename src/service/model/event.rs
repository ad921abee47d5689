//! What happened to a recording, as clients and webhooks get it.

use super::id::Id;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum EventType {
    #[serde(rename = "recording.scheduled")]
    Scheduled,
    #[serde(rename = "recording.queued")]
    Queued,
    #[serde(rename = "recording.joining")]
    Joining,
    #[serde(rename = "recording.waiting")]
    Waiting,
    /// The first media is recorded.
    #[serde(rename = "recording.started")]
    Started,
    #[serde(rename = "recording.participant_joined")]
    ParticipantJoined,
    #[serde(rename = "recording.participant_left")]
    ParticipantLeft,
    #[serde(rename = "recording.paused")]
    Paused,
    #[serde(rename = "recording.resumed")]
    Resumed,
    #[serde(rename = "recording.warning")]
    Warning,
    #[serde(rename = "recording.stopped")]
    Stopped,
    #[serde(rename = "recording.processing")]
    Processing,
    #[serde(rename = "recording.film_ready")]
    FilmReady,
    #[serde(rename = "recording.uploading")]
    Uploading,
    #[serde(rename = "recording.uploaded")]
    Uploaded,
    /// It is `complete` or `partial`.
    #[serde(rename = "recording.completed")]
    Completed,
    #[serde(rename = "recording.failed")]
    Failed,
    #[serde(rename = "recording.cancelled")]
    Cancelled,
    /// A participant was removed from it, with the films that showed them.
    #[serde(rename = "recording.participant_purged")]
    ParticipantPurged,
    /// Its media is deleted in 24 hours, or less where it is kept for a day only.
    #[serde(rename = "recording.expiring")]
    Expiring,
    #[serde(rename = "recording.expired")]
    Expired,
    #[serde(rename = "recording.deleted")]
    Deleted,
    #[serde(rename = "file.received")]
    FileReceived,
    #[serde(rename = "chat.message")]
    ChatMessage,
    /// A recorder ended unexpectedly and was started again.
    #[serde(rename = "worker.lost")]
    WorkerLost,
    /// Sent to an endpoint on request, to try it.
    #[serde(rename = "webhook.ping")]
    Ping,
}

impl EventType {
    /// As in the API: `recording.started`.
    pub fn word(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(word)) => word,
            _ => String::new(),
        }
    }
}

/// An event that has no place in the order yet.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDraft {
    pub kind: EventType,
    pub data: serde_json::Value,
}

impl EventDraft {
    /// With this data, a JSON object.
    pub fn new(kind: EventType, data: serde_json::Value) -> EventDraft {
        EventDraft { kind, data }
    }
}

/// An event of a recording. `sequence` counts from 1 without holes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    pub id: Id,
    /// Position among all events of the service: what `Last-Event-ID` names.
    pub position: i64,
    pub recording: Id,
    /// Position among the events of the recording.
    pub sequence: i64,
    #[serde(rename = "type")]
    pub kind: EventType,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "crate::recording::utc_ms")]
    pub at: Timestamp,
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

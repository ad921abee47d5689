//! Bots that the service runs in rooms, and how they go from one state to the next.

use super::bot_request::BotRequest;
use super::id::Id;
use crate::recording::utc_ms;
use crate::signal;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a bot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BotState {
    /// Waits for room on the machine.
    Queued,
    /// Its process runs and is not in the room.
    Joining,
    /// It is in the room.
    Running,
    /// Somebody stopped it.
    Stopping,
    /// It did what it was to do, was stopped, or the room ended.
    Ended,
    /// It could not.
    Failed,
}

impl BotState {
    /// All.
    pub const ALL: [BotState; 6] =
        [BotState::Queued, BotState::Joining, BotState::Running, BotState::Stopping, BotState::Ended, BotState::Failed];

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, BotState::Ended | BotState::Failed)
    }

    /// As in the API.
    pub fn word(self) -> &'static str {
        match self {
            BotState::Queued => "queued",
            BotState::Joining => "joining",
            BotState::Running => "running",
            BotState::Stopping => "stopping",
            BotState::Ended => "ended",
            BotState::Failed => "failed",
        }
    }
}

/// A bot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bot {
    pub id: Id,
    pub project: String,
    pub state: BotState,
    /// Why it has ended, as in the JSON of `roombot filter`: `stopped`, `media_over`, `room_ended` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The room's name.
    pub room: String,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub created_at: Timestamp,
    /// When it first joined the room.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, with = "utc_ms::option", skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, with = "utc_ms::option", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How often its process was started.
    pub starts: u32,
    /// What was asked for, without its secrets.
    pub request: BotRequest,
}

impl Bot {
    /// One that was just asked for.
    pub fn new(project: &str, request: &BotRequest, now: Timestamp) -> Bot {
        Bot {
            id: Id::new(Id::BOT),
            project: project.to_owned(),
            state: BotState::Queued,
            reason_code: None,
            reason: None,
            room: signal::room_name(&request.room_url),
            created_at: now,
            joined_at: None,
            ended_at: None,
            starts: 0,
            request: request.without_secrets(),
        }
    }

    /// Ends it, once.
    pub fn end(&mut self, state: BotState, why: (String, String), now: Timestamp) {
        if !self.state.is_final() {
            self.state = state;
            (self.reason_code, self.reason) = (Some(why.0), Some(why.1));
            self.ended_at = Some(now);
        }
    }
}

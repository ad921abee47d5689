//! A film that is asked for after the recording: another layout, size or codec, from the same tracks.

use super::id::Id;
use super::request::FilmRequest;
use crate::recording::utc_ms;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A film that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FilmJob {
    pub id: Id,
    pub recording: Id,
    pub project: String,
    pub request: FilmRequest,
    pub state: FilmState,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, with = "utc_ms::option", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The film's path in the recording, once it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a film job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FilmState {
    /// Waits for room on the machine, or is made.
    Open,
    Done,
    Failed,
    Cancelled,
    /// It was made, and deleted since: it showed somebody who was removed.
    Deleted,
}

impl FilmJob {
    /// One that was just asked for.
    pub fn new(recording: &Id, project: &str, request: FilmRequest, now: Timestamp) -> FilmJob {
        FilmJob {
            id: Id::new(Id::FILM),
            recording: recording.clone(),
            project: project.to_owned(),
            request,
            state: FilmState::Open,
            created_at: now,
            ended_at: None,
            path: None,
            reason: None,
        }
    }

    /// The name of its file in the recording.
    pub fn file(&self) -> String {
        format!("{}.{}", self.id, self.request.extension())
    }

    /// Notes that its file is deleted. Returns whether it had one.
    pub fn delete(&mut self, reason: &str) -> bool {
        let had = self.state == FilmState::Done;
        if had {
            (self.state, self.path, self.reason) = (FilmState::Deleted, None, Some(reason.to_owned()));
        }
        had
    }

    /// Ends it, once.
    pub fn end(&mut self, state: FilmState, reason: Option<String>, now: Timestamp) {
        if self.state == FilmState::Open {
            (self.state, self.reason, self.ended_at) = (state, reason, Some(now));
            self.path = (state == FilmState::Done).then(|| self.file());
        }
    }
}

//! Uploading a recording again: one whose upload failed, or that ended before a store was configured.

use super::auth::Caller;
use super::elsewhere;
use super::problem::{Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use crate::service::database::keys::{Scope, audit};
use crate::service::database::{recordings, uploads};
use crate::service::jobs::upload_wanted;
use crate::service::model::Recording;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

/// Upload a recording that has ended once more. Everything is compared with the store, and what it has is not sent again.
#[utoipa::path(post, path = "/v1/recordings/{id}/upload", tag = "recordings", params(("id" = String, Path)),
    responses((status = 202, body = Recording), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn upload(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, axum::Json<Recording>), Problem> {
    caller.require(Scope::RecordingsWrite)?;
    let stored = find(&state, &caller, &id).await?;
    let id = stored.recording.id.clone();
    if state.storage.is_none() {
        return Err(Problem::wrong_state("the service has no store"));
    }
    let (project, by, now) = (caller.0.project.clone(), caller.0.id.clone(), Timestamp::now());
    if let Some(asked) = elsewhere::upload(&state, &stored).await {
        asked?;
        let (project, of) = (project.clone(), id.clone());
        let note = move |connection: &rusqlite::Connection| {
            audit(connection, &project, Some(&by), "recording.upload", of.as_str(), now)
        };
        state.database.write(note).await?;
        return Ok((StatusCode::ACCEPTED, axum::Json(stored.recording)));
    }
    let write = state.database.write(move |connection| {
        let asked = recordings::update(connection, &id, now, |stored| match upload_wanted(&mut stored.recording) {
            Ok(events) => (Ok(stored.recording.clone()), events),
            Err(problem) => (Err(problem), Vec::new()),
        })?;
        uploads::doubt(connection, &id)?;
        audit(connection, &project, Some(&by), "recording.upload", id.as_str(), now)?;
        Ok(asked)
    });
    match write.await? {
        Some(Ok(recording)) => Ok((StatusCode::ACCEPTED, axum::Json(recording))),
        Some(Err(problem)) => Err(Problem::wrong_state(problem)),
        None => Err(Problem::not_found("recording")),
    }
}

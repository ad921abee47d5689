//! Uploading a recording again: one whose upload failed, or that ended before a store was configured.

use super::auth::Caller;
use super::problem::{Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use crate::service::database::keys::{Scope, audit};
use crate::service::database::{recordings, uploads};
use crate::service::model::{EventDraft, EventType, Recording, State as RecordingState, Storage, StorageState};
use crate::service::storage::location;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::json;

/// Upload a recording that has ended once more. Everything is compared with the store, and what it has is not sent again.
#[utoipa::path(post, path = "/v1/recordings/{id}/upload", tag = "recordings", params(("id" = String, Path)),
    responses((status = 202, body = Recording), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn upload(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, axum::Json<Recording>), Problem> {
    caller.require(Scope::RecordingsWrite)?;
    let id = find(&state, &caller, &id).await?.recording.id;
    if state.storage.is_none() {
        return Err(Problem::wrong_state("the service has no store"));
    }
    if state.cluster.is_some() {
        return Err(Problem::wrong_state("its worker has sent it, or has it: see the worker's log"));
    }
    let (project, by, now) = (caller.0.project.clone(), caller.0.id.clone(), Timestamp::now());
    let write = state.database.write(move |connection| {
        let asked = recordings::update(connection, &id, now, |stored| match again(&mut stored.recording) {
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

/// Notes that the recording is to be uploaded. Asking twice is harmless.
fn again(recording: &mut Recording) -> Result<Vec<EventDraft>, String> {
    if !recording.state.is_final() || recording.state == RecordingState::Expired {
        return Err(format!("the recording is {}", recording.state));
    }
    if recording.outcome.as_ref().is_none_or(|outcome| outcome.media.is_empty()) {
        return Err("nothing was recorded".to_owned());
    }
    let place = location(recording);
    let storage =
        recording.storage.get_or_insert_with(|| Storage { state: StorageState::Failed, ..Storage::wanted(place) });
    if !storage.local {
        return Err("its media is in the store only".to_owned());
    }
    if storage.state == StorageState::Uploading {
        return Ok(Vec::new());
    }
    (storage.state, storage.problem) = (StorageState::Uploading, None);
    Ok(vec![EventDraft::new(EventType::Uploading, json!({ "state": recording.state }))])
}

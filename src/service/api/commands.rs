//! What can be asked of a running recording: stop, cancel, pause, resume. It is noted first and done then, so no request is lost.

use super::auth::Caller;
use super::problem::{Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use crate::service::database::keys::Scope;
use crate::service::database::keys::audit;
use crate::service::database::recordings;
use crate::service::model::{Recording, State as RecordingState, SubCode, Wanted};
use axum::extract::State;
use jiff::Timestamp;

/// Notes what a client wants, and does at once what needs no recorder.
async fn want(state: &ApiState, caller: &Caller, id: &str, wanted: Wanted) -> Result<axum::Json<Recording>, Problem> {
    caller.require(Scope::RecordingsWrite)?;
    let id = find(state, caller, id).await?.recording.id;
    let (project, by, now) = (caller.0.project.clone(), caller.0.id.clone(), Timestamp::now());
    let changed = state
        .database
        .write(move |connection| {
            let changed = recordings::update(connection, &id, now, |stored| {
                let recording = &mut stored.recording;
                // What is asked for twice is done.
                if recording.wanted != wanted && !recording.want(wanted) {
                    return (Err(recording.state), Vec::new());
                }
                let waits = matches!(recording.state, RecordingState::Scheduled | RecordingState::Queued);
                // A worker may be about to begin.
                let is_free = stored.runtime.placement.is_none();
                let ends = waits && is_free && recording.parts == 0 && matches!(wanted, Wanted::Stop | Wanted::Cancel);
                let why = (SubCode::CancelledByApi, "it had not begun".to_owned());
                let event = if ends { recording.advance(RecordingState::Cancelled, Some(why), now) } else { None };
                (Ok(recording.clone()), event.into_iter().collect())
            })?;
            let action = serde_json::to_value(wanted)?;
            let action = format!("recording.{}", action.as_str().unwrap_or_default());
            audit(connection, &project, Some(&by), &action, id.as_str(), now)?;
            Ok(changed)
        })
        .await?;
    match changed {
        Some(Ok(recording)) => Ok(axum::Json(recording)),
        Some(Err(state)) => Err(Problem::wrong_state(format!("the recording is {state}"))),
        None => Err(Problem::not_found("recording")),
    }
}

/// Stop a recording. What was recorded is finished; its outputs are made.
#[utoipa::path(post, path = "/v1/recordings/{id}/stop", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = Recording), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn stop(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Recording>, Problem> {
    want(&state, &caller, &id, Wanted::Stop).await
}

/// Cancel a recording. What was recorded is finished; no output is made.
#[utoipa::path(post, path = "/v1/recordings/{id}/cancel", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = Recording), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Recording>, Problem> {
    want(&state, &caller, &id, Wanted::Cancel).await
}

/// Pause a recording: the recorder stays in the room and takes nothing.
#[utoipa::path(post, path = "/v1/recordings/{id}/pause", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = Recording), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn pause(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Recording>, Problem> {
    want(&state, &caller, &id, Wanted::Pause).await
}

/// Go on with a paused recording.
#[utoipa::path(post, path = "/v1/recordings/{id}/resume", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = Recording), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn resume(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Recording>, Problem> {
    want(&state, &caller, &id, Wanted::Record).await
}

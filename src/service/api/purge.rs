//! Removing one participant from a recording that has ended.

use super::auth::Caller;
use super::contents::manifest_of;
use super::elsewhere;
use super::problem::{Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use crate::service::database::keys::{Scope, audit};
use crate::service::database::recordings::StoredRecording;
use crate::service::database::{films, recordings};
use crate::service::model::{FilmState, Recording, State as RecordingState, StorageState};
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;

/// Remove a participant from a recording that has ended: tracks, files, texts and stills of theirs, here and in the stores, and all films,
/// which show them. It is noted first and done then; the event `recording.participant_purged` tells when it is done.
#[utoipa::path(post, path = "/v1/recordings/{id}/participants/{participant}/purge", tag = "recordings",
    params(("id" = String, Path), ("participant" = String, Path, description = "The participant's `key`.")),
    responses((status = 202, body = Recording), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn purge(
    State(state): State<ApiState>,
    caller: Caller,
    Path((id, participant)): Path<(String, String)>,
) -> Result<(StatusCode, axum::Json<Recording>), Problem> {
    caller.require(Scope::RecordingsWrite)?;
    let stored = find(&state, &caller, &id).await?;
    may_purge(&stored.recording)?;
    let listed = manifest_of(&state, &stored).await?.participants;
    let recording = stored.recording;
    if !listed.iter().any(|entry| entry.key == participant) {
        return Err(Problem::not_found("participant"));
    }
    if let Some(cluster) = &state.cluster {
        if recording.storage.as_ref().is_none_or(|storage| storage.state == StorageState::Failed) {
            return Err(Problem::wrong_state("its media is with a worker that could not store it: upload it first"));
        }
        elsewhere::forget(cluster, &recording.id).await?;
    }
    let (project, by, now) = (caller.0.project.clone(), caller.0.id.clone(), Timestamp::now());
    let id = recording.id;
    let write = state.database.write(move |connection| {
        if films::of(connection, &id)?.iter().any(|job| job.state == FilmState::Open) {
            return Ok(Some(Err(Problem::wrong_state(
                "a film of the recording is being made: wait for it, or cancel it",
            ))));
        }
        // Not who it was: that is to be forgotten.
        audit(connection, &project, Some(&by), "recording.purge_participant", id.as_str(), now)?;
        let note = |stored: &mut StoredRecording| {
            let noted = may_purge(&stored.recording).map(|()| {
                if !stored.runtime.purging.contains(&participant) {
                    stored.runtime.purging.push(participant);
                }
                stored.recording.clone()
            });
            (noted, Vec::new())
        };
        recordings::update(connection, &id, now, note)
    });
    match write.await? {
        Some(Ok(recording)) => Ok((StatusCode::ACCEPTED, axum::Json(recording))),
        Some(Err(problem)) => Err(problem),
        None => Err(Problem::not_found("recording")),
    }
}

fn may_purge(recording: &Recording) -> Result<(), Problem> {
    if !recording.state.is_final() || recording.state == RecordingState::Expired {
        return Err(Problem::wrong_state(format!("the recording is {}", recording.state)));
    }
    if recording.legal_hold {
        return Err(Problem::wrong_state("the recording is on legal hold"));
    }
    Ok(())
}

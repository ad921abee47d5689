//! Recordings: asked for, listed, looked at, changed, deleted.

use super::auth::Caller;
use super::idempotent::Once;
use super::paging::{PageRequest, states};
use super::problem::{Json, Path, Problem, Query};
use super::state::ApiState;
use crate::service::cluster::fits;
use crate::service::database::keys::{Scope, audit};
use crate::service::database::recordings::{self, Filter, Runtime, StoredRecording};
use crate::service::deliveries::check_url;
use crate::service::jobs::delete_media;
use crate::service::model::{
    EventDraft, EventType, Id, Recording, RecordingRequest, State as RecordingState, StorageState,
};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// The recording of that id, if the caller may see it.
pub(super) async fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<StoredRecording, Problem> {
    let missing = || Problem::not_found("recording");
    let id = Id::parse(Id::RECORDING, id).ok_or_else(missing)?;
    let stored = state.database.recording(&id).await?;
    stored.filter(|stored| caller.sees(&stored.recording)).ok_or_else(missing)
}

/// Record a room.
#[utoipa::path(post, path = "/v1/recordings", tag = "recordings", request_body = RecordingRequest,
    params(("idempotency-key" = Option<String>, Header, description = "The same key and body give the same recording for 24 hours.")),
    responses(
        (status = 201, body = Recording, description = "It is queued, or scheduled."),
        (status = 200, body = Recording, description = "It was asked for before, with the same idempotency key."),
        (status = 409, body = Problem, description = "The idempotency key was used for another request."),
        (status = 422, body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<RecordingRequest>,
) -> Result<Response, Problem> {
    caller.require(Scope::RecordingsWrite)?;
    if *state.leaving.borrow() {
        return Err(Problem::unavailable("the service is stopping", 10));
    }
    request.check().map_err(|invalid| Problem::field(invalid.field, invalid.problem))?;
    if let Some(url) = &request.webhook_url {
        check_url(url, state.allow_private_webhooks).map_err(|problem| Problem::field("webhook_url", problem))?;
    }
    if state.cluster.is_none() && !fits(&state.labels, &request.placement.labels) {
        return Err(Problem::field("placement.labels", "this machine does not have these labels, and is the only one"));
    }
    let once = Once::new(&headers, &caller.0.project, &request)?;
    let (project, by) = (caller.0.project.clone(), caller.0.id.clone());
    let now = Timestamp::now();
    let write = state.database.write(move |connection| {
        let find = |id: &Id| Ok(recordings::get(connection, id)?.map(|stored| stored.recording));
        once.make(connection, now, find, || {
            let recording = Recording::new(Id::new(Id::RECORDING), &project, &request, now);
            let kind =
                if recording.state == RecordingState::Scheduled { EventType::Scheduled } else { EventType::Queued };
            let stored = StoredRecording { recording: recording.clone(), request, runtime: Runtime::default() };
            recordings::insert(connection, &stored, EventDraft::new(kind, json!({ "state": recording.state })))?;
            audit(connection, &project, Some(&by), "recording.create", recording.id.as_str(), now)?;
            Ok(Some((recording.id.clone(), recording)))
        })
    });
    let location = |recording: &Recording| format!("/v1/recordings/{}", recording.id);
    write.await?.answer(StatusCode::CREATED, location, String::new)
}

/// Which recordings to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Only in these states, separated by commas.
    state: Option<String>,
    /// Only of this room.
    room: Option<String>,
    /// Only with this id of the client's own.
    external_id: Option<String>,
    /// Only those created at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// How many, 1 to 500; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of recordings, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page {
    recordings: Vec<Recording>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List recordings.
#[utoipa::path(get, path = "/v1/recordings", tag = "recordings", params(ListQuery),
    responses((status = 200, body = Page), (status = 400, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let states = states(query.state.as_deref(), &RecordingState::ALL.map(|state| (state.word(), state)))?;
    let page = PageRequest::new(query.limit, query.cursor.as_deref())?;
    let filter = Filter {
        project: caller.project(),
        states,
        room: query.room,
        external_id: query.external_id,
        since: query.since,
        before: page.before,
    };
    let found = state.database.read(move |connection| recordings::list(connection, &filter, page.count())).await?;
    let (recordings, next_cursor) = page.cut(found);
    Ok(axum::Json(Page { recordings, next_cursor }))
}

/// Look at a recording.
#[utoipa::path(get, path = "/v1/recordings/{id}", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = Recording), (status = 404, body = Problem)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Recording>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    Ok(axum::Json(find(&state, &caller, &id).await?.recording))
}

/// What of a recording can be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    /// Replaces the client's own data.
    metadata: Option<std::collections::BTreeMap<String, String>>,
    /// Whether its media is kept whatever its retention.
    legal_hold: Option<bool>,
    /// Days until its media is deleted.
    retention_days: Option<u32>,
    /// The title of its film, before that is made.
    title: Option<String>,
    /// Seconds after which it ends, counted from its start, while it runs; 0 never.
    max_duration_s: Option<u64>,
}

/// Change what can be changed.
#[utoipa::path(patch, path = "/v1/recordings/{id}", tag = "recordings", params(("id" = String, Path)), request_body = Patch,
    responses((status = 200, body = Recording), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn patch(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(patch): Json<Patch>,
) -> Result<axum::Json<Recording>, Problem> {
    caller.require(Scope::RecordingsWrite)?;
    let id = find(&state, &caller, &id).await?.recording.id;
    // Looked at and changed as one write: others may change it too, and it goes on.
    let write = state.database.write(move |connection| {
        let now = Timestamp::now();
        let change = move |stored: &mut StoredRecording| {
            let changed = changed(stored, patch).map(|()| stored.recording.clone());
            (changed, Vec::new())
        };
        let changed = recordings::update(connection, &id, now, change)?;
        if let Some(Ok(recording)) = &changed {
            audit(connection, &recording.project, Some(&caller.0.id), "recording.change", id.as_str(), now)?;
        }
        Ok(changed)
    });
    write.await?.ok_or_else(|| Problem::not_found("recording"))?.map(axum::Json)
}

/// Changes a recording, or nothing of it where a value cannot be taken.
fn changed(stored: &mut StoredRecording, patch: Patch) -> Result<(), Problem> {
    let mut tried = stored.request.clone();
    tried.metadata = patch.metadata.unwrap_or(tried.metadata);
    tried.retention_days = patch.retention_days.or(tried.retention_days);
    let state = stored.recording.state;
    if let Some(title) = patch.title {
        let film = tried.outputs.film.as_mut().filter(|_| state < RecordingState::Processing);
        film.ok_or_else(|| Problem::wrong_state("no film of this recording is to come"))?.title = Some(title);
    }
    if let Some(seconds) = patch.max_duration_s {
        if state >= RecordingState::Stopping {
            return Err(Problem::wrong_state(format!("the recording is {state}")));
        }
        tried.auto_stop.max_duration_s = seconds;
    }
    tried.check().map_err(|invalid| Problem::field(invalid.field, invalid.problem))?;
    let recording = &mut stored.recording;
    for request in [&mut stored.request, &mut recording.request] {
        request.metadata.clone_from(&tried.metadata);
        request.retention_days = tried.retention_days;
        request.outputs.film.clone_from(&tried.outputs.film);
        request.auto_stop.max_duration_s = tried.auto_stop.max_duration_s;
    }
    recording.legal_hold = patch.legal_hold.unwrap_or(recording.legal_hold);
    Ok(())
}

/// Delete a recording that has ended, with its media.
#[utoipa::path(delete, path = "/v1/recordings/{id}", tag = "recordings", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::RecordingsWrite)?;
    let recording = find(&state, &caller, &id).await?.recording;
    if !recording.state.is_final() {
        return Err(Problem::wrong_state(format!("the recording is {}: stop it first", recording.state)));
    }
    if recording.legal_hold {
        return Err(Problem::wrong_state("the recording is on legal hold"));
    }
    // An upload that runs would bring back what is deleted.
    if recording.storage.as_ref().is_some_and(|storage| storage.state == StorageState::Uploading) {
        return Err(Problem::wrong_state("the recording is being uploaded"));
    }
    let deleted = delete_media(state.storage.as_deref(), &state.database, &state.folders, &recording).await;
    deleted.map_err(|e| Problem::unavailable(format!("its media cannot be deleted: {e}"), 60))?;
    let id = recording.id;
    let (project, by, now) = (caller.0.project.clone(), caller.0.id.clone(), Timestamp::now());
    state
        .database
        .write(move |connection| {
            let event = EventDraft::new(EventType::Deleted, json!({}));
            recordings::update(connection, &id, now, |_| ((), vec![event]))?;
            recordings::delete(connection, &id)?;
            audit(connection, &project, Some(&by), "recording.delete", id.as_str(), now)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Films after the recording: another layout, size or codec, from the same tracks.

use super::auth::Caller;
use super::problem::{Json, Path, Problem, Query};
use super::recordings::find;
use super::state::ApiState;
use crate::service::database::films::RemoteFilm;
use crate::service::database::keys::{Scope, audit};
use crate::service::database::{films, recordings};
use crate::service::model::{FilmJob, FilmRequest, FilmState, Id, MediaKind, Recording, Storage, StorageState};
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Films in a list, unless `limit` says otherwise, and at most.
const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 500;
/// Films of a recording that have not ended.
const MOST_OPEN: usize = 10;

/// The films that were asked for after a recording.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Films {
    films: Vec<FilmJob>,
}

/// Make a film of a recording that has ended.
#[utoipa::path(post, path = "/v1/recordings/{id}/films", tag = "media", params(("id" = String, Path)), request_body = FilmRequest,
    responses((status = 202, body = FilmJob), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(request): Json<FilmRequest>,
) -> Result<(StatusCode, axum::Json<FilmJob>), Problem> {
    caller.require(Scope::RecordingsWrite)?;
    let recording = find(&state, &caller, &id).await?.recording;
    request.check().map_err(|invalid| {
        let field = invalid.field.strip_prefix("outputs.film.").unwrap_or(invalid.field);
        Problem::field(field, invalid.problem)
    })?;
    if !recording.state.is_final() {
        return Err(Problem::wrong_state(format!("the recording is {}", recording.state)));
    }
    let remote = remote(&recording)?;
    let media = recording.outcome.iter().flat_map(|outcome| &outcome.media);
    if !media.into_iter().any(|media| media.kind == MediaKind::Track) {
        return Err(Problem::wrong_state("the recording has no tracks"));
    }
    let now = Timestamp::now();
    let job = FilmJob::new(&recording.id, &recording.project, request, now);
    let kept = job.clone();
    let taken = state
        .database
        .write(move |connection| {
            let purging = recordings::get(connection, &kept.recording)?.is_some_and(|s| !s.runtime.purging.is_empty());
            if purging {
                return Ok(None);
            }
            let open =
                films::of(connection, &kept.recording)?.iter().filter(|job| job.state == FilmState::Open).count();
            if open >= MOST_OPEN {
                return Ok(Some(false));
            }
            films::insert(connection, &kept, remote.as_ref())?;
            audit(connection, &kept.project, Some(&caller.0.id), "film.create", kept.id.as_str(), now)?;
            Ok(Some(true))
        })
        .await?;
    match taken {
        Some(true) => Ok((StatusCode::ACCEPTED, axum::Json(job))),
        Some(false) => {
            let problem = format!("{MOST_OPEN} films of this recording are being made: wait for one");
            Err(Problem::wrong_state(problem))
        }
        None => Err(Problem::wrong_state("a participant is being removed from the recording: try again soon")),
    }
}

/// Where the recording is, if it is not here.
fn remote(recording: &Recording) -> Result<Option<RemoteFilm>, Problem> {
    match recording.storage.as_ref().filter(|storage| !storage.local) {
        None => Ok(None),
        Some(Storage { state: StorageState::Stored, store, path, .. }) => {
            Ok(Some(RemoteFilm { place: path.clone(), store: *store, worker: None, media: Vec::new() }))
        }
        Some(_) => Err(Problem::wrong_state("its tracks are with a worker that could not store them: upload it first")),
    }
}

/// List the films that were asked for after a recording.
#[utoipa::path(get, path = "/v1/recordings/{id}/films", tag = "media", params(("id" = String, Path)),
    responses((status = 200, body = Films), (status = 404, body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Films>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let id = find(&state, &caller, &id).await?.recording.id;
    let films = state.database.read(move |connection| films::of(connection, &id)).await?;
    Ok(axum::Json(Films { films }))
}

/// Which films to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct FilmQuery {
    /// Only in this state.
    state: Option<FilmState>,
    /// How many, 1 to 500; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// List the newest films that were asked for after any recording, the newest first.
#[utoipa::path(get, path = "/v1/films", tag = "media", params(FilmQuery),
    responses((status = 200, body = Films), (status = 400, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn list_all(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<FilmQuery>,
) -> Result<axum::Json<Films>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Problem::field("limit", format!("must be 1 to {LARGEST_PAGE}")));
    }
    let project = caller.project();
    let films = state
        .database
        .read(move |connection| films::newest(connection, project.as_deref(), query.state, limit))
        .await?;
    Ok(axum::Json(Films { films }))
}

/// The film job of that id, if the caller may see its recording.
async fn find_film(state: &ApiState, caller: &Caller, id: &str) -> Result<FilmJob, Problem> {
    let missing = || Problem::not_found("film");
    let id = Id::parse(Id::FILM, id).ok_or_else(missing)?;
    let stored = state.database.read(move |connection| films::get(connection, &id)).await?;
    let job = stored.ok_or_else(missing)?.job;
    find(state, caller, job.recording.as_str()).await.map_err(|_| missing())?;
    Ok(job)
}

/// Look at a film job.
#[utoipa::path(get, path = "/v1/films/{id}", tag = "media", params(("id" = String, Path)),
    responses((status = 200, body = FilmJob), (status = 404, body = Problem)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<FilmJob>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    find_film(&state, &caller, &id).await.map(axum::Json)
}

/// Cancel a film job. One that has ended stays as it is.
#[utoipa::path(delete, path = "/v1/films/{id}", tag = "media", params(("id" = String, Path)),
    responses((status = 200, body = FilmJob), (status = 404, body = Problem)))]
pub(super) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<FilmJob>, Problem> {
    caller.require(Scope::RecordingsWrite)?;
    let id = find_film(&state, &caller, &id).await?.id;
    let now = Timestamp::now();
    let changed = state
        .database
        .write(move |connection| {
            films::update(connection, &id, |stored| {
                stored.job.end(FilmState::Cancelled, None, now);
                stored.job.clone()
            })
        })
        .await?;
    changed.map(axum::Json).ok_or_else(|| Problem::not_found("film"))
}

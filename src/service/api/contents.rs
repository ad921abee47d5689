//! What a recording holds: participants, tracks, files, chat, timeline, log; and how its recorder stands.

use super::auth::Caller;
use super::elsewhere;
use super::problem::{Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use crate::recording::folder::TIMELINE;
use crate::recording::manifest::{FileEntry, Manifest, ParticipantEntry, TrackEntry};
use crate::recording::timeline::{Entry, Event};
use crate::service::cluster::Ask;
use crate::service::database::keys::Scope;
use crate::service::database::recordings::StoredRecording;
use crate::service::jobs;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;
use std::io::{Read, Seek, SeekFrom};
use utoipa::ToSchema;

/// Bytes of a chat or a timeline, and of a log, that are given out: its end.
const LONGEST_TEXT: u64 = 8 << 20;
pub(super) const LONGEST_LOG: u64 = 256 << 10;

/// How the recorder stands now: participants, bitrates, losses.
#[utoipa::path(get, path = "/v1/recordings/{id}/live", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn live(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Value>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let stored = find(&state, &caller, &id).await?;
    let recording = &stored.recording;
    if !recording.state.is_live() {
        return Err(Problem::wrong_state(format!("the recording is {}", recording.state)));
    }
    if let Some(answer) = elsewhere::ask(&state, &stored, |recording| Ask::Live { recording }).await {
        let text = answer.map_err(|problem| Problem::unavailable(problem, 2))?;
        return serde_json::from_str(&text).map(axum::Json).map_err(|e| Problem::unavailable(e.to_string(), 2));
    }
    let status = jobs::live_status(&state.folders, &recording.id).await;
    status.map(axum::Json).map_err(|e| Problem::no_answer("recorder", &e))
}

/// The manifest of a recording that has begun.
async fn manifest(state: &ApiState, caller: &Caller, id: &str) -> Result<Manifest, Problem> {
    caller.require(Scope::RecordingsRead)?;
    manifest_of(state, &find(state, caller, id).await?).await
}

/// The manifest of this recording.
pub(super) async fn manifest_of(state: &ApiState, stored: &StoredRecording) -> Result<Manifest, Problem> {
    if let Some(text) = elsewhere::manifest(state, stored).await {
        return serde_json::from_str(&text).map_err(|_| Problem::wrong_state("nothing is recorded yet"));
    }
    let folder = state.folders.recording(&stored.recording.id);
    let loaded = tokio::task::spawn_blocking(move || Manifest::load(&folder)).await;
    match loaded {
        Ok(Ok(manifest)) => Ok(manifest),
        _ => Err(Problem::wrong_state("nothing is recorded yet")),
    }
}

/// Who was in the room.
#[utoipa::path(get, path = "/v1/recordings/{id}/participants", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = Vec<Object>), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn participants(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Vec<ParticipantEntry>>, Problem> {
    Ok(axum::Json(manifest(&state, &caller, &id).await?.participants))
}

/// The tracks of a recording, as in its manifest.
#[utoipa::path(get, path = "/v1/recordings/{id}/tracks", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = Vec<Object>), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn tracks(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Vec<TrackEntry>>, Problem> {
    Ok(axum::Json(manifest(&state, &caller, &id).await?.tracks))
}

/// The files that participants shared.
#[utoipa::path(get, path = "/v1/recordings/{id}/files", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = Vec<Object>), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn files(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Vec<FileEntry>>, Problem> {
    Ok(axum::Json(manifest(&state, &caller, &id).await?.files))
}

const NDJSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/x-ndjson; charset=utf-8")];
pub(super) const PLAIN: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

/// The timeline: one JSON object a line, as in the recording.
#[utoipa::path(get, path = "/v1/recordings/{id}/timeline", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = 404, body = Problem)))]
pub(super) async fn timeline(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let stored = find(&state, &caller, &id).await?;
    Ok((NDJSON, timeline_of(&state, &stored).await))
}

/// A line of the chat.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChatLine {
    /// Milliseconds since the recording's start.
    t_ms: u64,
    /// The participant's key.
    participant: String,
    text: String,
}

/// What was written.
#[utoipa::path(get, path = "/v1/recordings/{id}/chat", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = Vec<ChatLine>), (status = 404, body = Problem)))]
pub(super) async fn chat(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Vec<ChatLine>>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let stored = find(&state, &caller, &id).await?;
    let text = timeline_of(&state, &stored).await;
    let entries = text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
    let lines = entries.filter_map(|Entry { t_ms, event, .. }| match event {
        Event::Chat { participant, text } => Some(ChatLine { t_ms, participant, text }),
        _ => None,
    });
    Ok(axum::Json(lines.collect()))
}

/// What its recorder and its films said: the end of their log.
#[utoipa::path(get, path = "/v1/recordings/{id}/logs", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 404, body = Problem)))]
pub(super) async fn logs(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let stored = find(&state, &caller, &id).await?;
    if let Some(answer) = elsewhere::ask(&state, &stored, |recording| Ask::Logs { recording }).await {
        return Ok((PLAIN, answer.map_err(|problem| Problem::unavailable(problem, 2))?));
    }
    Ok((PLAIN, end_of(state.folders.log(&stored.recording.id), LONGEST_LOG).await))
}

async fn timeline_of(state: &ApiState, stored: &StoredRecording) -> String {
    match elsewhere::timeline(state, stored).await {
        Some(text) => text,
        None => end_of(state.folders.recording(&stored.recording.id).join(TIMELINE), LONGEST_TEXT).await,
    }
}

/// The last bytes of a file as text, from a whole line on; nothing where there is none.
pub(super) async fn end_of(path: std::path::PathBuf, bytes: u64) -> String {
    let read = move || -> std::io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let from = file.metadata()?.len().saturating_sub(bytes);
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        file.take(bytes).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let first = if from == 0 { Some(0) } else { text.find('\n').map(|at| at + 1) };
        Ok(first.map_or_else(String::new, |first| text[first..].to_owned()))
    };
    tokio::task::spawn_blocking(read).await.ok().and_then(Result::ok).unwrap_or_default()
}

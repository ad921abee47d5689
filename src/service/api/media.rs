//! The files of a recording, with ranges.

use super::auth::Caller;
use super::elsewhere;
use super::problem::{Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use super::stored;
use crate::service::database::keys::{Scope, audit_detail};
use crate::viewer::{in_pieces, is_for_player, protected};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::response::Response;
use jiff::Timestamp;

/// A file of a recording, from the service's disk or the store. Takes `Range` (RFC 9110 14). With `?play` it is prepared for a browser: silence
/// in the gaps of an Opus track, 1 MiB at most for a range without an end, never the store's own address.
#[utoipa::path(get, path = "/v1/recordings/{id}/media/{*path}", tag = "media",
    params(("id" = String, Path), ("path" = String, Path)),
    responses((status = 200), (status = 206), (status = 307, description = "It is at this address of the store."), (status = 404, body = Problem), (status = 416)))]
pub(super) async fn file(
    State(state): State<ApiState>,
    caller: Caller,
    Path((id, path)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let found = find(&state, &caller, &id).await?;
    let recording = &found.recording;
    let for_player = is_for_player(&request);
    let range = request.headers().get(header::RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
    let head = request.method() == Method::HEAD;
    if !head && begins(&request) {
        let (project, id, path) = (recording.project.clone(), recording.id.clone(), path.clone());
        let now = Timestamp::now();
        let write = state.database.write(move |connection| {
            audit_detail(connection, &project, Some(&caller.0.id), "recording.download", id.as_str(), &path, now)
        });
        write.await?;
    }
    let folder = state.folders.recording(&recording.id);
    let again = (request.method().clone(), request.uri().clone(), request.headers().clone());
    if let Some(response) = state.media.serve(&folder, &path, request).await {
        return Ok(response);
    }
    let in_pieces = |range: String| in_pieces(&range).unwrap_or(range);
    let range = if for_player { range.map(in_pieces) } else { range };
    let query = again.1.query().unwrap_or_default();
    if let Some(answer) = elsewhere::media(&state, &found, (&path, query), range.clone(), head).await {
        return answer.map(protected);
    }
    let storage = state.storage.as_deref();
    if !for_player {
        return stored::file(storage, recording, &path, range, head).await.map(protected);
    }
    if stored::is_sound(&path) {
        let mut request = Request::new(Body::empty());
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = again;
        let fetch = stored::fetch(storage, recording, &path);
        if let Some(response) = state.media.serve_fetched(&folder.join(&path), &path, request, fetch).await {
            return Ok(response);
        }
    }
    stored::piece(storage, recording, &path, range, head).await.map(protected)
}

/// Whether a request asks for a file from its beginning: players ask for many pieces of one.
pub(super) fn begins(request: &Request) -> bool {
    let range = request.headers().get(header::RANGE).and_then(|range| range.to_str().ok());
    range.is_none_or(|range| range.trim_start().starts_with("bytes=0-"))
}

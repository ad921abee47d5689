//! The files of a recording, with ranges.

use super::auth::Caller;
use super::problem::{Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use super::stored;
use crate::service::database::keys::Scope;
use crate::viewer::protected;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::response::Response;

/// A file of a recording, from the service's disk or the store. Takes `Range` (RFC 9110 14).
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
    let recording = find(&state, &caller, &id).await?.recording;
    let range = request.headers().get(header::RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
    let head = request.method() == Method::HEAD;
    if let Some(response) = state.media.serve(&state.folders.recording(&recording.id), &path, request).await {
        return Ok(response);
    }
    stored::file(state.storage.as_deref(), &recording, &path, range, head).await.map(protected)
}

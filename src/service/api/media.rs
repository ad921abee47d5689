//! The files of a recording, with ranges.

use super::auth::Caller;
use super::problem::{Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use crate::service::database::keys::Scope;
use axum::extract::{Request, State};
use axum::response::Response;

/// A file of a recording. Takes `Range` (RFC 9110 14).
#[utoipa::path(get, path = "/v1/recordings/{id}/media/{*path}", tag = "media",
    params(("id" = String, Path), ("path" = String, Path)),
    responses((status = 200), (status = 206), (status = 404, body = Problem), (status = 416)))]
pub(super) async fn file(
    State(state): State<ApiState>,
    caller: Caller,
    Path((id, path)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let id = find(&state, &caller, &id).await?.recording.id;
    let served = state.media.serve(&state.folders.recording(&id), &path, request).await;
    served.ok_or_else(|| Problem::not_found("file"))
}

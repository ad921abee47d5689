//! The files of a recording, with ranges.

use super::auth::Caller;
use super::problem::{Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use crate::service::database::keys::Scope;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::path::{Component, PathBuf};
use tower::ServiceExt;
use tower_http::services::ServeFile;

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
    let relative = PathBuf::from(path);
    // Below the recording's folder, and nothing that is hidden or unfinished.
    let is_safe = relative.components().all(|part| match part {
        Component::Normal(name) => name.to_str().is_some_and(|name| !name.starts_with('.') && !name.ends_with(".part")),
        _ => false,
    });
    if !is_safe {
        return Err(Problem::not_found("file"));
    }
    let path = state.folders.recording(&id).join(relative);
    let is_file = tokio::fs::symlink_metadata(&path).await.is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        return Err(Problem::not_found("file"));
    }
    let Ok(response) = ServeFile::new(&path).oneshot(request).await;
    let mut response = response.map(Body::new).into_response();
    let headers = response.headers_mut();
    // What participants sent must not run as a page of this service.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

//! Links to one file of a recording, or to its archive, that work without a key until they expire. A link is a signed token; the secret is
//! in the database, so links outlive a restart.

use super::archive;
use super::auth::Caller;
use super::link_key::LinkClaims;
use super::media::begins;
use super::problem::{Json, Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use super::stored;
use crate::service::database::keys::{Scope, audit_detail};
use crate::service::model::State as RecordingState;
use crate::viewer::protected;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How long a link is good, unless it is said, and at most, in seconds.
const USUAL_S: u64 = 3600;
const LONGEST_S: u64 = 7 * 24 * 3600;
/// Bytes of a path.
const LONGEST_PATH: usize = 1024;

/// A link to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkRequest {
    /// A file of the recording, as in its `outcome.media`; absent: the whole recording as a ZIP file.
    #[serde(default)]
    #[schema(example = "film.mp4")]
    path: Option<String>,
    /// Seconds for which it is good, 1 to 604800; an hour by default.
    #[serde(default = "an_hour")]
    #[schema(minimum = 1, maximum = 604_800)]
    expires_in_s: u64,
}

fn an_hour() -> u64 {
    USUAL_S
}

/// A link that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Link {
    /// Below the service's address. Whoever has it can download.
    #[schema(example = "/v1/links/eyJ…")]
    url: String,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "crate::recording::utc_ms")]
    expires_at: Timestamp,
}

/// Make a link to a file of a recording, or to all of it, that works without a key.
#[utoipa::path(post, path = "/v1/recordings/{id}/links", tag = "media", params(("id" = String, Path)), request_body = LinkRequest,
    responses((status = 201, body = Link), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(request): Json<LinkRequest>,
) -> Result<(StatusCode, axum::Json<Link>), Problem> {
    caller.require(Scope::RecordingsRead)?;
    let recording = find(&state, &caller, &id).await?.recording;
    if !(1..=LONGEST_S).contains(&request.expires_in_s) {
        return Err(Problem::field("expires_in_s", format!("must be 1 to {LONGEST_S} (a week)")));
    }
    if !recording.state.is_final() {
        return Err(Problem::wrong_state(format!("the recording is {}", recording.state)));
    }
    let media = recording.outcome.iter().flat_map(|outcome| &outcome.media);
    let known = |path: &String| path.len() <= LONGEST_PATH && media.clone().any(|media| media.path == *path);
    if request.path.as_ref().is_some_and(|path| !known(path)) {
        return Err(Problem::field("path", "is no file of this recording: `outcome.media` lists them"));
    }
    let now = Timestamp::now();
    let length = SignedDuration::from_secs(i64::try_from(request.expires_in_s).unwrap_or(0));
    let expires_at = now.checked_add(length).unwrap_or(now);
    let exp = u64::try_from(expires_at.as_second()).unwrap_or(0);
    let claims = LinkClaims { exp, recording: recording.id.clone(), path: request.path.clone() };
    let token = state.links.token(&claims).ok_or_else(|| Problem::unavailable("the link cannot be signed", 60))?;
    let by = caller.0.id.clone();
    let write = state.database.write(move |connection| {
        let detail = request.path.as_deref().unwrap_or("archive.zip");
        audit_detail(connection, &recording.project, Some(&by), "link.create", recording.id.as_str(), detail, now)
    });
    write.await?;
    Ok((StatusCode::CREATED, axum::Json(Link { url: format!("/v1/links/{token}"), expires_at })))
}

/// Download what a link is for. Takes `Range` for a file.
#[utoipa::path(get, path = "/v1/links/{token}", tag = "media", security(()), params(("token" = String, Path)),
    responses((status = 200), (status = 206), (status = 307, description = "It is at this address of the store."),
        (status = 403, body = Problem, description = "It has expired, or is none of ours."), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 416), (status = 503, body = Problem)))]
pub(super) async fn follow(
    State(state): State<ApiState>,
    Path(token): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let expired = || Problem::new(StatusCode::FORBIDDEN, "link_expired", "this link has expired, or is none of ours");
    let claims = state.links.claims(&token).ok_or_else(expired)?;
    let stored = state.database.recording(&claims.recording).await?;
    let recording = stored.map(|stored| stored.recording).filter(|it| it.state != RecordingState::Expired);
    let recording = recording.ok_or_else(|| Problem::not_found("recording"))?;
    let (project, id, now) = (recording.project.clone(), recording.id.clone(), Timestamp::now());
    if request.method() == Method::GET && begins(&request) {
        let detail = claims.path.clone().unwrap_or_else(|| "archive.zip".to_owned());
        let write = state.database.write(move |connection| {
            audit_detail(connection, &project, None, "link.download", id.as_str(), &detail, now)
        });
        write.await?;
    }
    let Some(path) = claims.path else { return archive::of(&state, recording).await };
    let range = request.headers().get(header::RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
    let head = request.method() == Method::HEAD;
    let folder = state.folders.recording(&recording.id);
    let mut response = match state.media.serve(&folder, &path, request).await {
        Some(response) => response,
        None => protected(stored::file(state.storage.as_deref(), &recording, &path, range, head).await?),
    };
    let name: String = path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_graphic() && *c != '"' && *c != '\\')
        .collect();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

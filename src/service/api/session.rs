//! Sessions of the dashboard: begun with a key, or with a code in its place; carried by a cookie that scripts cannot read and other sites cannot use.

use super::auth::{Caller, SESSION, digest, new_secret, session_cookie};
use super::problem::{Json, Problem};
use super::state::ApiState;
use crate::service::database::keys::{self, ApiKey};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// How long a session lasts.
const LENGTH: Duration = Duration::from_secs(12 * 3600);

/// What to begin a session with: one of both.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Login {
    /// An API key.
    key: Option<String>,
    /// What the service gave to whoever started it: good once, for ten minutes.
    code: Option<String>,
}

/// Begin a session: sets a cookie.
#[utoipa::path(post, path = "/v1/session", tag = "keys", security(()), request_body = Login,
    responses((status = 200, body = ApiKey), (status = 401, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn begin(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Json(login): Json<Login>,
) -> Result<Response, Problem> {
    let of_key = match (login.key, login.code) {
        (Some(key), None) => digest(key.trim()),
        (None, Some(code)) => state.sign_in.redeem(&code, Instant::now()).ok_or_else(|| {
            let detail = "this code was used already, or is older than ten minutes: sign in with a key";
            Problem::new(StatusCode::UNAUTHORIZED, "code_wrong", detail)
        })?,
        _ => return Err(Problem::field("key", "a session begins with a key, or with a code")),
    };
    let (token, now) = (new_secret(), Timestamp::now());
    let of_session = digest(&token);
    let key = state
        .database
        .write(move |connection| {
            let key = keys::by_digest(connection, &of_key)?;
            if let Some(key) = &key {
                keys::begin_session(connection, &of_session, &key.id, now, LENGTH)?;
                keys::audit(connection, &key.project, Some(&key.id), "session.begin", key.id.as_str(), now)?;
            }
            Ok(key)
        })
        .await?;
    let wrong = || Problem::new(StatusCode::UNAUTHORIZED, "key_wrong", "this API key is unknown or revoked");
    let key = key.ok_or_else(wrong)?;
    let is_https = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let cookie = cookie(&token, LENGTH.as_secs(), is_https);
    Ok(([(header::SET_COOKIE, cookie)], axum::Json(key)).into_response())
}

/// Whose session it is.
#[utoipa::path(get, path = "/v1/session", tag = "keys", responses((status = 200, body = ApiKey), (status = 401, body = Problem)))]
pub(super) async fn show(caller: Caller) -> axum::Json<ApiKey> {
    axum::Json(caller.0)
}

/// End a session.
#[utoipa::path(delete, path = "/v1/session", tag = "keys", responses((status = 204)))]
pub(super) async fn end(State(state): State<ApiState>, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(session) = session_cookie(&headers) {
        let digest = digest(session);
        state.database.write(move |connection| keys::end_session(connection, &digest)).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie("", 0, false))]).into_response())
}

fn cookie(token: &str, seconds: u64, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    format!("{SESSION}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

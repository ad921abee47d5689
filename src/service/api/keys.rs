//! Keys: made, listed and revoked by administrators.

use super::auth::{Caller, digest, new_secret};
use super::problem::{Json, Path, Problem};
use super::state::ApiState;
use crate::service::database::keys::{self, ApiKey, Scope};
use crate::service::model::Id;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRequest {
    /// Who or what it is for.
    name: String,
    /// The project whose recordings it sees.
    #[serde(default = "default_project")]
    project: String,
    scopes: Vec<Scope>,
    /// Requests a minute; the service's default if absent, 0 any number.
    #[serde(default)]
    rate_limit: Option<u32>,
}

fn default_project() -> String {
    "default".to_owned()
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewKey {
    #[serde(flatten)]
    key: ApiKey,
    /// The key itself. It is shown this once.
    secret: String,
}

/// All keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Keys {
    keys: Vec<ApiKey>,
}

/// Make a key.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyRequest,
    responses((status = 201, body = NewKey), (status = 422, body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Json(request): Json<KeyRequest>,
) -> Result<(StatusCode, axum::Json<NewKey>), Problem> {
    caller.require(Scope::Admin)?;
    if !is_name(&request.name) {
        return Err(Problem::field("name", "must have 1 to 64 characters"));
    }
    if !keys::is_project(&request.project) {
        return Err(Problem::field("project", "must have 1 to 64 of A-Z a-z 0-9 - _"));
    }
    if request.scopes.is_empty() {
        return Err(Problem::field("scopes", "must name at least one scope"));
    }
    let secret = new_secret();
    let key = ApiKey {
        id: Id::new(Id::KEY),
        name: request.name,
        project: request.project,
        scopes: request.scopes,
        rate_limit: request.rate_limit,
        created_at: Timestamp::now(),
        revoked_at: None,
    };
    let (kept, digest) = (key.clone(), digest(&secret));
    state
        .database
        .write(move |connection| {
            keys::insert(connection, &kept, &digest)?;
            keys::audit(connection, &kept.project, Some(&caller.0.id), "key.create", kept.id.as_str(), kept.created_at)
        })
        .await?;
    Ok((StatusCode::CREATED, axum::Json(NewKey { key, secret })))
}

/// List the keys, without the keys themselves.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", responses((status = 200, body = Keys)))]
pub(super) async fn list(State(state): State<ApiState>, caller: Caller) -> Result<axum::Json<Keys>, Problem> {
    caller.require(Scope::Admin)?;
    Ok(axum::Json(Keys { keys: state.database.read(keys::list).await? }))
}

/// Revoke a key.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn revoke(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Admin)?;
    let id = Id::parse(Id::KEY, &id).ok_or_else(|| Problem::not_found("key"))?;
    let now = Timestamp::now();
    let revoked = state
        .database
        .write(move |connection| {
            let revoked = keys::revoke(connection, &id, now)?;
            if revoked {
                keys::audit(connection, &caller.0.project, Some(&caller.0.id), "key.revoke", id.as_str(), now)?;
            }
            Ok(revoked)
        })
        .await?;
    if revoked { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("key")) }
}

//! The audit log, for administrators.

use super::auth::Caller;
use super::problem::{Problem, Query};
use super::state::ApiState;
use crate::service::database::audit::{self, AuditEntry};
use crate::service::database::keys::Scope;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Entries on a page, unless `limit` says otherwise, and at most.
const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 500;

/// Which entries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// Only what was done to the object of this id.
    object: Option<String>,
    /// How many, 1 to 500; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of the audit log, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditPage {
    entries: Vec<AuditEntry>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// See who did what, in all projects.
#[utoipa::path(get, path = "/v1/audit", tag = "service", params(AuditQuery),
    responses((status = 200, body = AuditPage), (status = 400, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<axum::Json<AuditPage>, Problem> {
    caller.require(Scope::Admin)?;
    let AuditQuery { object, limit, cursor } = query;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Problem::field("limit", format!("must be 1 to {LARGEST_PAGE}")));
    }
    let before = cursor.map(|cursor| cursor.parse::<i64>().map_err(|_| Problem::field("cursor", "is none of ours")));
    let before = before.transpose()?;
    let read = move |connection: &rusqlite::Connection| audit::list(connection, object.as_deref(), before, limit + 1);
    let mut found = state.database.read(read).await?;
    let is_last = found.len() <= limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| !is_last).map(|(position, _)| position.to_string());
    Ok(axum::Json(AuditPage { entries: found.into_iter().map(|(_, entry)| entry).collect(), next_cursor }))
}

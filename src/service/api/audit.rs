//! Who did what: the audit log, for administrators.

use super::auth::Caller;
use super::paging::PageRequest;
use super::problem::{Problem, Query};
use super::state::ApiState;
use crate::service::database::audit::{self, AuditEntry, AuditFilter};
use crate::service::database::keys::Scope;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which entries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// Only of this project.
    project: Option<String>,
    /// Only by this key: `key_…`, `jwt_…`, or the schedule that made a recording.
    key: Option<String>,
    /// Only this action: `recording.create`, `recording.download`, `key.revoke` …
    action: Option<String>,
    /// Only what was done to this recording, bot, key …
    object: Option<String>,
    /// Only at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
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

/// List who did what.
#[utoipa::path(get, path = "/v1/audit", tag = "keys", params(AuditQuery),
    responses((status = 200, body = AuditPage), (status = 400, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<axum::Json<AuditPage>, Problem> {
    caller.require(Scope::Admin)?;
    let page = PageRequest::new(query.limit, query.cursor.as_deref())?;
    let filter = AuditFilter {
        project: query.project,
        key: query.key,
        action: query.action,
        object: query.object,
        since: query.since,
        before: page.before,
    };
    let found = state.database.read(move |connection| audit::list(connection, &filter, page.count())).await?;
    let (entries, next_cursor) = page.cut(found);
    Ok(axum::Json(AuditPage { entries, next_cursor }))
}

//! Checks: scenarios that the service runs, and their reports.

use super::auth::Caller;
use super::idempotent::Once;
use super::paging::PageQuery;
use super::problem::{Json, Path, Problem, Query};
use super::state::ApiState;
use crate::service::database::checks;
use crate::service::database::keys::{Scope, audit};
use crate::service::model::{Check, CheckRequest, CheckState, Id};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// Checks of one project that have not ended.
const MOST_OPEN: u32 = 20;

/// The check of that id, if the caller may see it.
async fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<Check, Problem> {
    caller.require(Scope::Checks)?;
    let missing = || Problem::not_found("check");
    let id = Id::parse(Id::CHECK, id).ok_or_else(missing)?;
    let stored = state.database.read(move |connection| checks::get(connection, &id)).await?;
    let check = stored.map(|stored| stored.check).ok_or_else(missing)?;
    if caller.sees_project(&check.project) { Ok(check) } else { Err(missing()) }
}

/// Run a scenario: a meeting of stamped participants, recorded and judged.
#[utoipa::path(post, path = "/v1/checks", tag = "checks", request_body = CheckRequest,
    params(("idempotency-key" = Option<String>, Header, description = "The same key and body give the same check for 24 hours.")),
    responses((status = 200, body = Check, description = "It was asked for before, with the same idempotency key."),
        (status = 202, body = Check), (status = 409, body = Problem, description = "The project has too many, or the idempotency key was used for another request."), (status = 422, body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<CheckRequest>,
) -> Result<Response, Problem> {
    caller.require(Scope::Checks)?;
    request.check().map_err(|invalid| Problem::field(invalid.field, invalid.problem))?;
    let now = Timestamp::now();
    let once = Once::new(&headers, &caller.0.project, &request)?;
    let check = Check::new(&caller.0.project, request, now);
    let write = state.database.write(move |connection| {
        let find = |id: &Id| Ok(checks::get(connection, id)?.map(|stored| stored.check));
        once.make(connection, now, find, || {
            if checks::count_open(connection, &check.project)? >= MOST_OPEN {
                return Ok(None);
            }
            checks::insert(connection, &check)?;
            audit(connection, &check.project, Some(&caller.0.id), "check.create", check.id.as_str(), now)?;
            Ok(Some((check.id.clone(), check.clone())))
        })
    });
    let location = |check: &Check| format!("/v1/checks/{}", check.id);
    let too_many = || format!("a project has at most {MOST_OPEN} checks at once: wait for one");
    write.await?.answer(StatusCode::ACCEPTED, location, too_many)
}

/// A page of checks, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Checks {
    checks: Vec<Check>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List checks.
#[utoipa::path(get, path = "/v1/checks", tag = "checks", params(PageQuery),
    responses((status = 200, body = Checks), (status = 400, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Checks>, Problem> {
    caller.require(Scope::Checks)?;
    let page = query.page()?;
    let project = caller.project();
    let read = move |connection: &rusqlite::Connection| {
        checks::list(connection, project.as_deref(), page.before, page.count())
    };
    let (checks, next_cursor) = page.cut(state.database.read(read).await?);
    Ok(axum::Json(Checks { checks, next_cursor }))
}

/// Look at a check: its state and verdict.
#[utoipa::path(get, path = "/v1/checks/{id}", tag = "checks", params(("id" = String, Path)),
    responses((status = 200, body = Check), (status = 404, body = Problem)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Check>, Problem> {
    Ok(axum::Json(find(&state, &caller, &id).await?))
}

/// A report's file; a conflict while there is none.
async fn file(state: &ApiState, check: &Check, name: &str, kind: &'static str) -> Result<Response, Problem> {
    if check.state != CheckState::Done {
        return Err(Problem::wrong_state("the check has no report"));
    }
    let read = tokio::fs::read(state.folders.check(&check.id).join(name)).await;
    let read = read.map_err(|e| Problem::unavailable(format!("the report cannot be read: {e}"), 60))?;
    Ok(([(header::CONTENT_TYPE, kind)], read).into_response())
}

/// Every figure and verdict of a check that is done, as `roombot check --json` writes them.
#[utoipa::path(get, path = "/v1/checks/{id}/report", tag = "checks", params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn report(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let check = find(&state, &caller, &id).await?;
    file(&state, &check, "report.json", "application/json").await
}

/// The same as JUnit's XML.
#[utoipa::path(get, path = "/v1/checks/{id}/junit", tag = "checks", params(("id" = String, Path)),
    responses((status = 200, body = String, content_type = "application/xml"), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn junit(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let check = find(&state, &caller, &id).await?;
    file(&state, &check, "report.xml", "application/xml").await
}

/// Cancel a check that has not ended, or forget one that has, with its report.
#[utoipa::path(delete, path = "/v1/checks/{id}", tag = "checks", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let check = find(&state, &caller, &id).await?;
    let (folder, log) = (state.folders.check(&check.id), state.folders.log(&check.id));
    let now = Timestamp::now();
    let write = state.database.write(move |connection| {
        let cancelled = checks::update(connection, &check.id, |stored| {
            let was_open = stored.check.state == CheckState::Open;
            stored.check.end(CheckState::Cancelled, None, None, now);
            was_open
        })?;
        let action = if cancelled == Some(true) { "check.cancel" } else { "check.delete" };
        audit(connection, &check.project, Some(&caller.0.id), action, check.id.as_str(), now)?;
        if cancelled == Some(false) {
            checks::delete(connection, &check.id)?;
        }
        Ok(cancelled == Some(false))
    });
    if write.await? {
        let _ = tokio::fs::remove_dir_all(folder).await;
        let _ = tokio::fs::remove_file(log).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

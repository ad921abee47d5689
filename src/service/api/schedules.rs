//! Schedules: recordings at the times of a cron expression.

use super::auth::Caller;
use super::idempotent::Once;
use super::paging::PageQuery;
use super::problem::{Json, Path, Problem, Query};
use super::state::ApiState;
use crate::service::database::keys::{Scope, audit};
use crate::service::database::schedules::{self, StoredSchedule};
use crate::service::deliveries::check_url;
use crate::service::model::{Id, RecordingRequest, Schedule, ScheduleRequest};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Schedules of one project.
const MOST: u32 = 1000;

/// The schedule of that id, if the caller may see it.
async fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<StoredSchedule, Problem> {
    let missing = || Problem::not_found("schedule");
    let id = Id::parse(Id::SCHEDULE, id).ok_or_else(missing)?;
    let stored = state.database.read(move |connection| schedules::get(connection, &id)).await?;
    stored.filter(|stored| caller.sees_project(&stored.schedule.project)).ok_or_else(missing)
}

/// Checks a request and makes the schedule of it.
fn made(allow_private: bool, project: &str, request: &ScheduleRequest, now: Timestamp) -> Result<Schedule, Problem> {
    let timetable = request.check(now).map_err(|invalid| Problem::field(invalid.field, invalid.problem))?;
    if let Some(url) = &request.recording.webhook_url {
        check_url(url, allow_private).map_err(|problem| Problem::field("recording.webhook_url", problem))?;
    }
    Ok(Schedule::new(project, request, &timetable, now))
}

/// Record a room at the times of a cron expression.
#[utoipa::path(post, path = "/v1/schedules", tag = "schedules", request_body = ScheduleRequest,
    params(("idempotency-key" = Option<String>, Header, description = "The same key and body give the same schedule for 24 hours.")),
    responses((status = 200, body = Schedule, description = "It was asked for before, with the same idempotency key."),
        (status = 201, body = Schedule), (status = 409, body = Problem, description = "The project has too many, or the idempotency key was used for another request."), (status = 422, body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<ScheduleRequest>,
) -> Result<Response, Problem> {
    caller.require(Scope::RecordingsWrite)?;
    let now = Timestamp::now();
    let schedule = made(state.allow_private_webhooks, &caller.0.project, &request, now)?;
    let once = Once::new(&headers, &caller.0.project, &request)?;
    let kept = StoredSchedule { schedule, request };
    let write = state.database.write(move |connection| {
        let StoredSchedule { schedule, .. } = &kept;
        let find = |id: &Id| Ok(schedules::get(connection, id)?.map(|stored| stored.schedule));
        once.make(connection, now, find, || {
            if schedules::count(connection, &schedule.project)? >= MOST {
                return Ok(None);
            }
            schedules::insert(connection, &kept)?;
            audit(connection, &schedule.project, Some(&caller.0.id), "schedule.create", schedule.id.as_str(), now)?;
            Ok(Some((schedule.id.clone(), schedule.clone())))
        })
    });
    let location = |schedule: &Schedule| format!("/v1/schedules/{}", schedule.id);
    let too_many = || format!("a project has at most {MOST} schedules: delete some");
    write.await?.answer(StatusCode::CREATED, location, too_many)
}

/// A page of schedules, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Schedules {
    schedules: Vec<Schedule>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List schedules.
#[utoipa::path(get, path = "/v1/schedules", tag = "schedules", params(PageQuery),
    responses((status = 200, body = Schedules), (status = 400, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Schedules>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let page = query.page()?;
    let project = caller.project();
    let read = move |connection: &rusqlite::Connection| {
        schedules::list(connection, project.as_deref(), page.before, page.count())
    };
    let (schedules, next_cursor) = page.cut(state.database.read(read).await?);
    Ok(axum::Json(Schedules { schedules, next_cursor }))
}

/// Look at a schedule.
#[utoipa::path(get, path = "/v1/schedules/{id}", tag = "schedules", params(("id" = String, Path)),
    responses((status = 200, body = Schedule), (status = 404, body = Problem)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Schedule>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    Ok(axum::Json(find(&state, &caller, &id).await?.schedule))
}

/// What of a schedule changes; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SchedulePatch {
    name: Option<String>,
    cron: Option<String>,
    time_zone: Option<String>,
    /// 1 to 604800.
    duration_s: Option<u64>,
    enabled: Option<bool>,
    /// Replaces the whole request.
    recording: Option<RecordingRequest>,
}

/// Change a schedule. Recordings that were made stay as they are; times that have passed are not made.
#[utoipa::path(patch, path = "/v1/schedules/{id}", tag = "schedules", params(("id" = String, Path)), request_body = SchedulePatch,
    responses((status = 200, body = Schedule), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn patch(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(patch): Json<SchedulePatch>,
) -> Result<axum::Json<Schedule>, Problem> {
    caller.require(Scope::RecordingsWrite)?;
    let id = find(&state, &caller, &id).await?.schedule.id;
    let allow_private = state.allow_private_webhooks;
    // Looked at and changed as one write: a time may be made, and others may change it.
    let write = state.database.write(move |connection| {
        let Some(stored) = schedules::get(connection, &id)? else { return Ok(Err(Problem::not_found("schedule"))) };
        let now = Timestamp::now();
        let stored = match changed(stored, patch, allow_private, now) {
            Ok(stored) => stored,
            Err(problem) => return Ok(Err(problem)),
        };
        schedules::update(connection, &stored)?;
        audit(connection, &stored.schedule.project, Some(&caller.0.id), "schedule.change", id.as_str(), now)?;
        Ok(Ok(stored.schedule))
    });
    write.await?.map(axum::Json)
}

/// A schedule after a change. A time that is due, and not made yet, stays due unless the times themselves change.
fn changed(
    stored: StoredSchedule,
    patch: SchedulePatch,
    allow_private: bool,
    now: Timestamp,
) -> Result<StoredSchedule, Problem> {
    let StoredSchedule { schedule, request: before } = stored;
    let times = (before.cron.clone(), before.time_zone.clone(), before.enabled);
    let request = ScheduleRequest {
        name: patch.name.unwrap_or(before.name),
        cron: patch.cron.unwrap_or(before.cron),
        time_zone: patch.time_zone.unwrap_or(before.time_zone),
        duration_s: patch.duration_s.unwrap_or(before.duration_s),
        enabled: patch.enabled.unwrap_or(before.enabled),
        recording: patch.recording.unwrap_or(before.recording),
    };
    let Schedule { next_at, request: shown, .. } = made(allow_private, &schedule.project, &request, now)?;
    let same = (&times.0, &times.1, times.2) == (&request.cron, &request.time_zone, request.enabled);
    let next_at = if same { schedule.next_at } else { next_at };
    Ok(StoredSchedule { schedule: Schedule { next_at, request: shown, ..schedule }, request })
}

/// Delete a schedule. Its recordings stay.
#[utoipa::path(delete, path = "/v1/schedules/{id}", tag = "schedules", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::RecordingsWrite)?;
    let schedule = find(&state, &caller, &id).await?.schedule;
    let write = state.database.write(move |connection| {
        audit(
            connection,
            &schedule.project,
            Some(&caller.0.id),
            "schedule.delete",
            schedule.id.as_str(),
            Timestamp::now(),
        )?;
        schedules::delete(connection, &schedule.id)
    });
    if write.await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("schedule")) }
}

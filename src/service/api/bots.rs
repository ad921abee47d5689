//! Bots: asked for, listed, looked at, stopped, forgotten.

use super::auth::Caller;
use super::contents::{LONGEST_LOG, PLAIN, end_of};
use super::idempotent::Once;
use super::paging::{PageRequest, states};
use super::problem::{Json, Path, Problem, Query};
use super::state::ApiState;
use crate::service::database::bots::{self, BotRuntime, StoredBot};
use crate::service::database::keys::{Scope, audit};
use crate::service::jobs::{bot_arguments, live_status};
use crate::service::model::{Bot, BotRequest, BotState, Id, InvalidField};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// Bots of one project that have not ended.
const MOST_OPEN: u32 = 200;

/// The bot of that id, if the caller may see it.
pub(super) async fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<Bot, Problem> {
    caller.require(Scope::Bots)?;
    let missing = || Problem::not_found("bot");
    let id = Id::parse(Id::BOT, id).ok_or_else(missing)?;
    let stored = state.database.read(move |connection| bots::get(connection, &id)).await?;
    let bot = stored.map(|stored| stored.bot).ok_or_else(missing)?;
    if caller.sees_project(&bot.project) { Ok(bot) } else { Err(missing()) }
}

/// Put a bot into a room: a filter, an echo or a feed.
#[utoipa::path(post, path = "/v1/bots", tag = "bots", request_body = BotRequest,
    params(("idempotency-key" = Option<String>, Header, description = "The same key and body give the same bot for 24 hours.")),
    responses((status = 200, body = Bot, description = "It was asked for before, with the same idempotency key."),
        (status = 201, body = Bot), (status = 409, body = Problem, description = "The project has too many, or the idempotency key was used for another request."), (status = 422, body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<BotRequest>,
) -> Result<Response, Problem> {
    caller.require(Scope::Bots)?;
    if *state.leaving.borrow() {
        return Err(Problem::unavailable("the service is stopping", 10));
    }
    let unusable = |InvalidField { field, problem }| Problem::field(field, problem);
    request.check().map_err(unusable)?;
    let (tried, media) = (request.clone(), state.bot_media.clone());
    let tried = tokio::task::spawn_blocking(move || bot_arguments(&tried, media.as_deref()).map(drop)).await;
    tried.map_err(|_| Problem::unavailable("the request could not be tried", 10))?.map_err(unusable)?;
    let now = Timestamp::now();
    let once = Once::new(&headers, &caller.0.project, &request)?;
    let bot = Bot::new(&caller.0.project, &request, now);
    let kept = StoredBot { bot, request, runtime: BotRuntime::default() };
    let write = state.database.write(move |connection| {
        let StoredBot { bot, .. } = &kept;
        let find = |id: &Id| Ok(bots::get(connection, id)?.map(|stored| stored.bot));
        once.make(connection, now, find, || {
            if bots::count_open(connection, &bot.project)? >= MOST_OPEN {
                return Ok(None);
            }
            bots::insert(connection, &kept)?;
            audit(connection, &bot.project, Some(&caller.0.id), "bot.create", bot.id.as_str(), now)?;
            Ok(Some((bot.id.clone(), bot.clone())))
        })
    });
    let location = |bot: &Bot| format!("/v1/bots/{}", bot.id);
    let too_many = || format!("a project has at most {MOST_OPEN} bots at once: stop some");
    write.await?.answer(StatusCode::CREATED, location, too_many)
}

/// Which bots to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct BotQuery {
    /// Only in these states, separated by commas: queued, joining, running, stopping, ended, failed.
    state: Option<String>,
    /// How many, 1 to 500; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of bots, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Bots {
    bots: Vec<Bot>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// List bots.
#[utoipa::path(get, path = "/v1/bots", tag = "bots", params(BotQuery),
    responses((status = 200, body = Bots), (status = 400, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<BotQuery>,
) -> Result<axum::Json<Bots>, Problem> {
    caller.require(Scope::Bots)?;
    let states = states(query.state.as_deref(), &BotState::ALL.map(|state| (state.word(), state)))?;
    let page = PageRequest::new(query.limit, query.cursor.as_deref())?;
    let project = caller.project();
    let read = move |connection: &rusqlite::Connection| {
        bots::list(connection, project.as_deref(), &states, page.before, page.count())
    };
    let (bots, next_cursor) = page.cut(state.database.read(read).await?);
    Ok(axum::Json(Bots { bots, next_cursor }))
}

/// Look at a bot.
#[utoipa::path(get, path = "/v1/bots/{id}", tag = "bots", params(("id" = String, Path)),
    responses((status = 200, body = Bot), (status = 404, body = Problem)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Bot>, Problem> {
    Ok(axum::Json(find(&state, &caller, &id).await?))
}

/// How a bot stands now: what it does, its tracks, their delay.
#[utoipa::path(get, path = "/v1/bots/{id}/live", tag = "bots", params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn live(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Value>, Problem> {
    let bot = find(&state, &caller, &id).await?;
    if bot.state == BotState::Queued || bot.state.is_final() {
        return Err(Problem::wrong_state(format!("the bot is {}", bot.state.word())));
    }
    let status = live_status(&state.folders, &bot.id).await;
    status.map(axum::Json).map_err(|e| Problem::no_answer("bot", &e))
}

/// What a bot's process said: the end of its log.
#[utoipa::path(get, path = "/v1/bots/{id}/logs", tag = "bots", params(("id" = String, Path)),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 404, body = Problem)))]
pub(super) async fn logs(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let bot = find(&state, &caller, &id).await?;
    Ok((PLAIN, end_of(state.folders.log(&bot.id), LONGEST_LOG).await))
}

/// Stop a bot: it leaves the room. Asking twice is harmless.
#[utoipa::path(post, path = "/v1/bots/{id}/stop", tag = "bots", params(("id" = String, Path)),
    responses((status = 200, body = Bot), (status = 404, body = Problem)))]
pub(super) async fn stop(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Bot>, Problem> {
    let bot = find(&state, &caller, &id).await?;
    let now = Timestamp::now();
    let write = state.database.write(move |connection| {
        let stopped = bots::update(connection, &bot.id, |stored| {
            match stored.bot.state {
                // It has no process yet.
                BotState::Queued => {
                    stored.bot.end(BotState::Ended, ("stopped".into(), "it had not begun".into()), now);
                }
                BotState::Joining | BotState::Running => stored.bot.state = BotState::Stopping,
                BotState::Stopping | BotState::Ended | BotState::Failed => {}
            }
            stored.bot.clone()
        })?;
        audit(connection, &bot.project, Some(&caller.0.id), "bot.stop", bot.id.as_str(), now)?;
        Ok(stopped)
    });
    write.await?.map(axum::Json).ok_or_else(|| Problem::not_found("bot"))
}

/// Forget a bot that has ended, with its log.
#[utoipa::path(delete, path = "/v1/bots/{id}", tag = "bots", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let bot = find(&state, &caller, &id).await?;
    if !bot.state.is_final() {
        return Err(Problem::wrong_state(format!("the bot is {}: stop it first", bot.state.word())));
    }
    let log = state.folders.log(&bot.id);
    let write = state.database.write(move |connection| {
        audit(connection, &bot.project, Some(&caller.0.id), "bot.delete", bot.id.as_str(), Timestamp::now())?;
        bots::delete(connection, &bot.id)
    });
    write.await?;
    let _ = tokio::fs::remove_file(log).await;
    Ok(StatusCode::NO_CONTENT)
}

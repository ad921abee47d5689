//! Deliveries of webhooks: listed, looked at, sent again.

use super::auth::Caller;
use super::paging::{PageRequest, states};
use super::problem::{Path, Problem, Query};
use super::state::ApiState;
use crate::service::database::deliveries::{self, Figures, Filter};
use crate::service::database::keys::{Scope, audit};
use crate::service::database::webhooks;
use crate::service::model::{Delivery, DeliveryState, Id};
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which deliveries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveryQuery {
    /// Only in these states, separated by commas: pending, waiting, delivered, dead.
    state: Option<String>,
    /// Only of this recording.
    recording: Option<String>,
    /// Only to this webhook.
    webhook: Option<String>,
    /// How many, 1 to 500; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of deliveries, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deliveries {
    deliveries: Vec<Delivery>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A delivery with what is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryWithBody {
    #[serde(flatten)]
    delivery: Delivery,
    #[schema(value_type = Object)]
    body: serde_json::Value,
}

/// List deliveries. `state=dead` lists those that were given up.
#[utoipa::path(get, path = "/v1/deliveries", tag = "webhooks", params(DeliveryQuery),
    responses((status = 200, body = Deliveries), (status = 400, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<DeliveryQuery>,
) -> Result<axum::Json<Deliveries>, Problem> {
    caller.require(Scope::Webhooks)?;
    let states = states(query.state.as_deref(), &DeliveryState::ALL.map(|state| (state.word(), state)))?;
    let page = PageRequest::new(query.limit, query.cursor.as_deref())?;
    let filter = Filter {
        project: caller.project(),
        states,
        recording: query.recording,
        webhook: query.webhook,
        before: page.before,
    };
    let found = state.database.read(move |connection| deliveries::list(connection, &filter, page.count())).await?;
    let (deliveries, next_cursor) = page.cut(found);
    Ok(axum::Json(Deliveries { deliveries, next_cursor }))
}

/// The delivery of that id, if the caller may see it.
async fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<(Delivery, String), Problem> {
    caller.require(Scope::Webhooks)?;
    let missing = || Problem::not_found("delivery");
    let id = Id::parse(Id::DELIVERY, id).ok_or_else(missing)?;
    let found = state.database.read(move |connection| deliveries::get(connection, &id)).await?;
    found.filter(|(delivery, _)| caller.sees_project(&delivery.project)).ok_or_else(missing)
}

/// Look at a delivery.
#[utoipa::path(get, path = "/v1/deliveries/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = DeliveryWithBody), (status = 404, body = Problem)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<DeliveryWithBody>, Problem> {
    let (delivery, body) = find(&state, &caller, &id).await?;
    let body = serde_json::from_str(&body).map_err(crate::service::database::DatabaseError::from)?;
    Ok(axum::Json(DeliveryWithBody { delivery, body }))
}

/// Send a delivery again that was delivered or given up.
#[utoipa::path(post, path = "/v1/deliveries/{id}/redeliver", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 202, body = Delivery), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn redeliver(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, axum::Json<Delivery>), Problem> {
    let (delivery, _) = find(&state, &caller, &id).await?;
    let now = Timestamp::now();
    let outcome = state.database.write(move |connection| {
        if let Some(webhook) = &delivery.webhook {
            match webhooks::get(connection, webhook, now)? {
                None => return Ok(Err("the webhook was deleted")),
                Some(stored) if stored.webhook.disabled => return Ok(Err("the webhook is disabled: enable it first")),
                Some(_) => {}
            }
        }
        if !deliveries::redeliver(connection, &delivery.id, now)? {
            return Ok(Err("it is on its way"));
        }
        audit(connection, &delivery.project, Some(&caller.0.id), "delivery.redeliver", delivery.id.as_str(), now)?;
        Ok(Ok(deliveries::get(connection, &delivery.id)?))
    });
    let again = outcome.await?.map_err(Problem::wrong_state)?;
    let (delivery, _) = again.ok_or_else(|| Problem::not_found("delivery"))?;
    Ok((StatusCode::ACCEPTED, axum::Json(delivery)))
}

/// Totals of all deliveries, and how far they lag behind.
#[utoipa::path(get, path = "/v1/deliveries/figures", tag = "webhooks", responses((status = 200, body = Figures)))]
pub(super) async fn figures(State(state): State<ApiState>, caller: Caller) -> Result<axum::Json<Figures>, Problem> {
    caller.require(Scope::Admin)?;
    let read = |connection: &rusqlite::Connection| deliveries::figures(connection, Timestamp::now());
    Ok(axum::Json(state.database.read(read).await?))
}

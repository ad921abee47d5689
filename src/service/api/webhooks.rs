//! Webhooks: endpoints that get the events of a project. Secrets are shown when they are made, and never again.

use super::auth::Caller;
use super::problem::{Json, Path, Problem};
use super::state::ApiState;
use crate::recording::utc_ms;
use crate::service::database::keys::{Scope, audit};
use crate::service::database::webhooks::{self, MOST, StoredWebhook, Written};
use crate::service::database::{deliveries, events};
use crate::service::deliveries::{check_url, new_secret};
use crate::service::model::{Delivery, EventType, Id, Secrets, Webhook};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

/// Characters of a description.
const LONGEST_DESCRIPTION: usize = 500;
/// How long the secret before stays valid, unless `overlap_s` says otherwise, and at most; in seconds.
const OVERLAP_S: u64 = 24 * 3600;
const LONGEST_OVERLAP_S: u64 = 30 * 24 * 3600;
/// How long a ping may take to be answered: the request itself ends after 15 s.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A webhook to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookRequest {
    /// Where events are sent to: an http or https URL of a public address.
    #[schema(example = "https://example.org/hooks/roombot")]
    url: String,
    /// The types of events to send; all if absent or empty.
    #[serde(default)]
    events: Vec<EventType>,
    #[serde(default)]
    #[schema(max_length = 500)]
    description: String,
    /// The project whose events are sent; the key's own if absent. Others can be named by administrators.
    project: Option<String>,
}

/// A webhook that was just made, or has a new secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    /// What deliveries are signed with. It is shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

/// Webhooks, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Webhooks {
    webhooks: Vec<Webhook>,
}

/// What of a webhook can be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookPatch {
    url: Option<String>,
    events: Option<Vec<EventType>>,
    #[schema(max_length = 500)]
    description: Option<String>,
    /// A disabled webhook gets nothing; what was on its way to it is given up, and can be redelivered later.
    disabled: Option<bool>,
}

/// How a secret is replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rotation {
    /// For how many seconds deliveries are signed with the secret before as well; a day if absent.
    #[schema(maximum = 2592000)]
    overlap_s: Option<u64>,
}

/// The secret of a project.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProjectSecret {
    project: String,
    /// What deliveries to the `webhook_url` of the project's recordings are signed with.
    secret: String,
    /// Until when they are signed with the secret before as well.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "utc_ms::option")]
    rotating_until: Option<Timestamp>,
}

/// How many deliveries are sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Redelivered {
    redelivered: usize,
}

/// The webhook of that id, if the caller may see it.
pub(super) async fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<StoredWebhook, Problem> {
    caller.require(Scope::Webhooks)?;
    let missing = || Problem::not_found("webhook");
    let id = Id::parse(Id::WEBHOOK, id).ok_or_else(missing)?;
    let stored = state.database.read(move |connection| webhooks::get(connection, &id, Timestamp::now())).await?;
    stored.filter(|stored| caller.sees_project(&stored.webhook.project)).ok_or_else(missing)
}

fn check(state: &ApiState, webhook: &Webhook) -> Result<(), Problem> {
    check_url(&webhook.url, state.allow_private_webhooks).map_err(|problem| Problem::field("url", problem))?;
    if webhook.description.chars().count() > LONGEST_DESCRIPTION || webhook.description.contains('\0') {
        return Err(Problem::field("description", format!("has at most {LONGEST_DESCRIPTION} characters")));
    }
    Ok(())
}

fn written(written: Written) -> Result<(), Problem> {
    let conflict = |code, detail: String| Err(Problem::new(StatusCode::CONFLICT, code, detail));
    match written {
        Written::Done => Ok(()),
        Written::Exists => conflict("webhook_exists", "the project has a webhook with this URL".into()),
        Written::TooMany => conflict("too_many_webhooks", format!("the project has {MOST} webhooks, the most")),
    }
}

/// Make a webhook.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookRequest,
    responses((status = 201, body = NewWebhook), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Json(request): Json<WebhookRequest>,
) -> Result<Response, Problem> {
    caller.require(Scope::Webhooks)?;
    let project = request.project.unwrap_or_else(|| caller.0.project.clone());
    if !caller.sees_project(&project) || !crate::service::database::keys::is_project(&project) {
        return Err(Problem::field("project", "is not the project of this key"));
    }
    let webhook = Webhook {
        id: Id::new(Id::WEBHOOK),
        project,
        url: request.url,
        events: request.events,
        description: request.description,
        disabled: false,
        disabled_reason: None,
        created_at: Timestamp::now(),
        rotating_until: None,
    };
    check(&state, &webhook)?;
    let secret = new_secret();
    let stored = StoredWebhook { webhook: webhook.clone(), secrets: Secrets::new(secret.clone()) };
    let done = state
        .database
        .write(move |connection| {
            let done = webhooks::insert(connection, &stored)?;
            if done == Written::Done {
                let webhook = &stored.webhook;
                let (by, now) = (Some(&caller.0.id), webhook.created_at);
                audit(connection, &webhook.project, by, "webhook.create", webhook.id.as_str(), now)?;
            }
            Ok(done)
        })
        .await?;
    written(done)?;
    let location = format!("/v1/webhooks/{}", webhook.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(NewWebhook { webhook, secret }))
        .into_response())
}

/// List webhooks, without their secrets.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", responses((status = 200, body = Webhooks)))]
pub(super) async fn list(State(state): State<ApiState>, caller: Caller) -> Result<axum::Json<Webhooks>, Problem> {
    caller.require(Scope::Webhooks)?;
    let project = caller.project();
    let list =
        move |connection: &rusqlite::Connection| webhooks::list(connection, project.as_deref(), Timestamp::now());
    Ok(axum::Json(Webhooks { webhooks: state.database.read(list).await? }))
}

/// Look at a webhook.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = Webhook), (status = 404, body = Problem)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Webhook>, Problem> {
    Ok(axum::Json(find(&state, &caller, &id).await?.webhook))
}

/// Changes a webhook as it is in the database now.
async fn change(
    state: &ApiState,
    caller: Caller,
    id: Id,
    action: &'static str,
    apply: impl FnOnce(&mut StoredWebhook, Timestamp) + Send + 'static,
) -> Result<Webhook, Problem> {
    let now = Timestamp::now();
    let changed = state.database.write(move |connection| {
        let Some(mut stored) = webhooks::get(connection, &id, now)? else { return Ok(None) };
        apply(&mut stored, now);
        stored.webhook.rotating_until = stored.secrets.rotating_until(now);
        let done = webhooks::update(connection, &stored, now)?;
        if done == Written::Done {
            audit(connection, &stored.webhook.project, Some(&caller.0.id), action, id.as_str(), now)?;
        }
        Ok(Some((done, stored.webhook)))
    });
    let (done, webhook) = changed.await?.ok_or_else(|| Problem::not_found("webhook"))?;
    written(done).map(|()| webhook)
}

/// Change a webhook.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), request_body = WebhookPatch,
    responses((status = 200, body = Webhook), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn patch(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(patch): Json<WebhookPatch>,
) -> Result<axum::Json<Webhook>, Problem> {
    let mut tried = find(&state, &caller, &id).await?.webhook;
    let id = tried.id.clone();
    let apply = move |webhook: &mut Webhook| {
        let WebhookPatch { url, events, description, disabled } = patch;
        webhook.url = url.unwrap_or_else(|| webhook.url.clone());
        webhook.events = events.unwrap_or_else(|| webhook.events.clone());
        webhook.description = description.unwrap_or_else(|| webhook.description.clone());
        if let Some(disabled) = disabled {
            (webhook.disabled, webhook.disabled_reason) = (disabled, None);
        }
    };
    (apply.clone())(&mut tried);
    check(&state, &tried)?;
    let changed = change(&state, caller, id, "webhook.update", move |stored, _| apply(&mut stored.webhook));
    Ok(axum::Json(changed.await?))
}

/// Delete a webhook. What was on its way to it is given up.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let webhook = find(&state, &caller, &id).await?.webhook;
    let now = Timestamp::now();
    let deleted = state.database.write(move |connection| {
        audit(connection, &webhook.project, Some(&caller.0.id), "webhook.delete", webhook.id.as_str(), now)?;
        webhooks::delete(connection, &webhook.id, now)
    });
    if deleted.await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("webhook")) }
}

fn overlap(rotation: &Rotation) -> Result<SignedDuration, Problem> {
    let seconds = rotation.overlap_s.unwrap_or(OVERLAP_S);
    if seconds > LONGEST_OVERLAP_S {
        return Err(Problem::field("overlap_s", format!("is at most {LONGEST_OVERLAP_S} (30 days)")));
    }
    Ok(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(0)))
}

/// Replace the secret. Deliveries are signed with both for a while.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate", tag = "webhooks", params(("id" = String, Path)), request_body = Rotation,
    responses((status = 200, body = NewWebhook), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn rotate(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    rotation: Option<Json<Rotation>>,
) -> Result<axum::Json<NewWebhook>, Problem> {
    let id = find(&state, &caller, &id).await?.webhook.id;
    let overlap = overlap(&rotation.map(|Json(rotation)| rotation).unwrap_or_default())?;
    let secret = new_secret();
    let made = secret.clone();
    let changed = change(&state, caller, id, "webhook.rotate", move |stored, now| {
        stored.secrets.rotate(made, now.saturating_add(overlap).unwrap_or(Timestamp::MAX));
    });
    Ok(axum::Json(NewWebhook { webhook: changed.await?, secret }))
}

/// Send a `webhook.ping` and wait for its answer. It is tried once; a disabled webhook can be pinged too.
#[utoipa::path(post, path = "/v1/webhooks/{id}/ping", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = Delivery, description = "How it went: `delivered`, `dead`, or `pending` if that is not known yet."),
        (status = 404, body = Problem)))]
pub(super) async fn ping(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<axum::Json<Delivery>, Problem> {
    let webhook = find(&state, &caller, &id).await?.webhook;
    let mut changes = state.database.changes();
    let id = state.database.write(move |connection| events::ping(connection, &webhook, Timestamp::now())).await?;
    let answered = async {
        loop {
            changes.borrow_and_update();
            let id = id.clone();
            let found = state.database.read(move |connection| deliveries::get(connection, &id)).await?;
            let (delivery, _) = found.ok_or_else(|| Problem::not_found("delivery"))?;
            if delivery.done_at.is_some() {
                return Ok(delivery);
            }
            if changes.changed().await.is_err() {
                return Err(Problem::unavailable("the service is stopping", 10));
            }
        }
    };
    let answered = timeout(PING_TIMEOUT, answered).await;
    match answered {
        Ok(delivery) => delivery.map(axum::Json),
        Err(_) => {
            let found = state.database.read(move |connection| deliveries::get(connection, &id)).await?;
            found.map(|(delivery, _)| axum::Json(delivery)).ok_or_else(|| Problem::not_found("delivery"))
        }
    }
}

/// Send everything again that was given up for a webhook.
#[utoipa::path(post, path = "/v1/webhooks/{id}/redeliver", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 202, body = Redelivered), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn redeliver(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, axum::Json<Redelivered>), Problem> {
    let webhook = find(&state, &caller, &id).await?.webhook;
    if webhook.disabled {
        return Err(Problem::wrong_state("the webhook is disabled: enable it first"));
    }
    let now = Timestamp::now();
    let redelivered = state.database.write(move |connection| {
        audit(connection, &webhook.project, Some(&caller.0.id), "webhook.redeliver", webhook.id.as_str(), now)?;
        deliveries::redeliver_dead(connection, &webhook.id, now)
    });
    Ok((StatusCode::ACCEPTED, axum::Json(Redelivered { redelivered: redelivered.await? })))
}

fn project_of(caller: &Caller, project: String) -> Result<String, Problem> {
    caller.require(Scope::Admin)?;
    if crate::service::database::keys::is_project(&project) { Ok(project) } else { Err(Problem::not_found("project")) }
}

/// Show the secret of a project, which signs deliveries to the `webhook_url` of its recordings. It is made when it is first needed.
#[utoipa::path(get, path = "/v1/projects/{project}/webhook-secret", tag = "webhooks", params(("project" = String, Path)),
    responses((status = 200, body = ProjectSecret), (status = 404, body = Problem)))]
pub(super) async fn project_secret(
    State(state): State<ApiState>,
    caller: Caller,
    Path(project): Path<String>,
) -> Result<axum::Json<ProjectSecret>, Problem> {
    let project = project_of(&caller, project)?;
    let of = project.clone();
    let secrets = state.database.write(move |connection| webhooks::project_secrets(connection, &of, new_secret()));
    Ok(axum::Json(shown(project, &secrets.await?)))
}

/// Replace the secret of a project. Deliveries are signed with both for a while.
#[utoipa::path(post, path = "/v1/projects/{project}/webhook-secret/rotate", tag = "webhooks", params(("project" = String, Path)),
    request_body = Rotation, responses((status = 200, body = ProjectSecret), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn rotate_project_secret(
    State(state): State<ApiState>,
    caller: Caller,
    Path(project): Path<String>,
    rotation: Option<Json<Rotation>>,
) -> Result<axum::Json<ProjectSecret>, Problem> {
    let project = project_of(&caller, project)?;
    let overlap = overlap(&rotation.map(|Json(rotation)| rotation).unwrap_or_default())?;
    let (of, now) = (project.clone(), Timestamp::now());
    let secrets = state.database.write(move |connection| {
        let mut secrets = webhooks::project_secrets(connection, &of, new_secret())?;
        secrets.rotate(new_secret(), now.saturating_add(overlap).unwrap_or(Timestamp::MAX));
        webhooks::write_project_secrets(connection, &of, &secrets)?;
        audit(connection, &of, Some(&caller.0.id), "project.rotate_webhook_secret", &of, now)?;
        Ok(secrets)
    });
    Ok(axum::Json(shown(project, &secrets.await?)))
}

fn shown(project: String, secrets: &Secrets) -> ProjectSecret {
    let rotating_until = secrets.rotating_until(Timestamp::now());
    ProjectSecret { project, secret: secrets.current().to_owned(), rotating_until }
}

//! The HTTP API below `/v1`: JSON in and out, errors as RFC 9457, described by `/openapi.json`.

mod archive;
mod audit;
mod auth;
mod bot_commands;
mod bots;
mod checks;
mod commands;
mod contents;
mod deliveries;
mod describe;
mod elsewhere;
mod events;
mod films;
mod health;
mod idempotent;
mod keys;
mod link_key;
mod links;
mod media;
mod metrics;
mod paging;
mod player;
mod problem;
mod purge;
mod rates;
mod recordings;
mod request_metrics;
mod schedules;
mod secret;
mod session;
mod sign_in;
mod state;
mod storage;
mod stored;
mod token_keys;
mod upload;
mod webhooks;
mod workers;

pub use auth::{digest, new_secret};
pub use link_key::LinkKey;
pub use rates::RateLimits;
pub use request_metrics::RequestMetrics;
pub use sign_in::SignInCodes;
pub use state::ApiState;
pub use token_keys::TokenKeys;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The largest request, in bytes.
const LARGEST_REQUEST: usize = 256 << 10;

#[derive(OpenApi)]
#[openapi(
    info(title = "roombot", description = "Records WebRTC rooms."),
    modifiers(&BearerKey),
    security(("key" = [])),
    tags((name = "recordings"), (name = "media"), (name = "schedules"), (name = "bots"), (name = "checks"), (name = "webhooks"), (name = "keys"), (name = "service"))
)]
struct Description;

/// Requests carry an API key.
struct BearerKey;

impl utoipa::Modify for BearerKey {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// What a worker answers: how it stands.
pub fn worker_router(state: ApiState) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .fallback(problem::no_such_address)
        .layer(axum::middleware::from_fn(problem::name_request))
        .with_state(state)
}

/// The API with its description at `/openapi.json`.
pub fn router(state: ApiState) -> Router {
    let (router, description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(recordings::create, recordings::list))
        .routes(routes!(recordings::get, recordings::delete, recordings::patch))
        .routes(routes!(commands::stop))
        .routes(routes!(commands::cancel))
        .routes(routes!(commands::pause))
        .routes(routes!(commands::resume))
        .routes(routes!(upload::upload))
        .routes(routes!(purge::purge))
        .routes(routes!(contents::live))
        .routes(routes!(contents::participants))
        .routes(routes!(contents::tracks))
        .routes(routes!(contents::files))
        .routes(routes!(contents::timeline))
        .routes(routes!(contents::chat))
        .routes(routes!(contents::logs))
        .routes(routes!(events::of_recording))
        .routes(routes!(events::all))
        .routes(routes!(media::file))
        .routes(routes!(archive::archive))
        .routes(routes!(links::create))
        .routes(routes!(links::follow))
        .routes(routes!(player::document))
        .routes(routes!(player::picture))
        .routes(routes!(storage::usage))
        .routes(routes!(audit::list))
        .routes(routes!(films::list_all))
        .routes(routes!(films::create, films::list))
        .routes(routes!(films::get, films::cancel))
        .routes(routes!(schedules::create, schedules::list))
        .routes(routes!(schedules::get, schedules::patch, schedules::delete))
        .routes(routes!(bots::create, bots::list))
        .routes(routes!(bots::get, bots::delete))
        .routes(routes!(bots::stop))
        .routes(routes!(bots::live))
        .routes(routes!(bots::logs))
        .routes(routes!(bot_commands::command))
        .routes(routes!(bot_commands::chat))
        .routes(routes!(checks::create, checks::list))
        .routes(routes!(checks::get, checks::delete))
        .routes(routes!(checks::report))
        .routes(routes!(checks::junit))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::get, webhooks::patch, webhooks::delete))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::ping))
        .routes(routes!(webhooks::redeliver))
        .routes(routes!(webhooks::project_secret))
        .routes(routes!(webhooks::rotate_project_secret))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::get))
        .routes(routes!(deliveries::redeliver))
        .routes(routes!(deliveries::figures))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::revoke))
        .routes(routes!(session::begin, session::show, session::end))
        .routes(routes!(workers::list))
        .routes(routes!(workers::drain))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::version))
        .routes(routes!(metrics::metrics))
        .split_for_parts();
    let description = Arc::new(describe::with_common_answers(description));
    router
        .route("/v1/recordings/{id}/player", get(player::page))
        .route("/openapi.json", get(async move || axum::Json(description.as_ref().clone())))
        .fallback(problem::no_such_address)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .route_layer(axum::middleware::from_fn_with_state(state.clone(), metrics::measure))
        .layer(axum::middleware::from_fn(problem::name_request))
        .with_state(state)
}

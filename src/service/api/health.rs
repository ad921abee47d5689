//! Whether the service is alive, and whether it can take a recording.

use super::problem::Problem;
use super::state::ApiState;
use crate::service::database::recordings;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "service", security(()), responses((status = 200, body = Object)))]
pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "status": "alive", "version": env!("CARGO_PKG_VERSION") }))
}

/// Which program this is, and the version of its API.
#[utoipa::path(get, path = "/version", tag = "service", security(()), responses((status = 200, body = Object)))]
pub(super) async fn version() -> Json<Value> {
    Json(json!({ "name": "roombot", "version": env!("CARGO_PKG_VERSION"), "api": "v1" }))
}

/// Whether a new recording would begin at once.
#[utoipa::path(get, path = "/readyz", tag = "service", security(()),
    responses((status = 200, body = Object), (status = 503, body = Problem)))]
pub(super) async fn ready(State(state): State<ApiState>) -> Result<Json<Value>, Problem> {
    if *state.leaving.borrow() {
        return Err(Problem::unavailable("the service is stopping", 10));
    }
    // A database that cannot be read or written cannot take a job.
    let counts = state.database.write(recordings::counts).await?;
    let (has_room, (used, total)) =
        state.capacity.lock().map_or((false, (0.0, 0.0)), |capacity| (capacity.has_room(), capacity.load()));
    let (has_room, (used, total)) = match &state.cluster {
        Some(cluster) => (cluster.has_room(), cluster.load()),
        None => (has_room, (used, total)),
    };
    if !has_room {
        return Err(Problem::unavailable("the machine is full: new recordings wait in the queue", 10));
    }
    if !state.folders.has_room() {
        let detail = "the disk has less free than disk_low: new recordings wait in the queue";
        return Err(Problem::unavailable(detail, 60));
    }
    let counts: serde_json::Map<_, _> =
        counts.into_iter().map(|(state, count)| (state.word().to_owned(), count.into())).collect();
    Ok(Json(json!({ "status": "ready", "load": used, "capacity": total, "recordings": counts })))
}

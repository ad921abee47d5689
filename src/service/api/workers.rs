//! The workers of many machines: listed, and told to take nothing new.

use super::auth::Caller;
use super::problem::{Path, Problem};
use super::state::ApiState;
use crate::service::cluster::{Answer, Ask, Cluster, WorkerView};
use crate::service::database::keys::{Scope, audit};
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// All workers that were heard of.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Workers {
    workers: Vec<WorkerView>,
}

fn cluster(state: &ApiState) -> Result<&Cluster, Problem> {
    state.cluster.as_deref().ok_or_else(|| Problem::wrong_state("this service is one machine and has no workers"))
}

/// List the workers. On one machine there are none.
#[utoipa::path(get, path = "/v1/workers", tag = "service", responses((status = 200, body = Workers), (status = 403, body = Problem)))]
pub(super) async fn list(State(state): State<ApiState>, caller: Caller) -> Result<axum::Json<Workers>, Problem> {
    caller.require(Scope::Admin)?;
    let workers = state.cluster.as_deref().map(Cluster::workers).unwrap_or_default();
    Ok(axum::Json(Workers { workers }))
}

/// Have a worker take nothing new. What it records goes on until its end; then it can be stopped without loss.
#[utoipa::path(post, path = "/v1/workers/{id}/drain", tag = "service", params(("id" = String, Path)),
    responses((status = 202, description = "It takes nothing new."), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn drain(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Admin)?;
    let cluster = cluster(&state)?;
    if !cluster.workers().iter().any(|worker| worker.id == id) {
        return Err(Problem::not_found("worker"));
    }
    let failed = |problem: String| Problem::unavailable(format!("the worker does not answer: {problem}"), 2);
    match cluster.ask(&id, &Ask::Drain).await {
        Ok(Answer::Problem(problem)) => return Err(failed(problem)),
        Err(e) => return Err(failed(e.to_string())),
        Ok(_) => {}
    }
    let (project, by, now) = (caller.0.project.clone(), caller.0.id.clone(), Timestamp::now());
    state.database.write(move |connection| audit(connection, &project, Some(&by), "worker.drain", &id, now)).await?;
    Ok(StatusCode::ACCEPTED)
}

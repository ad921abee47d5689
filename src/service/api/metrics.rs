//! What a monitoring system reads: OpenMetrics text, made of the database and of what this process has counted.

use super::problem::Problem;
use super::request_metrics::RequestLabels;
use super::state::ApiState;
use crate::service::database::deliveries;
use crate::service::database::recordings::{self, Totals};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::time::Instant;

/// The media type of OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Measures how long an answer takes. What is no address of ours has no label of its own: clients choose those.
pub(super) async fn measure(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let (start, method) = (Instant::now(), request.method().to_string());
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    crate::log::name_request(&tracing::Span::current(), &|| format!("{method} {path}"));
    let response = next.run(request).await;
    let labels = RequestLabels { method, path, status: response.status().as_u16() };
    state.metrics.observe(labels, start.elapsed());
    response
}

/// The service's figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "service", security(()),
    responses((status = 200, body = String, content_type = "application/openmetrics-text"), (status = 503, body = Problem)))]
pub(super) async fn metrics(State(state): State<ApiState>) -> Result<impl IntoResponse, Problem> {
    let read = |connection: &rusqlite::Connection| {
        Ok((recordings::totals(connection)?, deliveries::figures(connection, Timestamp::now())?))
    };
    let (Totals { states, ended }, webhooks) = state.database.read(read).await?;
    let mut registry = Registry::with_prefix("roombot");
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The program", build);
    let of = |live: fn(recordings::State) -> bool| -> i64 {
        states
            .iter()
            .filter(|(state, _)| live(*state))
            .map(|(_, count)| i64::try_from(*count).unwrap_or(i64::MAX))
            .sum()
    };
    let gauge = |registry: &mut Registry, name: &str, help: &str, value: f64| {
        registry.register(name, help, ConstGauge::new(value));
    };
    gauge(&mut registry, "recordings_active", "Recordings with a recorder", of(recordings::State::is_live) as f64);
    let queued = of(|state| state == recordings::State::Queued);
    gauge(&mut registry, "queue_depth", "Recordings that wait for room", queued as f64);
    let own = || state.capacity.lock().map_or((0.0, 0.0), |capacity| capacity.load());
    let (used, total) = state.cluster.as_ref().map_or_else(own, |cluster| cluster.load());
    gauge(&mut registry, "worker_load", "Cores that recorders and films use, by their cost", used);
    gauge(&mut registry, "worker_capacity", "Cores that they may use", total);
    if let Some(free) = state.folders.free() {
        gauge(&mut registry, "disk_free_bytes", "Free space for recordings", free as f64);
    }
    for (result, sub_code, count) in ended {
        let labels = [("result", result), ("sub_code", sub_code)].map(|(key, value)| (key.into(), value.into()));
        let labelled = registry.sub_registry_with_labels(labels.into_iter());
        labelled.register("recordings", "Recordings that have ended", ConstCounter::new(count));
    }
    for (result, count) in [("delivered", webhooks.delivered), ("failed", webhooks.failed), ("dead", webhooks.dead)] {
        let labelled = registry.sub_registry_with_labels([("result".into(), result.into())].into_iter());
        let help = "Webhooks: events that arrived, attempts that failed, events that were given up";
        labelled.register("webhook_deliveries", help, ConstCounter::new(count));
    }
    let lag = webhooks.lag_ms as f64 / 1000.0;
    gauge(&mut registry, "webhook_lag_seconds", "Age of the oldest event that a webhook has still to get", lag);
    if let Some(storage) = &state.storage {
        let sent = storage.totals();
        for (name, help, count) in [
            ("upload_bytes", "Bytes sent to the stores", sent.bytes),
            ("upload_files", "Files that are verified in the stores", sent.files),
            ("upload_recordings", "Recordings that are whole in a store", sent.recordings),
            ("upload_parts", "Parts of recordings that were sent while they were made", sent.packs),
            ("upload_part_errors", "Times that such a part could not be sent", sent.pack_errors),
            ("upload_errors", "Tries to upload a recording that failed", sent.errors),
        ] {
            registry.register(name, help, ConstCounter::new(count));
        }
        registry.register(
            "upload_seconds",
            "Time that these recordings took",
            ConstCounter::new(sent.time.as_secs_f64()),
        );
    }
    registry.register("http_request_seconds", "Time to answer a request", state.metrics.seconds());
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| Problem::unavailable("the figures cannot be written", 5))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
}

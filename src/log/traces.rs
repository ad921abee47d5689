//! Traces: spans of this process to an OpenTelemetry collector, as OTLP over HTTP. Where to is in the environment, as OpenTelemetry has it.

use crate::error::{Error, Result};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
use opentelemetry_otlp::WithHttpConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::Registry;
use ulid::Ulid;

/// The variables that say where spans go; without any of them, nowhere.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// How long the last spans may take.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a collector may take to answer.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// What is exported, until it is finished.
pub(super) struct Traces(SdkTracerProvider);

/// Starts the export, if the environment says where to. Needs a runtime around the call.
///
/// # Errors
/// The user's: the address cannot be used.
pub(super) fn start() -> Result<Option<(Boxed, Traces)>> {
    if ENDPOINTS.iter().all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty())) {
        return Ok(None);
    }
    let unusable = |e: &dyn std::error::Error| Error::user(format!("{}: {e}", ENDPOINTS[1]));
    // rustls needs a default cryptography provider; installing it twice changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(EXPORT_TIMEOUT).build().map_err(|e| unusable(&e))?;
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().with_http_client(client);
    let exporter = exporter.build().map_err(|e| unusable(&e))?;
    let exporter = OnRuntime {
        exporter: Arc::new(exporter),
        runtime: Handle::current(),
        failed: Arc::new(AtomicBool::new(false)),
    };
    // OTEL_SERVICE_NAME goes before the name here.
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("roombot");
    }
    let resource = resource.with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    let provider = SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("roombot")).with_level(false);
    let ours = filter_fn(|of| of.target().starts_with("roombot") && *of.level() <= Level::INFO);
    Ok(Some((layer.with_filter(ours).boxed(), Traces(provider))))
}

impl Traces {
    /// Sends what is left.
    pub fn finish(&self) {
        let _ = self.0.shutdown_with_timeout(FINISH_TIMEOUT);
    }
}

/// Makes a span part of the trace whose id is this ULID, after a prefix and `_`.
pub(super) fn join(span: &Span, id: &str) {
    let text = id.rsplit('_').next().unwrap_or(id);
    let Ok(ulid) = Ulid::from_string(&text.to_ascii_uppercase()) else { return };
    // The parent is never exported itself: it stands for the recording.
    let (trace, parent) = (TraceId::from(ulid.0), SpanId::from(ulid.0 as u64));
    let remote = SpanContext::new(trace, parent, TraceFlags::SAMPLED, true, TraceState::NONE);
    // Fails where nothing is exported.
    let _ = span.set_parent(Context::new().with_remote_span_context(remote));
}

/// Gives a span, which may have begun, another name.
pub(super) fn name(span: &Span, name: String) {
    span.context().span().update_name(name);
}

/// Exports on the runtime, which the HTTP client needs: the library does so on a thread of its own.
#[derive(Debug)]
struct OnRuntime {
    exporter: Arc<opentelemetry_otlp::SpanExporter>,
    runtime: Handle,
    /// Whether the last export failed: only the first failure of several is logged.
    failed: Arc<AtomicBool>,
}

impl SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = self.exporter.clone();
        let task = self.runtime.spawn(async move { exporter.export(batch).await });
        let result = task.await.unwrap_or_else(|e| Err(OTelSdkError::InternalFailure(e.to_string())));
        let failed = self.failed.swap(result.is_err(), Ordering::Relaxed);
        if let Err(e) = &result
            && !failed
        {
            tracing::warn!("traces cannot be sent to the collector: {e}");
        }
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}

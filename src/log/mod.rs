//! The log of this process, on stderr: as text or as JSON lines, which of its lines are written, and what processes started by this one
//! need to write theirs in the same way. Set up once; never on stdout, which is for results.

mod json;
#[cfg(feature = "otlp")]
mod traces;

use crate::error::{Error, Result};
use json::JsonLines;
use serde::{Deserialize, Serialize};
use std::fmt::Arguments;
use std::io::Write;
use std::sync::OnceLock;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable with the filter, as `roombot::service=debug`.
pub const FILTER: &str = "ROOMBOT_LOG";
/// The variable with the format.
pub const FORMAT: &str = "ROOMBOT_LOG_FORMAT";
/// The variable with what every JSON line has: `name=value`, separated by commas.
pub const FIELDS: &str = "ROOMBOT_LOG_FIELDS";

/// How lines of the log look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, with the ids of the request and of the recording it belongs to.
    Json,
}

/// What is written, and how.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// How lines look.
    pub format: LogFormat,
    /// Which are written, as in [`FILTER`].
    pub filter: String,
    /// In colour; text only.
    pub ansi: bool,
    /// With the module that says it; JSON lines always have it.
    pub targets: bool,
}

/// The log of this process.
struct Log {
    format: LogFormat,
    filter: reload::Handle<EnvFilter, Registry>,
    /// What every JSON line has.
    fields: json::Fields,
    #[cfg(feature = "otlp")]
    traces: Option<traces::Traces>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Sets the log up. The first call counts: only tests run several verbs in one process. With the feature `otlp`, `traced` and an address in the
/// environment, spans are exported too; that needs a runtime around the call.
///
/// # Errors
/// The user's: the filter cannot be read, or the address of the traces.
pub fn start(settings: &LogSettings, traced: bool) -> Result<()> {
    let (filter, handle) = reload::Layer::new(parse(&settings.filter)?);
    let fields = json::fields(&std::env::var(FIELDS).unwrap_or_default());
    // If stderr is closed, reporting that there would panic.
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        LogFormat::Text => layer.with_ansi(settings.ansi).with_target(settings.targets).with_filter(filter).boxed(),
        LogFormat::Json => {
            let layer = layer.with_ansi(false).fmt_fields(JsonFields::new());
            layer.event_format(JsonLines(fields.clone())).with_filter(filter).boxed()
        }
    };
    #[cfg_attr(not(feature = "otlp"), allow(unused_mut))]
    let mut layers = vec![lines];
    #[cfg(feature = "otlp")]
    let traces = match traced.then(traces::start).transpose()?.flatten() {
        Some((layer, traces)) => {
            layers.push(layer);
            Some(traces)
        }
        None => None,
    };
    #[cfg(not(feature = "otlp"))]
    let _ = traced;
    if tracing_subscriber::registry().with(layers).try_init().is_ok() {
        let log = Log {
            format: settings.format,
            filter: handle,
            fields,
            #[cfg(feature = "otlp")]
            traces,
        };
        if LOG.set(log).is_ok() && settings.format == LogFormat::Json {
            std::panic::set_hook(Box::new(|panic| say("ERROR", format_args!("{panic}"))));
        }
    }
    Ok(())
}

/// Changes which lines are written from now on.
///
/// # Errors
/// The user's: the filter cannot be read.
pub fn set_filter(filter: &str) -> Result<()> {
    let filter = parse(filter)?;
    if let Some(log) = LOG.get() {
        let _ = log.filter.reload(filter);
    }
    Ok(())
}

/// A filter as in [`FILTER`].
///
/// # Errors
/// The user's: it cannot be read.
pub fn parse(filter: &str) -> Result<EnvFilter> {
    EnvFilter::try_new(filter).map_err(|e| {
        Error::user(format!("{filter:?} is no filter for the log ({e}); write it as info,roombot::service=debug"))
            .because(e)
    })
}

/// Whether the log of this process has JSON lines.
pub fn is_json() -> bool {
    LOG.get().is_some_and(|log| log.format == LogFormat::Json)
}

/// Tells the user something on stderr; a line of the log where that is JSON.
pub fn tell(text: Arguments<'_>) {
    if is_json() {
        let text = text.to_string();
        match text.trim().strip_prefix("warning: ") {
            Some(warning) => say("WARN", format_args!("{warning}")),
            None => say("INFO", format_args!("{}", text.trim())),
        }
    } else {
        // stderr may be closed.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// Tells the user an error on stderr.
pub fn tell_error(text: &str) {
    match is_json() {
        true => say("ERROR", format_args!("{}", text.strip_prefix("error: ").unwrap_or(text))),
        false => tell(format_args!("{text}")),
    }
}

/// Writes a JSON line that no filter drops.
fn say(level: &str, text: Arguments<'_>) {
    let line = json::line(level, "roombot", text, LOG.get().map(|log| &log.fields));
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Variables for a process that this one starts: it logs as this one does, and each of its JSON lines has this field as well.
pub fn for_child(name: &str, value: &str) -> Vec<(&'static str, String)> {
    let Some(log) = LOG.get() else { return Vec::new() };
    let inherited = std::env::var(FIELDS).ok().filter(|fields| !fields.is_empty());
    let fields = inherited.into_iter().chain([format!("{name}={value}")]).collect::<Vec<_>>().join(",");
    let filter = log.filter.with_current(ToString::to_string).unwrap_or_default();
    let format = match log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    vec![(FILTER, filter), (FORMAT, format.to_owned()), (FIELDS, fields)]
}

/// Puts a span into the trace of this id: 26 characters of a ULID, after a prefix of letters. So all that is done about a recording is one trace,
/// whichever process does it. Without the feature `otlp` nothing.
pub fn in_trace_of(span: tracing::Span, id: &str) -> tracing::Span {
    #[cfg(feature = "otlp")]
    traces::join(&span, id);
    #[cfg(not(feature = "otlp"))]
    let _ = id;
    span
}

/// Names a request's span in traces, as `GET /v1/recordings/{id}`. Without the feature `otlp` nothing.
pub fn name_request(span: &tracing::Span, name: &dyn Fn() -> String) {
    #[cfg(feature = "otlp")]
    traces::name(span, name());
    #[cfg(not(feature = "otlp"))]
    let _ = (span, name);
}

/// Sends what is left of the traces, and waits for it at most some seconds. Not to be called on a thread of the runtime.
pub fn finish() {
    #[cfg(feature = "otlp")]
    if let Some(traces) = LOG.get().and_then(|log| log.traces.as_ref()) {
        traces.finish();
    }
}

//! Lines of the log as JSON: one object each, with the fields of the event and of all spans around it side by side. Pure but for the time.

use jiff::Timestamp;
use serde_json::{Map, Value};
use std::fmt::{self, Arguments, Debug};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Names and values.
pub(super) type Fields = Map<String, Value>;

/// What begins with this is for the exporter of traces.
const FOR_TRACES: &str = "otel.";
/// What begins with this is about lines of libraries with another kind of log.
const OF_LIBRARIES: &str = "log.";

/// Reads `name=value,name=value`.
pub(super) fn fields(text: &str) -> Fields {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().into())).collect()
}

/// A line that is no event.
pub(super) fn line(level: &str, target: &str, message: Arguments<'_>, common: Option<&Fields>) -> String {
    let mut line = begun(level, target, common);
    line.insert("message".to_owned(), message.to_string().into());
    Value::Object(line).to_string()
}

fn begun(level: &str, target: &str, common: Option<&Fields>) -> Fields {
    let mut line = Fields::new();
    line.insert("timestamp".to_owned(), format!("{:.3}", Timestamp::now()).into());
    line.insert("level".to_owned(), level.into());
    line.insert("target".to_owned(), target.into());
    line.extend(common.cloned().unwrap_or_default());
    line
}

/// Writes events as JSON lines; each also has these fields.
pub(super) struct JsonLines(pub Fields);

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, JsonFields> for JsonLines {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut own = Visited::default();
        event.record(&mut own);
        let target = own.target.as_deref().unwrap_or(event.metadata().target());
        let mut line = begun(event.metadata().level().as_str(), target, Some(&self.0));
        // From the outermost on: what is nearer to the event counts.
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let Some(formatted) = extensions.get::<FormattedFields<JsonFields>>() else { continue };
            let fields: Fields = serde_json::from_str(&formatted.fields).unwrap_or_default();
            line.extend(fields.into_iter().filter(|(name, _)| !name.starts_with(FOR_TRACES)));
        }
        line.extend(own.fields);
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The fields of an event.
#[derive(Default)]
struct Visited {
    fields: Fields,
    target: Option<String>,
}

impl Visited {
    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            "log.target" => self.target = value.as_str().map(str::to_owned),
            name if name.starts_with(OF_LIBRARIES) || name.starts_with(FOR_TRACES) => {}
            name => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Visited {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Written;
        fn make_writer(&'a self) -> Written {
            self.clone()
        }
    }

    #[test]
    fn a_line_has_its_own_fields_those_of_its_spans_and_those_of_all() {
        let written = Written::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(written.clone())
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines(fields("host=a, recording_id = rec_1,,x")))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let outer = tracing::error_span!(
                "request",
                request_id = "req_1",
                status = tracing::field::Empty,
                otel.kind = "server"
            );
            let _outer = outer.enter();
            outer.record("status", 200);
            let _inner = tracing::error_span!("record", recording_id = "rec_2").entered();
            tracing::warn!(failures = 3_u32, ratio = 0.5, clean = false, why = ?Some(1), "line \"one\"\nand two");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        for (name, value) in [
            ("level", Value::from("WARN")),
            ("message", "line \"one\"\nand two".into()),
            ("host", "a".into()),
            ("request_id", "req_1".into()),
            ("status", 200.into()),
            ("recording_id", "rec_2".into()),
            ("failures", 3.into()),
            ("ratio", 0.5.into()),
            ("clean", false.into()),
            ("why", "Some(1)".into()),
            ("otel.kind", Value::Null),
        ] {
            assert_eq!(line[name], value, "{name}: {text}");
        }
        assert!(line["timestamp"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{text}");
    }

    #[test]
    fn what_is_no_event_is_a_line_too() {
        let line: Value =
            serde_json::from_str(&line("INFO", "roombot", format_args!("a\nb"), Some(&fields("x=1")))).unwrap();
        assert_eq!((&line["message"], &line["x"], &line["level"]), (&"a\nb".into(), &"1".into(), &"INFO".into()));
    }
}

//! What several verbs read from the command line in the same way. Reads text; opens nothing.

use std::path::PathBuf;
use std::time::Duration;

/// Where pipelines come from.
#[derive(Debug, Clone, clap::Args)]
pub struct PipelineArgs {
    /// Folder of your own pipelines, in front of the built-in ones (DIR/feed/source.gst hides feed/source).
    #[arg(long, value_name = "DIR")]
    pub pipelines: Option<PathBuf>,
}

/// A length of time as people write it: `30s`, `250ms`, `1m30s`, `2h`. Never negative, at most a year.
pub fn duration(text: &str) -> Result<Duration, String> {
    let form = || format!("`{text}` is no length of time; write it as 30s, 250ms, 1m30s or 2h");
    let signed: jiff::SignedDuration = text.parse().map_err(|_| form())?;
    let duration = Duration::try_from(signed).map_err(|_| form())?;
    if duration > Duration::from_secs(366 * 24 * 3600) { Err(form()) } else { Ok(duration) }
}

/// A span of a session, from and to, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: Duration,
    /// Absent: until the end.
    pub until: Option<Duration>,
}

/// A span as `5s..12s`, `5s..` or `..12s`.
pub fn span(text: &str) -> Result<Span, String> {
    let (from, until) = text.split_once("..").ok_or_else(|| format!("`{text}` is no span; write it as 5s..12s"))?;
    let from = if from.is_empty() { Duration::ZERO } else { duration(from)? };
    let until = if until.is_empty() { None } else { Some(duration(until)?) };
    if until.is_some_and(|until| until <= from) {
        return Err(format!("`{text}` ends before it begins"));
    }
    Ok(Span { from, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in
            [("30s", 30_000), ("250ms", 250), ("1m30s", 90_000), ("2h", 7_200_000), ("1.5s", 1500), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "s", "-5s", "5 parsecs", "99999999999999999999s", "400d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_have_a_start_or_an_end_or_both() {
        let seconds = Duration::from_secs;
        assert_eq!(span("5s..12s"), Ok(Span { from: seconds(5), until: Some(seconds(12)) }));
        assert_eq!(span("5s.."), Ok(Span { from: seconds(5), until: None }));
        assert_eq!(span("..12s"), Ok(Span { from: seconds(0), until: Some(seconds(12)) }));
        for text in ["5s", "12s..5s", "5s..5s", "a..b", "5s..12"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}

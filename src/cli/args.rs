//! Flags and parsers of values that several verbs share. Parses text only.

use std::path::PathBuf;
use std::time::Duration;

/// The folder of pipeline templates.
#[derive(Debug, Clone, clap::Args)]
pub struct PipelineArgs {
    /// Folder with your own pipelines; they override the built-in ones of the same name (DIR/feed/source.gst).
    #[arg(long, value_name = "DIR")]
    pub pipelines: Option<PathBuf>,
}

/// A duration: `30s`, `250ms`, `1m30s`, `2h`. Not negative, at most a year.
pub fn duration(text: &str) -> Result<Duration, String> {
    let form = || format!("`{text}` is not a duration; write it as 30s, 250ms, 1m30s or 2h");
    let signed: jiff::SignedDuration = text.parse().map_err(|_| form())?;
    let duration = Duration::try_from(signed).map_err(|_| form())?;
    if duration > Duration::from_secs(366 * 24 * 3600) { Err(form()) } else { Ok(duration) }
}

/// A picture's width and height in pixels, as `1280x720`.
pub fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.ok_or_else(|| format!("`{text}` is not a size; write it as 1280x720"))
}

/// A number of bytes: `500KB`, `2GiB`, `1.5G`, `4096`. `K`, `M`, `G`, `T` are powers of 1024, also with `iB`; with `B` they are
/// powers of 1000. At most 2^53.
pub fn bytes(text: &str) -> Result<u64, String> {
    let form = || format!("`{text}` is not a size; write it as 500MB, 2GiB or 4096");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| form())?;
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.chars().next() {
        None | Some('b') => 0,
        Some(letter) => "kmgt".find(letter).map(|at| at as i32 + 1).ok_or_else(form)?,
    };
    let base: f64 = match unit.get(1..).unwrap_or_default() {
        "" if power == 0 || unit.len() == 1 => 1024.0,
        "ib" => 1024.0,
        "b" => 1000.0,
        _ => return Err(form()),
    };
    let bytes = number * base.powi(power);
    if bytes <= (1u64 << 53) as f64 { Ok(bytes as u64) } else { Err(form()) }
}

/// A span of time, counted from the start of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its start.
    pub from: Duration,
    /// Its end; `None`: the end of the session.
    pub until: Option<Duration>,
}

/// A span: `5s..12s`, `5s..` or `..12s`.
pub fn span(text: &str) -> Result<Span, String> {
    let (from, until) = text.split_once("..").ok_or_else(|| format!("`{text}` is not a span; write it as 5s..12s"))?;
    let from = if from.is_empty() { Duration::ZERO } else { duration(from)? };
    let until = if until.is_empty() { None } else { Some(duration(until)?) };
    if until.is_some_and(|until| until <= from) {
        return Err(format!("`{text}` ends before it starts"));
    }
    Ok(Span { from, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed() {
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
    fn byte_sizes_are_parsed() {
        for (text, size) in [
            ("4096", 4096),
            ("0", 0),
            ("10b", 10),
            ("500KB", 500_000),
            ("1k", 1024),
            ("2GiB", 2 << 30),
            ("2 gib", 2 << 30),
            ("1.5G", 3 << 29),
            ("1TB", 1_000_000_000_000),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "GiB", "-1", "1.2.3", "5 parsecs", "1e3", "99999TiB", "2gx", "2gibb"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn picture_sizes_are_two_numbers() {
        assert_eq!(size("1280x720"), Ok((1280, 720)));
        for text in ["1280", "x", "1280x", "-2x4", "1280x720x2"] {
            assert!(size(text).is_err(), "{text}");
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

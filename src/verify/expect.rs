//! Expectations: lines of text such as `alice.lost_percent <= 1` that a figure meets or not. Pure; it measures nothing.

use super::evidence::Stretch;
use super::joining::STAGES;
use super::measure::FIGURES;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Figures of a whole target: their names, and what they are.
pub const COMMON: &[(&str, &str)] = &[
    ("participants", "how many different ones were seen or heard"),
    ("pictures", "pictures in all"),
    ("blank_percent", "pictures without any stamp"),
    ("unread_percent", "stamps that were there but could not be read, of all stamps"),
    ("length_ms", "until the end of the last picture or sound"),
    ("spread_ms", "how far the sources' beginnings lie apart on the time line; 0 where they began together"),
];

/// Figures of pictures against their source, which take a second look at them.
pub const QUALITY: [&str; 4] = ["psnr_db", "ssim", "timeline_psnr_db", "timeline_ssim"];

/// What follows where a figure is not as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warn,
}

/// How a figure is held against a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Below,
    AtMost,
    Equal,
    AtLeast,
    Above,
}

/// One expectation: `[warn: ][WHO.]FIGURE RELATION VALUE[UNIT][ during FROM..UNTIL]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    text: String,
    pub severity: Severity,
    /// Of whom; absent: of everybody, each by themselves.
    pub who: Option<String>,
    pub figure: String,
    pub relation: Relation,
    pub value: f64,
    /// What of the time line counts; absent: all.
    pub during: Option<Stretch>,
}

impl Expectation {
    /// True where it is about the whole target, not about somebody.
    pub fn is_common(&self) -> bool {
        COMMON.iter().any(|(name, _)| *name == self.figure)
    }

    /// True where pictures must be compared with their source to know.
    pub fn is_of_quality(&self) -> bool {
        QUALITY.contains(&self.figure.as_str())
    }

    /// True where somebody must watch while it happens, to know.
    pub fn is_of_delay(&self) -> bool {
        self.figure.starts_with("delay_")
    }

    /// True where `figure` is as expected.
    pub fn holds(&self, figure: f64) -> bool {
        match self.relation {
            Relation::Below => figure < self.value,
            Relation::AtMost => figure <= self.value,
            // Figures are counted or measured; equal is equal as far as they are printed.
            Relation::Equal => (figure - self.value).abs() < 1e-6,
            Relation::AtLeast => figure >= self.value,
            Relation::Above => figure > self.value,
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Expectation, String> {
        let form = || {
            format!(
                "`{text}` is no expectation; write it as `lost_percent <= 1` or `alice.freezes == 0 during 5s..12s`"
            )
        };
        let bare = text.trim();
        let (severity, bare) = match bare.strip_prefix("warn:") {
            Some(rest) => (Severity::Warn, rest.trim()),
            None => (Severity::Error, bare),
        };
        let (bare, during) = match bare.split_once(" during ") {
            Some((bare, span)) => (bare, Some(stretch(span.trim()).ok_or_else(form)?)),
            None => (bare, None),
        };
        let relations = [
            ("<=", Relation::AtMost),
            (">=", Relation::AtLeast),
            ("==", Relation::Equal),
            ("<", Relation::Below),
            (">", Relation::Above),
            ("=", Relation::Equal),
        ];
        let found = relations.iter().find_map(|(sign, relation)| Some((bare.split_once(sign)?, *relation)));
        let ((left, right), relation) = found.ok_or_else(form)?;
        let left = left.trim();
        let (who, figure) = match left.rsplit_once('.') {
            Some((who, figure)) if !who.is_empty() => (Some(who.to_owned()), figure),
            Some(_) => return Err(form()),
            None => (None, left),
        };
        let common = COMMON.iter().any(|(name, _)| *name == figure);
        if !common && !FIGURES.iter().any(|(name, _)| *name == figure) {
            return Err(format!("`{figure}` is not a known figure; docs/verify.md has the list"));
        }
        if common && who.is_some() {
            return Err(format!("`{figure}` is a figure of the whole, not of somebody"));
        }
        if common && during.is_some() {
            return Err(format!("`{figure}` is a figure of the whole and has no `during`"));
        }
        if during.is_some() && (figure == "wrong" || STAGES.contains(&figure) || QUALITY.contains(&figure)) {
            return Err(format!("`{figure}` is measured over all of the time and has no `during`"));
        }
        let value = value(right.trim(), figure).ok_or_else(form)?;
        Ok(Expectation {
            text: text.trim().to_owned(),
            severity,
            who,
            figure: figure.to_owned(),
            relation,
            value,
            during,
        })
    }
}

/// A number with its unit, in the unit of the figure.
fn value(text: &str, figure: &str) -> Option<f64> {
    let end = text.find(|c: char| c.is_ascii_alphabetic() || c == '%').unwrap_or(text.len());
    let (number, unit) = (text.get(..end)?.trim(), text.get(end..)?.trim());
    let number: f64 = number.parse().ok().filter(|n: &f64| n.is_finite())?;
    match unit {
        "" => Some(number),
        "ms" if figure.contains("_ms") => Some(number),
        "s" if figure.ends_with("_ms") => Some(number * 1000.0),
        "%" if figure.ends_with("_percent") => Some(number),
        "dB" if figure.ends_with("_db") => Some(number),
        _ => None,
    }
}

/// `5s..12s`, `5s..` or `..12s`.
fn stretch(text: &str) -> Option<Stretch> {
    let (from, until) = text.split_once("..")?;
    let seconds = |text: &str| -> Option<f64> {
        let signed: jiff::SignedDuration = text.trim().parse().ok()?;
        Duration::try_from(signed).ok().map(|d| d.as_secs_f64())
    };
    let from = if from.is_empty() { 0.0 } else { seconds(from)? };
    let until = if until.is_empty() { f64::INFINITY } else { seconds(until)? };
    (from < until).then_some(Stretch { from, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Expectation {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn expectations_are_read_as_people_write_them() {
        let lost = read("alice.lost_percent <= 1%");
        assert_eq!((lost.who.as_deref(), lost.figure.as_str(), lost.value), (Some("alice"), "lost_percent", 1.0));
        assert!(lost.holds(1.0) && !lost.holds(1.1));
        let screen = read("warn: bob.screen.freezes==0 during 5s..1m");
        assert_eq!((screen.who.as_deref(), screen.severity), (Some("bob.screen"), Severity::Warn));
        assert_eq!(screen.during, Some(Stretch { from: 5.0, until: 60.0 }));
        assert_eq!(read("first_frame_ms < 1.5 s").value, 1500.0);
        assert_eq!(read("av_p95_ms<=20").value, 20.0);
        assert!(read("participants = 4").is_common() && read("psnr_db > 30 dB").holds(30.1));
        assert_eq!(read("frames > 10 during ..5s").during, Some(Stretch { from: 0.0, until: 5.0 }));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "",
            "lost",
            "lost <=",
            "<= 5",
            "lost <= x",
            "lost <= 5 parsecs",
            "losses <= 5",
            ".lost <= 5",
            "lost <= nan",
            "participants <= 5 during 1s..2s",
            "alice.participants == 1",
            "lost <= 5 during 5s",
            "lost <= 5 during 5s..2s",
            "lost_percent <= 5 ms",
            "lost <= 1 s",
            "ssim > 0.9 during 1s..2s",
        ] {
            assert!(text.parse::<Expectation>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = text.parse::<Expectation>();
        }

        #[test]
        fn a_number_that_is_written_is_the_number_that_is_read(value in -1e6f64..1e6) {
            let expectation: Expectation = format!("zero_ms >= {value}").parse().unwrap();
            prop_assert_eq!(expectation.value, value);
        }
    }
}

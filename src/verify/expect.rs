//! Expectations on figures, parsed from text such as `alice.lost_percent <= 1`. Pure; it measures nothing.

use super::detections::Interval;
use super::join_times::JOIN_FIGURES;
use super::measure::PARTICIPANT_FIGURES;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Figures of a whole target: name and meaning. docs/verify.md has the same table.
pub const TARGET_FIGURES: &[(&str, &str)] = &[
    ("participants", "distinct participants seen or heard"),
    ("pictures", "all frames"),
    ("blank_percent", "frames without a stamp"),
    ("unread_percent", "stamps present but not readable, in percent of all stamps"),
    ("length_ms", "end of the last frame or sound"),
    ("spread_ms", "distance between the starts of the sources on the timeline; 0 if they started together"),
];

/// Figures that need the frames to be compared with their source.
pub const QUALITY: [&str; 4] = ["psnr_db", "ssim", "timeline_psnr_db", "timeline_ssim"];

/// The consequence of an expectation that is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The verdict is fail.
    Error,
    /// The verdict is warn.
    Warn,
}

/// The comparison between figure and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
}

/// One expectation: `[warn: ][WHO.]FIGURE RELATION VALUE[UNIT][ during FROM..UNTIL]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    text: String,
    /// `warn:` or not.
    pub severity: Severity,
    /// The participant; none: each participant by itself.
    pub who: Option<String>,
    /// One of [`TARGET_FIGURES`] or [`PARTICIPANT_FIGURES`].
    pub figure: String,
    /// How the figure is compared with the value.
    pub relation: Relation,
    /// In the unit of the figure.
    pub value: f64,
    /// The part of the timeline that counts; none: all.
    pub during: Option<Interval>,
}

impl Expectation {
    /// True if the figure belongs to the whole target and not to a participant.
    pub fn is_of_target(&self) -> bool {
        TARGET_FIGURES.iter().any(|(name, _)| *name == self.figure)
    }

    /// True if frames must be compared with their source.
    pub fn needs_quality(&self) -> bool {
        QUALITY.contains(&self.figure.as_str())
    }

    /// True if the room must be watched live.
    pub fn needs_delay(&self) -> bool {
        self.figure.starts_with("delay_")
    }

    /// True if the figure's value meets the expectation.
    pub fn holds(&self, figure: f64) -> bool {
        match self.relation {
            Relation::Below => figure < self.value,
            Relation::AtMost => figure <= self.value,
            // Equal within the precision of a report.
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
                "`{text}` is not an expectation; write it as `lost_percent <= 1` or `alice.freezes == 0 during 5s..12s`"
            )
        };
        let bare = text.trim();
        let (severity, bare) = match bare.strip_prefix("warn:") {
            Some(rest) => (Severity::Warn, rest.trim()),
            None => (Severity::Error, bare),
        };
        let (bare, during) = match bare.split_once(" during ") {
            Some((bare, range)) => (bare, Some(parse_interval(range.trim()).ok_or_else(form)?)),
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
        let of_target = TARGET_FIGURES.iter().any(|(name, _)| *name == figure);
        if !of_target && !PARTICIPANT_FIGURES.iter().any(|(name, _)| *name == figure) {
            return Err(format!("`{figure}` is not a known figure; docs/verify.md has the list"));
        }
        if of_target && who.is_some() {
            return Err(format!("`{figure}` is a figure of the whole target, not of a participant"));
        }
        if of_target && during.is_some() {
            return Err(format!("`{figure}` is a figure of the whole target and cannot have `during`"));
        }
        if during.is_some() && (figure == "wrong" || JOIN_FIGURES.contains(&figure) || QUALITY.contains(&figure)) {
            return Err(format!("`{figure}` is measured over the whole time and cannot have `during`"));
        }
        let value = parse_value(right.trim(), figure).ok_or_else(form)?;
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

/// A number with an optional unit, converted to the unit of the figure.
fn parse_value(text: &str, figure: &str) -> Option<f64> {
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
fn parse_interval(text: &str) -> Option<Interval> {
    let (from, until) = text.split_once("..")?;
    let seconds = |text: &str| -> Option<f64> {
        let signed: jiff::SignedDuration = text.trim().parse().ok()?;
        Duration::try_from(signed).ok().map(|d| d.as_secs_f64())
    };
    let from = if from.is_empty() { 0.0 } else { seconds(from)? };
    let until = if until.is_empty() { f64::INFINITY } else { seconds(until)? };
    (from < until).then_some(Interval { from, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Expectation {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn expectations_are_parsed() {
        let lost = read("alice.lost_percent <= 1%");
        assert_eq!((lost.who.as_deref(), lost.figure.as_str(), lost.value), (Some("alice"), "lost_percent", 1.0));
        assert!(lost.holds(1.0) && !lost.holds(1.1));
        let screen = read("warn: bob.screen.freezes==0 during 5s..1m");
        assert_eq!((screen.who.as_deref(), screen.severity), (Some("bob.screen"), Severity::Warn));
        assert_eq!(screen.during, Some(Interval { from: 5.0, until: 60.0 }));
        assert_eq!(read("first_frame_ms < 1.5 s").value, 1500.0);
        assert_eq!(read("av_p95_ms<=20").value, 20.0);
        assert!(read("participants = 4").is_of_target() && read("psnr_db > 30 dB").holds(30.1));
        assert_eq!(read("frames > 10 during ..5s").during, Some(Interval { from: 0.0, until: 5.0 }));
    }

    #[test]
    fn invalid_expectations_are_refused() {
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
        fn any_text_is_parsed_or_refused(text in ".{0,60}") {
            let _ = text.parse::<Expectation>();
        }

        #[test]
        fn values_are_parsed_exactly(value in -1e6f64..1e6) {
            let expectation: Expectation = format!("zero_ms >= {value}").parse().unwrap();
            prop_assert_eq!(expectation.value, value);
        }
    }
}

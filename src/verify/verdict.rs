//! The verdict: expectations held against what was measured. Missing evidence fails, trouble of this machine leaves it open, and neither
//! ever passes.

use super::expect::{COMMON, Expectation, Severity};
use super::file::Fact;
use super::joining::STAGES;
use super::measure::{FIGURES, Measures};
use super::target::{Names, Subject, Target, number};
use crate::room::media::MediaKind;
use serde::Serialize;
use std::collections::BTreeMap;

/// The version of the report's form.
pub const SCHEMA: u32 = 1;

/// What was found, the best first: of several the last counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    Warn,
    Fail,
    /// This machine could not find out.
    Inconclusive,
}

impl Verdict {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

/// What an expectation came to, for one participant or the whole.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub expected: String,
    /// Absent: the whole.
    pub who: Option<String>,
    pub figure: String,
    /// Absent: there is no evidence.
    pub measured: Option<f64>,
    pub verdict: Verdict,
}

/// One participant's figures.
#[derive(Debug, Clone, Serialize)]
pub struct Person {
    pub who: String,
    pub number: u8,
    #[serde(flatten)]
    pub measures: Measures,
}

/// What a target came to.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    pub target: String,
    pub verdict: Verdict,
    /// What this machine could not do.
    pub trouble: Vec<String>,
    /// What of the media could not be read.
    pub damage: Vec<String>,
    /// What cannot be said, and why.
    pub notes: Vec<String>,
    /// The media files that were read.
    pub files: Vec<Fact>,
    pub figures: BTreeMap<&'static str, f64>,
    pub participants: Vec<Person>,
    pub outcomes: Vec<Outcome>,
}

/// Everything that was judged in one run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub schema: u32,
    pub tool: &'static str,
    pub verdict: Verdict,
    pub targets: Vec<Judged>,
}

impl Report {
    /// Of several targets. Nothing judged is no pass.
    pub fn of(targets: Vec<Judged>) -> Report {
        let verdict = targets.iter().map(|judged| judged.verdict).max().unwrap_or(Verdict::Inconclusive);
        Report { schema: SCHEMA, tool: concat!("roombot ", env!("CARGO_PKG_VERSION")), verdict, targets }
    }
}

/// What is expected of a target of these kinds of media where nothing else is said.
pub fn usual(target: &Target) -> Vec<Expectation> {
    let mut lines = vec!["participants >= 1"];
    if target.kinds.contains(&MediaKind::Video) {
        lines.extend(["dropped_percent <= 1", "out_of_order == 0", "freezes == 0", "unread_percent <= 1"]);
        // A film may show something else, such as a card; tracks of a recording have nothing but their owner in them.
        let is_recording = target.subjects.iter().any(|subject| subject.wrong.is_some());
        lines.push(if is_recording { "blank_percent <= 1" } else { "warn: blank_percent <= 1" });
    }
    if target.kinds.contains(&MediaKind::Audio) {
        lines.extend(["marks_garbled == 0", "sound_gaps == 0"]);
    }
    if target.kinds.len() == 2 {
        lines.push("av_p95_ms <= 45");
    }
    if target.subjects.iter().any(|subject| subject.wrong.is_some()) {
        lines.push("wrong == 0");
    }
    lines.into_iter().filter_map(|line| line.parse().ok()).collect()
}

/// Judges what was read. `extra` adds figures of a participant that are measured elsewhere.
pub fn judge(
    target: &Target,
    expectations: &[Expectation],
    names: &Names,
    extra: impl Fn(&Subject) -> Vec<(&'static str, f64)>,
) -> Judged {
    let measure = |subject: &Subject| {
        let mut measures = Measures::of(&subject.trace, subject.start);
        measures.figures.extend(subject.wrong.map(|wrong| ("wrong", wrong as f64)));
        measures.figures.extend(subject.joining.iter().copied());
        measures.figures.extend(extra(subject));
        measures
    };
    let participants: Vec<Person> = target
        .subjects
        .iter()
        .map(|subject| Person { who: subject.who.clone(), number: subject.number, measures: measure(subject) })
        .collect();
    let mut outcomes = Vec::new();
    for expectation in expectations {
        let mut conclude = |who: Option<String>, measured: Option<f64>| {
            let verdict = match (measured.is_some_and(|figure| expectation.holds(figure)), expectation.severity) {
                _ if !target.trouble.is_empty() => Verdict::Inconclusive,
                (true, _) => Verdict::Pass,
                (false, Severity::Warn) => Verdict::Warn,
                (false, Severity::Error) => Verdict::Fail,
            };
            let (expected, figure) = (expectation.to_string(), expectation.figure.clone());
            outcomes.push(Outcome { expected, who, figure, measured, verdict });
        };
        if expectation.is_common() {
            conclude(None, target.figure(&expectation.figure));
            continue;
        }
        let wanted = expectation.who.as_deref().map(|who| number(names, who));
        let mut found = false;
        for (subject, person) in target.subjects.iter().zip(&participants) {
            let is_meant =
                expectation.who.as_deref().is_none_or(|who| who == subject.who || is_number(subject, wanted));
            if !is_meant || !has_kind(subject, expectation) {
                continue;
            }
            found = true;
            let measured = match expectation.during {
                None => person.measures.figures.get(expectation.figure.as_str()).copied(),
                Some(window) => {
                    let part = Measures::of(&subject.trace.during(window), window.from);
                    part.figures.get(expectation.figure.as_str()).copied()
                }
            };
            conclude(Some(subject.who.clone()), measured);
        }
        if !found {
            // Nobody of whom it could be true.
            conclude(expectation.who.clone(), None);
        }
    }
    let figures = COMMON.iter().filter_map(|(name, _)| Some((*name, target.figure(name)?))).collect();
    let mut verdict = outcomes.iter().map(|outcome| outcome.verdict).max().unwrap_or(Verdict::Inconclusive);
    if !target.damage.is_empty() {
        verdict = verdict.max(Verdict::Fail);
    }
    if !target.trouble.is_empty() {
        verdict = Verdict::Inconclusive;
    }
    Judged {
        target: target.path.display().to_string(),
        verdict,
        trouble: target.trouble.clone(),
        damage: target.damage.clone(),
        notes: target.notes.clone(),
        files: target.files.clone(),
        figures,
        participants,
        outcomes,
    }
}

/// A file names nobody: there a participant is whoever has the number.
fn is_number(subject: &Subject, wanted: Option<u8>) -> bool {
    subject.wrong.is_none() && wanted == Some(subject.number)
}

/// False where everybody is meant, and this one never had such a track: a screen has no sound.
fn has_kind(subject: &Subject, expectation: &Expectation) -> bool {
    let of_sound =
        ["marks", "marks_lost", "marks_garbled", "sound_gaps", "sound_gap_ms", "longest_gap_ms", "first_sound_ms"];
    let of_both = expectation.figure.starts_with("av_");
    let of_either = ["wrong", "zero_ms"].iter().chain(&STAGES).any(|figure| *figure == expectation.figure);
    let sound = of_sound.contains(&expectation.figure.as_str());
    debug_assert!(FIGURES.iter().any(|(name, _)| *name == expectation.figure));
    let has = |kind: MediaKind| subject.kinds.contains(&kind);
    let fits = match (of_both, of_either, sound) {
        (true, ..) => has(MediaKind::Audio) && has(MediaKind::Video),
        (_, true, _) => true,
        (_, _, true) => has(MediaKind::Audio),
        _ => has(MediaKind::Video),
    };
    fits || expectation.who.is_some()
}

//! Verdicts: expectations compared with figures. A figure without evidence fails, a failure of this machine makes the verdict inconclusive;
//! neither ever passes.

use super::expect::{Expectation, Severity, TARGET_FIGURES};
use super::file_info::FileInfo;
use super::join_times::JOIN_FIGURES;
use super::measure::{Measurements, PARTICIPANT_FIGURES};
use super::target::{self, StampNumbers, Target, TargetParticipant};
use crate::room::media::MediaKind;
use serde::Serialize;
use std::collections::BTreeMap;

/// Schema version of the JSON report.
pub const SCHEMA: u32 = 1;

/// The result of an expectation, a target or a run. Of several, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything is as expected.
    Pass,
    /// Only expectations marked `warn:` are not met.
    Warn,
    /// An expectation is not met, or the media is damaged.
    Fail,
    /// This machine could not measure it.
    Inconclusive,
}

impl Verdict {
    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

/// The result of an expectation, for one participant or the whole target.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The expectation as written.
    pub expected: String,
    /// The participant; none: the whole target.
    pub who: Option<String>,
    /// Name of the figure.
    pub figure: String,
    /// Value of the figure; none without evidence.
    pub measured: Option<f64>,
    /// Whether it is met.
    pub verdict: Verdict,
}

/// The measurements of one participant.
#[derive(Debug, Clone, Serialize)]
pub struct ParticipantReport {
    /// `alice`, `bob.screen`.
    pub who: String,
    /// Stamp number.
    pub number: u8,
    /// Figures and series.
    #[serde(flatten)]
    pub measures: Measurements,
}

/// The report on one target.
#[derive(Debug, Clone, Serialize)]
pub struct TargetReport {
    /// Path or URL.
    pub target: String,
    /// The worst of all outcomes.
    pub verdict: Verdict,
    /// Failures of this machine.
    pub trouble: Vec<String>,
    /// Defects of the media.
    pub damage: Vec<String>,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
    /// The media files that were read.
    pub files: Vec<FileInfo>,
    /// Figures of the whole target.
    pub figures: BTreeMap<&'static str, f64>,
    /// Measurements of each participant.
    pub participants: Vec<ParticipantReport>,
    /// One per expectation and participant.
    pub outcomes: Vec<Outcome>,
}

/// The report on all targets.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name and version of this program.
    pub tool: &'static str,
    /// The worst of all targets.
    pub verdict: Verdict,
    /// One per target.
    pub targets: Vec<TargetReport>,
}

impl Report {
    /// Combines the reports on several targets. Without targets it is inconclusive.
    pub fn of(targets: Vec<TargetReport>) -> Report {
        let verdict = targets.iter().map(|judged| judged.verdict).max().unwrap_or(Verdict::Inconclusive);
        Report { schema: SCHEMA, tool: concat!("roombot ", env!("CARGO_PKG_VERSION")), verdict, targets }
    }
}

/// The expectations on a target if none are given, by the kinds of media in it.
pub fn default_expectations(target: &Target) -> Vec<Expectation> {
    let mut lines = vec!["participants >= 1"];
    if target.kinds.contains(&MediaKind::Video) {
        lines.extend(["dropped_percent <= 1", "out_of_order == 0", "freezes == 0", "unread_percent <= 1"]);
        // A film may contain other frames, such as name cards; a recorded track contains only its owner.
        let is_recording = target.participants.iter().any(|participant| participant.wrong.is_some());
        lines.push(if is_recording { "blank_percent <= 1" } else { "warn: blank_percent <= 1" });
    }
    if target.kinds.contains(&MediaKind::Audio) {
        lines.extend(["marks_garbled == 0", "sound_gaps == 0"]);
    }
    if target.kinds.len() == 2 {
        lines.push("av_p95_ms <= 45");
    }
    if target.participants.iter().any(|participant| participant.wrong.is_some()) {
        lines.push("wrong == 0");
    }
    lines.into_iter().filter_map(|line| line.parse().ok()).collect()
}

/// Compares a target with expectations. `extra` adds figures of a participant that are measured elsewhere.
pub fn judge(
    target: &Target,
    expectations: &[Expectation],
    names: &StampNumbers,
    extra: impl Fn(&TargetParticipant) -> Vec<(&'static str, f64)>,
) -> TargetReport {
    let measure = |participant: &TargetParticipant| {
        let mut measures = Measurements::of(&participant.trace, participant.start);
        measures.figures.extend(participant.wrong.map(|wrong| ("wrong", wrong as f64)));
        measures.figures.extend(participant.join_times.iter().copied());
        measures.figures.extend(extra(participant));
        measures
    };
    let participants: Vec<ParticipantReport> = target
        .participants
        .iter()
        .map(|participant| ParticipantReport {
            who: participant.who.clone(),
            number: participant.number,
            measures: measure(participant),
        })
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
        if expectation.is_of_target() {
            conclude(None, target.figure(&expectation.figure));
            continue;
        }
        let number = expectation.who.as_deref().map(|who| target::number(names, who));
        let mut found = false;
        for (participant, report) in target.participants.iter().zip(&participants) {
            let applies = expectation
                .who
                .as_deref()
                .is_none_or(|who| who == participant.who || matches_number(participant, number));
            if !applies || !has_kind(participant, expectation) {
                continue;
            }
            found = true;
            let measured = match expectation.during {
                None => report.measures.figures.get(expectation.figure.as_str()).copied(),
                Some(window) => {
                    let part = Measurements::of(&participant.trace.during(window), window.from);
                    part.figures.get(expectation.figure.as_str()).copied()
                }
            };
            conclude(Some(participant.who.clone()), measured);
        }
        if !found {
            // There is no such participant.
            conclude(expectation.who.clone(), None);
        }
    }
    let figures = TARGET_FIGURES.iter().filter_map(|(name, _)| Some((*name, target.figure(name)?))).collect();
    let mut verdict = outcomes.iter().map(|outcome| outcome.verdict).max().unwrap_or(Verdict::Inconclusive);
    if !target.damage.is_empty() {
        verdict = verdict.max(Verdict::Fail);
    }
    if !target.trouble.is_empty() {
        verdict = Verdict::Inconclusive;
    }
    TargetReport {
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

/// In a file, participants have no names and are matched by number.
fn matches_number(participant: &TargetParticipant, number: Option<u8>) -> bool {
    participant.wrong.is_none() && number == Some(participant.number)
}

/// False if the expectation is on all participants and this one has no such media: a screen has no audio.
fn has_kind(participant: &TargetParticipant, expectation: &Expectation) -> bool {
    let of_sound =
        ["marks", "marks_lost", "marks_garbled", "sound_gaps", "sound_gap_ms", "longest_gap_ms", "first_sound_ms"];
    let of_both = expectation.figure.starts_with("av_");
    let of_either = ["wrong", "zero_ms"].iter().chain(&JOIN_FIGURES).any(|figure| *figure == expectation.figure);
    let sound = of_sound.contains(&expectation.figure.as_str());
    debug_assert!(PARTICIPANT_FIGURES.iter().any(|(name, _)| *name == expectation.figure));
    let has = |kind: MediaKind| participant.kinds.contains(&kind);
    let fits = match (of_both, of_either, sound) {
        (true, ..) => has(MediaKind::Audio) && has(MediaKind::Video),
        (_, true, _) => true,
        (_, _, true) => has(MediaKind::Audio),
        _ => has(MediaKind::Video),
    };
    fits || expectation.who.is_some()
}

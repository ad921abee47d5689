//! The parts of a recording: the times during which a process recorded, and what was lost between them. Values and rules only.

use crate::recording::account::Loss;
use crate::recording::track_entry::Span;
use crate::room::end::{CRASHED, is_wanted};
use serde::{Deserialize, Serialize};

/// The [`Loss::cause`] of what was sent while no process recorded.
pub const AWAY: &str = "recorder-away";
/// Who is there within this time after a part's start was there before it: rooms tell at once.
const FOUND_MS: u64 = 1000;

/// The time during which one process recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its start.
    pub start_ms: u64,
    /// Its end; absent while it goes on.
    #[serde(default)]
    pub end_ms: Option<u64>,
    /// Why it ended, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// The same as a word for programs: one of [`crate::room::end::EndReason::code`], or `crashed`.
    #[serde(default)]
    pub reason_code: Option<String>,
}

impl Part {
    /// A part that begins.
    pub fn new(start_ms: u64) -> Part {
        Part { start_ms, end_ms: None, reason: None, reason_code: None }
    }

    /// Its end, or its start while it goes on.
    pub fn until_ms(&self) -> u64 {
        self.end_ms.unwrap_or(self.start_ms).max(self.start_ms)
    }

    /// Whether its process ended without being told to.
    pub fn has_crashed(&self) -> bool {
        self.reason_code.as_deref() == Some(CRASHED)
    }
}

/// What participants sent between two parts, where the first one was not to end and somebody was there. `present`: when participants
/// were there.
pub(crate) fn losses(parts: &[Part], pauses: &[Span], present: &[Span]) -> Vec<Loss> {
    let mut losses = Vec::new();
    for pair in parts.windows(2) {
        let [before, after] = pair else { continue };
        let (from_ms, until_ms) = (before.until_ms(), after.start_ms);
        let is_there = |span: &Span| {
            let is_found = (until_ms..=until_ms.saturating_add(FOUND_MS)).contains(&span.start_ms);
            is_at(span, from_ms) || is_found
        };
        let is_wanted = before.reason_code.as_deref().is_none_or(is_wanted);
        if is_wanted || was_paused(pauses, from_ms, until_ms) || !present.iter().any(is_there) {
            continue;
        }
        let seconds = until_ms.saturating_sub(from_ms) as f64 / 1000.0;
        let torn = if before.has_crashed() { ", and up to 1 s before that is missing" } else { "" };
        let why = before.reason.as_deref().unwrap_or_default();
        losses.push(Loss {
            participant: String::new(),
            source: None,
            file: None,
            cause: AWAY.into(),
            packets: 0,
            text: format!("the recorder was away for {seconds:.1} s ({why}){torn}"),
        });
    }
    losses
}

/// What the crash of a recording that is not continued cost: nothing, if nobody was there or the recorder was paused. Where it is continued,
/// the time between the parts tells it.
pub(crate) fn cut_short(end_ms: u64, pauses: &[Span], present: &[Span]) -> Option<Loss> {
    let is_there = present.iter().any(|span| is_at(span, end_ms));
    (is_there && !was_paused(pauses, end_ms, end_ms)).then(|| Loss::cut_short(end_ms))
}

fn was_paused(pauses: &[Span], from_ms: u64, until_ms: u64) -> bool {
    pauses.iter().any(|pause| pause.start_ms <= from_ms && until_ms <= pause.until(u64::MAX))
}

fn is_at(span: &Span, ms: u64) -> bool {
    span.start_ms <= ms && ms <= span.until(ms)
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;

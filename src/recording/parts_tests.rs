//! What is lost between two parts.

use super::*;
use crate::room::end::EndReason;

fn span(start_ms: u64, end_ms: Option<u64>) -> Span {
    Span { start_ms, end_ms }
}

fn texts(code: &str, pauses: &[Span], present: &[Span]) -> Vec<String> {
    let (reason, reason_code) = (Some("cut short".into()), Some(code.into()));
    let parts = [Part { end_ms: Some(5000), reason, reason_code, ..Part::new(0) }, Part::new(7100)];
    losses(&parts, pauses, present).into_iter().map(|loss| loss.text).collect()
}

#[test]
fn a_crash_with_somebody_there_is_a_loss() {
    let told = "the recorder was away for 2.1 s (cut short), and up to 1 s before that is missing";
    assert_eq!(texts(CRASHED, &[], &[span(100, Some(5000))]), [told]);
    assert_eq!(texts(CRASHED, &[], &[span(7150, None)]), [told]);
    let kicked = EndReason::Removed { detail: "kicked".into() };
    assert_eq!(texts(kicked.code(), &[], &[span(100, None)]), ["the recorder was away for 2.1 s (cut short)"]);
}

#[test]
fn nobody_a_wanted_end_and_a_pause_are_no_loss() {
    let stayed = [span(100, Some(5000)), span(7150, None)];
    let none: [&str; 0] = [];
    assert_eq!(texts(CRASHED, &[], &[span(100, Some(4000)), span(9000, None)]), none);
    assert_eq!(texts(EndReason::Stopped.code(), &[], &stayed), none);
    assert_eq!(texts(CRASHED, &[span(4000, None)], &stayed), none);
    assert_eq!(texts(CRASHED, &[span(4000, Some(7000))], &stayed).len(), 1);
}

#[test]
fn a_crash_costs_something_if_somebody_was_there_and_no_pause() {
    let stayed = [span(100, Some(5000))];
    assert!(cut_short(5000, &[span(1000, Some(2000))], &stayed).is_some());
    assert!(cut_short(5000, &[span(4000, Some(5000))], &stayed).is_none());
    assert!(cut_short(5000, &[], &[span(100, Some(4000))]).is_none());
}

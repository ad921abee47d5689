//! Runs as JUnit XML for CI systems: one test suite per run, one test case per expectation. Pure; it writes no file.

use super::run::ScenarioRun;
use crate::error::{Error, Result};
use crate::verify::verdict::{Outcome, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::collections::BTreeSet;

/// The report on these runs.
///
/// # Errors
/// Ours: the report cannot be serialized.
pub fn junit(runs: &[ScenarioRun]) -> Result<String> {
    let mut report = Report::new("roombot check");
    report.add_test_suites(runs.iter().map(suite));
    report.to_string().map_err(|e| Error::internal("cannot write the JUnit report").because(e))
}

fn suite(run: &ScenarioRun) -> TestSuite {
    let mut suite = TestSuite::new(format!("{} (seed {})", run.scenario.name, run.seed));
    let targets = &run.report.targets;
    // A recording and its film have most of their problems in common.
    let trouble: BTreeSet<&str> = targets.iter().flat_map(|t| &t.trouble).map(String::as_str).collect();
    let trouble = trouble.into_iter().collect::<Vec<_>>().join("; ");
    for target in targets {
        suite.add_test_cases(target.outcomes.iter().map(|outcome| {
            let mut case = case(outcome, &trouble);
            case.set_classname(if target.target.ends_with(".mp4") { "film" } else { "recording" });
            case
        }));
    }
    let damage: Vec<&str> = targets.iter().flat_map(|t| &t.damage).map(String::as_str).collect();
    if !damage.is_empty() {
        suite
            .add_test_case(TestCase::new("can be read to its end", failed(NonSuccessKind::Failure, damage.join("; "))));
    }
    suite
}

fn case(outcome: &Outcome, trouble: &str) -> TestCase {
    let who = outcome.who.as_ref().map(|who| format!("{who}: ")).unwrap_or_default();
    let name = format!("{who}{}", outcome.expected);
    let measured = outcome.measured.map_or("no evidence".to_owned(), |value| format!("is {value:.3}"));
    match outcome.verdict {
        Verdict::Pass => passed(name, measured),
        Verdict::Warn => passed(name, format!("warning: {measured}")),
        Verdict::Fail => TestCase::new(name, failed(NonSuccessKind::Failure, measured)),
        Verdict::Inconclusive => TestCase::new(name, failed(NonSuccessKind::Error, trouble.to_owned())),
    }
}

fn passed(name: String, output: String) -> TestCase {
    let mut case = TestCase::new(name, TestCaseStatus::success());
    case.set_system_out(output);
    case
}

fn failed(kind: NonSuccessKind, message: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status
}

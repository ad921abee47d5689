//! Runs as JUnit XML, which CI systems understand: a suite a run, a case an expectation. Pure text.

use super::run::Run;
use crate::verify::verdict::{Outcome, Verdict};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The report of several runs.
pub fn junit(runs: &[Run]) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"roombot check\">\n".to_owned();
    for run in runs {
        let all: Vec<(&str, &Outcome)> =
            run.report.targets.iter().flat_map(|t| t.outcomes.iter().map(|o| (kind(&t.target), o))).collect();
        let count = |verdict| all.iter().filter(|(_, o)| o.verdict == verdict).count();
        let damage: Vec<&String> = run.report.targets.iter().flat_map(|t| &t.damage).collect();
        // A recording and its film have most of it in common.
        let trouble: BTreeSet<&str> = run.report.targets.iter().flat_map(|t| &t.trouble).map(String::as_str).collect();
        let trouble = trouble.into_iter().collect::<Vec<_>>().join("; ");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">",
            escaped(&format!("{} (seed {})", run.scenario.name, run.seed)),
            all.len() + usize::from(!damage.is_empty()),
            count(Verdict::Fail) + usize::from(!damage.is_empty()),
            count(Verdict::Inconclusive)
        );
        for (what, outcome) in &all {
            text.push_str(&case(what, outcome, &trouble));
        }
        if !damage.is_empty() {
            let said = escaped(&damage.iter().map(|d| d.as_str()).collect::<Vec<_>>().join("; "));
            let _ = writeln!(
                text,
                "    <testcase name=\"can be read to its end\"><failure message=\"{said}\"/></testcase>"
            );
        }
        text.push_str("  </testsuite>\n");
    }
    text + "</testsuites>\n"
}

fn kind(target: &str) -> &'static str {
    if target.ends_with(".mp4") { "film" } else { "recording" }
}

fn case(what: &str, outcome: &Outcome, trouble: &str) -> String {
    let who = outcome.who.as_ref().map(|who| format!("{who}: ")).unwrap_or_default();
    let name = escaped(&format!("{who}{}", outcome.expected));
    let measured = outcome.measured.map_or("no evidence".to_owned(), |value| format!("is {:.3}", value));
    let inside = match outcome.verdict {
        Verdict::Pass => format!("<system-out>{measured}</system-out>"),
        Verdict::Warn => format!("<system-out>warning: {measured}</system-out>"),
        Verdict::Fail => format!("<failure message=\"{}\"/>", escaped(&measured)),
        Verdict::Inconclusive => format!("<error message=\"{}\"/>", escaped(trouble)),
    };
    format!("    <testcase classname=\"{what}\" name=\"{name}\">{inside}</testcase>\n")
}

/// Text as XML and HTML take it, without what XML cannot hold.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

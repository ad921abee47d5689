//! Runs as a Markdown table of all figures, one column per scenario. Pure; it writes no file.

use super::run::ScenarioRun;
use crate::verify::expect::TARGET_FIGURES;
use crate::verify::measure::PARTICIPANT_FIGURES;
use crate::verify::verdict::Verdict;
use std::fmt::Write;

/// Minimum and maximum over several participants or runs.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range(f64, f64);

/// The table of these runs. A cell has the minimum and maximum over participants and repetitions, without inconclusive runs. Expectations with
/// `during` have rows of their own.
pub fn markdown(runs: &[ScenarioRun]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for run in runs {
        if !names.contains(&run.scenario.name.as_str()) {
            names.push(&run.scenario.name);
        }
    }
    let of = |name: &str| -> Vec<&ScenarioRun> { runs.iter().filter(|run| run.scenario.name == name).collect() };
    let columns: Vec<Vec<&ScenarioRun>> = names.iter().map(|name| of(name)).collect();
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    let verdicts = columns.iter().map(|runs| {
        let count = |verdict: Verdict| runs.iter().filter(|run| run.report.verdict == verdict).count();
        let all = [Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Inconclusive].map(|v| (v, count(v)));
        let words = all.iter().filter(|(_, count)| *count > 0).map(|(v, count)| format!("{count} {}", v.as_str()));
        words.collect::<Vec<_>>().join(", ")
    });
    rows.push(("verdict".into(), verdicts.collect()));
    for (figure, _) in TARGET_FIGURES.iter().chain(PARTICIPANT_FIGURES) {
        let cells = columns.iter().map(|runs| shown(&measured(runs, figure), figure));
        rows.push((format!("`{figure}`"), cells.collect()));
    }
    let mut windows: Vec<(String, String)> = Vec::new();
    for outcome in judged(&runs.iter().collect::<Vec<_>>()).flat_map(|judged| &judged.outcomes) {
        let row = (outcome.expected.clone(), outcome.figure.clone());
        if outcome.expected.contains(" during ") && !windows.contains(&row) {
            windows.push(row);
        }
    }
    for (expected, figure) in windows {
        let cells = columns.iter().map(|runs| {
            let outcomes = judged(runs).flat_map(|judged| &judged.outcomes);
            let values: Vec<f64> = outcomes
                .filter(|outcome| outcome.expected == expected)
                .filter_map(|outcome| outcome.measured)
                .collect();
            shown(&values, &figure)
        });
        rows.push((format!("`{}`", expected.replace('|', "\\|")), cells.collect()));
    }
    let mut text = format!("| | {}\n|---|{}\n", names.join(" | ") + " |", "---|".repeat(names.len()));
    for (name, cells) in rows.iter().filter(|(_, cells)| cells.iter().any(|cell| !cell.is_empty())) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    text
}

/// The recordings of all conclusive runs.
fn judged<'a>(runs: &'a [&'a ScenarioRun]) -> impl Iterator<Item = &'a crate::verify::verdict::TargetReport> {
    let conclusive = runs.iter().filter(|run| run.report.verdict != Verdict::Inconclusive);
    // Figures of the film would be mixed with those of the recording.
    conclusive.filter_map(|run| run.report.targets.first())
}

fn measured(runs: &[&ScenarioRun], figure: &str) -> Vec<f64> {
    let of_people = |judged: &crate::verify::verdict::TargetReport| {
        let people = judged.participants.iter().filter_map(|person| person.measures.figures.get(figure).copied());
        people.chain(judged.figures.get(figure).copied()).collect::<Vec<_>>()
    };
    judged(runs).flat_map(of_people).collect()
}

/// `3`, or `3 to 5`; empty without values.
fn shown(values: &[f64], figure: &str) -> String {
    let ranges = values.iter().map(|value| Range(*value, *value));
    let Some(Range(least, most)) = ranges.reduce(|a, b| Range(a.0.min(b.0), a.1.max(b.1))) else {
        return String::new();
    };
    let digits = match figure {
        "ssim" | "timeline_ssim" => 3,
        _ if figure.ends_with("_percent") || figure.ends_with("_db") || figure == "fps" => 1,
        _ if figure.starts_with("av_p") => 1,
        _ => 0,
    };
    // No minus sign for zero.
    let text = |value: f64| match format!("{value:.digits$}") {
        zero if zero.parse() == Ok(0.0) => "0".to_owned(),
        text => text,
    };
    if text(least) == text(most) { text(least) } else { format!("{} to {}", text(least), text(most)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_minimum_and_maximum() {
        assert_eq!(shown(&[], "lost"), "");
        assert_eq!(shown(&[3.0, 1.0, 2.0], "lost"), "1 to 3");
        assert_eq!(shown(&[6.51, 6.52], "av_p50_ms"), "6.5");
        assert_eq!(shown(&[-0.04, 0.01], "av_p50_ms"), "0");
        assert_eq!(shown(&[0.98765], "ssim"), "0.988");
        assert_eq!(shown(&[-7.0], "zero_ms"), "-7");
    }
}

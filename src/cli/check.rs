//! `roombot check`: runs scenarios and reports how they went.

use super::args::PipelineArgs;
use super::say::say;
use super::verify;
use crate::error::{Error, Result};
use crate::harness::{Run, Scenario, html, junit, markdown, run as run_scenario};
use crate::media::Library;
use crate::verify::verdict::{Report, Verdict};
use console::style;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long after a run without a verdict the first repetition begins; the next one after twice as long.
const PAUSE: Duration = Duration::from_secs(3);

/// Run meetings of stamped people over a network as bad as asked for, record them, and judge the recordings.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot check tests/scenarios/clean.toml
  roombot check tests/scenarios/*.toml --junit report.xml --json report.json --html report.html --repeat 5 --seed 7

docs/verify.md says how a scenario is written, and docs/scenario.schema.json has its schema. Exit code 0: all as expected, 5: something \
is not, 6: this machine could not find out.")]
pub struct CheckArgs {
    /// Scenarios, as TOML.
    #[arg(value_name = "SCENARIO", required = true)]
    scenarios: Vec<PathBuf>,
    /// Run each so many times, each with the next seed.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// What the bad network throws its dice with.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run again, so often at most, what this machine was too busy for; each time later and with the same seed. The last run counts.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=20))]
    retry: u32,
    /// Where recordings and media go; those of runs that passed are removed again.
    #[arg(long, value_name = "DIR", default_value = "check")]
    out: PathBuf,
    /// Keep everything.
    #[arg(long)]
    keep: bool,
    /// Write a JUnit report.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a report with every figure.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a table of every figure, a scenario a column, as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    #[command(flatten)]
    pipelines: PipelineArgs,
}

/// Runs the scenarios.
///
/// # Errors
/// The user's for files that cannot be read or written. What is not as expected is the judged one's to mend.
pub async fn run(args: CheckArgs) -> Result<()> {
    let mut stop = std::pin::pin!(super::interrupted()?);
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    let mut scenarios = Vec::new();
    for path in &args.scenarios {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("scenario").to_owned();
        scenarios.push((stem, Scenario::load(path)?));
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut stopped = false;
    'all: for (stem, scenario) in &scenarios {
        let folder = args.out.join(stem);
        for seed in (args.seed..).take(args.repeat as usize) {
            let ran = tokio::select! {
                biased;
                () = &mut stop => {
                    stopped = true;
                    break 'all;
                }
                ran = conclusive(&library, scenario, &folder, seed, &args) => ran?,
            };
            show(&ran);
            let passed = ran.report.verdict <= Verdict::Warn;
            if passed && !args.keep {
                remove(&ran.folder);
            }
            runs.push(ran);
        }
        if !args.keep && !runs.iter().any(|run| run.folder.starts_with(&folder) && run.report.verdict > Verdict::Warn) {
            remove(&folder);
        }
    }
    write(args.junit.as_deref(), || Ok(junit(&runs)))?;
    write(args.html.as_deref(), || Ok(html(&runs)))?;
    write(args.markdown.as_deref(), || Ok(markdown(&runs)))?;
    write(args.json.as_deref(), || json(&runs))?;
    let verdict = |verdict| runs.iter().filter(|run| run.report.verdict == verdict).count();
    let words = [Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Inconclusive].map(|v| (v, verdict(v)));
    let words: Vec<String> =
        words.iter().filter(|(_, count)| *count > 0).map(|(v, count)| format!("{count} {}", v.word())).collect();
    if !runs.is_empty() {
        say!("{} runs: {}", runs.len(), words.join(", "));
    }
    if stopped {
        return Err(Error::new(crate::error::Blame::Open, "stopped before every scenario had run"));
    }
    verify::conclude(&Report::of(runs.into_iter().flat_map(|run| run.report.targets).collect()))
}

/// Runs a scenario until this machine can tell how it went, or has been given every chance.
async fn conclusive(library: &Library, scenario: &Scenario, folder: &Path, seed: u64, args: &CheckArgs) -> Result<Run> {
    for again in 1..=args.retry {
        let ran = run_scenario(library, scenario, folder, seed).await?;
        if ran.report.verdict != Verdict::Inconclusive {
            return Ok(ran);
        }
        show(&ran);
        say!("no verdict; it runs again, {again} of {} times at most", args.retry);
        if !args.keep {
            remove(&ran.folder);
        }
        // Whatever keeps the machine busy gets time to end.
        tokio::time::sleep(PAUSE * again).await;
    }
    run_scenario(library, scenario, folder, seed).await
}

fn show(ran: &Run) {
    say!("{} (seed {})", style(&ran.scenario.name).bold(), ran.seed);
    ran.report.targets.iter().for_each(verify::print);
}

/// What a run that passed leaves behind is of no use.
fn remove(folder: &Path) {
    if let Err(e) = std::fs::remove_dir_all(folder) {
        tracing::warn!("{} stays: {e}", folder.display());
    }
}

fn write(path: Option<&Path>, text: impl FnOnce() -> Result<String>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let cannot = |e| Error::user(format!("cannot write the report {}", path.display())).because(e);
    std::fs::write(path, text()?).map_err(cannot)
}

fn json(runs: &[Run]) -> Result<String> {
    let run = |run: &Run| {
        serde_json::json!({
            "scenario": run.scenario.name, "seed": run.seed, "folder": run.folder, "report": run.report,
        })
    };
    let all = serde_json::json!({ "schema": crate::verify::verdict::SCHEMA, "runs": runs.iter().map(run).collect::<Vec<_>>() });
    serde_json::to_string_pretty(&all).map_err(|e| Error::us("cannot write the report").because(e))
}

//! `roombot check`: runs scenarios and reports their verdicts.

use super::args::PipelineArgs;
use super::print::print_out;
use super::runtime::interrupted;
use super::verify;
use crate::error::{Error, Result};
use crate::harness::{Scenario, ScenarioRun, html, junit, markdown, run_scenario};
use crate::media::Library;
use crate::verify::verdict::{Report, Verdict};
use console::style;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The pause before the first retry; n times as long before the nth.
const RETRY_PAUSE: Duration = Duration::from_secs(3);

/// Run test scenarios: meetings of stamped participants over an impaired network, recorded and verified.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot check tests/scenarios/clean.toml
  roombot check tests/scenarios/*.toml --junit report.xml --json report.json --html report.html --repeat 5 --seed 7

docs/verify.md describes scenarios, docs/scenario.schema.json is their schema. Exit code 0: all expectations hold, 5: some failed, \
6: inconclusive (this machine was too busy, for instance).")]
pub struct CheckArgs {
    /// Scenario files (TOML).
    #[arg(value_name = "SCENARIO", required = true)]
    scenarios: Vec<PathBuf>,
    /// Run each scenario N times, with consecutive seeds.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Random seed for network impairments.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Retry inconclusive runs up to N times, with the same seed and growing pauses. The last run counts.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=20))]
    retry: u32,
    /// Folder for recordings and media; those of passed runs are removed.
    #[arg(long, value_name = "DIR", default_value = "check")]
    out: PathBuf,
    /// Keep recordings and media of passed runs.
    #[arg(long)]
    keep: bool,
    /// Write a JUnit report.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a JSON report with every figure.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write an HTML report with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a Markdown table of every figure, one column per scenario.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    #[command(flatten)]
    pipelines: PipelineArgs,
}

/// Runs the scenarios.
///
/// # Errors
/// [`Error::User`]: files that cannot be read or written. [`Error::Failed`] and [`Error::Inconclusive`]: the verdict.
pub async fn run(args: CheckArgs) -> Result<()> {
    let mut stop = std::pin::pin!(interrupted()?);
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    let mut scenarios = Vec::new();
    for path in &args.scenarios {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("scenario").to_owned();
        scenarios.push((stem, Scenario::load(path)?));
    }
    let mut runs: Vec<ScenarioRun> = Vec::new();
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
                ran = run_with_retries(&library, scenario, &folder, seed, &args) => ran?,
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
    write(args.junit.as_deref(), || junit(&runs))?;
    write(args.html.as_deref(), || html(&runs))?;
    write(args.markdown.as_deref(), || Ok(markdown(&runs)))?;
    write(args.json.as_deref(), || json(&runs))?;
    let verdict = |verdict| runs.iter().filter(|run| run.report.verdict == verdict).count();
    let words = [Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Inconclusive].map(|v| (v, verdict(v)));
    let words: Vec<String> =
        words.iter().filter(|(_, count)| *count > 0).map(|(v, count)| format!("{count} {}", v.as_str())).collect();
    if !runs.is_empty() {
        print_out!("{} runs: {}", runs.len(), words.join(", "));
    }
    if stopped {
        return Err(Error::inconclusive("stopped before all scenarios had run"));
    }
    verify::conclude(&Report::of(runs.into_iter().flat_map(|run| run.report.targets).collect()))
}

/// Runs a scenario, and retries it as long as the verdict is inconclusive and `args` allow.
async fn run_with_retries(
    library: &Library,
    scenario: &Scenario,
    folder: &Path,
    seed: u64,
    args: &CheckArgs,
) -> Result<ScenarioRun> {
    for attempt in 1..=args.retry {
        let ran = run_scenario(library, scenario, folder, seed).await?;
        if ran.report.verdict != Verdict::Inconclusive {
            return Ok(ran);
        }
        show(&ran);
        print_out!("inconclusive; retry {attempt} of {}", args.retry);
        if !args.keep {
            remove(&ran.folder);
        }
        // Gives whatever keeps the machine busy time to end.
        tokio::time::sleep(RETRY_PAUSE * attempt).await;
    }
    run_scenario(library, scenario, folder, seed).await
}

fn show(ran: &ScenarioRun) {
    print_out!("{} (seed {})", style(&ran.scenario.name).bold(), ran.seed);
    ran.report.targets.iter().for_each(verify::print);
}

/// Removes the files of a passed run.
fn remove(folder: &Path) {
    if let Err(e) = std::fs::remove_dir_all(folder) {
        tracing::warn!("cannot remove {}: {e}", folder.display());
    }
}

fn write(path: Option<&Path>, text: impl FnOnce() -> Result<String>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let cannot = |e| Error::user(format!("cannot write the report {}", path.display())).because(e);
    std::fs::write(path, text()?).map_err(cannot)
}

fn json(runs: &[ScenarioRun]) -> Result<String> {
    let run = |run: &ScenarioRun| {
        serde_json::json!({
            "scenario": run.scenario.name, "seed": run.seed, "folder": run.folder, "report": run.report,
        })
    };
    let all = serde_json::json!({ "schema": crate::verify::verdict::SCHEMA, "runs": runs.iter().map(run).collect::<Vec<_>>() });
    serde_json::to_string_pretty(&all).map_err(|e| Error::internal("cannot write the report").because(e))
}

//! `roombot ctl check`: a scenario that the service runs.

use super::service::{Service, encoded};
use super::text::word;
use crate::cli::print::{print_err, print_out};
use crate::cli::runtime::interrupted;
use crate::error::{Error, Result, write_failed};
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// How often a check is looked at.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl check tests/scenarios/clean.toml
  roombot ctl check tests/scenarios/loss-5.toml --seed 7 --repeat 5 --retry 1 --junit report.xml

Exit code 0: all expectations hold, 5: some failed, 6: there is no verdict. Ctrl-C cancels the check.")]
pub(super) struct CheckArgs {
    /// The scenario (TOML), as for `roombot check`.
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// Random seed for network impairments.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,
    /// Run it N times, with consecutive seeds.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    repeat: u32,
    /// Retry inconclusive runs up to N times.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=5))]
    retry: u32,
    /// Write the report as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl CheckArgs {
    pub async fn run(&self, service: &Service) -> Result<()> {
        let mut stop = std::pin::pin!(interrupted()?);
        let check = service.post("/v1/checks", &self.body()?).await?;
        let place = format!("/v1/checks/{}", encoded(check["id"].as_str().unwrap_or_default()));
        if !service.json {
            print_err!("{} is taken; waiting for its verdict", word(&check["id"]));
        }
        let check = tokio::select! {
            ended = ended(service, &place) => ended?,
            () = &mut stop => {
                service.delete(&place).await?;
                return Err(Error::inconclusive("stopped; the check is cancelled"));
            }
        };
        let is_done = check["state"] == "done";
        if let Some(file) = self.junit.as_ref().filter(|_| is_done) {
            let report = service.text(service.request(Method::GET, &format!("{place}/junit"))).await?;
            std::fs::write(file, report).map_err(|e| write_failed(file, e))?;
        }
        if service.json {
            print_out!("{check}");
        } else if is_done {
            show(&service.get(&format!("{place}/report")).await?);
            print_out!("{}", word(&check["verdict"]));
        }
        conclude(&check)
    }

    fn body(&self) -> Result<Value> {
        let shown = self.scenario.display();
        let text = std::fs::read_to_string(&self.scenario)
            .map_err(|e| Error::user(format!("{shown} cannot be read: {e}")).because(e))?;
        let scenario: Map<String, Value> = toml::from_str(&text)
            .map_err(|e| Error::user(format!("{shown} is no TOML: {}", e.message())).because(e))?;
        Ok(json!({ "scenario": scenario, "seed": self.seed, "repeat": self.repeat, "retry": self.retry }))
    }
}

/// Waits until a check has ended.
async fn ended(service: &Service, place: &str) -> Result<Value> {
    loop {
        let check = service.get(place).await?;
        if check["state"] != "open" {
            return Ok(check);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Prints each run of a report, with the expectations that are not met.
fn show(report: &Value) {
    for run in report["runs"].as_array().into_iter().flatten() {
        let verdict = word(&run["report"]["verdict"]);
        print_out!("{} (seed {}): {verdict}", word(&run["scenario"]), word(&run["seed"]));
        for target in run["report"]["targets"].as_array().into_iter().flatten() {
            for outcome in target["outcomes"].as_array().into_iter().flatten() {
                if outcome["verdict"] == "pass" {
                    continue;
                }
                let measured =
                    if outcome["measured"].is_null() { "not measured".into() } else { word(&outcome["measured"]) };
                let who = outcome["who"].as_str().map(|who| format!(" of {}", who.escape_debug())).unwrap_or_default();
                print_out!("  {}: {}{who}: {measured}", word(&outcome["verdict"]), word(&outcome["expected"]));
            }
            for key in ["trouble", "damage"] {
                for line in target[key].as_array().into_iter().flatten() {
                    print_out!("  {key}: {}", word(line));
                }
            }
        }
    }
}

/// The exit code of a check that has ended.
fn conclude(check: &Value) -> Result<()> {
    match (check["state"].as_str(), check["verdict"].as_str()) {
        (Some("done"), Some("pass" | "warn")) => Ok(()),
        (Some("done"), Some("fail")) => Err(Error::failed("the scenario's expectations are not met")),
        (Some("done"), _) => Err(Error::inconclusive("the service's machine could not measure it")),
        (Some("cancelled"), _) => Err(Error::inconclusive("somebody cancelled the check")),
        _ => {
            // The reason is the last line of its log.
            let reason = word(&check["reason"]);
            let reason = reason.strip_prefix("error: ").unwrap_or(&reason);
            Err(Error::inconclusive(format!("the check could not be run: {reason}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_the_exit_code() {
        let code = |state: &str, verdict: Option<&str>| {
            conclude(&json!({ "state": state, "verdict": verdict })).map_or_else(|e| e.exit_code(), |()| 0)
        };
        let of = ["pass", "warn", "fail", "inconclusive"].map(|verdict| code("done", Some(verdict)));
        assert_eq!(of, [0, 0, 5, 6]);
        assert_eq!([code("failed", None), code("cancelled", None), code("new", Some("pass"))], [6, 6, 6]);
    }
}

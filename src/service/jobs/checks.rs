//! One run of `roombot check` for each check. It outlives the service and is found again.

use super::JobContext;
use super::process::Process;
use crate::service::database::DatabaseError;
use crate::service::database::checks::{self, StoredCheck};
use crate::service::model::{CheckState, Id};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::Value;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// How often it is looked whether somebody cancelled.
const TICK: Duration = Duration::from_millis(500);
/// The largest report.
const LARGEST_REPORT: u64 = 64 << 20;
/// The niceness of checks: capture has priority.
const NICENESS: &str = "5";

/// Runs it and notes how it ended.
pub(super) async fn run(context: &JobContext, id: &Id) -> Result<(), DatabaseError> {
    let of = id.clone();
    let Some(stored) = context.database.read(move |connection| checks::get(connection, &of)).await? else {
        return Ok(());
    };
    let folder = context.folders.check(id);
    let adopted = stored.process.and_then(|process| Process::adopt(process, id.as_str()));
    let process = match adopted {
        Some(process) => Some(process),
        // It ended while no service ran.
        None if stored.process.is_some() && folder.join("report.json").is_file() => None,
        None => match start(context, id, &stored) {
            Ok(process) => {
                let (of, number) = (id.clone(), process.id());
                let note = move |stored: &mut StoredCheck| stored.process = Some(number);
                context.database.write(move |connection| checks::update(connection, &of, note)).await?;
                Some(process)
            }
            Err(e) => {
                let reason = format!("the check could not be started: {e}");
                return end(context, id, (CheckState::Failed, None, Some(reason))).await;
            }
        },
    };
    if let Some(mut process) = process {
        let mut leaving = context.leaving.clone();
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                _ = process.ended() => break,
                _ = leaving.wait_for(|leaving| *leaving) => return Ok(()),
                _ = tick.tick() => {}
            }
            let of = id.clone();
            let stored = context.database.read(move |connection| checks::get(connection, &of)).await?;
            if stored.is_none_or(|stored| stored.check.state != CheckState::Open) {
                process.signal(Signal::TERM);
            }
        }
    }
    let verdict = tokio::task::spawn_blocking(move || verdict(&folder.join("report.json"))).await.ok().flatten();
    let outcome = match verdict {
        Some(verdict) => (CheckState::Done, Some(verdict), None),
        None => (CheckState::Failed, None, Some(last_line(&context.folders.log(id)))),
    };
    end(context, id, outcome).await
}

fn start(context: &JobContext, id: &Id, stored: &StoredCheck) -> io::Result<Process> {
    let folder = context.folders.check(id);
    std::fs::create_dir_all(&folder)?;
    let request = &stored.check.request;
    let scenario = folder.join("scenario.toml");
    std::fs::write(&scenario, request.toml().map_err(io::Error::other)?)?;
    let mut command = Command::new("nice");
    command.args(["-n", NICENESS]).arg(&context.program).arg("check");
    command.arg("--seed").arg(request.seed.to_string());
    command.arg("--repeat").arg(request.repeat.to_string());
    command.arg("--retry").arg(request.retry.to_string());
    command.arg("--out").arg(folder.join("out"));
    command.arg("--json").arg(folder.join("report.json")).arg("--junit").arg(folder.join("report.xml"));
    command.arg("--").arg(&scenario);
    command.env_remove("ROOMBOT_TOKEN").env_remove("ROOMBOT_ADMIN_KEY");
    Process::start(command, &context.folders.result(id), &context.folders.log(id))
}

/// The worst verdict of a report.
fn verdict(report: &Path) -> Option<String> {
    if report.metadata().ok()?.len() > LARGEST_REPORT {
        return None;
    }
    let report: Value = serde_json::from_slice(&std::fs::read(report).ok()?).ok()?;
    let verdicts = report["runs"].as_array()?.iter().filter_map(|run| run["report"]["verdict"].as_str());
    let order = ["pass", "warn", "fail", "inconclusive"];
    let worst = verdicts.filter_map(|verdict| order.iter().position(|word| *word == verdict)).max()?;
    Some(order[worst].to_owned())
}

/// What it said last: why it did not run.
fn last_line(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| "the check said nothing".to_owned(), |line| line.trim().chars().take(500).collect())
}

async fn end(
    context: &JobContext,
    id: &Id,
    (state, verdict, reason): (CheckState, Option<String>, Option<String>),
) -> Result<(), DatabaseError> {
    let of = id.clone();
    let end = move |stored: &mut StoredCheck| {
        stored.process = None;
        stored.check.end(state, verdict, reason, Timestamp::now());
    };
    context.database.write(move |connection| checks::update(connection, &of, end)).await?;
    let _ = tokio::fs::remove_file(context.folders.result(id)).await;
    Ok(())
}

//! One run of `roombot compose`: started or found again, watched, tried once more if it fails.

use super::JobContext;
use super::outcome::LastWords;
use super::process::Process;
use crate::service::database::DatabaseError;
use crate::service::database::recordings::ProcessId;
use crate::service::model::{FilmCodec, FilmRequest};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// How often it is looked whether somebody cancelled.
const TICK: Duration = Duration::from_millis(500);
/// How often it is tried.
const TRIES: u32 = 2;
/// The niceness of films: capture has priority.
const NICENESS: &str = "10";

/// What a run is for, and where that is kept.
pub(super) trait ComposeJob {
    /// What its command line names.
    fn name(&self) -> &str;
    /// The flags, and what is composed.
    fn command(&self) -> Command;
    /// Where its output goes, and its messages.
    fn files(&self) -> (PathBuf, PathBuf);
    /// The process that an earlier service started.
    fn process(&self) -> Option<ProcessId>;
    /// Notes the process.
    async fn note(&self, process: ProcessId) -> Result<(), DatabaseError>;
    /// Whether nobody wants it any more.
    async fn is_cancelled(&self) -> Result<bool, DatabaseError>;
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Composed {
    Made,
    Failed,
    Cancelled,
    /// The service leaves; the process goes on.
    Leaving,
}

/// Runs it to its end.
pub(super) async fn compose(context: &JobContext, job: &impl ComposeJob) -> Result<Composed, DatabaseError> {
    let (result, log) = job.files();
    let succeeded = || LastWords::read(&result).is_some_and(|words| words.exit_code == 0);
    let mut process = job.process().and_then(|process| Process::adopt(process, job.name()));
    // One that ended while no service ran may have succeeded.
    if process.is_none() && job.process().is_some() && succeeded() {
        return Ok(Composed::Made);
    }
    let mut tries = 0;
    while process.is_some() || tries < TRIES {
        let mut running = match process.take() {
            Some(running) => running,
            None => {
                tries += 1;
                match Process::start(job.command(), &result, &log) {
                    Ok(running) => running,
                    Err(e) => {
                        tracing::warn!("{} cannot be composed: {e}", job.name());
                        continue;
                    }
                }
            }
        };
        job.note(running.id()).await?;
        match wait(context, job, &mut running).await? {
            Composed::Made if succeeded() => return Ok(Composed::Made),
            Composed::Made | Composed::Failed => {}
            ended => return Ok(ended),
        }
    }
    Ok(Composed::Failed)
}

async fn wait(context: &JobContext, job: &impl ComposeJob, process: &mut Process) -> Result<Composed, DatabaseError> {
    let mut leaving = context.leaving.clone();
    let mut changes = context.database.changes();
    let mut tick = tokio::time::interval(TICK);
    let mut cancelled = false;
    loop {
        tokio::select! {
            _ = process.ended() => return Ok(if cancelled { Composed::Cancelled } else { Composed::Made }),
            _ = leaving.wait_for(|leaving| *leaving) => return Ok(Composed::Leaving),
            _ = tick.tick() => {}
        }
        if !cancelled && changes.has_changed().unwrap_or(true) {
            changes.borrow_and_update();
            if job.is_cancelled().await? {
                cancelled = true;
                process.signal(Signal::TERM);
            }
        }
    }
}

/// `nice roombot compose --json`.
pub(super) fn program(context: &JobContext) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", NICENESS]).arg(&context.program).args(["compose", "--json"]);
    command
}

/// Adds the flags of a film. `out`: its file, where that is not the usual one.
pub(super) fn film_flags(command: &mut Command, film: &FilmRequest, out: Option<&Path>) {
    let FilmRequest { layout, size, fps, codec, title } = film;
    let word = |value: serde_json::Result<serde_json::Value>| match value {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    };
    command.arg("--layout").arg(word(serde_json::to_value(layout)));
    command.arg("--size").arg(size).arg("--fps").arg(fps.to_string());
    if *codec != FilmCodec::H264 {
        command.arg("--codec").arg(word(serde_json::to_value(codec)));
    }
    if let Some(out) = out {
        command.arg("--out").arg(out);
    }
    if let Some(title) = title {
        command.arg(format!("--title={title}"));
    }
}

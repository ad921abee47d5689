//! One supervised process for each bot, from `queued` to its end. It outlives the service and is found again; one that crashes is started again.

use super::bot_command::arguments;
use super::outcome::LastWords;
use super::process::Process;
use super::{JobContext, control};
use crate::service::database::DatabaseError;
use crate::service::database::bots::{self, StoredBot};
use crate::service::model::{BotState, Id};
use jiff::Timestamp;
use rustix::process::Signal;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// How often a bot is looked at.
const TICK: Duration = Duration::from_millis(500);
/// How long a bot may take to leave after it was told to; then it gets SIGTERM, and as long again after it, SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// A bot that ran this long was no failure when it crashes.
const STEADY: Duration = Duration::from_secs(60);
/// Ends in a row, each soon after the start, after which a bot has failed.
const MOST_FAILURES: u32 = 8;

/// Why a bot has ended: a word for programs, a line for people.
type Why = (String, String);

fn why(code: &str, reason: &str) -> Why {
    (code.to_owned(), reason.to_owned())
}

/// Drives the bot's process until it has ended.
pub(super) async fn run(context: &JobContext, id: &Id) -> Result<(), DatabaseError> {
    let Some(mut process) = find(context, id).await? else { return Ok(()) };
    loop {
        let begun = Instant::now();
        let Watched::Ended(code) = watch(context, id, &mut process).await? else { return Ok(()) };
        if let Some(end) = last_words(context, id) {
            return conclude(context, id, end).await;
        }
        if code == Some(2) {
            let reason = "the bot cannot be started as it was asked for; its log says why";
            return conclude(context, id, (BotState::Failed, why("internal", reason))).await;
        }
        // Nothing said: it could not join, crashed or was killed.
        let Some(pause) = crashed(context, id, begun.elapsed() >= STEADY).await? else {
            let end = match code {
                Some(3) => why("room_unreachable", "the room cannot be joined; the bot's log says why"),
                _ => why("worker_lost", "the bot ended again and again; its log says more"),
            };
            return conclude(context, id, (BotState::Failed, end)).await;
        };
        let mut leaving = context.leaving.clone();
        tokio::select! {
            () = sleep(pause) => {}
            _ = leaving.wait_for(|leaving| *leaving) => return Ok(()),
        }
        let Some(next) = start(context, id).await? else { return Ok(()) };
        process = next;
    }
}

/// How the bot itself says that it has ended.
fn last_words(context: &JobContext, id: &Id) -> Option<(BotState, Why)> {
    let words = LastWords::read(&context.folders.result(id))?;
    let state = if words.exit_code == 0 { BotState::Ended } else { BotState::Failed };
    let code = words.reason_code.unwrap_or_else(|| "internal".to_owned());
    Some((state, (code, words.reason.unwrap_or_else(|| "the bot did not say why".to_owned()))))
}

async fn stored(context: &JobContext, id: &Id) -> Result<Option<StoredBot>, DatabaseError> {
    let id = id.clone();
    context.database.read(move |connection| bots::get(connection, &id)).await
}

async fn change<T: Send + 'static>(
    context: &JobContext,
    id: &Id,
    change: impl FnOnce(&mut StoredBot) -> T + Send + 'static,
) -> Result<Option<T>, DatabaseError> {
    let id = id.clone();
    context.database.write(move |connection| bots::update(connection, &id, change)).await
}

/// The process that an earlier service started, or a new one. None: there is nothing to do any more.
async fn find(context: &JobContext, id: &Id) -> Result<Option<Process>, DatabaseError> {
    let Some(bot) = stored(context, id).await? else { return Ok(None) };
    if let Some(process) = bot.runtime.process.and_then(|process| Process::adopt(process, id.as_str())) {
        tracing::info!(pid = process.id().pid, "found its process again");
        return Ok(Some(process));
    }
    // The service may have been killed between the start of the process and the note of its number.
    if let Some(pid) = control::owner(&context.folders.control(id)).await
        && let Ok(process) = Process::find(pid)
    {
        note(context, id, &process).await?;
        return Ok(Some(process));
    }
    if bot.runtime.process.is_some()
        && let Some(end) = last_words(context, id)
    {
        conclude(context, id, end).await?;
        return Ok(None);
    }
    start(context, id).await
}

/// Starts the process. None: the bot has ended.
async fn start(context: &JobContext, id: &Id) -> Result<Option<Process>, DatabaseError> {
    let Some(bot) = stored(context, id).await? else { return Ok(None) };
    if bot.bot.state == BotState::Stopping {
        conclude(context, id, (BotState::Ended, why("stopped", "stopped"))).await?;
        return Ok(None);
    }
    let (request, media) = (bot.request.clone(), context.media.clone());
    let arguments = tokio::task::spawn_blocking(move || arguments(&request, media.as_deref())).await;
    let failed = |reason: String| (BotState::Failed, why("internal", &reason));
    let arguments = match arguments {
        Ok(Ok(arguments)) => arguments,
        // A file was removed since it was asked for, perhaps.
        Ok(Err(invalid)) => {
            conclude(context, id, failed(format!("{}: {}", invalid.field, invalid.problem))).await?;
            return Ok(None);
        }
        Err(e) => {
            conclude(context, id, failed(format!("the bot could not be started: {e}"))).await?;
            return Ok(None);
        }
    };
    let begin = |stored: &mut StoredBot| {
        stored.bot.starts += 1;
        if stored.bot.state == BotState::Queued {
            stored.bot.state = BotState::Joining;
        }
    };
    change(context, id, begin).await?;
    let mut command = Command::new(&context.program);
    command.args(arguments.flags).arg("--json").arg("--control").arg(context.folders.control(id));
    if bot.request.feed.is_none() {
        command.arg("--quiet");
    }
    command.arg(format!("--as={}", bot.request.name_in_room()));
    command.args(bot.request.only.iter().map(|name| format!("--only={name}")));
    if bot.request.max_duration_s > 0 {
        // A bot that comes back leaves when it would have left.
        let began = bot.bot.joined_at.unwrap_or_else(Timestamp::now);
        let elapsed = u64::try_from(Timestamp::now().duration_since(began).as_secs()).unwrap_or(0);
        let left = bot.request.max_duration_s.saturating_sub(elapsed).max(1);
        command.arg("--for").arg(format!("{left}s"));
    }
    command.arg("--").arg(&bot.request.room_url).args(arguments.file);
    command.env_remove("ROOMBOT_TOKEN").env_remove("ROOMBOT_ADMIN_KEY");
    command.envs(bot.request.token.iter().map(|token| ("ROOMBOT_TOKEN", token)));
    match Process::start(command, &context.folders.result(id), &context.folders.log(id)) {
        Ok(process) => {
            note(context, id, &process).await?;
            Ok(Some(process))
        }
        Err(e) => {
            conclude(context, id, failed(format!("the bot could not be started: {e}"))).await?;
            Ok(None)
        }
    }
}

async fn note(context: &JobContext, id: &Id, process: &Process) -> Result<(), DatabaseError> {
    let process = process.id();
    change(context, id, move |stored| stored.runtime.process = Some(process)).await.map(drop)
}

enum Watched {
    /// The process has ended, with this exit code if it is known.
    Ended(Option<i32>),
    /// The service ends; the process goes on.
    Leaving,
}

/// Watches a process until its end: notes when it is in the room, and tells it to leave.
async fn watch(context: &JobContext, id: &Id, process: &mut Process) -> Result<Watched, DatabaseError> {
    let mut leaving = context.leaving.clone();
    let mut tick = tokio::time::interval(TICK);
    let socket = context.folders.control(id);
    let (mut told, mut stopped, mut terminated): (bool, Option<Instant>, bool) = (false, None, false);
    loop {
        tokio::select! {
            code = process.ended() => return Ok(Watched::Ended(code)),
            _ = leaving.wait_for(|leaving| *leaving) => return Ok(Watched::Leaving),
            _ = tick.tick() => {}
        }
        // One that was deleted is told to leave, too.
        let state = stored(context, id).await?.map_or(BotState::Stopping, |stored| stored.bot.state);
        match state {
            BotState::Joining => {
                let joined = control::command(&socket, "status")
                    .await
                    .is_ok_and(|answer| answer["status"]["state"] == "running");
                if joined {
                    let now = Timestamp::now();
                    let run = move |stored: &mut StoredBot| {
                        if stored.bot.state == BotState::Joining {
                            stored.bot.state = BotState::Running;
                            stored.bot.joined_at.get_or_insert(now);
                        }
                    };
                    change(context, id, run).await?;
                }
            }
            BotState::Queued | BotState::Running => {}
            BotState::Stopping | BotState::Ended | BotState::Failed => {
                let first = *stopped.get_or_insert_with(Instant::now);
                if !told {
                    told = control::command(&socket, "stop").await.is_ok();
                }
                if first.elapsed() > 2 * STOP_TIMEOUT {
                    process.signal(Signal::KILL);
                } else if first.elapsed() > STOP_TIMEOUT && !std::mem::replace(&mut terminated, true) {
                    process.signal(Signal::TERM);
                }
            }
        }
    }
}

/// Notes that it ended without a word; returns how long to wait before the next start. None: too often.
async fn crashed(context: &JobContext, id: &Id, was_steady: bool) -> Result<Option<Duration>, DatabaseError> {
    let note = move |stored: &mut StoredBot| {
        stored.runtime.process = None;
        stored.runtime.failures = if was_steady { 1 } else { stored.runtime.failures + 1 };
        if stored.bot.state == BotState::Running {
            stored.bot.state = BotState::Joining;
        }
        stored.runtime.failures
    };
    let failures = change(context, id, note).await?.unwrap_or(u32::MAX);
    tracing::warn!(failures, "its process ended unexpectedly");
    // The first is back at once; then 0.5, 1, 2 … seconds.
    let pause = Duration::from_millis(500) * 2u32.pow(failures.saturating_sub(2).min(5));
    Ok((failures <= MOST_FAILURES).then_some(if failures <= 1 { Duration::ZERO } else { pause }))
}

async fn conclude(context: &JobContext, id: &Id, (state, why): (BotState, Why)) -> Result<(), DatabaseError> {
    let end = move |stored: &mut StoredBot| {
        stored.runtime.process = None;
        // A room that ends while the bot leaves was not in its way.
        let state = if stored.bot.state == BotState::Stopping { BotState::Ended } else { state };
        stored.bot.end(state, why, Timestamp::now());
    };
    change(context, id, end).await?;
    let _ = tokio::fs::remove_file(context.folders.result(id)).await;
    Ok(())
}

//! `roombot ctl`: the API of a recorder service from a shell.

mod body;
mod bots;
mod checks;
mod downloads;
mod events;
mod recordings;
mod schedules;
pub(in crate::cli) mod service;
mod text;
mod workers;

use crate::error::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Control a recorder service: recordings, schedules, bots, checks and downloads.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  export ROOMBOT_KEY=rb_…                              # `roombot serve` prints a first one
  roombot ctl start ws://127.0.0.1:8080/rooms/standup --film grid
  roombot ctl ls --state recording
  roombot ctl stop rec_01jdzq4h8v0t3k5m7n9p1r3s5t --wait
  roombot ctl archive rec_01jdzq4h8v0t3k5m7n9p1r3s5t -o standup.zip
  roombot ctl schedule wss://rooms.example.org/rooms/standup --cron '30 9 * * MON-FRI' --for 30m
  roombot ctl bot start filter ws://127.0.0.1:8080/rooms/standup --video blur
  roombot ctl events                                   # what happens, until Ctrl-C

--json prints the service's own answers.")]
pub struct CtlArgs {
    /// The service's address.
    #[arg(long, global = true, env = "ROOMBOT_URL", default_value = "http://127.0.0.1:9000", value_name = "URL")]
    url: String,
    /// The API key.
    #[arg(long, global = true, env = "ROOMBOT_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// Read the API key from a file.
    #[arg(long, global = true, conflicts_with = "key", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record a room.
    Start(recordings::StartArgs),
    /// List recordings, the newest first.
    Ls(recordings::ListArgs),
    /// Show a recording.
    Show(recordings::OneArgs),
    /// Stop a recording; its outputs are made.
    Stop(recordings::EndArgs),
    /// Cancel a recording; no output is made.
    Cancel(recordings::EndArgs),
    /// Pause a recording.
    Pause(recordings::OneArgs),
    /// Go on with a paused recording.
    Resume(recordings::OneArgs),
    /// Print what the processes of a recording said.
    Logs(recordings::OneArgs),
    /// Print events as they happen: of a recording, or of all.
    Events(events::EventsArgs),
    /// Download everything of a recording that has ended, as a ZIP file.
    Archive(downloads::ArchiveArgs),
    /// Make a link to a file of a recording, or to all of it, that works without a key.
    Link(downloads::LinkArgs),
    /// Remove one participant from a recording that has ended.
    Purge(recordings::PurgeArgs),
    /// Delete a recording that has ended, with its media.
    Rm(recordings::OneArgs),
    /// List schedules, the newest first.
    Schedules(schedules::ListArgs),
    /// Record a room at the times of a cron expression.
    Schedule(schedules::ScheduleArgs),
    /// Delete a schedule; its recordings stay.
    Unschedule(schedules::UnscheduleArgs),
    /// List bots, the newest first.
    Bots(bots::ListArgs),
    /// Run a bot in a room, and tell it what to do.
    #[command(subcommand)]
    Bot(bots::BotCommand),
    /// Run a scenario on the service's machine, and wait for its verdict.
    Check(checks::CheckArgs),
    /// List the workers of a service on many machines.
    Workers,
    /// Have a worker take nothing new; what it records goes on.
    Drain {
        /// The worker's name.
        #[arg(value_name = "WORKER")]
        id: String,
    },
}

/// Sends a request and prints its answer.
///
/// # Errors
/// [`Error::User`](crate::error::Error::User): the key or the request. [`Error::Room`](crate::error::Error::Room): the service does not
/// answer. Verbs that wait: [`Error::Failed`](crate::error::Error::Failed) for what failed, [`Error::Partial`](crate::error::Error::Partial)
/// for a recording that lacks something, [`Error::Inconclusive`](crate::error::Error::Inconclusive) for a check without a verdict.
pub async fn run(args: CtlArgs) -> Result<()> {
    let service = &service::Service::new(&args.url, args.key.as_deref(), args.key_file.as_deref(), args.json)?;
    match &args.command {
        Command::Start(start) => start.run(service).await,
        Command::Ls(list) => list.run(service).await,
        Command::Show(one) => one.show(service).await,
        Command::Stop(end) => end.act(service, "/stop").await,
        Command::Cancel(end) => end.act(service, "/cancel").await,
        Command::Pause(one) => one.act(service, "/pause").await,
        Command::Resume(one) => one.act(service, "/resume").await,
        Command::Logs(one) => one.logs(service).await,
        Command::Events(events) => events.run(service).await,
        Command::Archive(archive) => archive.run(service).await,
        Command::Link(link) => link.run(service).await,
        Command::Purge(purge) => purge.run(service).await,
        Command::Rm(one) => one.delete(service).await,
        Command::Schedules(list) => list.run(service).await,
        Command::Schedule(schedule) => schedule.run(service).await,
        Command::Unschedule(schedule) => schedule.run(service).await,
        Command::Bots(list) => list.run(service).await,
        Command::Bot(command) => command.run(service).await,
        Command::Check(check) => check.run(service).await,
        Command::Workers => workers::list(service).await,
        Command::Drain { id } => workers::drain(service, id).await,
    }
}

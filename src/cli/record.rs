//! `roombot record`: joins a room and records it until it is stopped.

#[cfg_attr(not(feature = "film"), path = "record/no_film.rs")]
mod film;

use super::args::{bytes, duration};
use super::print::{print_err, print_out};
use super::runtime::interrupted;
use super::status_display;
use crate::error::{Error, Result};
use crate::record::Recorder;
use crate::record::capture::Summary;
use crate::recording::manifest::{FileState, Status as Completion};
use crate::recording::recover::recover_all;
use crate::room::end::EndReason;
use crate::room::participant::Role;
use crate::rtc::Wake;
use crate::signal;
use crate::transfer::store::{Limits as FileLimits, ShareLimits};
use film::FilmArgs;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Record a room: one file per track, with chat, shared files, timeline and manifest.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot record ws://127.0.0.1:8080/rooms/standup
  roombot record ws://127.0.0.1:8080/rooms/standup --out recordings --for 30s
  roombot record whep+http://127.0.0.1:8080/whep/standup/Alice
  roombot record wss://meet.example.org/rooms/standup --token secret --until-empty 10s --json

Stops on Ctrl-C, --for, --until-empty or when the room closes. The last line on stdout is the recording's folder.
Interrupted recordings in the same output folder are finished first.

Exit code 0: everything that participants labelled, did not mute and sent was recorded. 7: recorded with losses; warnings, --json, `roombot \
show` and the manifest say of what and how much (what only the network lost is a gap and no such loss). 3: the room refused or ended the \
recording. 4: the disk: track files could not be finished.")]
pub struct RecordArgs {
    /// The room: ws://host:port/rooms/NAME or wss://…; whep+http(s)://… for a WHEP endpoint (docs/rooms.md lists other kinds).
    #[arg(value_name = "ROOM_URL")]
    room: String,
    /// Output folder; each recording gets a folder in it.
    #[arg(long, value_name = "DIR", default_value = "recordings")]
    out: PathBuf,
    /// The recorder's name in the room.
    #[arg(long = "as", value_name = "NAME", default_value = "Recorder")]
    name: String,
    /// Stop after this long: 30s, 5m, 1h30m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Stop when the room has been empty for this long, after somebody was there.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    until_empty: Option<Duration>,
    /// The room's join token.
    #[arg(long)]
    token: Option<String>,
    /// Use TURN servers only.
    #[arg(long)]
    relay_only: bool,
    /// Largest shared file to accept.
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "2GiB")]
    max_file: u64,
    /// Maximum number of shared files per participant.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_files: u32,
    /// Total size of shared files; one participant may use half of it.
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "20GiB")]
    max_files_total: u64,
    /// Refuse shared files.
    #[arg(long)]
    no_files: bool,
    /// Do not offer shared files to those who come later, or who have not saved them when their sender leaves.
    #[arg(long, conflicts_with = "no_files")]
    no_share_files: bool,
    /// Receive packets in batches of this many milliseconds; 0 wakes the process for every packet, which uses more CPU.
    #[arg(long, value_name = "MS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=50))]
    batch: u64,
    /// Network threads. More than one helps only with hundreds of participants.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    #[command(flatten)]
    film: FilmArgs,
    /// Print a JSON summary instead of the folder.
    #[arg(long)]
    json: bool,
    /// No status while recording, only warnings.
    #[arg(long, short)]
    quiet: bool,
}

impl RecordArgs {
    /// The number of network threads.
    pub(super) fn threads(&self) -> usize {
        self.threads.into()
    }

    /// Which shared files are accepted.
    fn files(&self) -> Option<FileLimits> {
        let (file, files, total) = (self.max_file, self.max_files, self.max_files_total);
        let share = (!self.no_share_files).then(ShareLimits::default);
        (!self.no_files).then(|| FileLimits { file, files, total, share, ..FileLimits::default() })
    }
}

/// Records until stopped.
///
/// # Errors
/// [`Error::User`]: the URL or the folder. [`Error::Room`]: the room refused or closed. [`Error::Machine`]: the disk failed.
/// [`Error::Partial`]: something was lost.
pub async fn run(args: RecordArgs) -> Result<()> {
    let stop = interrupted()?;
    // A wrong URL is told before anything is done.
    signal::for_url(&args.room)?;
    let parent = args.out.clone();
    let _ = tokio::task::spawn_blocking(move || recover(&parent)).await;
    let mut recorder = Recorder::builder(&args.room)
        .out(&args.out)
        .name(&args.name)
        .token(args.token.clone())
        .duration(args.duration)
        .until_empty(args.until_empty)
        .files(args.files())
        .wake(if args.batch == 0 { Wake::OnArrival } else { Wake::Batched(Duration::from_millis(args.batch)) })
        .relay_only(args.relay_only)
        .start()
        .await?;
    let film = args.film.start(recorder.folder())?;
    let display = status_display::show(recorder.status(), args.quiet);
    let reason = recorder.until(stop).await;
    display.close().await;
    let ended_by_room = reason.is_by_room();
    let summary = recorder.finish().await?;
    let film = film.finish().await;
    let outcome = conclude(&summary, ended_by_room.then_some(&reason));
    report(&summary, &reason.to_string(), args.json, film.as_deref(), outcome.as_ref().err());
    outcome
}

/// The recording's end as a result; `by_room`: why the room ended it.
fn conclude(summary: &Summary, by_room: Option<&EndReason>) -> Result<()> {
    let losses = summary.manifest.reasons.len();
    let count = format!("{losses} {}", if losses == 1 { "loss" } else { "losses" });
    match (summary.manifest.status, by_room) {
        (Completion::Complete, None) => Ok(()),
        (Completion::Complete, Some(reason)) => {
            Err(Error::room(format!("{reason}; what was recorded until then is complete")))
        }
        (Completion::Partial, Some(reason)) => Err(Error::room(format!("{reason}; recorded until then, with {count}"))),
        (Completion::Partial, None) => {
            let first = summary.manifest.reasons.first().map_or("", |loss| &loss.text).escape_debug();
            Err(Error::partial(format!("recorded with {count}: {first}")))
        }
        (Completion::Recording | Completion::Recovered, _) => Err(Error::machine(
            "some track files could not be finished: free some space; the next `roombot record` with the same --out finishes them",
        )),
    }
}

/// Finishes interrupted recordings, and prints a line for each.
pub(super) fn recover(parent: &Path) {
    if parent.is_dir() {
        for (folder, result) in recover_all(parent) {
            match result {
                Ok(recovery) => print_err!("{recovery}"),
                Err(e) => print_err!("warning: {} could not be finished: {e}", folder.display()),
            }
        }
    }
}

/// Prints how the recording ended on stderr, and its folder or a JSON summary on stdout. `error`: what the command ends with.
pub(super) fn report(summary: &Summary, reason: &str, json: bool, film: Option<&Path>, error: Option<&Error>) {
    let manifest = &summary.manifest;
    if json {
        let tracks: Vec<_> = manifest
            .tracks
            .iter()
            .map(|t| {
                json!({
                    "file": summary.folder.join("tracks").join(&t.file),
                    "participant": t.participant, "source": t.source, "codec": t.codec, "frames": t.frames,
                    "bytes": t.bytes, "lost": t.lost, "start_ms": t.start_ms, "end_ms": t.end_ms,
                    "ended_ms": t.ended_ms, "sync_error_ms": t.sync_error_ms, "packets": t.arrived, "in_frames": t.in_frames,
                    "dropped": t.dropped,
                })
            })
            .collect();
        let object = json!({
            "folder": summary.folder, "reason": reason, "status": manifest.status, "room": manifest.room,
            "duration_ms": manifest.duration_ms, "participants": manifest.participants.len(), "tracks": tracks,
            "unrecorded": manifest.unrecorded, "reasons": manifest.reasons, "exit_code": error.map_or(0, Error::exit_code),
            "files": manifest.files, "warnings": manifest.warnings, "film": film,
        });
        print_out!("{object}");
        return;
    }
    let seconds = manifest.duration_ms as f64 / 1000.0;
    let people = manifest.participants.iter().filter(|p| p.role != Role::Recorder).count();
    let tracks = manifest.tracks.len();
    let received = manifest.files.iter().filter(|f| f.state == FileState::Received).count();
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let files = if manifest.files.is_empty() { String::new() } else { format!(", {}", count(received, "file")) };
    let (tracks, people) = (count(tracks, "track"), count(people, "participant"));
    print_err!("Recorded {seconds:.1} s: {tracks} of {people}{files}; {reason}.");
    for warning in &manifest.warnings {
        print_err!("warning: {}", warning.escape_debug());
    }
    print_out!("{}", summary.folder.display());
}

//! `roombot record`: joins a room and records it until it is stopped.

mod control;
#[cfg_attr(not(feature = "film"), path = "record/no_film.rs")]
mod film;
mod keys;
mod lease;
mod session;

use super::args::{bytes, duration};
use super::control_socket::ControlSocket;
use super::print::{print_err, print_out};
use super::runtime::{hung_up, interrupted};
use super::status_display;
use crate::error::{Error, Result};
use crate::record::Recorder;
use crate::record::capture::Summary;
use crate::recording::folder::MANIFEST;
use crate::recording::manifest::{FileState, Manifest, Status as Completion};
use crate::recording::recover::recover_all;
use crate::room::end::{DISK_FULL, EndReason, INTERNAL, ROOM_UNREACHABLE};
use crate::room::participant::Role;
use crate::rtc::Wake;
use crate::signal;
use crate::transfer::store::{Limits as FileLimits, ShareLimits};
use film::FilmArgs;
use keys::Keys;
use serde_json::{Value, json};
use session::Session;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Record a room: one file per track, with chat, shared files, timeline and manifest.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot record ws://127.0.0.1:8080/rooms/standup
  roombot record ws://127.0.0.1:8080/rooms/standup --out recordings --for 30s
  roombot record whep+http://127.0.0.1:8080/whep/standup/Alice
  roombot record wss://meet.example.org/rooms/standup --token secret --until-empty 10s --json

Stops on Ctrl-C, --for, --until-…, --max-recording or when the room closes. The last line on stdout is the recording's folder.
Interrupted recordings in the same output folder are finished first; --folder continues one. On a terminal, the key p pauses and resumes.

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
    /// Record into exactly this folder. If it has a recording of this room, that one is recovered and continued.
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    folder: Option<PathBuf>,
    /// The recorder's name in the room.
    #[arg(long = "as", value_name = "NAME", default_value = "Recorder")]
    name: String,
    /// Keep trying to join for this long while the room cannot be reached or is full. Without it, one attempt is made.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    join_for: Option<Duration>,
    /// Stop after this long: 30s, 5m, 1h30m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Stop when media and shared files have this size together: 500MiB, 20GiB.
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_recording: Option<u64>,
    /// Stop when the room has been empty for this long, after somebody was there.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    until_empty: Option<Duration>,
    /// Stop when nobody has come within this time.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    until_nobody: Option<Duration>,
    /// Stop when nobody has spoken for this long, while somebody was there.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    until_silent: Option<Duration>,
    /// Stop when only bots have been there for this long.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    until_only_bots: Option<Duration>,
    /// Listen here for commands: pause, resume, stop, status (docs/control.md). A Unix socket that only you can connect to.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Leave the room when the time in this file is over (`roombot serve` writes it, where several machines record).
    #[arg(long, value_name = "FILE", hide = true)]
    lease: Option<PathBuf>,
    /// The room's join token.
    #[arg(long, env = "ROOMBOT_TOKEN", hide_env_values = true)]
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

/// Records until stopped. With `--json`, an object is printed whatever happens.
///
/// # Errors
/// [`Error::User`]: the URL or the folder. [`Error::Room`]: the room refused or closed. [`Error::Machine`]: the disk failed.
/// [`Error::Partial`]: something was lost.
pub async fn run(args: RecordArgs) -> Result<()> {
    let session = Arc::new(Session::default());
    let recorder = match start(&args, &session).await {
        Ok(started) => started,
        Err(error) => {
            if args.json {
                print_failure(&args, &error);
            }
            return Err(error);
        }
    };
    record(args, &session, recorder).await
}

/// What lasts as long as the run.
struct Started {
    recorder: Recorder,
    control: Option<ControlSocket>,
}

/// Does what is to be done before anything is recorded, and joins.
async fn start(args: &RecordArgs, session: &Arc<Session>) -> Result<Started> {
    stop_on_signals(session)?;
    if let Some(file) = &args.lease {
        lease::watch(file, session.clone())?;
    }
    let control = match &args.control {
        Some(path) => Some(ControlSocket::listen(path, session.clone()).await?),
        None => None,
    };
    // A wrong URL is told before anything is done.
    signal::for_url(&args.room).map_err(|error| error.coded(ROOM_UNREACHABLE))?;
    let builder = Recorder::builder(&args.room);
    let builder = match &args.folder {
        Some(folder) => builder.folder(folder),
        None => {
            let parent = args.out.clone();
            let _ = tokio::task::spawn_blocking(move || recover(&parent)).await;
            builder.out(&args.out)
        }
    };
    let recorder = builder
        .name(&args.name)
        .token(args.token.clone())
        .duration(args.duration)
        .max_bytes(args.max_recording)
        .until_empty(args.until_empty)
        .until_nobody(args.until_nobody)
        .until_silent(args.until_silent)
        .until_only_bots(args.until_only_bots)
        .join_for(args.join_for)
        .files(args.files())
        .wake(if args.batch == 0 { Wake::OnArrival } else { Wake::Batched(Duration::from_millis(args.batch)) })
        .relay_only(args.relay_only)
        .start();
    tokio::select! {
        started = recorder => Ok(Started { recorder: started?, control }),
        reason = session.stopped() => {
            Err(Error::room(format!("{reason} before the room was joined")).coded(reason.code()))
        }
    }
}

/// Records until the end.
async fn record(args: RecordArgs, session: &Arc<Session>, started: Started) -> Result<()> {
    let Started { mut recorder, control } = started;
    session.attach(recorder.controls(), recorder.status(), recorder.folder().to_owned());
    recorder.recovery().into_iter().for_each(|recovery| print_err!("{recovery}"));
    let film = args.film.start(recorder.folder())?;
    let keys = if args.quiet { None } else { Keys::read(session.clone()) };
    let display = status_display::show(recorder.status(), args.quiet, keys.is_some());
    let mut told = None;
    let ended = recorder.until(async { told = Some(session.stopped().await) }).await;
    let reason = told.unwrap_or(ended);
    recorder.set_reason(reason.clone());
    session.ending();
    display.close().await;
    drop(keys);
    let ended_by_room = reason.is_by_room();
    let summary = recorder.finish().await?;
    let film = film.finish().await;
    let outcome = conclude(&summary, ended_by_room.then_some(&reason));
    report(&summary, &reason, args.json, film.as_deref(), outcome.as_ref().err());
    drop(control);
    outcome
}

/// Ctrl-C and SIGTERM end the recording. So does a terminal that is closed; a recorder without one goes on whoever started it goes.
fn stop_on_signals(session: &Arc<Session>) -> Result<()> {
    let (interrupted, hung_up) = (interrupted()?, hung_up()?);
    let has_terminal = std::io::stdin().is_terminal();
    let session = session.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = interrupted => {}
            () = hung_up, if has_terminal => {}
        }
        session.stop(EndReason::Stopped);
    });
    Ok(())
}

/// With `--json`: nothing was recorded.
fn print_failure(args: &RecordArgs, error: &Error) {
    let folder = args.folder.as_ref().filter(|folder| folder.join(MANIFEST).is_file());
    let code = error.code().unwrap_or(if matches!(error, Error::Room(_)) { ROOM_UNREACHABLE } else { INTERNAL });
    let object = json!({
        "folder": folder, "status": "failed", "reason_code": code, "reason": error.to_string(), "exit_code": error.exit_code(),
    });
    print_out!("{object}");
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

/// What `--json` says of a recording's folder.
pub(super) fn summary_object(folder: &Path, manifest: &Manifest, film: Option<&Path>) -> Value {
    let tracks: Vec<_> = manifest
        .tracks
        .iter()
        .map(|t| {
            json!({
                "file": folder.join("tracks").join(&t.file),
                "participant": t.participant, "source": t.source, "codec": t.codec, "frames": t.frames,
                "bytes": t.bytes, "lost": t.lost, "start_ms": t.start_ms, "end_ms": t.end_ms,
                "ended_ms": t.ended_ms, "sync_error_ms": t.sync_error_ms, "packets": t.arrived, "in_frames": t.in_frames,
                "dropped": t.dropped,
            })
        })
        .collect();
    json!({
        "folder": folder, "status": manifest.status, "room": manifest.room,
        "duration_ms": manifest.duration_ms, "participants": manifest.participants.len(), "tracks": tracks,
        "unrecorded": manifest.unrecorded, "reasons": manifest.reasons,
        "files": manifest.files, "warnings": manifest.warnings, "film": film, "parts": manifest.parts, "pauses": manifest.pauses,
    })
}

/// Prints how the recording ended on stderr, and its folder or a JSON summary on stdout. `error`: what the command ends with.
fn report(summary: &Summary, reason: &EndReason, json: bool, film: Option<&Path>, error: Option<&Error>) {
    let manifest = &summary.manifest;
    // Track files that could not be finished, whatever ended the recording.
    let code = if manifest.status == Completion::Recording { DISK_FULL } else { reason.code() };
    if json {
        let mut object = summary_object(&summary.folder, manifest, film);
        object["reason"] = reason.to_string().into();
        object["reason_code"] = code.into();
        object["exit_code"] = error.map_or(0, Error::exit_code).into();
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

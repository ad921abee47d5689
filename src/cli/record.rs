//! `roombot record`: joins a room and records it until it is told to stop.

#[cfg_attr(not(feature = "film"), path = "record/no_film.rs")]
mod film;

use super::args::{bytes, duration};
use super::live;
use super::say::{say, tell};
use crate::error::{Error, Result};
use crate::record::recorder::{RecorderConfig, Summary};
use crate::record::{Limits as Ends, RecordConfig, Recording};
use crate::recording::manifest::{FileState, Status as Completion};
use crate::recording::recover::recover_all;
use crate::room::participant::Role;
use crate::rtc::Wake;
use crate::signal::{self, JoinAs};
use crate::transfer::vault::Limits;
use film::FilmArgs;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Record a room: every track to its own file, with timeline and manifest.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot record ws://127.0.0.1:8080/rooms/standup
  roombot record ws://127.0.0.1:8080/rooms/standup --out recordings --for 30s
  roombot record whep+http://127.0.0.1:8080/whep/standup/Alice
  roombot record wss://meet.example.org/rooms/standup --token secret --until-empty 10s --json

Ends with Ctrl-C, with --for, with --until-empty or with the room, and prints the recording's folder as its last line.
Recordings in the same folder that were cut short by a crash are finished first.")]
pub struct RecordArgs {
    /// The room: ws://host:port/rooms/NAME, wss://…, or a WHEP endpoint, whep+http://… or whep+https://…
    #[arg(value_name = "ROOM_URL")]
    room: String,
    /// The folder in which the recording's folder is made.
    #[arg(long, value_name = "DIR", default_value = "recordings")]
    out: PathBuf,
    /// The name under which the room sees the recorder.
    #[arg(long = "as", value_name = "NAME", default_value = "Recorder")]
    name: String,
    /// Stop after this long: 30s, 5m, 1h30m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Stop when everybody has been gone for this long.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    until_empty: Option<Duration>,
    /// The room's join token.
    #[arg(long)]
    token: Option<String>,
    /// Receive through the room's TURN servers only.
    #[arg(long)]
    relay_only: bool,
    /// The largest file that is taken from somebody.
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "2GiB")]
    max_file: u64,
    /// How many files are taken from each participant.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_files: u32,
    /// The size of all files together; one participant may fill half of it.
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "20GiB")]
    max_files_total: u64,
    /// Take no files.
    #[arg(long)]
    no_files: bool,
    /// How long packets may wait for the recorder to wake up, in milliseconds: 0 wakes it for each, which costs more.
    #[arg(long, value_name = "MS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=50))]
    batch: u64,
    /// Threads for the network. More than one pays only for hundreds of participants: packets that change threads cost more.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    #[command(flatten)]
    film: FilmArgs,
    /// Print one JSON object with the summary instead of the folder.
    #[arg(long)]
    json: bool,
    /// No live status; log lines only.
    #[arg(long, short)]
    quiet: bool,
}

impl RecordArgs {
    /// Threads that the network may use.
    pub(super) fn threads(&self) -> usize {
        self.threads.into()
    }

    /// Which files are taken.
    fn files(&self) -> Option<Limits> {
        let (file, files, total) = (self.max_file, self.max_files, self.max_files_total);
        (!self.no_files).then(|| Limits { file, files, total, ..Limits::default() })
    }
}

/// Records until stopped.
///
/// # Errors
/// The user's for a bad URL or folder, the room's where it refuses, the machine's where the disk does.
pub async fn run(args: RecordArgs) -> Result<()> {
    let stop = super::interrupted()?;
    let room = signal::for_url(&args.room)?;
    let name = signal::room_name(&args.room);
    let (parent, files) = (args.out.clone(), args.files());
    let _ = tokio::task::spawn_blocking(move || recover(&parent)).await;
    let config = RecordConfig {
        recorder: RecorderConfig { parent: args.out, room: name, url: signal::public_url(&args.room) },
        how: JoinAs { name: args.name, role: Role::Recorder, token: args.token },
        wake: if args.batch == 0 { Wake::OnArrival } else { Wake::Batched(Duration::from_millis(args.batch)) },
        relay_only: args.relay_only,
        impairment: None,
        files,
        observer: None,
    };
    let mut recording = Recording::start(room.as_ref(), config).await?;
    let film = args.film.start(recording.folder())?;
    let display = live::show(recording.status(), args.quiet);
    let limits = Ends { duration: args.duration, until_empty: args.until_empty };
    let reason = recording.until(limits, stop).await;
    display.close().await;
    let ended_by_room = reason.is_by_room();
    let summary = recording.finish(reason.clone()).await?;
    let film = film.finish().await;
    report(&summary, &reason.to_string(), args.json, film.as_deref());
    if summary.manifest.status != Completion::Complete {
        return Err(Error::machine(
            "not every track file could be finished: make room, and the next `roombot record` into the same folder does it",
        ));
    }
    if ended_by_room {
        return Err(Error::room(format!("{reason}; what was recorded until then is complete")));
    }
    Ok(())
}

/// Finishes what a crash cut short, one line each.
pub(super) fn recover(parent: &Path) {
    if parent.is_dir() {
        for (folder, result) in recover_all(parent) {
            match result {
                Ok(recovery) => tell!("{recovery}"),
                Err(e) => tell!("warning: {} could not be finished: {e}", folder.display()),
            }
        }
    }
}

/// The last words: how it ended on stderr, the folder (or the summary) on stdout.
pub(super) fn report(summary: &Summary, reason: &str, json: bool, film: Option<&Path>) {
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
                    "sync_error_ms": t.sync_error_ms,
                })
            })
            .collect();
        let object = json!({
            "folder": summary.folder, "reason": reason, "status": manifest.status, "room": manifest.room,
            "duration_ms": manifest.duration_ms, "participants": manifest.participants.len(), "tracks": tracks,
            "files": manifest.files, "warnings": manifest.warnings, "film": film,
        });
        say!("{object}");
        return;
    }
    let seconds = manifest.duration_ms as f64 / 1000.0;
    let people = manifest.participants.iter().filter(|p| p.role != Role::Recorder).count();
    let tracks = manifest.tracks.len();
    let received = manifest.files.iter().filter(|f| f.state == FileState::Received).count();
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let files = if manifest.files.is_empty() { String::new() } else { format!(", {}", count(received, "file")) };
    let (tracks, people) = (count(tracks, "track"), count(people, "participant"));
    tell!("Recorded {seconds:.1} s: {tracks} of {people}{files}; {reason}.");
    for warning in &manifest.warnings {
        tell!("warning: {}", warning.escape_debug());
    }
    say!("{}", summary.folder.display());
}

//! The film that is made while the recording grows: `roombot compose --follow` as a separate process, which the recorder never waits
//! for before the recording has ended.

use crate::cli::print::print_err;
use crate::cli::runtime::interrupted;
use crate::error::{Error, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

#[derive(Debug, clap::Args)]
pub(super) struct FilmArgs {
    /// Make the film while recording, in a separate process: film.live.mp4 grows in the recording's folder and becomes film.mp4.
    #[arg(long)]
    film: bool,
    /// Also write the film as HLS into this folder: film.m3u8 and its segments, for browsers.
    #[arg(long, value_name = "DIR", requires = "film")]
    live_hls: Option<PathBuf>,
}

impl FilmArgs {
    /// Starts the film of `recording`, if one is wanted. It ends when the recording does, not with Ctrl-C.
    ///
    /// # Errors
    /// The machine's: the process cannot be started.
    pub fn start(&self, recording: &Path) -> Result<LiveFilm> {
        if !self.film {
            return Ok(LiveFilm(None));
        }
        let failed = |e: std::io::Error| Error::machine("cannot start the film's process").because(e);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg("compose").arg(recording).args(["--follow", "--json"]).process_group(0);
        if let Some(folder) = &self.live_hls {
            command.arg("--live-hls").arg(folder);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map(Some)
            .map(LiveFilm)
            .map_err(failed)
    }
}

/// The film's process, if there is one. Killed when dropped.
pub(super) struct LiveFilm(Option<Child>);

impl LiveFilm {
    /// Waits for the film; Ctrl-C ends it early. Returns its file, or nothing if it failed (its process has printed why).
    pub async fn finish(self) -> Option<PathBuf> {
        let film = self.0?;
        print_err!("Finishing the film; Ctrl-C leaves it as it is.");
        let process = film.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let mut output = std::pin::pin!(film.wait_with_output());
        let output = tokio::select! {
            output = &mut output => output.ok()?,
            () = interrupted().ok()? => {
                process.map(|process| kill_process(process, Signal::INT));
                output.await.ok()?
            }
        };
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        summary["film"].as_str().map(PathBuf::from)
    }
}

//! `roombot show`: prints what a recording holds. It only reads.

mod bars;
mod text;

use crate::error::{Error, Result};
use crate::recording::report::Report;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Columns of the text where stdout is no terminal.
const NO_TERMINAL: u16 = 120;
/// The fewest and most columns that are used of a terminal.
const WIDTHS: std::ops::RangeInclusive<u16> = 60..=200;

/// Show what a recording holds: participants, tracks, who spoke, what was shared.
///
/// Also works on a recording that is still running and on one that was interrupted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot show recordings/standup-20261122T140500Z
  roombot show recordings/standup-20261122T140500Z --json | jq .tracks")]
pub struct ShowArgs {
    /// The recording's folder.
    recording: PathBuf,
    /// Print one JSON object: the manifest, the state, and each participant's intervals.
    #[arg(long)]
    json: bool,
}

/// Prints a recording as text.
///
/// # Errors
/// As [`run`].
pub(super) fn print(recording: &Path) -> Result<()> {
    run(ShowArgs { recording: recording.to_owned(), json: false })
}

/// Prints the recording.
///
/// # Errors
/// [`Error::User`]: the folder is no recording.
pub fn run(args: ShowArgs) -> Result<()> {
    let report = Report::load(&args.recording)?;
    let text = if args.json {
        let json = serde_json::to_string_pretty(&report)
            .map_err(|e| Error::internal("cannot print the recording").because(e))?;
        json + "\n"
    } else {
        let terminal = console::Term::stdout().size_checked();
        let width = terminal.map_or(NO_TERMINAL, |(_, columns)| columns).clamp(*WIDTHS.start(), *WIDTHS.end());
        text::render(&report, width.into(), console::colors_enabled())
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // As with `| head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|e| Error::machine("cannot print the recording").because(e)),
    }
}

#[cfg(test)]
mod tests;

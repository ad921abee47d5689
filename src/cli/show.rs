//! `roombot show`: what a recording holds, for a person or for a program. It only reads.

mod bars;
mod text;

use crate::container::matroska_reader::scan;
use crate::error::{Error, Result};
use crate::recording::complete::complete;
use crate::recording::folder::{RecordingFolder, Sub, TIMELINE};
use crate::recording::intervals::{Activity, activities};
use crate::recording::manifest::{Manifest, Status};
use crate::recording::recover::track_files;
use crate::recording::timeline::{Entry, Event, TimelineReader};
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The width of the text where there is no terminal, and the least and most that it takes of one.
const NO_TERMINAL: u16 = 120;
const WIDTHS: std::ops::RangeInclusive<u16> = 60..=200;

/// Show what a recording holds: who was there, their tracks, who spoke and what was shared.
///
/// Works on a recording in progress too, and on one that was cut short.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  roombot show recordings/standup-20261122T140500Z")]
pub struct ShowArgs {
    /// The recording's folder
    recording: PathBuf,
    /// Print one JSON object: the manifest, with the state and everybody's intervals
    #[arg(long)]
    json: bool,
}

/// How a recording stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// Somebody is writing it.
    Recording,
    /// Nobody is, but nobody ended it.
    CutShort,
    Complete,
    Recovered,
}

/// A recording as it is shown; its serialized form is what `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    path: PathBuf,
    state: State,
    #[serde(flatten)]
    manifest: Manifest,
    /// What each participant did, by the manifest and the timeline.
    activities: Vec<Activity>,
    /// Texts that were said.
    messages: usize,
    /// Track files and received files that the manifest names and that are not there.
    missing: Vec<String>,
}

/// Prints a recording for a person.
pub(super) fn print(recording: &Path) -> Result<()> {
    run(ShowArgs { recording: recording.to_owned(), json: false })
}

/// Prints the recording. Blames the user where there is none.
pub fn run(args: ShowArgs) -> Result<()> {
    let report = Report::load(&args.recording)?;
    let text = if args.json {
        let json =
            serde_json::to_string_pretty(&report).map_err(|e| Error::us("cannot print the recording").because(e))?;
        json + "\n"
    } else {
        let terminal = console::Term::stdout().size_checked();
        let width = terminal.map_or(NO_TERMINAL, |(_, columns)| columns).clamp(*WIDTHS.start(), *WIDTHS.end());
        text::render(&report, width.into(), console::colors_enabled())
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|e| Error::machine("cannot print the recording").because(e)),
    }
}

impl Report {
    /// Reads manifest and timeline; where the recording has not ended, also the track files as far as they are.
    fn load(path: &Path) -> Result<Self> {
        let tracks = path.join(Sub::Tracks.word());
        // In this order: a recording that ends in between is complete by its manifest, not cut short by its lock.
        let live = RecordingFolder::is_live(path);
        let mut manifest = Manifest::load(path)?;
        let events: Vec<Entry> = TimelineReader::open(&path.join(TIMELINE)).map(Iterator::collect).unwrap_or_default();
        let state = match manifest.status {
            Status::Complete => State::Complete,
            Status::Recovered => State::Recovered,
            Status::Recording if live => State::Recording,
            Status::Recording => State::CutShort,
        };
        if manifest.status == Status::Recording {
            let mut scans = Vec::new();
            for file in track_files(path)? {
                // One that cannot be read yet has no whole header: it has just been begun.
                scans.extend(scan(&tracks.join(&file)).map(|scan| (file, scan)));
            }
            complete(&mut manifest, &events, &scans);
        }
        let is_missing = |file: &String| !path.join(file).is_file();
        let tracks = manifest.tracks.iter().map(|track| format!("{}/{}", Sub::Tracks.word(), track.file));
        let missing = tracks.chain(manifest.files.iter().map(|file| file.file.clone())).filter(is_missing).collect();
        let messages = events.iter().filter(|entry| matches!(entry.event, Event::Chat { .. })).count();
        let activities = activities(&manifest, &events);
        Ok(Self { path: path.to_owned(), state, manifest, activities, messages, missing })
    }
}

#[cfg(test)]
mod tests;

//! What a recording holds, read from its folder: its manifest, brought up to date, its events, and what follows from both. It only reads.

use crate::container::matroska::scan;
use crate::error::Result;
use crate::recording::folder::{RecordingFolder, Subfolder, TIMELINE};
use crate::recording::intervals::{Activity, activities};
use crate::recording::manifest::{Manifest, Status};
use crate::recording::reconcile::{end_tracks, reconcile};
use crate::recording::recover::track_files;
use crate::recording::timeline::{Entry, Event, TimelineReader};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The state of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is being written.
    Recording,
    /// It was not finished, and nobody is writing it.
    CutShort,
    /// It was finished, and nothing was lost on our side.
    Complete,
    /// It was finished, with losses.
    Partial,
    /// It was interrupted and finished later.
    Recovered,
}

impl State {
    /// By the manifest, and by whether a process holds the recording's lock.
    pub fn of(status: Status, live: bool) -> State {
        match status {
            Status::Complete => State::Complete,
            Status::Partial => State::Partial,
            Status::Recovered => State::Recovered,
            Status::Recording if live => State::Recording,
            Status::Recording => State::CutShort,
        }
    }
}

/// A recording; serialized, it is what `roombot show --json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The recording's folder.
    pub path: PathBuf,
    /// Whether it has ended, and how.
    pub state: State,
    /// The manifest, up to date.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// When each participant was present, spoke and sent video.
    pub activities: Vec<Activity>,
    /// The number of chat messages.
    pub messages: usize,
    /// Files that the manifest lists and that do not exist.
    pub missing: Vec<String>,
}

impl Report {
    /// Reads manifest and timeline; of a recording that is not finished, also the track files.
    ///
    /// # Errors
    /// [`Error::User`](crate::error::Error::User): the folder is no recording.
    pub fn load(path: &Path) -> Result<Self> {
        Self::read(path, |_| true).map(|(report, _)| report)
    }

    /// Likewise, with the events, and without reading the track files of a recording that is being written: for those who ask again and
    /// again. What it says of these tracks is some seconds old.
    ///
    /// # Errors
    /// As [`Report::load`].
    pub fn load_quickly(path: &Path) -> Result<(Self, Vec<Entry>)> {
        Self::read(path, |state| state == State::CutShort)
    }

    fn read(path: &Path, reads_tracks: impl Fn(State) -> bool) -> Result<(Self, Vec<Entry>)> {
        let tracks = path.join(Subfolder::Tracks.name());
        // The lock before the manifest: a recording that ends in between is complete, not interrupted.
        let live = RecordingFolder::is_live(path);
        let mut manifest = Manifest::load(path)?;
        let events: Vec<Entry> = TimelineReader::open(&path.join(TIMELINE)).map(Iterator::collect).unwrap_or_default();
        let state = State::of(manifest.status, live);
        if manifest.status == Status::Recording {
            let mut scans = Vec::new();
            for file in if reads_tracks(state) { track_files(path)? } else { Vec::new() } {
                // A file that cannot be read has only been created yet.
                scans.extend(scan(&tracks.join(&file)).map(|scan| (file, scan)));
            }
            reconcile(&mut manifest, &events, &scans);
            end_tracks(&mut manifest);
        }
        let is_missing = |file: &String| !path.join(file).is_file();
        let tracks = manifest.tracks.iter().map(|track| format!("{}/{}", Subfolder::Tracks.name(), track.file));
        let missing = tracks.chain(manifest.files.iter().map(|file| file.file.clone())).filter(is_missing).collect();
        let messages = events.iter().filter(|entry| matches!(entry.event, Event::Chat { .. })).count();
        let activities = activities(&manifest, &events);
        Ok((Self { path: path.to_owned(), state, manifest, activities, messages, missing }, events))
    }
}

//! The recordings in a folder, newest first. It only reads.

use super::document::{POSTER, is_film, listed};
use crate::recording::folder::{MANIFEST, RecordingFolder, Subfolder};
use crate::recording::manifest::{Manifest, Status};
use crate::recording::report::State;
use crate::room::participant::Role;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// The most recordings that are listed.
const MOST: usize = 10_000;
/// The most participants who are named for a recording.
const MOST_NAMES: usize = 100;

/// A recording in a list.
#[derive(Debug, Clone, Serialize)]
pub struct Listing {
    /// The folder's name.
    pub folder: String,
    pub room: String,
    pub started: Timestamp,
    pub duration_ms: u64,
    pub state: State,
    /// Display names.
    pub participants: Vec<String>,
    /// Whether there is a film.
    pub film: bool,
    /// A picture of the meeting, as a path in the recording.
    pub poster: Option<String>,
}

/// The recordings in a folder.
#[derive(Debug)]
pub struct Listings {
    parent: PathBuf,
    /// What was read of each manifest, by the folder's name, with its time.
    read: Mutex<HashMap<String, (SystemTime, Arc<Summary>)>>,
}

/// What a list needs of a manifest.
#[derive(Debug)]
struct Summary {
    room: String,
    started: Timestamp,
    duration_ms: u64,
    status: Status,
    participants: Vec<String>,
}

impl Listings {
    pub fn new(parent: PathBuf) -> Listings {
        Listings { parent, read: Mutex::default() }
    }

    /// The recordings that are there now, newest first. Waits for the disk.
    pub fn list(&self) -> Vec<Listing> {
        let Ok(entries) = std::fs::read_dir(&self.parent) else { return Vec::new() };
        let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let names = folders.filter_map(|entry| entry.file_name().into_string().ok()).take(MOST);
        let mut found: Vec<Listing> = names.filter_map(|name| self.listing(name)).collect();
        found.sort_by(|one, other| (other.started, &other.folder).cmp(&(one.started, &one.folder)));
        found
    }

    fn listing(&self, folder: String) -> Option<Listing> {
        let path = self.parent.join(&folder);
        let live = RecordingFolder::is_live(&path);
        let summary = self.summary(&folder, &path)?;
        let stills = listed(&path, Some(Subfolder::Stills));
        Some(Listing {
            room: summary.room.clone(),
            started: summary.started,
            duration_ms: summary.duration_ms,
            state: State::of(summary.status, live),
            participants: summary.participants.clone(),
            film: listed(&path, None).iter().any(|listed| is_film(&listed.file)),
            poster: stills.into_iter().map(|still| still.file).find(|file| file == POSTER),
            folder,
        })
    }

    /// What the manifest says, read again only if it was written again.
    fn summary(&self, folder: &str, path: &Path) -> Option<Arc<Summary>> {
        let written = std::fs::metadata(path.join(MANIFEST)).and_then(|found| found.modified()).ok()?;
        let known = self.read.lock().ok()?.get(folder).filter(|(at, _)| *at == written).map(|(_, known)| known.clone());
        if known.is_some() {
            return known;
        }
        let manifest = Manifest::load(path).ok()?;
        let people = manifest.participants.into_iter().filter(|person| person.role != Role::Recorder);
        let summary = Arc::new(Summary {
            room: manifest.room,
            started: manifest.started,
            duration_ms: manifest.duration_ms,
            status: manifest.status,
            participants: people.take(MOST_NAMES).map(|person| person.name).collect(),
        });
        self.read.lock().ok()?.insert(folder.to_owned(), (written, summary.clone()));
        Some(summary)
    }
}

//! Reads a recording for a film: manifest and timeline, and the track files where the recording goes on or was interrupted. It
//! changes nothing in it.

use crate::container::matroska::scan;
use crate::error::{Error, Result};
use crate::recording::folder::{RecordingFolder, Subfolder, TIMELINE};
use crate::recording::manifest::{Manifest, Status};
use crate::recording::reconcile::{end_tracks, reconcile};
use crate::recording::recover::track_files;
use crate::recording::timeline::{Entry, TimelineReader};
use crate::room::participant::is_called;
use std::path::Path;

/// The longest recording; a manifest that claims more is damaged.
const MAX_DURATION_MS: u64 = 48 * 3600 * 1000;

/// The state of a recording.
pub struct Snapshot {
    /// Brought up to date with timeline and track files.
    pub manifest: Manifest,
    /// The timeline.
    pub events: Vec<Entry>,
}

/// Reads a recording that has ended, was interrupted, or goes on.
///
/// # Errors
/// The user's: no recording, one of a newer version, or one with nothing in it.
pub fn read(recording: &Path) -> Result<Snapshot> {
    let mut manifest = Manifest::load(recording)?;
    let events: Vec<Entry> = TimelineReader::open(&recording.join(TIMELINE)).map(Iterator::collect).unwrap_or_default();
    if manifest.status == Status::Recording {
        let tracks = recording.join(Subfolder::Tracks.name());
        let mut scans = Vec::new();
        for file in track_files(recording)? {
            // One that cannot be read has no whole header, and no frames.
            scans.extend(scan(&tracks.join(&file)).map(|scan| (file, scan)));
        }
        reconcile(&mut manifest, &events, &scans);
        end_tracks(&mut manifest);
    }
    let is_empty = manifest.duration_ms == 0 || manifest.tracks.is_empty();
    if is_empty || manifest.duration_ms > MAX_DURATION_MS {
        let has = if is_empty { "nothing in it" } else { "no believable length" };
        return Err(Error::user(format!("{}: the recording has {has} to make a film of", recording.display())));
    }
    Ok(Snapshot { manifest, events })
}

/// The same of a recording that goes on, without reading its track files: tracks that have not ended last until now.
///
/// # Errors
/// As [`read`]; there is nothing in it yet.
pub fn read_live(recording: &Path) -> Result<Snapshot> {
    let mut manifest = Manifest::load(recording)?;
    let events: Vec<Entry> = TimelineReader::open(&recording.join(TIMELINE)).map(Iterator::collect).unwrap_or_default();
    reconcile(&mut manifest, &events, &[]);
    let passed = jiff::Timestamp::now().duration_since(manifest.started).as_millis();
    let now_ms = u64::try_from(passed).unwrap_or(0);
    manifest.duration_ms = now_ms.max(manifest.duration_ms);
    end_tracks(&mut manifest);
    if manifest.tracks.is_empty() {
        return Err(Error::user(format!("{}: the recording has nothing in it yet", recording.display())));
    }
    Ok(Snapshot { manifest, events })
}

/// True while a recorder writes it.
pub fn is_live(recording: &Path) -> bool {
    RecordingFolder::is_live(recording)
}

/// The keys of the participants with these keys or names, in any case.
///
/// # Errors
/// The user's: no participant has that name.
pub fn keys(manifest: &Manifest, names: &[String]) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    for name in names {
        let called = manifest.participants.iter().filter(|p| is_called(&p.key, name) || is_called(&p.name, name));
        let before = keys.len();
        keys.extend(called.map(|p| p.key.clone()));
        if keys.len() == before {
            let there: Vec<&str> = manifest.participants.iter().map(|p| p.name.as_str()).collect();
            return Err(Error::user(format!(
                "nobody in the recording is called `{name}`; there are {}",
                there.join(", ")
            )));
        }
    }
    Ok(keys)
}

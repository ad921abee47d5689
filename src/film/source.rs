//! A recording as a film finds it: its manifest, its timeline, and what the track files add while it is being made or where it was
//! cut short. It changes nothing in it.

use crate::container::matroska_reader::scan;
use crate::error::{Error, Result};
use crate::recording::complete::complete;
use crate::recording::folder::{RecordingFolder, Sub, TIMELINE};
use crate::recording::manifest::{Manifest, Status};
use crate::recording::recover::track_files;
use crate::recording::timeline::{Entry, Event, TimelineReader};
use crate::room::participant::is_called;
use std::path::Path;

/// The longest recording; a manifest that claims more is damaged.
const LONGEST_MS: u64 = 48 * 3600 * 1000;

/// What there is of a recording now.
pub struct Source {
    pub manifest: Manifest,
    pub events: Vec<Entry>,
}

/// Reads a recording, whole, cut short, or as far as it is.
///
/// # Errors
/// The user's: no recording, one of a newer version, or one with nothing in it.
pub fn read(recording: &Path) -> Result<Source> {
    let mut manifest = Manifest::load(recording)?;
    let events: Vec<Entry> = TimelineReader::open(&recording.join(TIMELINE)).map(Iterator::collect).unwrap_or_default();
    if manifest.status == Status::Recording {
        let tracks = recording.join(Sub::Tracks.word());
        let mut scans = Vec::new();
        for file in track_files(recording)? {
            // One that cannot be read has no whole header: there is nothing in it.
            scans.extend(scan(&tracks.join(&file)).map(|scan| (file, scan)));
        }
        complete(&mut manifest, &events, &scans);
    }
    let is_empty = manifest.duration_ms == 0 || manifest.tracks.is_empty();
    if is_empty || manifest.duration_ms > LONGEST_MS {
        let has = if is_empty { "nothing in it" } else { "no believable length" };
        return Err(Error::user(format!("{}: the recording has {has} to make a film of", recording.display())));
    }
    Ok(Source { manifest, events })
}

/// The same of a recording that goes on, without looking into its track files: tracks that have not ended last until now.
///
/// # Errors
/// As [`read`]; there is nothing in it yet.
pub fn read_live(recording: &Path) -> Result<Source> {
    let mut manifest = Manifest::load(recording)?;
    let events: Vec<Entry> = TimelineReader::open(&recording.join(TIMELINE)).map(Iterator::collect).unwrap_or_default();
    complete(&mut manifest, &events, &[]);
    let passed = jiff::Timestamp::now().duration_since(manifest.started).as_millis();
    let now_ms = u64::try_from(passed).unwrap_or(0);
    let off =
        |file: &str| events.iter().any(|entry| matches!(&entry.event, Event::TrackOff { file: f, .. } if f == file));
    for track in manifest.tracks.iter_mut().filter(|track| !track.finished && !off(&track.file)) {
        track.end_ms = now_ms.max(track.end_ms);
    }
    manifest.duration_ms = now_ms.max(manifest.duration_ms);
    if manifest.tracks.is_empty() {
        return Err(Error::user(format!("{}: the recording has nothing in it yet", recording.display())));
    }
    Ok(Source { manifest, events })
}

/// True while somebody records into it.
pub fn is_live(recording: &Path) -> bool {
    RecordingFolder::is_live(recording)
}

/// The keys of participants who are called by key or name, in any case.
///
/// # Errors
/// The user's: there is nobody of that name.
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

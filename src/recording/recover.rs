//! Finishes interrupted recordings: a track file is replaced by a verified copy with index and duration. It loses no whole frame, and
//! never touches a recording that is still being written.

use crate::container::matroska::{MAX_CLUSTER_BYTES, MAX_FRAME_BYTES, Scan, TrackReader, TrackWriter};
use crate::error::{Error, Result, io_failed};
use crate::recording::attachments;
use crate::recording::folder::{MANIFEST, PART, RecordingFolder, Subfolder, TIMELINE};
use crate::recording::manifest::{Manifest, Status};
use crate::recording::reconcile::{close, reconcile};
use crate::recording::subtitles;
use crate::recording::timeline::{Entry, Event, TimelineReader, TimelineWriter};
use std::path::{Path, PathBuf};

/// More invalid bytes than this at a file's end are damage, not an interrupted write: such a file stays as it is.
const MAX_INCOMPLETE_TAIL: u64 = (MAX_CLUSTER_BYTES + MAX_FRAME_BYTES + 64) as u64;

/// The recovery of one recording; its `Display` is one line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The recording's folder.
    pub path: PathBuf,
    /// Track files that were finished.
    pub tracks: Vec<Recovered>,
    /// Files that could not be finished, and why; they are unchanged.
    pub problems: Vec<String>,
}

/// A track file that was finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The name in `tracks/`.
    pub file: String,
    /// Whole frames in it.
    pub frames: u64,
    /// Bytes at the end that were no whole frame.
    pub dropped_bytes: u64,
}

impl std::fmt::Display for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let frames: u64 = self.tracks.iter().map(|track| track.frames).sum();
        write!(
            f,
            "{}: was cut short; {} track files finished, {frames} frames",
            self.path.display(),
            self.tracks.len()
        )?;
        self.problems.iter().try_for_each(|problem| write!(f, "; {problem}"))
    }
}

/// Finishes every interrupted recording in `recordings`, each with its own result. It copies each unfinished track file once, which may
/// take a while.
pub fn recover_all(recordings: &Path) -> Vec<(PathBuf, Result<Recovery>)> {
    let Ok(entries) = std::fs::read_dir(recordings) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut paths: Vec<_> = folders.map(|entry| entry.path()).filter(|path| path.join(MANIFEST).is_file()).collect();
    paths.sort();
    paths.into_iter().filter_map(|path| recover(&path).transpose().map(|result| (path, result))).collect()
}

/// Finishes one recording; `None` where it ended normally, was recovered before, or is still being written.
///
/// Each step is written to the timeline before it is done, and from there into the manifest, so that an interrupted recovery is
/// continued by the next. When the disk is too full the track stays as it is, the recording stays to be recovered, and
/// [`Recovery::problems`] says so.
///
/// # Errors
/// The folder is no recording, or cannot be read or written.
pub fn recover(recording: &Path) -> Result<Option<Recovery>> {
    if Manifest::load(recording)?.status != Status::Recording {
        return Ok(None);
    }
    let Some(folder) = RecordingFolder::claim(recording)? else { return Ok(None) };
    recover_held(&folder)
}

/// The same of a recording whose lock we have.
pub(crate) fn recover_held(folder: &RecordingFolder) -> Result<Option<Recovery>> {
    let recording = folder.path();
    // Once more: its recorder may have ended it just before it released the lock.
    let mut manifest = Manifest::load(recording)?;
    if manifest.status != Status::Recording {
        return Ok(None);
    }
    let mut timeline = folder.timeline()?;
    let mut recovery = Recovery { path: recording.to_owned(), tracks: Vec::new(), problems: Vec::new() };
    let latest = TimelineReader::open(&recording.join(TIMELINE))?.map(|entry| entry.t_ms).max();
    let end_ms = manifest.duration_ms.max(latest.unwrap_or(0));
    let (mut scans, mut again) = (Vec::new(), false);
    for file in track_files(recording)? {
        let Outcome { scan, done, problem, retry } = finish(folder, &manifest, &mut timeline, end_ms, &file);
        recovery.tracks.extend(done);
        recovery.problems.extend(problem.map(|problem| format!("tracks/{file}: {problem}")));
        scans.extend(scan.map(|scan| (file, scan)));
        again |= retry;
    }
    let events: Vec<Entry> = TimelineReader::open(&recording.join(TIMELINE))?.collect();
    reconcile(&mut manifest, &events, &scans);
    attachments::apply_files(&mut manifest, &received_files(recording)?);
    subtitles::save(&manifest, folder)?;
    for problem in &recovery.problems {
        manifest.warn(problem);
    }
    if !again {
        // One that ended has said so already: only its disk was full.
        if manifest.ended.is_none() {
            let ended = Event::RecordingEnded { reason: "cut short, recovered".into() };
            append(&mut timeline, &manifest, manifest.duration_ms, ended)?;
        }
        timeline.sync()?;
        close(&mut manifest);
    }
    match manifest.save(folder) {
        Err(error) if again => recovery.problems.push(error.to_string()),
        saved => saved?,
    }
    Ok(Some(recovery))
}

/// The names of a recording's track files, sorted; without unfinished copies.
///
/// # Errors
/// The folder cannot be read.
pub fn track_files(recording: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(recording.join(Subfolder::Tracks.name())) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| io_failed(&format!("list the tracks of {}", recording.display()), e))?,
    };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.') && (name.ends_with(".webm") || name.ends_with(".mkv")));
    names.sort();
    Ok(names)
}

/// Files that lie in a recording's `files`, by their path in the recording, with their lengths; no links, no devices.
fn received_files(recording: &Path) -> Result<Vec<(String, u64)>> {
    let below = |path: &Path| match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            entries.map(|entries| entries.flatten().collect()).map_err(|e| io_failed("list the received files", e))
        }
    };
    let mut files = Vec::new();
    let root = recording.join(Subfolder::Files.name());
    for owner in below(&root)?.into_iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        for file in below(&owner.path())? {
            if let (Ok(owner), Ok(name), Ok(metadata)) =
                (owner.file_name().into_string(), file.file_name().into_string(), file.metadata())
                && metadata.is_file()
            {
                files.push((format!("{}/{owner}/{name}", Subfolder::Files.name()), metadata.len()));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The result of one track file.
#[derive(Default)]
struct Outcome {
    /// What is in it now.
    scan: Option<Scan>,
    done: Option<Recovered>,
    /// Why it is unchanged, and whether another attempt may succeed.
    problem: Option<String>,
    retry: bool,
}

/// Finishes one track file, where it is not finished already.
fn finish(
    folder: &RecordingFolder,
    manifest: &Manifest,
    timeline: &mut TimelineWriter,
    t_ms: u64,
    file: &str,
) -> Outcome {
    let scan = match folder.open_file(Subfolder::Tracks, file).and_then(TrackReader::new).and_then(TrackReader::scan) {
        Ok(scan) => scan,
        Err(error) => return Outcome { problem: Some(error.to_string()), ..Outcome::default() },
    };
    let left = |problem: String, retry, scan| Outcome { scan: Some(scan), problem: Some(problem), retry, done: None };
    if scan.finished {
        return Outcome { scan: Some(scan), ..Outcome::default() };
    }
    if scan.frames == 0 {
        return left("holds no whole frame".into(), false, scan);
    }
    if scan.dropped > MAX_INCOMPLETE_TAIL {
        return left(format!("is damaged {} bytes before its end and was left as it is", scan.dropped), false, scan);
    }
    let part = format!("{file}{PART}");
    let done = Recovered { file: file.to_owned(), frames: scan.frames, dropped_bytes: scan.dropped };
    let mut replace = || -> Result<Scan> {
        let scan = write_copy(folder, file, &part)?;
        let (file, frames, dropped_bytes) = (file.to_owned(), done.frames, done.dropped_bytes);
        append(timeline, manifest, t_ms, Event::Recovered { file, frames, dropped_bytes })?;
        timeline.sync()?;
        folder.replace(Subfolder::Tracks, &part, &done.file)?;
        Ok(scan)
    };
    match replace() {
        Ok(finished) => Outcome { scan: Some(finished), done: Some(done), ..Outcome::default() },
        Err(error) => {
            folder.discard(Subfolder::Tracks, &part);
            left(format!("could not be finished, and is as it was: {error}"), true, scan)
        }
    }
}

/// Writes a finished copy of `file` beside it, syncs it, and verifies that it has every frame of the original.
fn write_copy(folder: &RecordingFolder, file: &str, part: &str) -> Result<Scan> {
    let open = |name: &str| folder.open_file(Subfolder::Tracks, name).and_then(TrackReader::new);
    // Left by an interrupted recovery; the original is still there.
    folder.discard(Subfolder::Tracks, part);
    let original = open(file)?;
    let mut writer = TrackWriter::new(folder.create_file(Subfolder::Tracks, part)?, original.format().clone())?;
    for frame in original.frames() {
        let frame = frame?;
        writer.push(frame.ms, frame.key, std::iter::once(&frame.data[..]))?;
    }
    writer.finish()?;
    writer.file().sync_all().map_err(|e| io_failed("sync a track file", e))?;

    let (mut was, mut is) = (open(file)?.frames(), open(part)?.frames());
    loop {
        match (was.next().transpose()?, is.next().transpose()?) {
            (None, None) => break,
            (was, is) if was != is => return Err(Error::internal(format!("the copy of {file} differs from it"))),
            _ => {}
        }
    }
    let scan = open(part)?.scan()?;
    if scan.finished { Ok(scan) } else { Err(Error::internal(format!("the copy of {file} is not finished"))) }
}

/// Appends an event at `t_ms` of the session, by both of a timeline's clocks: that it is written later is no part of the recording.
fn append(timeline: &mut TimelineWriter, manifest: &Manifest, t_ms: u64, event: Event) -> Result<()> {
    timeline.append(&Entry { t_ms, at: manifest.time_of(t_ms), event })
}

#[cfg(test)]
mod tests;

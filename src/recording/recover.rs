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
use jiff::Timestamp;
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
        let Outcome { scan, done, problem, retry } = finish(folder, &mut timeline, end_ms, &file);
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
        append(&mut timeline, manifest.duration_ms, Event::RecordingEnded { reason: "cut short, recovered".into() })?;
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
fn finish(folder: &RecordingFolder, timeline: &mut TimelineWriter, t_ms: u64, file: &str) -> Outcome {
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
        append(timeline, t_ms, Event::Recovered { file, frames, dropped_bytes })?;
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

/// Appends an event that happens now, at `t_ms` of the session.
fn append(timeline: &mut TimelineWriter, t_ms: u64, event: Event) -> Result<()> {
    timeline.append(&Entry { t_ms, at: Timestamp::now(), event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::matroska::TrackFormat;
    use crate::container::matroska::scan;
    use crate::recording::names::FileNames;
    use crate::recording::testing::{Sample, probe, sample};
    use crate::recording::track::TrackFile;
    use crate::room::media::{Codec, Source};
    use std::fs;

    /// A recording with one track for each sample, flushed twice a second and left as a kill leaves it; its lock is free.
    fn killed(dir: &Path, samples: &[(Source, Sample)]) -> PathBuf {
        let folder = RecordingFolder::create(dir, "standup", Timestamp::UNIX_EPOCH).unwrap();
        let mut timeline = folder.timeline().unwrap();
        let joined = Event::Joined { participant: "alice".into(), id: "p1".into(), name: "Alice".into() };
        append(&mut timeline, 100, joined).unwrap();
        Manifest::new("standup", "ws://127.0.0.1/rooms/standup", Timestamp::UNIX_EPOCH).save(&folder).unwrap();
        let mut names = FileNames::default();
        for (source, sample) in samples {
            let codec = sample.format.codec;
            let file = names.track("alice", *source, TrackFormat::extension(codec));
            let mut track = TrackFile::create(&folder, &file, sample.format.clone(), &sample.frames[0]).unwrap();
            append(&mut timeline, 500, Event::TrackOn { participant: "alice".into(), file, source: *source, codec })
                .unwrap();
            for (n, frame) in sample.frames.iter().enumerate() {
                track.push(frame).unwrap();
                if n % 15 == 14 {
                    track.flush().unwrap();
                }
            }
            track.flush().unwrap();
        }
        folder.path().to_owned()
    }

    /// Cuts bytes off a file's end.
    fn tear(path: &Path, bytes: u64) {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
    }

    fn events(path: &Path) -> Vec<Event> {
        TimelineReader::open(&path.join(TIMELINE)).unwrap().map(|entry| entry.event).collect()
    }

    #[test]
    fn a_killed_recording_is_finished_once() {
        let dir = tempfile::tempdir().unwrap();
        let camera = sample(Codec::Vp8, (160, 120), 2);
        let mic = sample(Codec::Opus, (0, 0), 2);
        let path = killed(dir.path(), &[(Source::Camera, camera), (Source::Mic, mic)]);
        let file = path.join("tracks/alice.camera.1.webm");
        tear(&file, 10);
        tear(&path.join(TIMELINE), 5);
        let kept: Vec<_> = TrackReader::open(&file).unwrap().frames().map(Result::unwrap).collect();
        assert_eq!(kept.len(), 59);

        let mut all = recover_all(dir.path());
        let recovery = all.remove(0).1.unwrap();
        assert!(all.is_empty());
        assert!(recovery.problems.is_empty(), "{:?}", recovery.problems);
        let frames: Vec<_> = recovery.tracks.iter().map(|t| (t.file.as_str(), t.frames, t.dropped_bytes > 0)).collect();
        assert_eq!(frames, [("alice.camera.1.webm", 59, true), ("alice.mic.1.webm", 101, false)]);
        assert!(recovery.to_string().ends_with("was cut short; 2 track files finished, 160 frames"), "{recovery}");

        let scanned = scan(&file).unwrap();
        assert!(scanned.finished && scanned.dropped == 0, "{scanned:?}");
        let now: Vec<_> = TrackReader::open(&file).unwrap().frames().map(Result::unwrap).collect();
        assert_eq!(now, kept);
        let seen = probe(&file);
        assert_eq!((seen.frames, seen.complaints.as_str()), (59, ""));
        assert!((seen.duration.unwrap() - 59.0 / 30.0).abs() < 0.01, "{seen:?}");

        let manifest = Manifest::load(&path).unwrap();
        assert_eq!(manifest.status, Status::Recovered);
        assert!(manifest.tracks.iter().all(|track| track.finished));
        assert_eq!((manifest.tracks[0].frames, manifest.tracks[0].end_ms), (59, 500 + 1966));
        assert_eq!(manifest.participants[0].present[0].end_ms, Some(manifest.duration_ms));
        assert!(
            manifest.warnings[0].starts_with("tracks/alice.camera.1.webm was cut short"),
            "{:?}",
            manifest.warnings
        );
        assert!(matches!(events(&path).last(), Some(Event::RecordingEnded { .. })));

        let before =
            (fs::read(&file).unwrap(), fs::read(path.join(MANIFEST)).unwrap(), fs::read(path.join(TIMELINE)).unwrap());
        assert!(recover_all(dir.path()).is_empty());
        assert_eq!(
            before,
            (fs::read(&file).unwrap(), fs::read(path.join(MANIFEST)).unwrap(), fs::read(path.join(TIMELINE)).unwrap())
        );
    }

    #[test]
    fn a_running_recording_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = killed(dir.path(), &[(Source::Mic, sample(Codec::Opus, (0, 0), 1))]);
        let held = RecordingFolder::claim(&path).unwrap().unwrap();
        assert_eq!(recover(&path).unwrap(), None);
        drop(held);
        // A child that another test forks holds a copy of every lock until it has become its own program.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while recover(&path).unwrap().is_none() {
            assert!(std::time::Instant::now() < until, "the lock is not let go");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    #[test]
    fn a_recovery_that_was_itself_killed_is_taken_up_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = killed(dir.path(), &[(Source::Mic, sample(Codec::Opus, (0, 0), 1))]);
        let part = path.join("tracks/alice.mic.1.webm.part");
        fs::write(&part, "half of a copy").unwrap();
        let recovery = recover(&path).unwrap().unwrap();
        assert_eq!((recovery.tracks.len(), recovery.problems.len()), (1, 0));
        assert!(!part.exists());
        // As if it had been killed after the last rename, before the manifest.
        Manifest::new("standup", "u", Timestamp::UNIX_EPOCH)
            .save(&RecordingFolder::claim(&path).unwrap().unwrap())
            .unwrap();
        assert!(recover(&path).unwrap().unwrap().tracks.is_empty());
        let manifest = Manifest::load(&path).unwrap();
        assert!(manifest.warnings[0].contains("has been finished"), "known from the timeline: {:?}", manifest.warnings);
    }

    #[test]
    fn what_cannot_be_replaced_stays_as_it_was_and_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = killed(dir.path(), &[(Source::Mic, sample(Codec::Opus, (0, 0), 1))]);
        let file = path.join("tracks/alice.mic.1.webm");
        let original = fs::read(&file).unwrap();
        // Stands for a full disk, which a test cannot have: the copy cannot be created.
        let blocker = path.join("tracks/alice.mic.1.webm.part");
        fs::create_dir(&blocker).unwrap();
        let recovery = recover(&path).unwrap().unwrap();
        assert_eq!((recovery.tracks.len(), recovery.problems.len()), (0, 1));
        assert_eq!(fs::read(&file).unwrap(), original);
        let manifest = Manifest::load(&path).unwrap();
        assert_eq!((manifest.status, manifest.warnings.len()), (Status::Recording, 1));
        fs::remove_dir(&blocker).unwrap();
        assert_eq!(recover(&path).unwrap().unwrap().tracks.len(), 1);
    }

    #[test]
    fn damage_is_not_taken_for_a_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = killed(dir.path(), &[(Source::Mic, sample(Codec::Opus, (0, 0), 1))]);
        let file = path.join("tracks/alice.mic.1.webm");
        let length = fs::metadata(&file).unwrap().len();
        // A hole, as a loss of power can leave one.
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(length + MAX_INCOMPLETE_TAIL + 1).unwrap();
        fs::write(path.join("tracks/alice.mic.2.webm"), "no header").unwrap();
        let recovery = recover(&path).unwrap().unwrap();
        assert_eq!((recovery.tracks.len(), recovery.problems.len()), (0, 2), "{recovery}");
        assert_eq!(fs::metadata(&file).unwrap().len(), length + MAX_INCOMPLETE_TAIL + 1);
        assert_eq!(Manifest::load(&path).unwrap().status, Status::Recovered);
    }
}

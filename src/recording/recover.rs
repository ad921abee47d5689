//! Finishes recordings that were cut short: a track file gets its index and duration by a verified successor. It loses no whole frame, and never touches a recording that is still being written.

use crate::container::matroska::LARGEST_FRAME;
use crate::container::matroska_reader::{Scan, TrackReader};
use crate::container::matroska_writer::{CLUSTER_BYTES, Muxer};
use crate::error::{Error, Result, io_failed};
use crate::recording::attachments;
use crate::recording::complete::{close, complete};
use crate::recording::folder::{MANIFEST, PART, RecordingFolder, Sub, TIMELINE};
use crate::recording::manifest::{Manifest, Status};
use crate::recording::subtitles;
use crate::recording::timeline::{Entry, Event, TimelineReader, TimelineWriter};
use jiff::Timestamp;
use std::path::{Path, PathBuf};

/// More than this at a file's end is no torn write, but damage: such a file is left alone.
const LONGEST_TAIL: u64 = (CLUSTER_BYTES + LARGEST_FRAME + 64) as u64;

/// What was done for one recording; its `Display` is one line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    pub path: PathBuf,
    pub tracks: Vec<Recovered>,
    /// Files that could not be finished, and why; they are as they were.
    pub problems: Vec<String>,
}

/// A track file that was finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    pub file: String,
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

/// Finishes every recording in `recordings` that was cut short; each comes with its own result. An empty list where there is nothing to do.
///
/// It copies each unfinished track file once, so it may take as long as the disk needs for that.
pub fn recover_all(recordings: &Path) -> Vec<(PathBuf, Result<Recovery>)> {
    let Ok(entries) = std::fs::read_dir(recordings) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut paths: Vec<_> = folders.map(|entry| entry.path()).filter(|path| path.join(MANIFEST).is_file()).collect();
    paths.sort();
    paths.into_iter().filter_map(|path| recover(&path).transpose().map(|result| (path, result))).collect()
}

/// Finishes one recording; `None` where it ended by itself, was recovered before, or is still being written.
///
/// What was done goes into the timeline before it is done, and from there into the manifest: a recovery that is itself cut short is
/// taken up again by the next. When the disk is too full the track stays as it is, the recording stays to be recovered, and
/// [`Recovery::problems`] says so.
pub fn recover(recording: &Path) -> Result<Option<Recovery>> {
    if Manifest::load(recording)?.status != Status::Recording {
        return Ok(None);
    }
    let Some(folder) = RecordingFolder::claim(recording)? else { return Ok(None) };
    // Once more: its recorder may have ended it before it let go of the lock.
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
        let Outcome { scan, done, problem, retry } = finish(&folder, &mut timeline, end_ms, &file);
        recovery.tracks.extend(done);
        recovery.problems.extend(problem.map(|problem| format!("tracks/{file}: {problem}")));
        scans.extend(scan.map(|scan| (file, scan)));
        again |= retry;
    }
    let events: Vec<Entry> = TimelineReader::open(&recording.join(TIMELINE))?.collect();
    complete(&mut manifest, &events, &scans);
    attachments::found(&mut manifest, &received_files(recording)?);
    subtitles::save(&manifest, &folder)?;
    for problem in &recovery.problems {
        manifest.warn(problem);
    }
    if !again {
        append(&mut timeline, manifest.duration_ms, Event::RecordingEnded { reason: "cut short, recovered".into() })?;
        timeline.sync()?;
        close(&mut manifest);
    }
    match manifest.save(&folder) {
        Err(error) if again => recovery.problems.push(error.to_string()),
        saved => saved?,
    }
    Ok(Some(recovery))
}

/// The names of a recording's track files, in order; without unfinished successors.
pub fn track_files(recording: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(recording.join(Sub::Tracks.word())) {
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
    let root = recording.join(Sub::Files.word());
    for owner in below(&root)?.into_iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        for file in below(&owner.path())? {
            if let (Ok(owner), Ok(name), Ok(metadata)) =
                (owner.file_name().into_string(), file.file_name().into_string(), file.metadata())
                && metadata.is_file()
            {
                files.push((format!("{}/{owner}/{name}", Sub::Files.word()), metadata.len()));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// How it went with one track file.
#[derive(Default)]
struct Outcome {
    /// What is in it now.
    scan: Option<Scan>,
    done: Option<Recovered>,
    /// Why it stayed as it was, and whether another attempt may go better.
    problem: Option<String>,
    retry: bool,
}

/// Finishes one track file, where it is not finished already.
fn finish(folder: &RecordingFolder, timeline: &mut TimelineWriter, t_ms: u64, file: &str) -> Outcome {
    let scan = match folder.open_file(Sub::Tracks, file).and_then(TrackReader::new).and_then(TrackReader::scan) {
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
    if scan.dropped > LONGEST_TAIL {
        return left(format!("is damaged {} bytes before its end and was left as it is", scan.dropped), false, scan);
    }
    let part = format!("{file}{PART}");
    let done = Recovered { file: file.to_owned(), frames: scan.frames, dropped_bytes: scan.dropped };
    let mut put_in_place = || -> Result<Scan> {
        let scan = successor(folder, file, &part)?;
        let (file, frames, dropped_bytes) = (file.to_owned(), done.frames, done.dropped_bytes);
        append(timeline, t_ms, Event::Recovered { file, frames, dropped_bytes })?;
        timeline.sync()?;
        folder.replace(Sub::Tracks, &part, &done.file)?;
        Ok(scan)
    };
    match put_in_place() {
        Ok(finished) => Outcome { scan: Some(finished), done: Some(done), ..Outcome::default() },
        Err(error) => {
            folder.discard(Sub::Tracks, &part);
            left(format!("could not be finished, and is as it was: {error}"), true, scan)
        }
    }
}

/// Writes the finished successor of `file` beside it, syncs it, and verifies that it has every frame of the original.
fn successor(folder: &RecordingFolder, file: &str, part: &str) -> Result<Scan> {
    let open = |name: &str| folder.open_file(Sub::Tracks, name).and_then(TrackReader::new);
    // From a recovery that was cut short; the original is still there.
    folder.discard(Sub::Tracks, part);
    let original = open(file)?;
    let mut muxer = Muxer::new(folder.create_file(Sub::Tracks, part)?, original.format().clone())?;
    for frame in original.frames() {
        let frame = frame?;
        muxer.push(frame.ms, frame.key, std::iter::once(&frame.data[..]))?;
    }
    muxer.finish()?;
    muxer.file().sync_all().map_err(|e| io_failed("sync a track file", e))?;

    let (mut was, mut is) = (open(file)?.frames(), open(part)?.frames());
    loop {
        match (was.next().transpose()?, is.next().transpose()?) {
            (None, None) => break,
            (was, is) if was != is => return Err(Error::us(format!("the successor of {file} is not like it"))),
            _ => {}
        }
    }
    let scan = open(part)?.scan()?;
    if scan.finished { Ok(scan) } else { Err(Error::us(format!("the successor of {file} is not finished"))) }
}

/// Appends an event that happens now, and in the session's time at its end.
fn append(timeline: &mut TimelineWriter, t_ms: u64, event: Event) -> Result<()> {
    timeline.append(&Entry { t_ms, at: Timestamp::now(), event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::matroska::TrackFormat;
    use crate::container::matroska_reader::scan;
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
        fs::write(&part, "half of a successor").unwrap();
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
        // Stands for a full disk, which a test cannot have: the successor cannot be created.
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
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(length + LONGEST_TAIL + 1).unwrap();
        fs::write(path.join("tracks/alice.mic.2.webm"), "no header").unwrap();
        let recovery = recover(&path).unwrap().unwrap();
        assert_eq!((recovery.tracks.len(), recovery.problems.len()), (0, 2), "{recovery}");
        assert_eq!(fs::metadata(&file).unwrap().len(), length + LONGEST_TAIL + 1);
        assert_eq!(Manifest::load(&path).unwrap().status, Status::Recovered);
    }
}

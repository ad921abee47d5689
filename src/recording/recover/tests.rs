//! Recordings that were killed, and what is made of them.

use super::*;
use crate::container::matroska::TrackFormat;
use crate::container::matroska::scan;
use crate::recording::manifest::{TrackEntry, Unrecorded};
use crate::recording::names::FileNames;
use crate::recording::testing::{Sample, probe, sample};
use crate::recording::track::TrackFile;
use crate::room::media::{Codec, Source};
use jiff::Timestamp;
use std::fs;

/// A recording with one track for each sample, flushed twice a second and left as a kill leaves it; its lock is free.
fn killed(dir: &Path, samples: &[(Source, Sample)]) -> PathBuf {
    let folder = RecordingFolder::create(dir, "standup", Timestamp::UNIX_EPOCH).unwrap();
    let mut timeline = folder.timeline().unwrap();
    let joined = Event::Joined { participant: "alice".into(), id: "p1".into(), name: "Alice".into() };
    let manifest = Manifest::new("standup", "ws://127.0.0.1/rooms/standup", Timestamp::UNIX_EPOCH);
    append(&mut timeline, &manifest, 100, joined).unwrap();
    manifest.save(&folder).unwrap();
    let mut names = FileNames::default();
    for (source, sample) in samples {
        let codec = sample.format.codec;
        let file = names.track("alice", *source, TrackFormat::extension(codec));
        let mut track = TrackFile::create(&folder, &file, sample.format.clone(), &sample.frames[0]).unwrap();
        let on = Event::TrackOn { participant: "alice".into(), file, source: *source, codec };
        append(&mut timeline, &manifest, 500, on).unwrap();
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

    // Both of its times are of the recording, not of its recovery.
    for entry in TimelineReader::open(&path.join(TIMELINE)).unwrap() {
        assert_eq!(entry.at.as_millisecond(), i64::try_from(entry.t_ms).unwrap(), "{entry:?}");
    }

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
    assert!(manifest.warnings[0].starts_with("tracks/alice.camera.1.webm was cut short"), "{:?}", manifest.warnings);
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

/// A track of the killed recording as its manifest knew it last, with what had been lost until then.
fn note_losses(path: &Path, ended: bool) {
    let folder = RecordingFolder::claim(path).unwrap().unwrap();
    let mut manifest = Manifest::load(path).unwrap();
    let file = "alice.mic.1.webm";
    let mut track = TrackEntry::new(file, "alice", Source::Mic, Codec::Opus, 500);
    (track.arrived, track.in_frames, track.frames, track.unwritten_frames) = (60, 48, 48, 2);
    track.dropped = [("inbox-full".to_owned(), 10), ("disk".to_owned(), 2)].into();
    manifest.tracks.push(track);
    manifest.duration_ms = 1000;
    let screen = Unrecorded { participant: "alice".into(), packets: 0, ..Unrecorded::of_nobody(0) };
    manifest.note(Unrecorded { source: Some(Source::Screen), end_ms: 900, reason: "nothing".into(), ..screen });
    if ended {
        manifest.ended = manifest.started.checked_add(jiff::SignedDuration::from_secs(1)).ok();
    }
    manifest.judge();
    manifest.save(&folder).unwrap();
}

fn causes(manifest: &Manifest) -> Vec<&str> {
    manifest.reasons.iter().map(|loss| loss.cause.as_str()).collect()
}

#[test]
fn what_was_lost_before_the_kill_stays_lost_and_the_kill_is_a_loss_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = killed(dir.path(), &[(Source::Mic, sample(Codec::Opus, (0, 0), 1))]);
    note_losses(&path, false);
    recover(&path).unwrap().unwrap();
    let manifest = Manifest::load(&path).unwrap();
    assert_eq!(manifest.status, Status::Recovered);
    assert_eq!(causes(&manifest), ["inbox-full", "disk", "nothing-arrived", "cut-short"]);
    assert!(manifest.reasons[3].text.starts_with("cut short at 1.5 s: "), "{:#?}", manifest.reasons);
    let track = &manifest.tracks[0];
    assert_eq!((track.frames, track.arrived), (51, track.in_frames + track.dropped.values().sum::<u64>()));
    // Without any other loss: the kill's own.
    let path = killed(dir.path(), &[(Source::Mic, sample(Codec::Opus, (0, 0), 1))]);
    recover(&path).unwrap().unwrap();
    assert_eq!(causes(&Manifest::load(&path).unwrap()), ["cut-short"]);
}

#[test]
fn a_recording_that_ended_on_a_full_disk_is_partial_once_it_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let path = killed(dir.path(), &[(Source::Mic, sample(Codec::Opus, (0, 0), 1))]);
    note_losses(&path, true);
    let ended = Manifest::load(&path).unwrap().ended;
    recover(&path).unwrap().unwrap();
    let manifest = Manifest::load(&path).unwrap();
    assert_eq!((manifest.status, manifest.ended), (Status::Partial, ended));
    assert_eq!(causes(&manifest), ["inbox-full", "disk", "nothing-arrived"]);
    assert!(manifest.tracks[0].finished && !events(&path).iter().any(|e| matches!(e, Event::RecordingEnded { .. })));
}

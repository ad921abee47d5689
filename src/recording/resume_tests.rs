//! Folders that are new, continued, taken, or of another room.

use super::*;
use crate::recording::account::Unrecorded;
use crate::recording::manifest::ParticipantEntry;
use crate::recording::track_entry::Span;
use crate::room::end::CRASHED;
use crate::room::participant::Role;
use std::fs;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + seconds).unwrap()
}

fn record(path: &Path, now: Timestamp) -> NewPart {
    let part = HeldFolder::open(path, "standup").unwrap().begin("standup", "ws://h/rooms/standup", now).unwrap();
    part.manifest.save(&part.folder).unwrap();
    part
}

#[test]
fn a_folder_is_made_once_and_then_continued() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let first = record(&path, at(0));
    assert!(first.previous.is_none());
    assert_eq!(first.manifest.parts, [Part::new(0)]);
    drop(first);
    let second = record(&path, at(60));
    let previous = second.previous.unwrap();
    assert!(previous.has_crashed());
    assert_eq!((second.manifest.parts[1].start_ms, second.manifest.status), (60_000, Status::Recording));
    assert_eq!(second.manifest.started, at(0));
}

#[test]
fn a_clock_that_was_put_back_goes_on_behind_the_timeline() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut first = record(&path, at(0));
    first.manifest.duration_ms = 9000;
    first.manifest.save(&first.folder).unwrap();
    drop(first);
    assert_eq!(record(&path, at(-3600)).manifest.parts[1].start_ms, 9001);
}

#[test]
fn on_the_same_machine_the_time_since_its_boot_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    drop(record(&path, at(0)));
    // The wall clock is years away from then.
    let now = HeldFolder::open(&path, "standup").unwrap().now().unwrap();
    assert!((at(0)..at(60)).contains(&now), "{now}");
    for other in ["another-boot 0", "", "x"] {
        fs::write(path.join(boot::FILE), other).unwrap();
        assert_eq!(HeldFolder::open(&path, "standup").unwrap().now(), None, "{other:?}");
    }
}

#[test]
fn one_records_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let first = record(&path, at(0));
    let error = HeldFolder::open(&path, "standup").unwrap_err();
    assert!(matches!(error, Error::User(_)) && error.to_string().contains("another process"), "{error}");
    drop(first);
    assert!(HeldFolder::open(&path, "standup").is_ok());
}

#[test]
fn another_room_is_refused_and_nothing_is_left_of_a_folder_that_was_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    drop(HeldFolder::open(&path, "standup").unwrap());
    assert!(!path.exists());
    fs::create_dir(&path).unwrap();
    fs::write(path.join("notes.txt"), "mine").unwrap();
    drop(HeldFolder::open(&path, "standup").unwrap());
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "what was there stays");
    drop(record(&path, at(0)));
    let error = HeldFolder::open(&path, "retro").unwrap_err();
    assert!(error.to_string().contains("another room"), "{error}");
    assert!(path.join(MANIFEST).exists());
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(matches!(HeldFolder::open(&dir.path().join("file"), "standup").unwrap_err(), Error::User(_)));
}

#[test]
fn each_loss_of_a_continued_recording_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let stays = |manifest: &mut Manifest, from_ms: u64, until_ms: u64| {
        if manifest.participants.is_empty() {
            let (key, name, ids) = ("alice".to_owned(), "Alice".to_owned(), Vec::new());
            manifest.participants.push(ParticipantEntry { key, name, ids, role: Role::Participant, present: vec![] });
        }
        manifest.participants[0].present.push(Span { start_ms: from_ms, end_ms: None });
        manifest.duration_ms = until_ms;
    };
    let causes = |manifest: &Manifest| manifest.reasons.iter().map(|loss| loss.cause.clone()).collect::<Vec<_>>();
    let mut first = record(&path, at(0));
    stays(&mut first.manifest, 100, 9000);
    let screen = Unrecorded { participant: "alice".into(), end_ms: 9000, ..Unrecorded::of_nobody(0) };
    first.manifest.note(screen);
    first.manifest.save(&first.folder).unwrap();
    drop(first);
    let left = HeldFolder::open(&path, "standup").unwrap();
    assert_eq!(causes(&Manifest::load(&path).unwrap()), ["nothing-arrived", "cut-short"]);
    let mut second = left.begin("standup", "ws://h/rooms/standup", at(20)).unwrap();
    stays(&mut second.manifest, 20_100, 25_000);
    second.manifest.save(&second.folder).unwrap();
    drop(second);
    let left = HeldFolder::open(&path, "standup").unwrap();
    assert_eq!(causes(&Manifest::load(&path).unwrap()), ["recorder-away", "nothing-arrived", "cut-short"]);
    let mut third = left.begin("standup", "ws://h/rooms/standup", at(40)).unwrap().manifest;
    stays(&mut third, 40_100, 50_000);
    assert!(!third.judge());
    assert_eq!(causes(&third), ["recorder-away", "recorder-away", "nothing-arrived"]);
    // A crash alone, while nobody is there, is no loss of the whole.
    third.participants.clear();
    third.unrecorded.clear();
    assert!(third.judge(), "{:?}", third.reasons);
}

#[test]
fn a_recorder_that_was_paused_when_it_crashed_comes_back_paused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut first = record(&path, at(0));
    first.manifest.duration_ms = 9000;
    first.manifest.pauses = vec![Span { start_ms: 1000, end_ms: Some(2000) }, Span { start_ms: 5000, end_ms: None }];
    first.manifest.save(&first.folder).unwrap();
    drop(first);
    let second = record(&path, at(20)).manifest;
    assert_eq!(second.pauses[1], Span { start_ms: 5000, end_ms: None });
    assert_eq!(second.parts[0].reason_code.as_deref(), Some(CRASHED));
}

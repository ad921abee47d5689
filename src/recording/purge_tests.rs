//! Removing a participant: what goes, what stays, and that it may be done twice.

use super::*;
use crate::recording::event::{Entry, Event};
use crate::recording::manifest::{FileEntry, FileState, ParticipantEntry, Status};
use crate::recording::timeline::TimelineReader;
use crate::recording::track_entry::TrackEntry;
use crate::room::media::{Codec, Source};
use crate::room::participant::Role;
use jiff::Timestamp;
use std::path::PathBuf;

fn at(t_ms: u64, event: Event) -> Entry {
    Entry { t_ms, at: Timestamp::UNIX_EPOCH, event }
}

fn chat(participant: &str) -> Event {
    Event::Chat { participant: participant.into(), text: "hello".into() }
}

/// Of alice, `Alice Smith`, and bob, with everything that a recording may have.
fn recorded(parent: &Path) -> PathBuf {
    let folder = RecordingFolder::create(parent, "standup", Timestamp::UNIX_EPOCH).unwrap();
    let path = folder.path().to_owned();
    let mut manifest = Manifest::new("standup", "ws://h/rooms/standup", Timestamp::UNIX_EPOCH);
    manifest.status = Status::Complete;
    let mut timeline = folder.timeline().unwrap();
    for (key, name) in [("alice", "Alice Smith"), ("bob", "Bob"), ("alice-2", "Alice")] {
        let (participant, file) = (key.to_owned(), format!("{key}.camera.1.webm"));
        let entry = ParticipantEntry {
            key: key.into(),
            ids: vec![],
            name: name.into(),
            role: Role::default(),
            present: vec![],
        };
        manifest.participants.push(entry);
        manifest.tracks.push(TrackEntry::new(&file, key, Source::Camera, Codec::Vp8, 0));
        manifest.files.push(FileEntry {
            file: format!("files/{key}/a.pdf"),
            participant: key.into(),
            name: "a.pdf".into(),
            mime: None,
            size: 1,
            bytes: 1,
            sha256: None,
            state: FileState::Received,
            reason: None,
            started_ms: 0,
            at_ms: 0,
        });
        manifest.warn(format!("tracks/{file} was cut short"));
        for event in [
            Event::Joined { participant: participant.clone(), id: "p".into(), name: name.into() },
            Event::Resolution { file: file.clone(), width: 1, height: 1 },
            chat(key),
            Event::Speaker { participant: Some(participant) },
            Event::Warning { message: format!("{name}: nothing arrived") },
        ] {
            timeline.append(&at(5, event)).unwrap();
        }
        for path in [
            format!("tracks/{file}"),
            format!("files/{key}/a.pdf"),
            format!("files/{key}/b.pdf.part"),
            format!("participants/{key}.mp4"),
            format!("stills/{key}.screen.1.00000100.jpg"),
        ] {
            write(&folder, &path, "x");
        }
    }
    for path in [
        "film.mp4",
        "film.vtt",
        "film_01jd.webm",
        "film.opus",
        "hls/film.m3u8",
        "stills/poster.jpg",
        "stills/contact-sheet.jpg",
    ] {
        write(&folder, path, "x");
    }
    write(&folder, "stills/slides.json", r#"[{"of":"alice","file":"a"},{"of":"bob","file":"b"}]"#);
    subtitles::save(&manifest, &folder).unwrap();
    manifest.save(&folder).unwrap();
    path
}

fn write(folder: &RecordingFolder, path: &str, text: &str) {
    let path = folder.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn files(folder: &Path, below: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(below).unwrap().flatten() {
        if entry.path().is_dir() {
            files(folder, &entry.path(), found);
        } else {
            found.push(entry.path().strip_prefix(folder).unwrap().display().to_string());
        }
    }
    found.sort();
}

#[test]
fn a_participant_is_gone_and_the_others_are_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let path = recorded(dir.path());
    for _ in 0..2 {
        purge(&path, "alice").unwrap();
        let mut left = Vec::new();
        files(&path, &path, &mut left);
        let expected = [
            "chat.vtt",
            "files/alice-2/a.pdf",
            "files/alice-2/b.pdf.part",
            "files/bob/a.pdf",
            "files/bob/b.pdf.part",
            "manifest.json",
            "participants/alice-2.mp4",
            "participants/bob.mp4",
            "stills/alice-2.screen.1.00000100.jpg",
            "stills/bob.screen.1.00000100.jpg",
            "stills/slides.json",
            "timeline.jsonl",
            "tracks/alice-2.camera.1.webm",
            "tracks/bob.camera.1.webm",
        ];
        assert_eq!(left, expected);
    }
    let manifest = Manifest::load(&path).unwrap();
    let keys: Vec<_> = manifest.participants.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!((keys, manifest.tracks.len(), manifest.files.len()), (vec!["bob", "alice-2"], 2, 2));
    assert_eq!(manifest.warnings.last().map(String::as_str), Some(NOTE));
    let mut reader = TimelineReader::open(&path.join(TIMELINE)).unwrap();
    let events: Vec<Event> = reader.by_ref().map(|entry| entry.event).collect();
    // Five each of the two, and that nobody has the floor.
    assert_eq!((events.len(), reader.skipped()), (11, 0), "{events:?}");
    assert!(events.contains(&Event::Speaker { participant: None }) && events.contains(&chat("bob")));
    for file in ["manifest.json", "timeline.jsonl", "chat.vtt", "stills/slides.json"] {
        let text = std::fs::read_to_string(path.join(file)).unwrap();
        assert!(!mentions(&text.replace("alice-2", "another"), &["alice", "Alice Smith"]), "{file}: {text}");
    }
    let report = crate::recording::report::Report::load(&path);
    assert!(report.is_ok());
}

#[test]
fn the_last_text_takes_the_chat_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = recorded(dir.path());
    for key in ["alice", "bob", "alice-2"] {
        purge(&path, key).unwrap();
    }
    assert!(!path.join(CHAT).exists() && !path.join("tracks").exists() && path.join(MANIFEST).exists());
}

#[test]
fn what_is_being_recorded_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = recorded(dir.path());
    let held = RecordingFolder::claim(&path).unwrap().unwrap();
    assert!(purge(&path, "alice").is_err() && path.join("film.mp4").exists());
    drop(held);
}

#[test]
fn names_are_words() {
    assert!(mentions("alice: lost", &["alice"]) && mentions("tracks/alice.camera.1.webm", &["alice"]));
    assert!(
        !mentions("alice-2: lost", &["alice"])
            && !mentions("malice", &["alice"])
            && !mentions("", &["alice"])
            && !mentions("x", &[""])
    );
    assert!(mentions("von Zoë.", &["Zoë"]) && !mentions("Zoën", &["Zoë"]));
}

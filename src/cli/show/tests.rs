//! What `show` prints, as a golden text, and of recordings that are not finished.

use super::*;
use crate::recording::folder::{RecordingFolder, Subfolder};
use crate::recording::intervals::activities;
use crate::recording::manifest::{
    FileEntry, FileState, Manifest, ParticipantEntry, Resolution, Span, Status, TrackEntry,
};
use crate::recording::report::State;
use crate::recording::timeline::{Entry, Event};
use crate::room::media::{Codec, Source};
use crate::room::participant::Role;
use jiff::Timestamp;

const GOLDEN: &str = include_str!("golden.txt");

fn start() -> Timestamp {
    "2026-11-22T14:05:00Z".parse().unwrap()
}

fn participant(key: &str, name: &str, present: &[(u64, Option<u64>)]) -> ParticipantEntry {
    let present = present.iter().map(|(start_ms, end_ms)| Span { start_ms: *start_ms, end_ms: *end_ms }).collect();
    ParticipantEntry { key: key.into(), ids: vec!["p".into()], name: name.into(), role: Role::Participant, present }
}

fn track(participant: &str, source: Source, codec: Codec, start_ms: u64, end_ms: u64) -> TrackEntry {
    let file = format!("{participant}.{}.1.webm", source.word());
    let mut track = TrackEntry::new(&file, participant, source, codec, start_ms);
    (track.end_ms, track.finished, track.packets) = (end_ms, true, 1000);
    (track.frames, track.bytes) = ((end_ms - start_ms) / 20, (end_ms - start_ms) * 50);
    track
}

/// Two people for a minute and a half; one drops and comes back, and shares a screen.
fn manifest() -> Manifest {
    let mut manifest = Manifest::new("standup", "ws://127.0.0.1:8080/rooms/standup", start());
    manifest.status = Status::Complete;
    manifest.duration_ms = 90_000;
    manifest.participants = vec![
        participant("alice", "Alice", &[(0, Some(40_000)), (52_000, Some(90_000))]),
        participant("zoë-\u{202e}", "Zoë \u{202e}\u{1b}[31m", &[(9500, Some(90_000))]),
    ];
    let mut camera = track("alice", Source::Camera, Codec::Vp8, 180, 40_000);
    camera.resolutions =
        [(180, 640, 360), (8200, 1280, 720)].map(|(at_ms, width, height)| Resolution { at_ms, width, height }).into();
    (camera.lost, camera.sync_error_ms, camera.bytes) = (9, Some(1.23), 7_000_000);
    camera.mutes = vec![Span { start_ms: 20_000, end_ms: Some(25_000) }];
    let screen = track("alice", Source::Screen, Codec::Av1, 60_000, 75_500);
    let mic = track("zoë-\u{202e}", Source::Mic, Codec::Opus, 9600, 90_000);
    manifest.tracks = vec![camera, screen, mic];
    let slides = FileEntry {
        file: "files/alice/Slides \u{202e}.pdf".into(),
        participant: "alice".into(),
        name: "Slides.pdf".into(),
        mime: None,
        size: 122_880,
        bytes: 122_880,
        sha256: Some("00".repeat(32)),
        state: FileState::Received,
        reason: None,
        started_ms: 60_000,
        at_ms: 61_000,
    };
    let film = FileEntry {
        file: "files/alice/film.mkv.part".into(),
        size: 4 << 20,
        bytes: 1 << 20,
        sha256: None,
        state: FileState::Incomplete,
        reason: Some("the connection ended".into()),
        ..slides.clone()
    };
    manifest.files = vec![slides, film];
    manifest.warnings = vec!["tracks/alice.camera.1.webm: 9 packets never arrived".into()];
    manifest
}

fn events() -> Vec<Entry> {
    let speaks = |t_ms, key: Option<&str>| {
        let event = Event::Speaker { participant: key.map(Into::into) };
        Entry { t_ms, at: start(), event }
    };
    vec![
        speaks(12_000, Some("zoë-\u{202e}")),
        speaks(30_000, None),
        speaks(80_000, Some("zoë-\u{202e}")),
        speaks(80_300, None),
    ]
}

/// A recording folder on disk with this manifest and these events; its tracks are there, but empty.
fn recording(dir: &Path, manifest: &Manifest) -> RecordingFolder {
    let folder = RecordingFolder::create(dir, &manifest.room, manifest.started).unwrap();
    for track in &manifest.tracks {
        folder.create_file(Subfolder::Tracks, &track.file).unwrap();
    }
    let mut timeline = folder.timeline().unwrap();
    events().iter().for_each(|entry| timeline.append(entry).unwrap());
    manifest.save(&folder).unwrap();
    folder
}

#[test]
fn a_recording_reads_as_the_golden_text() {
    let manifest = manifest();
    let activities = activities(&manifest, &events());
    let path = PathBuf::from("recordings/standup-20261122T140500Z");
    let report = Report {
        path,
        state: State::Complete,
        manifest,
        activities,
        messages: 2,
        missing: vec!["tracks/zoe.mic.9.webm".into()],
    };
    let text = text::render(&report, 110, false);
    assert_eq!(text, GOLDEN);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "nothing of a name reaches the terminal as a command");
    let coloured = text::render(&report, 110, true);
    assert_eq!(console::strip_ansi_codes(&coloured), text);
    assert_ne!(coloured, text);
    for width in 60..200 {
        let widest = text::render(&report, width, false).lines().map(console::measure_text_width).max();
        assert!(widest <= Some(width), "{width}: {widest:?}");
    }
}

#[test]
fn a_running_a_cut_short_and_an_ended_recording_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = manifest();
    manifest.status = Status::Recording;
    let folder = recording(dir.path(), &manifest);
    let path = folder.path().to_owned();
    let state = || Report::load(&path).unwrap().state;
    assert_eq!(state(), State::Recording);
    drop(folder);
    assert_eq!(state(), State::CutShort);
    let text = text::render(&Report::load(&path).unwrap(), 100, false);
    assert!(text.contains("cut short\n") && text.contains("finishes them"), "{text}");
    manifest.status = Status::Complete;
    manifest.save(&RecordingFolder::claim(&path).unwrap().unwrap()).unwrap();
    assert_eq!(state(), State::Complete);
}

#[test]
fn json_is_the_manifest_and_what_follows_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = recording(dir.path(), &manifest());
    std::fs::remove_file(folder.path().join("tracks/alice.screen.1.webm")).unwrap();
    let report = Report::load(folder.path()).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["schema"], &json["room"], &json["state"]), (&1.into(), &"standup".into(), &"complete".into()));
    assert_eq!(json["tracks"].as_array().unwrap().len(), 3);
    assert_eq!(
        json["missing"],
        serde_json::json!([
            "tracks/alice.screen.1.webm",
            "files/alice/Slides \u{202e}.pdf",
            "files/alice/film.mkv.part"
        ])
    );
    assert_eq!(json["activities"][1]["spoke"][0], serde_json::json!({"start_ms": 12_000, "end_ms": 30_000}));
    assert_eq!(json["activities"][0]["camera"][1], serde_json::json!({"start_ms": 25_000, "end_ms": 40_000}));
    // And still a manifest, for whoever reads one.
    assert_eq!(Manifest::parse(json.to_string().as_bytes()).unwrap(), report.manifest);
    let text = text::render(&report, 100, false);
    assert!(text.contains("- tracks/alice.screen.1.webm is not there"), "{text}");
}

#[test]
fn what_is_no_recording_is_the_users_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(ShowArgs { recording: dir.path().join("nothing"), json: false }).unwrap_err();
    assert!(matches!(error, Error::User(_)), "{error:?}");
    assert!(error.to_string().contains("is not a recording"), "{error}");
    std::fs::write(dir.path().join("manifest.json"), r#"{"schema": 9}"#).unwrap();
    let error = run(ShowArgs { recording: dir.path().to_owned(), json: true }).unwrap_err();
    assert!(error.to_string().contains("use a newer roombot"), "{error}");
}

#[test]
fn parts_and_pauses_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = manifest();
    let folder = recording(dir.path(), &manifest);
    let shown = |manifest: &Manifest| {
        manifest.save(&folder).unwrap();
        text::render(&Report::load(folder.path()).unwrap(), 100, false)
    };
    assert!(!shown(&manifest).contains("Parts"));
    manifest.end_part(40_000, "cut short", "crashed");
    manifest.parts.push(crate::recording::manifest::Part::new(52_000));
    manifest.pauses = vec![Span { start_ms: 60_000, end_ms: Some(65_000) }];
    let text = shown(&manifest);
    assert!(text.contains("Parts\n- 0:00.0 to 0:40: cut short\n- 0:52 to now\n"), "{text}");
    assert!(text.contains("Pauses\n- 1:00 to 1:05\n"), "{text}");
}

#[test]
fn absurd_times_are_drawn_without_panic() {
    for (duration_ms, start_ms, end_ms) in [(0, 0, 0), (1, 5, 2), (u64::MAX, 0, u64::MAX), (1000, u64::MAX, 0)] {
        let mut manifest = manifest();
        manifest.duration_ms = duration_ms;
        (manifest.tracks[0].start_ms, manifest.tracks[0].end_ms) = (start_ms, end_ms);
        manifest.participants[0].present[0] = Span { start_ms, end_ms: Some(end_ms) };
        let activities = activities(&manifest, &events());
        let report =
            Report { path: "x".into(), state: State::Recording, manifest, activities, messages: 0, missing: vec![] };
        assert!(text::render(&report, 100, false).lines().count() < 40);
    }
}

//! A recorder that is killed and started again with the same folder: one recording of two parts, one film over both, and what is missing
//! in between is told.

use crate::support::bot::{self, Bot};
use crate::support::machine;
use crate::support::needs::{needed, tools};
use crate::support::probe::probe;
use crate::support::server::TestServer;
use crate::support::{moment, pause, within};
use roombot::recording::folder::RecordingFolder;
use roombot::recording::manifest::{Manifest, Status};
use roombot::recording::timeline::{Entry, Event, TimelineReader};
use roombot::room::media::Source;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub const STAMPED: &str = "alice,320x180@15";
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody with stamped camera and microphone.
pub fn feed(room: &str) -> Bot {
    Bot::start(&["feed", room, "--stamp", STAMPED, "--as", "Alice"])
}

/// A recorder into this folder.
pub fn recorder(room: &str, folder: &Path, more: &[&str]) -> Bot {
    Bot::start(&[&["record", room, "--quiet", "--folder", folder.to_str().expect("UTF-8")], more].concat())
}

pub fn timeline(folder: &Path) -> Vec<Entry> {
    TimelineReader::open(&folder.join("timeline.jsonl")).map(Iterator::collect).unwrap_or_default()
}

/// Waits until the timeline has so many track files of alice.
pub async fn has_tracks(folder: &Path, count: usize) {
    let begun = async {
        while timeline(folder).iter().filter(|entry| matches!(entry.event, Event::TrackOn { .. })).count() < count {
            moment().await;
        }
    };
    within(PATIENCE.as_secs(), "tracks begin", begun).await;
}

/// Its length in seconds, by ffprobe.
pub fn seconds(file: &Path) -> f64 {
    let args = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"];
    let output = Command::new("ffprobe").args(args).arg(file).output().expect("ffprobe runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a length")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_recorder_continues_its_recording() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::share().await;
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let (room, folder) = (server.room("standup"), dir.path().join("rec_1"));
    let mut first = recorder(&room, &folder, &[]);
    let alice = feed(&room);
    has_tracks(&folder, 2).await;
    pause(Duration::from_secs(2), "tracks of some length").await;

    // Two must never write one folder.
    let second = recorder(&room, &folder, &[]).ended(PATIENCE).await;
    assert_eq!(second.code, Some(2), "{second:?}");
    assert!(second.stderr.contains("another process records into it"), "{second:?}");
    let other = Bot::record(&room, dir.path(), &["--quiet", "--for", "300ms"]).ended(PATIENCE).await;
    assert!(!other.stderr.contains("rec_1"), "a recording that goes on is not recovered: {other:?}");

    first.kill();
    pause(Duration::from_secs(1), "nobody records").await;
    let killed = Manifest::load(&folder).expect("a manifest");
    assert_eq!((killed.status, RecordingFolder::is_live(&folder)), (Status::Recording, false));
    let third = recorder(&room, &folder, &["--json"]);
    has_tracks(&folder, 4).await;
    pause(Duration::from_secs(2), "tracks of some length").await;
    third.interrupt();
    let outcome = third.ended(PATIENCE).await;
    drop(alice);
    assert_eq!(outcome.code, Some(7), "{outcome:?}");
    assert!(outcome.stderr.contains("was cut short; 2 track files finished"), "{outcome:?}");
    let summary: Value = serde_json::from_str(outcome.stdout.trim()).expect("a summary");
    assert_eq!(summary["folder"], folder.to_str().expect("UTF-8"));
    assert!(
        summary["reasons"][0]["text"].as_str().expect("a text").contains("the recorder was away for"),
        "{summary:#}"
    );

    let manifest = Manifest::load(&folder).expect("a manifest");
    assert_eq!((manifest.status, manifest.started), (Status::Partial, killed.started));
    let files: Vec<&str> = manifest.tracks.iter().map(|track| track.file.as_str()).collect();
    let mut sorted = files.clone();
    sorted.sort_unstable();
    let expected = ["alice.camera.1.webm", "alice.camera.2.webm", "alice.mic.1.webm", "alice.mic.2.webm"];
    assert_eq!(sorted, expected);
    assert!(manifest.tracks.iter().all(|track| track.finished));
    let people: Vec<_> = manifest.participants.iter().filter(|person| person.key == "alice").collect();
    assert_eq!((people.len(), people[0].present.len(), people[0].ids.len()), (1, 2, 1), "{people:#?}");
    let [before, after] = &manifest.parts[..] else { panic!("{:#?}", manifest.parts) };
    assert_eq!((before.reason_code.as_deref(), after.reason_code.as_deref()), (Some("crashed"), Some("stopped")));
    let away_ms = after.start_ms - before.end_ms.expect("an end");
    assert!((1000..20_000).contains(&away_ms), "{away_ms}");
    let events = timeline(&folder);
    let back = events.iter().find(|entry| matches!(entry.event, Event::RecorderBack { .. })).expect("it came back");
    assert_eq!(back.event, Event::RecorderBack { away_ms });
    // Session time is the wall clock's since the first start.
    assert_eq!(back.at.as_millisecond(), manifest.started.as_millisecond() + after.start_ms as i64);
    for track in &manifest.tracks {
        let within = if track.file.contains(".1.") { before } else { after };
        let end = within.end_ms.expect("an end");
        assert!(within.start_ms <= track.start_ms && track.end_ms <= end + 200, "{track:#?} {within:?}");
        assert_eq!(probe(&folder.join("tracks").join(&track.file)).frames, track.frames, "{}", track.file);
    }
    let camera = manifest.tracks.iter().filter(|track| track.source == Source::Camera);
    assert!(camera.map(|track| track.frames).sum::<u64>() > 45, "{:#?}", manifest.tracks);

    let path = folder.to_str().expect("UTF-8");
    let shown = bot::run(&["show", path]).await;
    assert!(shown.stdout.contains("the recorder was away for"), "{}", shown.stdout);
    let expect = ["--expect", "participants == 1", "--expect", "out_of_order == 0", "--expect", "unread_percent <= 1"];
    let verdict = Bot::start(&[&["verify", path][..], &expect].concat()).ended(PATIENCE).await;
    // Both parts are judged, and what lies between them is damage.
    assert_eq!(verdict.code, Some(5), "{verdict:?}");
    assert_eq!(verdict.stdout.matches("  pass  ").count(), 3, "{verdict:?}");
    assert!(verdict.stdout.contains("damage: the recorder was away for"), "{verdict:?}");
    let film = Bot::start(&["compose", path, "--size", "320x180", "--fps", "15", "--json"]).ended(2 * PATIENCE).await;
    assert_eq!(film.code, Some(0), "{film:?}");
    let film: Value = serde_json::from_str(film.stdout.trim()).expect("a summary");
    let length = seconds(Path::new(film["film"].as_str().expect("a film")));
    assert!((length - manifest.duration_ms as f64 / 1000.0).abs() < 0.3, "{length} {}", manifest.duration_ms);
}

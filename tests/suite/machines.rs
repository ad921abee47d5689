//! The service on many machines, over a real NATS: a recording goes to a worker; a worker that dies, is stopped or is cut off makes way for
//! another, and no room ever has two recorders of one recording.

use crate::continued::timeline;
use crate::support::bot::Bot;
use crate::support::machines::{Machines, lose};
use crate::support::nats::Line;
use crate::support::needs::{needed, tools};
use crate::support::probe::probe;
use crate::support::service::{Service, until_it_holds};
use crate::support::{machine, moment, within};
use jiff::Timestamp;
use reqwest::StatusCode;
use roombot::recording::manifest::Manifest;
use roombot::recording::timeline::{Entry, Event};
use roombot::room::media::Source;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// When the last part in this folder began and ended, by the wall clock that all processes here share.
fn last_part(folder: &Path) -> (Option<Timestamp>, Option<Timestamp>) {
    let entries = timeline(folder);
    let last =
        |of: fn(&Event) -> bool| entries.iter().rev().find(|entry: &&Entry| of(&entry.event)).map(|entry| entry.at);
    let started = last(|event| matches!(event, Event::RecordingStarted { .. } | Event::RecorderBack { .. }));
    (started, last(|event| matches!(event, Event::RecordingEnded { .. })))
}

/// The worker leaves the room before the other one comes.
async fn makes_way(machines: &Machines, first: &Service, second: &Service, id: &str) {
    let is_back = |entry: &Entry| matches!(entry.event, Event::RecorderBack { .. });
    let goes_on = || timeline(&second.recording(id)).iter().any(is_back);
    until_it_holds("the second one goes on with the recording", 20, goes_on).await;
    machines.records(second, id, 20).await;
    let ended = async {
        loop {
            if let (_, Some(ended)) = last_part(&first.recording(id)) {
                return ended;
            }
            moment().await;
        }
    };
    let ended = within(10, "the first recorder has left", ended).await;
    let began = last_part(&second.recording(id)).0.expect("the second one began");
    let gap = began.as_millisecond() - ended.as_millisecond();
    assert!(gap > 0, "two recorders for {} ms", -gap);
    assert!(gap < 20_000, "no recorder for {gap} ms");
}

#[tokio::test]
async fn a_recording_goes_to_a_worker_and_comes_back_whole() {
    let _busy = machine::alone().await;
    let machines = needed!(Machines::start().await);
    let early = machines.record().await;
    machines.api.until(&early, &["queued"], 5).await;
    assert_eq!(machines.api.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE, "nobody can record");
    let worker = machines.worker("one").await;
    machines.api.until(&early, &["recording"], 30).await;
    machines.records(&worker, &early, 30).await;
    // The worker tells how it stands, and the recorder writes its manifest, now and then.
    for (part, name) in [("live", "lice"), ("participants", "alice")] {
        machines.says(&format!("/v1/recordings/{early}/{part}"), name).await;
    }
    machines.api.post(&format!("/v1/recordings/{early}/pause"), json!({})).await;
    machines.api.until(&early, &["paused"], 10).await;
    machines.api.post(&format!("/v1/recordings/{early}/resume"), json!({})).await;
    machines.api.until(&early, &["recording"], 10).await;
    for line in ["roombot_worker_capacity 2.0", "roombot_queue_depth 0"] {
        machines.says("/metrics", line).await;
    }

    let recording = machines.stop(&early, &["complete"]).await;
    assert_eq!((&recording["storage"]["state"], &recording["storage"]["local"]), (&json!("stored"), &json!(false)));
    let place = machines.store.path().join("store").join(recording["storage"]["path"].as_str().expect("a place"));
    assert!(place.join("manifest.json").exists(), "{}", place.display());
    let people = machines.api.get(&format!("/v1/recordings/{early}/participants")).await;
    assert!(people.text.contains("alice"), "{}", people.text);
    let track = recording["outcome"]["media"].as_array().expect("media").iter().find(|m| m["kind"] == "track");
    let path = track.expect("a track")["path"].as_str().expect("a path").to_owned();
    let media = machines.api.get(&format!("/v1/recordings/{early}/media/{path}")).await;
    assert_eq!(media.status, StatusCode::OK);
    let events = machines.events(&early).await;
    let sequence: Vec<_> = events.iter().filter_map(|event| event["sequence"].as_i64()).collect();
    assert_eq!(sequence, (1..=events.len() as i64).collect::<Vec<_>>(), "{events:#?}");
    let kinds: Vec<_> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    for kind in ["queued", "joining", "started", "paused", "resumed", "stopped", "uploaded", "completed"] {
        let kind = format!("recording.{kind}");
        assert_eq!(kinds.iter().filter(|told| **told == kind).count(), 1, "{kind}: {kinds:?}");
    }
    let deleted = machines.api.request(reqwest::Method::DELETE, &format!("/v1/recordings/{early}"));
    assert_eq!(machines.api.send(deleted).await.status, StatusCode::NO_CONTENT);
    assert!(!place.join("manifest.json").exists());
}

#[tokio::test]
async fn a_worker_that_dies_is_replaced_within_seconds() {
    needed!(tools(&["ffmpeg"]));
    let _busy = machine::alone().await;
    let machines = needed!(Machines::start().await);
    let mut first = machines.worker("one").await;
    let id = machines.record().await;
    machines.api.until(&id, &["recording"], 30).await;
    machines.records(&first, &id, 30).await;
    let second = machines.worker("two").await;
    // What was recorded is in the store within a second.
    let parts = || {
        let found = walk(&machines.store.path().join("store"));
        found.iter().filter(|path| path.to_string_lossy().contains(&format!("{id}/live/"))).count()
    };
    until_it_holds("some of it is in the store", 10, || parts() >= 4).await;
    let lost = Timestamp::now();
    lose(&mut first, &id);
    let back = || timeline(&second.recording(&id)).iter().any(|e| matches!(e.event, Event::RecorderBack { .. }));
    until_it_holds("the second one goes on with the same recording", 20, back).await;
    let began = last_part(&second.recording(&id)).0.expect("it began");
    let away = began.as_millisecond() - lost.as_millisecond();
    println!("back in the room after {away} ms");
    assert!(away < 15_000, "{away} ms");
    machines.tells(&id, "worker.lost", "one", 5).await;

    // The machine is back: what it had is sent beside.
    first.restart().await;
    let late = machines.tells(&id, "recording.warning", "came back", 60).await;
    let url = late["data"]["url"].as_str().expect("an address").to_owned();
    assert!(url.ends_with("/late/one-1"), "{url}");
    let path = url.strip_prefix("file://").expect("a path");
    assert!(Path::new(path).join("manifest.json").exists() && Path::new(path).join("tracks").exists(), "{path}");
    let recording = machines.stop(&id, &["partial"]).await;
    assert_eq!(recording["storage"]["state"], "stored", "{recording:#}");
    // One recording of two parts, with the first one's tracks.
    let place = machines.store.path().join("store").join(recording["storage"]["path"].as_str().expect("a place"));
    let manifest = Manifest::load(&place).expect("a manifest");
    assert_eq!(manifest.parts.len(), 2, "{:#?}", manifest.parts);
    let cameras: Vec<_> = manifest.tracks.iter().filter(|track| track.source == Source::Camera).collect();
    assert!(cameras.len() == 2 && cameras.iter().all(|track| track.frames > 0), "{cameras:#?}");
    for track in cameras {
        assert_eq!(probe(&place.join("tracks").join(&track.file)).frames, track.frames, "{}", track.file);
    }
    assert!(recording["outcome"]["losses"].to_string().contains("was away"), "{recording:#}");
    let events = machines.events(&id).await;
    // The killed recorder may still be a member of the room when its successor comes.
    let is_alice = |event: &&Value| event["type"] == "recording.participant_joined" && event["data"]["name"] == "Alice";
    assert!((1..=2).contains(&events.iter().filter(is_alice).count()), "told once for each part: {events:#?}");
}

/// All files below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_worker_that_is_stopped_leaves_its_room_before_another_comes() {
    let _busy = machine::alone().await;
    let machines = needed!(Machines::start().await);
    let first = machines.worker("one").await;
    let id = machines.record().await;
    machines.records(&first, &id, 30).await;
    let second = machines.worker("two").await;
    first.signal(Signal::STOP);
    makes_way(&machines, &first, &second, &id).await;
    first.signal(Signal::CONT);
    machines.tells(&id, "recording.warning", "came back", 60).await;
    machines.stop(&id, &["complete", "partial"]).await;
}

#[tokio::test]
async fn a_worker_that_is_cut_off_leaves_its_room_before_another_comes() {
    let _busy = machine::alone().await;
    let machines = needed!(Machines::start().await);
    let line = Line::to(machines.nats.address).await;
    let first = machines.worker_at("one", line.address, "").await;
    let id = machines.record().await;
    machines.records(&first, &id, 30).await;
    let second = machines.worker("two").await;
    line.hold();
    makes_way(&machines, &first, &second, &id).await;
    line.open();
    machines.tells(&id, "recording.warning", "came back", 60).await;
    machines.stop(&id, &["complete", "partial"]).await;
}

#[tokio::test]
async fn a_recording_goes_on_when_nats_is_back() {
    let _busy = machine::alone().await;
    let mut machines = needed!(Machines::start().await);
    let worker = machines.worker("one").await;
    let id = machines.record().await;
    machines.records(&worker, &id, 30).await;
    machines.nats.kill();
    let gone = || last_part(&worker.recording(&id)).1.is_some();
    until_it_holds("the recorder has left", 10, gone).await;
    machines.nats.restart().await;
    let is_back = |entry: &Entry| matches!(entry.event, Event::RecorderBack { .. });
    let is_end = |entry: &Entry| matches!(entry.event, Event::RecordingEnded { .. });
    let back = || timeline(&worker.recording(&id)).iter().any(is_back);
    until_it_holds("the recorder is back in the same recording", 20, back).await;
    machines.nats.lose();
    let ends = || timeline(&worker.recording(&id)).iter().filter(|e| is_end(e)).count();
    until_it_holds("the recorder has left again", 10, || ends() == 2).await;
    machines.nats.restart().await;
    let parts = || timeline(&worker.recording(&id)).iter().filter(|e| is_back(e)).count();
    until_it_holds("the recorder is back, though NATS has lost everything", 30, || parts() == 2).await;
    let recording = machines.stop(&id, &["partial"]).await;
    assert!(recording["outcome"]["losses"].to_string().contains("was away"), "{recording:#}");
    assert!(recording["parts"].as_u64() >= Some(2), "{recording:#}");
}

#[tokio::test]
async fn an_api_node_that_was_killed_learns_what_it_has_missed() {
    let _busy = machine::share().await;
    let mut machines = needed!(Machines::start().await);
    let worker = machines.worker("one").await;
    let id = machines.record().await;
    machines.records(&worker, &id, 30).await;
    machines.api.kill_only();
    let bob = Bot::start(&["feed", &machines.server.room("standup"), "--stamp", "bob,320x180@15", "--as", "Bob"]);
    let joined = |event: &Event| matches!(event, Event::Joined { name, .. } if name == "Bob");
    let seen = || timeline(&worker.recording(&id)).iter().any(|entry| joined(&entry.event));
    until_it_holds("Bob is recorded", 30, seen).await;
    machines.api.restart().await;
    machines.tells(&id, "recording.participant_joined", "Bob", 20).await;
    drop(bob);
    machines.stop(&id, &["complete", "partial"]).await;
    let events = machines.events(&id).await;
    let sequence: Vec<_> = events.iter().filter_map(|event| event["sequence"].as_i64()).collect();
    assert_eq!(sequence, (1..=events.len() as i64).collect::<Vec<_>>(), "{events:#?}");
    let told = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((told("recording.participant_joined"), told("recording.completed")), (2, 1), "{events:#?}");
    assert_eq!(told("worker.lost"), 0, "the worker was never lost");
}

#[tokio::test]
async fn drains_and_labels_say_where_a_recording_goes() {
    let _busy = machine::share().await;
    let machines = needed!(Machines::start().await);
    let plain = machines.worker("plain").await;
    let eu = machines.worker_at("eu", machines.nats.address, "labels = { region = \"eu\" }").await;
    let room = machines.server.room("standup");
    let asked = json!({ "room_url": room, "placement": { "labels": { "region": "eu" } } });
    let labelled = machines.api.record(asked.clone()).await;
    machines.records(&eu, &labelled, 30).await;
    assert!(!plain.recording(&labelled).exists());

    let drained = machines.api.post("/v1/workers/eu/drain", json!({})).await;
    assert_eq!(drained.status, StatusCode::ACCEPTED, "{}", drained.text);
    let draining = async {
        while !machines.workers().await.iter().any(|worker| worker["id"] == "eu" && worker["state"] == "draining") {
            moment().await;
        }
    };
    within(10, "the worker drains", draining).await;
    let waits = machines.api.record(asked).await;
    let other = machines.record().await;
    machines.records(&plain, &other, 30).await;
    machines.api.until(&waits, &["queued"], 5).await;
    assert_eq!(machines.api.post("/v1/workers/nobody/drain", json!({})).await.status, StatusCode::NOT_FOUND);
    let cancelled = machines.api.post(&format!("/v1/recordings/{waits}/cancel"), json!({})).await;
    assert_eq!(cancelled.json()["state"], "cancelled", "{}", cancelled.text);
    // On a busy machine a session may be renewed late.
    // What ran when the drain began ends as it would have.
    machines.stop(&labelled, &["complete", "partial"]).await;
    machines.stop(&other, &["complete", "partial"]).await;
}

#[tokio::test]
async fn what_cannot_work_on_many_machines_is_said_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("UTF-8");
    for (more, says) in [
        (&["--role", "worker"][..], "need a queue"),
        (&["--queue", "nats://127.0.0.1:4222"], "api or worker"),
        (&["--queue", "nats://127.0.0.1:4222", "--role", "worker"], "the same [store]"),
        (
            &["--queue", "nats://127.0.0.1:4222", "--role", "worker", "--worker", "a b", "--store", "file:///srv"],
            "worker:",
        ),
    ] {
        let ended =
            crate::support::bot::run(&[&["serve", "--data", data, "--listen", "127.0.0.1:0"][..], more].concat()).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(says), "{says}: {}", ended.stderr);
    }
}

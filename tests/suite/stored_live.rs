//! Recordings that are sent to a store while they are made: their machine is lost, and what the store has becomes a recording again.

use crate::support::bot::Bot;
use crate::support::machine;
use crate::support::needs::needed;
use crate::support::server::TestServer;
use crate::support::service::{Service, until_it_holds};
use crate::support::store::{BUCKET, Store, configuration};
use crate::support::{moment, pause, within};
use reqwest::StatusCode;
use roombot::recording::manifest::{Manifest, Status};
use roombot::recording::recover::recover;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How often what is recorded is sent.
const EVERY: &str = "upload_every = \"2s\"";
/// Two of these, and what a busy machine takes besides.
const MOST_LOST_MS: u64 = 5_000;

/// The manifest of a recording, after it was finished.
fn finished(folder: &Path) -> Manifest {
    recover(folder).expect("it can be finished");
    Manifest::load(folder).expect("a manifest")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_machine_costs_seconds_and_its_recording_goes_on_elsewhere() {
    let mut store = needed!(Store::prepare().await);
    let _turn = machine::share().await;
    store.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = configuration(folder.path(), store.address(), EVERY);
    let server = TestServer::start().await;
    let mut service = Service::start(&["--config", &config]).await;
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let _alice = Bot::start(&["feed", &server.room("standup"), &media, "--loop"]);
    let id = service.record(json!({ "room_url": server.room("standup") })).await;
    let recording = service.until(&id, &["recording"], 30).await;
    pause(Duration::from_secs(4), "something is recorded").await;
    // A service that is killed goes on where it was: nothing is sent twice.
    service.kill_and_restart().await;
    pause(Duration::from_secs(7), "something is recorded").await;

    let here = service.recording(&id);
    service.kill_only();
    for pid in service.processes(&id).into_iter().filter_map(Pid::from_raw) {
        kill_process(pid, Signal::KILL).expect("a recorder");
    }
    let lost = folder.path().join("lost");
    std::fs::rename(&here, &lost).expect("moved away");
    let day = recording["created_at"].as_str().expect("a time")[..10].replace('-', "/");
    let place = format!("2026/default/{day}/standup/{id}");
    let packs: Vec<_> = store.keys().await;
    assert!(packs.len() >= 4 && packs.iter().all(|key| key.starts_with(&format!("{place}/live/"))), "{packs:?}");

    let fetched = folder.path().join("fetched");
    let address = format!("s3://{BUCKET}/{place}");
    let fetch = |address: &str, into: &Path| {
        let args = ["fetch", "--json", "--config", &config, address, into.to_str().expect("UTF-8")];
        Bot::start(&args).ended(Duration::from_secs(60))
    };
    let outcome = fetch(&address, &fetched).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let (was, is) = (finished(&lost), finished(&fetched));
    assert_eq!((is.status, is.tracks.len()), (Status::Recovered, was.tracks.len()));
    for (was, is) in was.tracks.iter().zip(&is.tracks) {
        assert_eq!(was.file, is.file);
        assert!(was.end_ms > 8_000 && is.finished, "{}: too short to tell: {}", was.file, was.end_ms);
        assert!(was.end_ms.saturating_sub(is.end_ms) <= MOST_LOST_MS, "{}: {} of {}", is.file, is.end_ms, was.end_ms);
    }
    let nowhere = fetch(&format!("{address}-2"), &folder.path().join("none")).await;
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");

    // A recorder goes on in it.
    let mut command = Command::new(env!("CARGO_BIN_EXE_roombot"));
    command.args(["record", "--quiet", "--for", "3s", "--folder"]).arg(&fetched).arg(server.room("standup"));
    let outcome = Bot::spawn(command).ended(Duration::from_secs(60)).await;
    let manifest = Manifest::load(&fetched).expect("a manifest");
    assert_eq!((manifest.parts.len(), manifest.tracks.len()), (2, 2 * is.tracks.len()), "{outcome:?}");
}

#[tokio::test]
async fn parts_are_gone_once_all_of_it_is_there_and_a_store_that_is_down_costs_the_recording_nothing() {
    let mut store = needed!(Store::prepare().await);
    let folder = tempfile::tempdir().expect("a folder");
    let config = configuration(folder.path(), store.address(), "upload_every = \"1s\"");
    let server = TestServer::start().await;
    let service = Service::start(&["--config", &config]).await;
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let _alice = Bot::start(&["feed", &server.room("standup"), &media, "--loop"]);
    let id = service.record(json!({ "room_url": server.room("standup") })).await;
    service.until(&id, &["recording"], 30).await;
    let failed = async {
        while !service
            .get("/metrics")
            .await
            .text
            .lines()
            .any(|line| line.strip_prefix("roombot_upload_part_errors_total ").is_some_and(|count| count != "0"))
        {
            moment().await;
        }
    };
    within(60, "a part cannot be sent", failed).await;
    store.start().await;
    let sent = async {
        while store.keys().await.is_empty() {
            moment().await;
        }
    };
    within(60, "a part is there", sent).await;
    assert!(store.keys().await[0].contains("/live/"));
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    let recording = service.until(&id, &["complete"], 60).await;
    assert_eq!(recording["outcome"]["losses"], json!([]), "{recording:#}");
    let keys = store.keys().await;
    assert!(keys.iter().any(|key| key.ends_with("/manifest.json")), "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains("/live/")), "{keys:?}");
    let noted = service.data().join("run").join(format!("{id}.live.json"));
    until_it_holds("how far it was is forgotten", 5, || !noted.exists()).await;

    // The whole of it comes back.
    let place = recording["storage"]["url"].as_str().expect("an address");
    let into = folder.path().join("fetched");
    let args = ["fetch", "--json", "--config", &config, place, into.to_str().expect("UTF-8")];
    let outcome = Bot::start(&args).ended(Duration::from_secs(60)).await;
    assert!(outcome.code == Some(0) && outcome.stdout.contains("\"whole\":true"), "{outcome:?}");
    let fetched = std::fs::read(into.join("manifest.json")).expect("read");
    assert_eq!(fetched, std::fs::read(service.recording(&id).join("manifest.json")).expect("read"));
}

#[tokio::test]
async fn a_disk_without_room_keeps_recordings_back_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("roombot.toml");
    std::fs::write(&config, "disk_low = \"1000TiB\"\n").expect("written");
    let server = TestServer::start().await;
    let mut service = Service::start(&["--config", config.to_str().expect("UTF-8")]).await;
    let ready = service.get("/readyz").await;
    assert!(ready.status == StatusCode::SERVICE_UNAVAILABLE && ready.text.contains("disk_low"), "{}", ready.text);
    let id = service.record(json!({ "room_url": server.room("standup") })).await;
    pause(Duration::from_secs(2), "it would have begun").await;
    assert_eq!(service.get(&format!("/v1/recordings/{id}")).await.json()["state"], "queued");
    // It begins when there is room.
    std::fs::write(&config, "disk_low = \"0\"\n").expect("written");
    service.kill_and_restart().await;
    assert_eq!(service.get("/readyz").await.status, StatusCode::OK);
    service.until(&id, &["waiting"], 30).await;
}

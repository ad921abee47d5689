//! Recordings of the service in a real S3: sent while it is down, held or killed; read from it; deleted in it.

use crate::support::bot::Bot;
use crate::support::cargo::hash;
use crate::support::needs::needed;
use crate::support::server::TestServer;
use crate::support::service::{Service, until_it_holds};
use crate::support::store::{Store, Valve, configuration, storage};
use crate::support::{moment, within};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;

/// Bytes of a file that takes two parts.
const LARGE: usize = 12 << 20;

fn large() -> Vec<u8> {
    (0..LARGE).map(|at| (at / 5 % 249) as u8).collect()
}

/// Records somebody for a moment, with a large file beside; returns the id and the stopped recording's place.
async fn record(server: &TestServer, service: &Service) -> String {
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let _alice = Bot::start(&["feed", &server.room("standup"), &media, "--loop"]);
    let id = service.record(json!({ "room_url": server.room("standup") })).await;
    service.until(&id, &["recording"], 30).await;
    let tracks = service.recording(&id).join("tracks");
    let grows = || {
        std::fs::read_dir(&tracks)
            .is_ok_and(|files| files.flatten().any(|file| file.metadata().is_ok_and(|m| m.len() > 20_000)))
    };
    until_it_holds("something is recorded", 30, grows).await;
    std::fs::create_dir_all(service.recording(&id).join("files")).expect("a folder");
    std::fs::write(service.recording(&id).join("files/slides #1.bin"), large()).expect("written");
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    id
}

/// Every file that the recording had, as its checksums say, and nothing that does not belong there.
async fn assert_stored(store: &Store, recording: &Value) {
    let place = storage(recording)["path"].as_str().expect("a place").to_owned();
    let place = format!("2026/{place}");
    let id = recording["id"].as_str().expect("an id");
    assert!(place.starts_with("2026/default/20") && place.ends_with(&format!("/standup/{id}")), "{place}");
    let keys = store.keys().await;
    assert!(keys.iter().all(|key| key.starts_with(&place)), "{keys:?}");
    let (sums, _) = store.object(&format!("{place}/checksums.sha256")).await;
    let sums = String::from_utf8(sums).expect("text");
    assert_eq!(sums.lines().count() + 1, keys.len(), "{keys:?}\n{sums}");
    for line in sums.lines() {
        let (sum, path) = line.split_once("  ").expect("a sum and a path");
        let (bytes, metadata) = store.object(&format!("{place}/{path}")).await;
        let real = hash(&bytes);
        assert_eq!((sum, &metadata), (real.as_str(), &real), "{path}");
    }
    assert!(sums.contains("  manifest.json\n") && sums.contains("  files/slides #1.bin\n"), "{sums}");
}

async fn serve(folder: &Path, address: std::net::SocketAddr, more: &str) -> Service {
    Service::start(&["--config", &configuration(folder, address, more)]).await
}

#[tokio::test]
async fn a_recording_goes_to_the_store_and_is_read_from_there() {
    let mut store = needed!(Store::prepare().await);
    store.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start().await;
    let service = serve(folder.path(), store.address(), "keep_local = \"0s\"").await;
    let id = record(&server, &service).await;
    let recording = service.until(&id, &["complete"], 60).await;
    assert_eq!(recording["sub_code"], "stopped_by_api");
    assert_stored(&store, &recording).await;
    let events = service.get(&format!("/v1/recordings/{id}/events")).await.text;
    let at = |kind: &str| events.find(&format!("\"{kind}\"")).unwrap_or_else(|| panic!("no {kind}: {events}"));
    assert!(
        at("recording.uploading") < at("recording.uploaded") && at("recording.uploaded") < at("recording.completed")
    );

    // The media leaves this disk; what the API answers from stays.
    let gone = || !service.recording(&id).join("tracks").exists() && !service.recording(&id).join("files").exists();
    until_it_holds("the media is deleted here", 30, gone).await;
    until_it_holds("the manifest stays", 1, || service.recording(&id).join("manifest.json").exists()).await;
    let path = format!("/v1/recordings/{id}/media/files/slides%20%231.bin");
    let whole = service.request(Method::GET, &path).send().await.expect("an answer");
    assert_eq!(
        (whole.status(), &whole.headers()["accept-ranges"]),
        (StatusCode::OK, &"bytes".parse().expect("a value"))
    );
    assert!(whole.bytes().await.expect("a body") == large());
    let part =
        service.request(Method::GET, &path).header("range", "bytes=9000000-9000099").send().await.expect("an answer");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], format!("bytes 9000000-9000099/{LARGE}"));
    assert!(part.bytes().await.expect("a body") == large()[9_000_000..9_000_100]);
    let beyond = service.send(service.request(Method::GET, &path).header("range", format!("bytes={LARGE}-"))).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let none = service.get(&format!("/v1/recordings/{id}/media/tracks/nobody.webm")).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let metrics = service.get("/metrics").await.text;
    let sent = metrics.lines().find_map(|line| line.strip_prefix("roombot_upload_bytes_total ")).expect("a figure");
    assert!(sent.parse::<u64>().expect("a number") > LARGE as u64, "{metrics}");

    let deleted = service.send(service.request(Method::DELETE, &format!("/v1/recordings/{id}"))).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.text);
    assert_eq!(store.keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_upload_goes_on_after_its_service_was_killed() {
    let mut store = needed!(Store::prepare().await);
    store.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    // The first part of the large file passes, and some of the second.
    let valve = Valve::start(store.address(), 10 << 20).await;
    let server = TestServer::start().await;
    let mut service = serve(folder.path(), valve.address, "").await;
    let id = record(&server, &service).await;
    service.until(&id, &["uploading"], 60).await;
    valve.holds().await;
    assert!(!store.keys().await.iter().any(|key| key.ends_with("manifest.json")), "the commit mark came first");
    service.kill_only();
    valve.open();
    service.restart().await;
    let recording = service.until(&id, &["complete"], 60).await;
    assert_stored(&store, &recording).await;
    // What had arrived was not sent again.
    let metrics = service.get("/metrics").await.text;
    let sent = metrics.lines().find_map(|line| line.strip_prefix("roombot_upload_bytes_total ")).expect("a figure");
    assert!(sent.parse::<usize>().expect("a number") < LARGE, "{metrics}");
    assert!(service.recording(&id).join("files").exists(), "it is kept for a day");
}

#[tokio::test]
async fn a_store_that_is_down_for_a_while_gets_everything_later() {
    let mut store = needed!(Store::prepare().await);
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start().await;
    let service = serve(folder.path(), store.address(), "").await;
    assert_eq!(service.get("/readyz").await.status, StatusCode::OK, "a store is not needed to record");
    let id = record(&server, &service).await;
    service.until(&id, &["uploading"], 60).await;
    let tried = async {
        while !service
            .get("/metrics")
            .await
            .text
            .lines()
            .any(|line| line.strip_prefix("roombot_upload_errors_total ").is_some_and(|count| count != "0"))
        {
            moment().await;
        }
    };
    within(60, "a try fails", tried).await;
    store.start().await;
    let recording = service.until(&id, &["complete"], 90).await;
    assert_stored(&store, &recording).await;
}

#[tokio::test]
async fn what_no_store_takes_is_kept_and_can_be_uploaded_later() {
    let mut store = needed!(Store::prepare().await);
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start().await;
    let service = serve(folder.path(), store.address(), "keep_local = \"0s\"\nupload_retry_for = \"1s\"").await;
    let id = record(&server, &service).await;
    let recording = service.until(&id, &["partial"], 90).await;
    assert_eq!(
        (&recording["sub_code"], &storage(&recording)["state"]),
        (&json!("upload_failed"), &json!("failed")),
        "{recording:#}"
    );
    assert!(service.recording(&id).join("files/slides #1.bin").exists());
    store.start().await;
    let again = service.post(&format!("/v1/recordings/{id}/upload"), json!({})).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text);
    let stored = async {
        loop {
            let recording = service.get(&format!("/v1/recordings/{id}")).await.json();
            match storage(&recording)["state"].as_str() {
                Some("stored") => return recording,
                _ => moment().await,
            }
        }
    };
    let recording = within(60, "it is stored", stored).await;
    assert_stored(&store, &recording).await;
}

#[tokio::test]
async fn a_conflict_is_told_and_the_backup_store_is_used() {
    let mut store = needed!(Store::prepare().await);
    store.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = TestServer::start().await;
    let backup = folder.path().join("backup");
    let config = configuration(folder.path(), store.address(), "");
    let more = format!("[backup_store]\nurl = \"file://{}\"\n", backup.display());
    let text = std::fs::read_to_string(&config).expect("read") + &more;
    std::fs::write(&config, text).expect("written");
    let mut service = Service::start(&["--config", &config]).await;
    // Somebody else's manifest is where ours is to be: the recording's place is known while it is held up.
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let _alice = Bot::start(&["feed", &server.room("standup"), &media, "--loop"]);
    let id = service.record(json!({ "room_url": server.room("standup") })).await;
    let recording = service.until(&id, &["recording"], 30).await;
    let day = recording["created_at"].as_str().expect("a time")[..10].replace('-', "/");
    let place = format!("default/{day}/standup/{id}");
    store.put(&format!("2026/{place}/manifest.json"), "{\"of\":\"somebody else\"}").await;
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    let recording = service.until(&id, &["complete"], 60).await;
    let storage = storage(&recording);
    assert_eq!((&storage["store"], &storage["path"]), (&json!("backup_store"), &json!(place)), "{recording:#}");
    assert!(
        backup.join(&place).join("manifest.json").exists() && backup.join(&place).join("checksums.sha256").exists()
    );
    let kept = store.text(&format!("2026/{place}/manifest.json")).await;
    assert_eq!(kept, "{\"of\":\"somebody else\"}");
    service.kill_and_restart().await;
    assert_eq!(service.get(&format!("/v1/recordings/{id}")).await.json()["storage"]["state"], "stored");
}

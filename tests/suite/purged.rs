//! A participant who is removed from a recording: gone from disk, store, films and events, and what is left is a whole recording. A film that
//! is made later goes to the store by itself.

use crate::support::bot::Bot;
use crate::support::machine;
use crate::support::needs::needed;
use crate::support::server::TestServer;
use crate::support::service::{Service, until_it_holds};
use crate::support::store::{Store, configuration, storage};
use crate::support::{moment, within};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Waits until the recording has an event.
async fn told(service: &Service, id: &str, kind: &str) -> String {
    let told = async {
        loop {
            let events = service.get(&format!("/v1/recordings/{id}/events")).await.text;
            if events.contains(&format!("\"{kind}\"")) {
                return events;
            }
            moment().await;
        }
    };
    within(60, kind, told).await
}

/// Waits until the whole recording is in the store.
async fn stored(service: &Service, id: &str) -> Value {
    let stored = async {
        loop {
            let recording = service.get(&format!("/v1/recordings/{id}")).await.json();
            if storage(&recording)["state"] == "stored" {
                return recording;
            }
            moment().await;
        }
    };
    within(60, "it is stored", stored).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_is_gone_everywhere_and_the_rest_is_whole() {
    let mut store = needed!(Store::prepare().await);
    let _turn = machine::share().await;
    store.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = configuration(folder.path(), store.address(), "");
    let server = TestServer::start().await;
    let service = Service::start(&["--config", &config]).await;
    let room = server.room("standup");
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let people = ["Alice", "Bob"].map(|name| Bot::start(&["feed", &room, &media, "--loop", "--as", name]));
    let id = service.record(json!({ "room_url": room })).await;
    service.until(&id, &["recording"], 30).await;
    let tracks = service.recording(&id).join("tracks");
    until_it_holds("four tracks are recorded", 30, || {
        std::fs::read_dir(&tracks).is_ok_and(|files| {
            files.flatten().filter(|file| file.metadata().is_ok_and(|m| m.len() > 10_000)).count() == 4
        })
    })
    .await;
    let purge =
        async |who: &str| service.post(&format!("/v1/recordings/{id}/participants/{who}/purge"), json!({})).await;
    assert_eq!(purge("alice").await.status, StatusCode::CONFLICT, "it is still recorded");
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    service.until(&id, &["complete"], 60).await;
    drop(people);

    let film = service.post(&format!("/v1/recordings/{id}/films"), json!({ "size": "320x180", "fps": 5 })).await;
    assert_eq!(film.status, StatusCode::ACCEPTED, "{}", film.text);
    let film = film.json()["id"].as_str().expect("an id").to_owned();
    let made = async {
        while !store.keys().await.iter().any(|key| key.ends_with(&format!("/{film}.mp4"))) {
            moment().await;
        }
    };
    within(90, "the film is in the store", made).await;
    stored(&service, &id).await;

    let hold = async |hold: bool| {
        let patch = service.request(Method::PATCH, &format!("/v1/recordings/{id}"));
        service.send(patch.json(&json!({ "legal_hold": hold }))).await
    };
    hold(true).await;
    assert_eq!(purge("alice").await.status, StatusCode::CONFLICT, "it is held");
    hold(false).await;
    assert_eq!(purge("carol").await.status, StatusCode::NOT_FOUND);
    let noted = purge("alice").await;
    assert_eq!(noted.status, StatusCode::ACCEPTED, "{}", noted.text);
    let events = told(&service, &id, "recording.participant_purged").await;
    assert!(events.contains(&film) && !events.contains("Alice") && !events.contains("\"alice"), "{events}");
    assert!(events.contains("\"bob\""), "{events}");
    let recording = stored(&service, &id).await;
    assert_eq!(service.get(&format!("/v1/films/{film}")).await.json()["state"], "deleted");
    assert_eq!(purge("alice").await.status, StatusCode::NOT_FOUND, "nobody of that name is there any more");

    // Here and there are the same files, and none of them is hers.
    let place = format!("2026/{}", storage(&recording)["path"].as_str().expect("a place"));
    let keys = store.keys().await;
    assert!(!keys.iter().any(|key| key.contains("alice") || key.ends_with(".mp4")), "{keys:?}");
    let (sums, _) = store.object(&format!("{place}/checksums.sha256")).await;
    let sums = String::from_utf8(sums).expect("text");
    assert_eq!(sums.lines().count() + 1, keys.len(), "{keys:?}\n{sums}");
    for line in sums.lines() {
        let (sum, path) = line.split_once("  ").expect("a sum and a path");
        let here = std::fs::read(service.recording(&id).join(path)).expect("it is here");
        let real: String = Sha256::digest(&here).iter().map(|byte| format!("{byte:02x}")).collect();
        let (there, _) = store.object(&format!("{place}/{path}")).await;
        assert!(sum == real && here == there, "{path}");
        assert!(!String::from_utf8_lossy(&there).contains("Alice"), "{path}");
    }
    assert_eq!(sums.matches("  tracks/bob.").count(), 2, "{sums}");
    let show =
        Bot::start(&["show", service.recording(&id).to_str().expect("UTF-8")]).ended(Duration::from_secs(30)).await;
    assert!(show.code == Some(0) && show.stdout.contains("Bob") && !show.stdout.contains("Alice"), "{show:?}");
    let listed = service.get(&format!("/v1/recordings/{id}/participants")).await.json();
    assert!(listed.as_array().is_some_and(|all| all.iter().all(|one| one["key"] != "alice")), "{listed:#}");
}

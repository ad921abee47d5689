//! The service on many machines: the media of what a worker records, and what is asked of a recording afterwards, which is in the store only:
//! another film, that a participant is removed, that it is uploaded again.

use crate::continued::feed;
use crate::support::bot::Bot;
use crate::support::nats::Nats;
use crate::support::needs::{needed, tools};
use crate::support::server::TestServer;
use crate::support::service::{Answer, Service};
use crate::support::{machine, moment, within};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An API node and a worker.
struct Machines {
    api: Service,
    worker: Service,
    folder: TempDir,
    _nats: Nats,
}

impl Machines {
    /// `more`: of the worker's configuration.
    async fn start(more: &str) -> Result<Machines, String> {
        let nats = Nats::start().await?;
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("worker.toml");
        std::fs::write(&config, format!("upload_every = \"1s\"\n{more}\n")).expect("written");
        let (queue, store) = (format!("nats://{}", nats.address), format!("file://{}", store(&folder).display()));
        let own = ["--queue", &queue, "--store", &store];
        let api = Service::start(&[&own[..], &["--role", "api"]].concat()).await;
        let config = config.to_str().expect("UTF-8");
        let role = ["--role", "worker", "--worker", "one", "--capacity", "2", "--config", config];
        let worker = Service::start(&[&own[..], &role].concat()).await;
        let machines = Machines { api, worker, folder, _nats: nats };
        let known = async {
            while machines.get("/v1/workers").await.json()["workers"].as_array().is_none_or(Vec::is_empty) {
                moment().await;
            }
        };
        within(20, "the worker is known", known).await;
        Ok(machines)
    }

    async fn get(&self, path: &str) -> Answer {
        self.api.get(path).await
    }

    /// Waits for what an address answers.
    async fn until(&self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let reached = async {
            loop {
                let answer = self.get(path).await.json();
                if holds(&answer) {
                    return answer;
                }
                moment().await;
            }
        };
        within(60, what, reached).await
    }

    async fn stop(&self, id: &str, state: &str) -> Value {
        self.api.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
        self.api.until(id, &[state], 60).await
    }

    /// The bytes of a file, and its status.
    async fn media(&self, id: &str, path: &str, range: Option<&str>) -> (StatusCode, Vec<u8>) {
        let request = self.api.request(Method::GET, &format!("/v1/recordings/{id}/media/{path}"));
        let request = range.into_iter().fold(request, |request, range| request.header("range", range));
        let answer = request.send().await.expect("an answer");
        (answer.status(), answer.bytes().await.expect("a body").to_vec())
    }

    /// The recording's place in the store.
    fn place(&self, recording: &Value) -> PathBuf {
        store(&self.folder).join(recording["storage"]["path"].as_str().expect("a place"))
    }
}

fn store(folder: &TempDir) -> PathBuf {
    folder.path().join("store")
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// Every file of a recording in the store is on its list of checksums, and is what that says.
fn assert_whole(place: &Path) {
    let sums = std::fs::read_to_string(place.join("checksums.sha256")).expect("checksums");
    for line in sums.lines() {
        let (sum, path) = line.split_once("  ").expect("a sum and a path");
        let bytes = std::fs::read(place.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let real: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sum, real, "{path}");
    }
    assert_eq!(sums.lines().count() + 1, walk(place).len(), "{sums}\n{:#?}", walk(place));
}

#[tokio::test]
async fn media_comes_from_the_worker_and_films_and_removals_are_made_of_what_is_stored() {
    needed!(tools(&["ffmpeg"]));
    let _busy = machine::alone().await;
    let machines = needed!(Machines::start("").await);
    let server = TestServer::start().await;
    let room = server.room("standup");
    let _alice = feed(&room);
    let _bob = Bot::start(&["feed", &room, "--stamp", "bob,320x180@15", "--as", "Bob"]);
    let id = machines.api.record(json!({ "room_url": room })).await;
    let of = |what: &str| format!("/v1/recordings/{id}/{what}");

    // While the worker records it.
    let grows = |view: &Value| view["growing"].as_object().is_some_and(|files| files.len() == 4);
    let view = machines.until(&of("view.json"), "four tracks grow", grows).await;
    let track = view["tracks"].as_array().expect("tracks").iter().find(|track| track["source"] == "camera");
    let path = format!("tracks/{}", track.expect("a camera")["file"].as_str().expect("a file"));
    let large = || machines.worker.recording(&id).join(&path).metadata().is_ok_and(|file| file.len() > 600_000);
    crate::support::service::until_it_holds("more than a message takes", 60, large).await;
    let (status, bytes) = machines.media(&id, &path, Some("bytes=100-599999")).await;
    let here = std::fs::read(machines.worker.recording(&id).join(&path)).expect("the worker has it");
    assert_eq!((status, bytes.len()), (StatusCode::PARTIAL_CONTENT, 599_900));
    assert!(bytes == here[100..600_000], "it is what the worker has");
    let (status, whole) = machines.media(&id, &format!("{path}?play&length=5000"), None).await;
    assert_eq!((status, whole.len()), (StatusCode::OK, 5000));
    assert_eq!(machines.media(&id, "tracks/none.webm", None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(machines.media(&id, "..%2f..%2fservice.db", None).await.0, StatusCode::NOT_FOUND);
    let picture = machines.api.request(Method::GET, &of("picture")).send().await.expect("an answer");
    assert_eq!(
        (picture.status(), &picture.headers()["content-type"]),
        (StatusCode::OK, &"video/webm".parse().expect("a value"))
    );

    // Another film of what is in the store.
    let recording = machines.stop(&id, "complete").await;
    let place = machines.place(&recording);
    assert_whole(&place);
    let asked = machines.api.post(&of("films"), json!({ "layout": "grid", "size": "320x180", "fps": 5 })).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text);
    let film = asked.json()["id"].as_str().expect("an id").to_owned();
    let made = machines.until(&format!("/v1/films/{film}"), "the film has ended", |film| film["state"] != "open").await;
    assert_eq!(made["state"], "done", "{made:#}\n{}", machines.worker.log(&id));
    let (status, bytes) = machines.media(&id, &format!("{film}.mp4"), None).await;
    assert!(status == StatusCode::OK && bytes.len() > 10_000, "{status}: {} bytes", bytes.len());
    let recording = machines.get(&format!("/v1/recordings/{id}")).await.json();
    assert!(recording["outcome"]["media"].to_string().contains(&format!("{film}.mp4")), "{recording:#}");
    assert_whole(&place);
    let forgotten = || !machines.worker.data().join("films").join(&film).exists();
    crate::support::service::until_it_holds("the worker has forgotten it", 20, forgotten).await;

    // Alice is removed, and so is every film that shows her.
    let purge =
        async |who: &str| machines.api.post(&format!("/v1/recordings/{id}/participants/{who}/purge"), json!({})).await;
    assert_eq!(purge("carol").await.status, StatusCode::NOT_FOUND);
    let noted = purge("alice").await;
    assert_eq!(noted.status, StatusCode::ACCEPTED, "{}", noted.text);
    assert!(!machines.worker.recording(&id).exists(), "the worker has nothing of it any more");
    machines.until(&format!("/v1/films/{film}"), "the film is deleted", |film| film["state"] == "deleted").await;
    let is_stored = |recording: &Value| recording["storage"]["state"] == "stored";
    let recording = machines.until(&format!("/v1/recordings/{id}"), "the rest is stored", is_stored).await;
    assert_whole(&place);
    let media = recording["outcome"]["media"].to_string();
    assert!(!media.contains("alice") && media.contains("tracks/bob.") && !media.contains(".mp4"), "{media}");
    for file in walk(&place) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).expect("read")).into_owned();
        assert!(!file.to_string_lossy().contains("alice") && !text.contains("Alice"), "{}", file.display());
    }
    let people = machines.get(&of("participants")).await.text;
    assert!(people.contains("Bob") && !people.contains("Alice"), "{people}");
}

#[tokio::test]
async fn what_a_store_did_not_take_is_uploaded_again_by_the_worker_that_has_it() {
    let _busy = machine::share().await;
    let machines = needed!(Machines::start("upload_retry_for = \"1s\"").await);
    // A file in the way of the project's folder.
    std::fs::create_dir_all(store(&machines.folder)).expect("a folder");
    let in_the_way = store(&machines.folder).join("default");
    std::fs::write(&in_the_way, "x").expect("written");
    let server = TestServer::start().await;
    let _alice = feed(&server.room("standup"));
    let id = machines.api.record(json!({ "room_url": server.room("standup") })).await;
    let is_there = |people: &Value| people.to_string().contains("alice");
    machines.until(&format!("/v1/recordings/{id}/participants"), "alice is recorded", is_there).await;
    let recording = machines.stop(&id, "partial").await;
    assert_eq!((&recording["sub_code"], &recording["storage"]["state"]), (&json!("upload_failed"), &json!("failed")));
    let film = machines.api.post(&format!("/v1/recordings/{id}/films"), json!({})).await;
    assert_eq!(film.status, StatusCode::CONFLICT, "{}", film.text);
    std::fs::remove_file(in_the_way).expect("removed");
    let again = machines.api.post(&format!("/v1/recordings/{id}/upload"), json!({})).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text);
    let is_stored = |recording: &Value| recording["storage"]["state"] == "stored";
    let recording = machines.until(&format!("/v1/recordings/{id}"), "it is stored", is_stored).await;
    assert_eq!(recording["state"], "partial");
    assert_whole(&machines.place(&recording));
    let third = machines.api.post(&format!("/v1/recordings/{id}/upload"), json!({})).await;
    assert_eq!(third.status, StatusCode::CONFLICT, "{}", third.text);
}

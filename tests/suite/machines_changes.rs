//! The service on many machines, over a real NATS: what is changed of a recording at the API node reaches the worker that records it.

use crate::continued::feed;
use crate::service_bots::{bot, until};
use crate::service_changes::title;
use crate::support::nats::Nats;
use crate::support::needs::{needed, tools};
use crate::support::server::TestServer;
use crate::support::service::Service;
use crate::support::{machine, moment, within};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn a_title_and_a_length_reach_the_worker_that_records() {
    needed!(tools(&["ffmpeg"]));
    let _busy = machine::share().await;
    let nats = needed!(Nats::start().await);
    let store = tempfile::tempdir().expect("a folder");
    let server = TestServer::start().await;
    let _alice = feed(&server.room("standup"));
    let (queue, url) = (format!("nats://{}", nats.address), format!("file://{}", store.path().display()));
    let own = ["--queue", &queue, "--store", &url];
    let api = Service::start(&[&own[..], &["--role", "api"]].concat()).await;
    let worker = ["--role", "worker", "--worker", "one", "--capacity", "2"];
    let _worker = Service::start(&[&own[..], &worker].concat()).await;
    let known = async {
        while api.get("/v1/workers").await.json()["workers"].as_array().is_none_or(Vec::is_empty) {
            moment().await;
        }
    };
    within(20, "the worker is known", known).await;
    let film = json!({ "size": "320x180", "fps": 5, "title": "Untitled" });
    let request = json!({ "room_url": server.room("standup"), "outputs": { "film": film } });
    let id = api.record(request).await;
    api.until(&id, &["recording"], 30).await;
    let change = json!({ "title": "Weekly", "max_duration_s": 12 });
    let changed = api.send(api.request(Method::PATCH, &format!("/v1/recordings/{id}")).json(&change)).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    let recording = api.until(&id, &["complete"], 120).await;
    assert_eq!(recording["sub_code"], "max_duration", "{recording:#}");
    let path = format!("/v1/recordings/{id}/media/film.mp4");
    let film = api.request(Method::GET, &path).send().await.expect("an answer").bytes().await.expect("a body");
    let file = store.path().join("film.mp4");
    std::fs::write(&file, film).expect("written");
    assert_eq!(title(&file), "Weekly");
}

#[tokio::test]
async fn a_bot_runs_on_the_api_node() {
    let nats = needed!(Nats::start().await);
    let store = tempfile::tempdir().expect("a folder");
    let server = TestServer::start().await;
    let (queue, url) = (format!("nats://{}", nats.address), format!("file://{}", store.path().display()));
    let api = Service::start(&["--queue", &queue, "--store", &url, "--role", "api"]).await;
    let id = bot(&api, json!({ "kind": "echo", "room_url": server.room("standup") })).await;
    until(&api, &id, "running").await;
    let stopped = api.post(&format!("/v1/bots/{id}/stop"), json!({})).await;
    assert!(stopped.status.is_success(), "{}", stopped.text);
    until(&api, &id, "ended").await;
}

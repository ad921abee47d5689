//! Bots of the service: put into rooms by requests, told what to do, found again after a kill of the service, started again after their own.

use crate::support::server::TestServer;
use crate::support::service::Service;
use crate::support::{moment, within};
use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// A service whose bots may send the fixtures.
async fn with_media() -> (Service, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("roombot.toml");
    let media = format!("{}/fixtures", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(&config, format!("media = {media:?}\ncapacity = 8\n")).expect("written");
    let service = Service::start(&["--config", config.to_str().expect("UTF-8")]).await;
    (service, folder)
}

/// Asks for a bot and returns its id.
pub async fn bot(service: &Service, request: Value) -> String {
    let answer = service.post("/v1/bots", request).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

/// Waits until a bot is in this state.
pub async fn until(service: &Service, id: &str, state: &str) -> Value {
    let reached = async {
        loop {
            let bot = service.get(&format!("/v1/bots/{id}")).await.json();
            if bot["state"] == state {
                return bot;
            }
            let ended = ["ended", "failed"].iter().any(|end| bot["state"] == *end);
            assert!(!ended, "waiting for {state}: {bot:#}\n{}", service.log(id));
            moment().await;
        }
    };
    within(30, &format!("the bot is {state}"), reached).await
}

#[tokio::test]
async fn a_feed_is_recorded_says_something_and_outlives_kills() {
    let server = TestServer::start_with(|config| config.token = Some("s3cret".into())).await;
    let (mut service, _folder) = with_media().await;
    let feed = json!({
        "kind": "feed", "room_url": server.room("standup"), "token": "s3cret", "name": "Alice",
        "feed": { "media": "alice.webm", "loop": true },
    });
    let id = bot(&service, feed).await;
    let running = until(&service, &id, "running").await;
    assert!(!running.to_string().contains("s3cret"), "{running}");
    assert_eq!(service.get(&format!("/v1/bots/{id}/live")).await.json()["state"], "running");
    let recording = service.record(json!({ "room_url": server.room("standup"), "token": "s3cret" })).await;
    service.until(&recording, &["recording"], 30).await;
    let said = service.post(&format!("/v1/bots/{id}/chat"), json!({ "text": "We begin." })).await;
    assert_eq!(said.status, StatusCode::NO_CONTENT, "{}", said.text);
    let heard = async {
        while !service.get(&format!("/v1/recordings/{recording}/chat")).await.text.contains("We begin.") {
            moment().await;
        }
    };
    within(10, "the recorder hears it", heard).await;

    // A service that is killed finds it again.
    let [before] = service.processes(&id)[..] else { panic!("one process") };
    let line = std::fs::read(format!("/proc/{before}/cmdline")).expect("a process");
    assert!(!String::from_utf8_lossy(&line).contains("s3cret"), "others can read a command line");
    service.kill_and_restart().await;
    assert_eq!(until(&service, &id, "running").await["starts"], 1);
    assert_eq!(service.processes(&id), [before]);
    // A bot that is killed comes back.
    kill_process(Pid::from_raw(before).expect("a number"), Signal::KILL).expect("killed");
    let back = async {
        loop {
            let bot = service.get(&format!("/v1/bots/{id}")).await.json();
            if bot["starts"] == 2 && bot["state"] == "running" {
                return;
            }
            moment().await;
        }
    };
    within(30, "the bot is back", back).await;

    let stopped = service.post(&format!("/v1/bots/{id}/stop"), json!({})).await;
    assert_eq!((stopped.status, &stopped.json()["state"]), (StatusCode::OK, &json!("stopping")), "{}", stopped.text);
    assert_eq!(until(&service, &id, "ended").await["reason_code"], "stopped");
    assert!(service.processes(&id).is_empty());
    let ended = service.get("/v1/bots?state=ended").await.json();
    assert_eq!(ended["bots"][0]["id"], *id);
    let deleted = service.send(service.request(Method::DELETE, &format!("/v1/bots/{id}"))).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(service.get(&format!("/v1/bots/{id}")).await.status, StatusCode::NOT_FOUND);
    service.post(&format!("/v1/recordings/{recording}/cancel"), json!({})).await;
    service.until(&recording, &["cancelled"], 60).await;
}

#[tokio::test]
async fn a_filter_takes_commands_and_opens_no_files_for_them() {
    let server = TestServer::start().await;
    let (service, _folder) = with_media().await;
    let request = json!({
        "kind": "filter", "room_url": server.room("a"),
        "filter": { "video": { "name": "blur", "params": { "size": 0.05 } } },
    });
    let id = bot(&service, request).await;
    until(&service, &id, "running").await;
    let tell = async |command: Value| service.post(&format!("/v1/bots/{id}/command"), command).await;
    let told = tell(json!({ "filter": "sepia" })).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    assert!(told.json()["answer"].as_str().is_some_and(|answer| answer.contains("video sepia")), "{}", told.text);
    let off = tell(json!({ "audio_on": false })).await.json();
    assert!(off["answer"].as_str().is_some_and(|answer| answer.contains("audio off")), "{off}");
    let live = service.get(&format!("/v1/bots/{id}/live")).await.json();
    assert!(live["doing"].as_str().is_some_and(|doing| doing.contains("video sepia, audio off")), "{live}");
    for (command, code) in [
        (json!({ "filter": "no-such-filter" }), "refused"),
        (json!({ "filter": "/tmp/own.gst" }), "refused"),
        (json!({}), "invalid_field"),
        (json!({ "filter": "sepia", "only": "all" }), "invalid_field"),
    ] {
        let refused = tell(command.clone()).await;
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(code)),
            "{command}: {}",
            refused.text
        );
    }
    service.post(&format!("/v1/bots/{id}/stop"), json!({})).await;
    until(&service, &id, "ended").await;
    assert_eq!(tell(json!({ "filter": "sepia" })).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_a_bot_cannot_be_is_named() {
    let (service, _folder) = with_media().await;
    let room = "ws://127.0.0.1:9/rooms/a";
    for (request, field) in [
        (json!({ "kind": "feed", "room_url": room }), "feed"),
        (json!({ "kind": "feed", "room_url": room, "feed": {} }), "feed"),
        (json!({ "kind": "feed", "room_url": room, "feed": { "media": "../Cargo.toml" } }), "feed.media"),
        (json!({ "kind": "feed", "room_url": room, "feed": { "media": "/etc/passwd" } }), "feed.media"),
        (json!({ "kind": "feed", "room_url": room, "feed": { "video": "http://h/a.webm" } }), "feed.video"),
        (json!({ "kind": "feed", "room_url": room, "feed": { "screen": ["none.png"] } }), "feed.screen"),
        (json!({ "kind": "echo", "room_url": room, "feed": { "audio": "silence" } }), "feed"),
        (json!({ "kind": "filter", "room_url": room, "filter": {} }), "filter"),
        (json!({ "kind": "filter", "room_url": room, "filter": { "video": { "name": "../x.gst" } } }), "filter.video"),
        (json!({ "kind": "filter", "room_url": room, "filter": { "audio": { "name": "none-such" } } }), "filter.audio"),
        (json!({ "kind": "echo", "room_url": "ftp://h" }), "room_url"),
    ] {
        let answer = service.post("/v1/bots", request.clone()).await;
        let expected = (StatusCode::UNPROCESSABLE_ENTITY, &json!(field));
        assert_eq!((answer.status, &answer.json()["field"]), expected, "{request}: {}", answer.text);
    }
    // One that cannot join its room fails after some tries, or is stopped before.
    let id = bot(&service, json!({ "kind": "echo", "room_url": room })).await;
    let tried = async {
        while service.get(&format!("/v1/bots/{id}")).await.json()["starts"].as_u64() < Some(2) {
            moment().await;
        }
    };
    within(30, "it tries again", tried).await;
    service.post(&format!("/v1/bots/{id}/stop"), json!({})).await;
    until(&service, &id, "ended").await;
}

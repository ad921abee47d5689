//! The player in the recorder service: a recording that goes on, one with a film on the service's disk, one whose media is in a store only.

use crate::support::bot::{self, Bot};
use crate::support::browser::{Browser, Page};
use crate::support::dashboard::{SOON, looks, open};
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::server::TestServer;
use crate::support::service::{KEY, Service, client, until_it_holds};
use reqwest::StatusCode;
use roombot::container::matroska::scan;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
/// The player has its document.
const LOADED: &str = "window.roombot?.state.recording";

fn people(server: &TestServer) -> [Bot; 2] {
    ["alice", "bob"].map(|name| {
        let media = format!("{}/fixtures/{name}.webm", env!("CARGO_MANIFEST_DIR"));
        Bot::start(&["feed", &server.room("standup"), &media, "--as", name, "--loop"])
    })
}

async fn say(server: &TestServer, text: &str) {
    let said = bot::run(&["send", &server.room("standup"), "--as", "carol", "--message", text]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

/// Follows a link.
async fn follow(page: &Page, link: &str) {
    let address: String = page.eval(&format!("document.querySelector({}).href", json!(link))).await;
    page.navigate(&address).await;
}

/// Opens the player from the recording's page.
async fn watch(page: &Page, service: &Service, id: &str) {
    page.run(&format!("location.href = {}", json!(format!("{}/#/recordings/{id}", service.url())))).await;
    page.wait_for("document.querySelector('#page a.shot') !== null", SOON, "the way to the player").await;
    follow(page, "#page a.shot").await;
    page.wait_for(LOADED, PATIENCE, "the player").await;
}

#[tokio::test]
async fn a_recording_is_watched_while_it_goes_on_and_as_a_film() {
    needed!(tools(&["chromium", "ffmpeg"]));
    let (server, service, browser) = (TestServer::start().await, Service::start(&[]).await, Browser::launch().await);
    let _people = people(&server);
    let film = json!({ "film": { "layout": "grid", "size": "640x360", "fps": 15 } });
    let id = service.record(json!({ "room_url": server.room("standup"), "outputs": film })).await;
    service.until(&id, &["recording"], 30).await;
    pause(Duration::from_secs(3), "something is recorded").await;
    say(&server, "good morning").await;

    // Without a session the page leads to the dashboard, and nothing of the recording is given out.
    let path = format!("/v1/recordings/{id}/player");
    let alone = service.send(client().get(format!("{}{path}", service.url()))).await;
    assert!(alone.text.contains("id=\"login\"") && !alone.text.contains("id=\"lanes\""), "{}", alone.text);
    let document = format!("{}/v1/recordings/{id}/view.json", service.url());
    assert_eq!(service.send(client().get(&document)).await.status, StatusCode::UNAUTHORIZED);
    let other = json!({ "name": "other", "project": "other", "scopes": ["recordings:read"] });
    let other = service.post("/v1/keys", other).await.json()["secret"].as_str().expect("a key").to_owned();
    assert_eq!(service.send(client().get(&document).bearer_auth(other)).await.status, StatusCode::NOT_FOUND);

    let page = open(&browser, &service, KEY, ("/", "Live")).await;
    watch(&page, &service, &id).await;
    page.wait_for("roombot.state.recording === 'recording' && roombot.state.source === 'tracks'", SOON, "it goes on")
        .await;
    page.wait_for("roombot.state.tracks.some((track) => track.ready >= 2)", PATIENCE, "a track is loaded").await;
    page.wait_for("document.querySelector('.said')?.textContent === 'good morning'", PATIENCE, "the chat").await;
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    service.until(&id, &["complete"], 120).await;

    follow(&page, "#list").await;
    page.wait_for("document.querySelector('#page .title .state')?.dataset.state === 'complete'", SOON, "back at it")
        .await;
    watch(&page, &service, &id).await;
    page.wait_for("roombot.state.source === 'film.mp4'", SOON, "the film").await;
    page.wait_for("document.querySelector('video.film').readyState >= 2", PATIENCE, "it is loaded").await;
    page.run("document.querySelector('.line').click()").await;
    page.wait_for("roombot.state.time > 2000", SOON, "the moment of that line").await;
    page.run("roombot.element().muted = true; roombot.play()").await;
    let at: f64 = page.eval("roombot.state.time").await;
    page.wait_for(&format!("roombot.state.time > {at} + 500"), SOON, "it plays").await;
    page.run("roombot.pause()").await;
    page.run("roombot.choose('tracks')").await;
    page.wait_for("roombot.state.tracks.length >= 4", PATIENCE, "the tracks").await;
    looks(&page, "player").await;
}

/// The bytes of an address, fetched by the page.
async fn length(page: &Page, path: &str) -> u64 {
    page.eval(&format!("fetch({}).then((answer) => answer.arrayBuffer()).then((body) => body.byteLength)", json!(path)))
        .await
}

#[tokio::test]
async fn a_recording_in_the_store_only_is_watched_from_there() {
    needed!(tools(&["chromium"]));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("roombot.toml");
    let store = folder.path().join("store");
    let text = format!("keep_local = \"0s\"\n[store]\nurl = \"file://{}\"\n", store.display());
    std::fs::write(&config, text).expect("written");
    let (server, browser) = (TestServer::start().await, Browser::launch().await);
    let service = Service::start(&["--config", config.to_str().expect("UTF-8")]).await;
    let _people = people(&server);
    let id = service.record(json!({ "room_url": server.room("standup") })).await;
    service.until(&id, &["recording"], 30).await;
    pause(Duration::from_secs(3), "something is recorded").await;
    service.post(&format!("/v1/recordings/{id}/pause"), json!({})).await;
    service.until(&id, &["paused"], 20).await;
    pause(Duration::from_secs(2), "nothing is recorded: a gap in the sound").await;
    service.post(&format!("/v1/recordings/{id}/resume"), json!({})).await;
    service.until(&id, &["recording"], 20).await;
    pause(Duration::from_secs(3), "something is recorded").await;
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    service.until(&id, &["complete"], 60).await;
    until_it_holds("the media leaves this disk", 30, || !service.recording(&id).join("tracks").exists()).await;

    let page = open(&browser, &service, KEY, ("/storage", "Storage")).await;
    let told: String = page.eval("document.querySelector('#page').innerText").await;
    assert!(told.contains("in the stores only, 1 recording") && told.contains("default"), "{told}");
    looks(&page, "storage").await;
    watch(&page, &service, &id).await;
    let document: Value = page.eval("fetch('view.json').then((answer) => answer.json())").await;
    assert_eq!((&document["missing"], &document["state"]), (&json!([]), &json!("complete")));
    assert!(document["documents"].as_array().is_some_and(|all| all.iter().any(|one| one["file"] == "timeline.jsonl")));
    let all = "roombot.state.tracks.length === 4 && roombot.state.tracks.every((track) => track.ready >= 2)";
    page.wait_for(all, PATIENCE, "all tracks are loaded").await;
    page.run("roombot.seek(6000)").await;
    page.wait_for(&format!("{all} && !roombot.state.waiting"), PATIENCE, "what follows the pause").await;
    page.run("roombot.play()").await;
    page.wait_for("roombot.state.time > 7000", PATIENCE, "it plays").await;
    page.run("roombot.pause()").await;
    looks(&page, "player-stored").await;

    // Sound has silence in its gaps, and is a download as it is.
    let tracks = document["tracks"].as_array().expect("tracks");
    let mic =
        tracks.iter().find(|track| track["source"] == "mic").expect("a microphone")["file"].as_str().expect("a name");
    let path = format!("/v1/recordings/{id}/media/tracks/{mic}");
    assert!(length(&page, &format!("{path}?play")).await > length(&page, &path).await);
    let played = service.request(reqwest::Method::GET, &format!("{path}?play")).send().await.expect("an answer");
    let heard = folder.path().join("heard.webm");
    std::fs::write(&heard, played.bytes().await.expect("a body")).expect("written");
    let heard = scan(&heard).expect("a track");
    let gap = heard.duration_ms.expect("a duration").abs_diff(heard.frames * 20);
    assert!(gap <= 60, "{gap} ms without sound: {heard:?}");
    let piece =
        service.request(reqwest::Method::GET, &format!("{path}?play")).header("range", "bytes=10-").send().await;
    assert_eq!(piece.expect("an answer").status(), StatusCode::PARTIAL_CONTENT);
    // As on a machine that never had it.
    std::fs::remove_dir_all(service.recording(&id)).expect("removed");
    page.navigate(&format!("{}/v1/recordings/{id}/player", service.url())).await;
    page.wait_for(&format!("{LOADED} && {all}"), PATIENCE, "from the store alone").await;
}

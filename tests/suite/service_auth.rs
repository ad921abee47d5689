//! Who may do what at the service: tokens, limits, quotas, links that need no key, archives, and the log of all of it.

use crate::support::bot::Bot;
use crate::support::moment;
use crate::support::server::TestServer;
use crate::support::service::{Service, client};
use jsonwebtoken::{EncodingKey, Header, encode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::io::{Cursor, Read};
use std::time::Duration;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A service with this configuration.
async fn with_config(text: &str) -> (Service, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("roombot.toml");
    std::fs::write(&config, text).expect("written");
    (Service::start(&["--config", config.to_str().expect("UTF-8")]).await, folder)
}

fn token(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes()).expect("a key");
    encode(&Header::default(), claims, &key).expect("a token")
}

#[tokio::test]
async fn a_token_is_a_key_of_its_project_for_an_hour() {
    let (service, _folder) = with_config(&format!("[jwt]\nsecret = {SECRET:?}\n")).await;
    let now = jiff::Timestamp::now().as_second();
    let claims = |exp: i64, scope: &str| json!({ "exp": exp, "sub": "alice", "project": "blue", "scope": scope });
    let list = async |token: String| {
        service.send(client().get(format!("{}/v1/recordings", service.url())).bearer_auth(token)).await
    };
    let body = json!({ "room_url": "ws://127.0.0.1:9/rooms/a", "start_at": "2099-01-01T00:00:00Z" });
    let record = async |token: String| {
        let request = client().post(format!("{}/v1/recordings", service.url())).bearer_auth(token);
        service.send(request.json(&body)).await
    };
    let read = token(&claims(now + 600, "recordings:read"));
    let write = token(&claims(now + 600, "recordings:read recordings:write"));
    assert_eq!(record(read.clone()).await.status, StatusCode::FORBIDDEN);
    let made = record(write).await;
    assert_eq!((made.status, &made.json()["project"]), (StatusCode::CREATED, &json!("blue")), "{}", made.text);
    let listed = list(read).await;
    assert_eq!(listed.json()["recordings"].as_array().map(Vec::len), Some(1), "{}", listed.text);
    for (exp, problem) in [(now + 7200, "more than an hour"), (now - 600, "expired")] {
        let refused = list(token(&claims(exp, "admin"))).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(refused.json()["detail"].as_str().is_some_and(|detail| detail.contains(problem)), "{}", refused.text);
    }
    let audit = service.get("/v1/audit?key=jwt_alice&action=recording.create").await.json();
    assert_eq!(audit["entries"][0]["object"], made.json()["id"], "{audit}");
    assert_eq!(audit["entries"].as_array().map(Vec::len), Some(1), "{audit}");
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let service = Service::start(&[]).await;
    let request = json!({ "name": "eager", "project": "blue", "scopes": ["recordings:read"], "rate_limit": 3 });
    let key = service.post("/v1/keys", request).await.json();
    assert_eq!(key["rate_limit"], 3, "{key}");
    let secret = key["secret"].as_str().expect("a key");
    let ask = async || service.send(client().get(format!("{}/v1/recordings", service.url())).bearer_auth(secret)).await;
    for _ in 0..3 {
        assert_eq!(ask().await.status, StatusCode::OK);
    }
    let refused = ask().await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("rate_limited")));
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    let wait: u64 = refused.headers["retry-after"].to_str().ok().and_then(|text| text.parse().ok()).expect("seconds");
    assert!((1..=21).contains(&wait), "{wait}");
    // Others are not held up.
    assert_eq!(service.get("/v1/recordings").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_over_a_projects_quota_waits() {
    let (service, _folder) = with_config("capacity = 8\n[project_recordings]\ndefault = 1\n").await;
    let server = TestServer::start().await;
    let first = service.record(json!({ "room_url": server.room("a") })).await;
    service.until(&first, &["waiting"], 30).await;
    let second = service.record(json!({ "room_url": server.room("a") })).await;
    crate::support::pause(Duration::from_secs(2), "a second recorder would begin").await;
    assert_eq!(service.get(&format!("/v1/recordings/{second}")).await.json()["state"], "queued");
    service.post(&format!("/v1/recordings/{first}/cancel"), json!({})).await;
    service.until(&second, &["waiting"], 60).await;
    service.post(&format!("/v1/recordings/{second}/cancel"), json!({})).await;
    service.until(&second, &["cancelled"], 60).await;
}

#[tokio::test]
async fn a_recording_is_downloaded_whole_and_by_links_that_need_no_key() {
    let (server, mut service) = (TestServer::start().await, Service::start(&[]).await);
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let _alice = Bot::start(&["feed", &server.room("a"), &media, "--loop"]);
    let id = service.record(json!({ "room_url": server.room("a") })).await;
    service.until(&id, &["recording"], 30).await;
    let early = service.get(&format!("/v1/recordings/{id}/archive.zip")).await;
    assert_eq!(early.status, StatusCode::CONFLICT, "{}", early.text);
    crate::support::pause(Duration::from_secs(2), "something is recorded").await;
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    let recording = service.until(&id, &["complete"], 60).await;

    let answer =
        service.request(Method::GET, &format!("/v1/recordings/{id}/archive.zip")).send().await.expect("an answer");
    assert_eq!(answer.headers()["content-disposition"], format!("attachment; filename=\"a-{id}.zip\""));
    let mut zip = zip::ZipArchive::new(Cursor::new(answer.bytes().await.expect("a body"))).expect("an archive");
    let listed = recording["outcome"]["media"].as_array().expect("media").clone();
    assert!(listed.len() >= 4 && zip.len() >= listed.len(), "{listed:#?}");
    for path in listed.iter().filter_map(|media| media["path"].as_str()) {
        let mut content = Vec::new();
        zip.by_name(&format!("a-{id}/{path}")).expect(path).read_to_end(&mut content).expect("whole");
        assert!(content == std::fs::read(service.recording(&id).join(path)).expect("read"), "{path} differs");
    }

    let link = async |service: &Service, body: Value| service.post(&format!("/v1/recordings/{id}/links"), body).await;
    let made = link(&service, json!({ "path": "manifest.json" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let (url, whole) = (made.json()["url"].clone(), link(&service, json!({})).await.json()["url"].clone());
    let short = link(&service, json!({ "path": "manifest.json", "expires_in_s": 1 })).await.json()["url"].clone();
    for wrong in [json!({ "path": "../service.db" }), json!({ "path": "none" }), json!({ "expires_in_s": 0 })] {
        assert_eq!(link(&service, wrong.clone()).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    service.kill_and_restart().await;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        moment().await;
    }
    let follow = async |url: &Value| {
        service.send(client().get(format!("{}{}", service.url(), url.as_str().expect("a link")))).await
    };
    let file = follow(&url).await;
    let expected = std::fs::read_to_string(service.recording(&id).join("manifest.json")).expect("read");
    assert!(file.status == StatusCode::OK && file.text == expected, "{}", file.text);
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"manifest.json\"");
    let whole = follow(&whole).await;
    assert_eq!(
        (whole.status, &whole.headers["content-type"]),
        (StatusCode::OK, &"application/zip".parse().expect("a value"))
    );
    let forged = url.as_str().expect("a link").replacen('.', "A.", 1);
    for over in [&short, &json!(forged), &json!("/v1/links/x")] {
        assert_eq!(follow(over).await.status, StatusCode::FORBIDDEN, "{over}");
    }

    service.get(&format!("/v1/recordings/{id}/media/manifest.json")).await;
    let audit = service.get(&format!("/v1/audit?object={id}&limit=500")).await.json();
    let told: Vec<_> = audit["entries"].as_array().expect("entries").iter().rev().collect();
    let told: Vec<_> = told
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap_or_default(), entry["detail"].as_str().unwrap_or_default()))
        .collect();
    for expected in [
        ("recording.create", ""),
        ("recording.download", "archive.zip"),
        ("link.create", "manifest.json"),
        ("link.download", "manifest.json"),
        ("link.download", "archive.zip"),
        ("recording.download", "manifest.json"),
    ] {
        assert!(told.contains(&expected), "{expected:?} in {told:?}");
    }
}

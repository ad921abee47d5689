//! The recorder service as its users run it: real processes of the program, a real room, real HTTP.

use crate::support::bot::Bot;
use crate::support::probe::probe;
use crate::support::server::TestServer;
use crate::support::service::{Service, client, until_it_holds};
use crate::support::{moment, within};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Somebody in the room who sends picture and sound until dropped.
fn person(server: &TestServer, room: &str) -> Bot {
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    Bot::start(&["feed", &server.room(room), &media, "--loop"])
}

/// The service's events of a recording that has ended.
async fn events(service: &Service, id: &str) -> Vec<Value> {
    let stream = service.get(&format!("/v1/recordings/{id}/events")).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let data = stream.text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

/// Every event once and in order.
fn assert_in_order(events: &[Value]) {
    let sequence: Vec<_> = events.iter().filter_map(|event| event["sequence"].as_i64()).collect();
    assert_eq!(sequence, (1..=events.len() as i64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_room_is_recorded_and_its_film_made_by_one_request() {
    let (server, service) = (TestServer::start().await, Service::start(&[]).await);
    let _alice = person(&server, "standup");
    let request = json!({
        "room_url": server.room("standup"), "metadata": { "team": "blue" },
        "outputs": { "film": { "layout": "grid", "size": "320x180", "fps": 15 } },
    });
    let id = service.record(request).await;
    service.until(&id, &["recording"], 30).await;
    let live = service.get(&format!("/v1/recordings/{id}/live")).await;
    assert_eq!(live.status, StatusCode::OK, "{}", live.text);
    crate::support::pause(Duration::from_secs(3), "something is recorded").await;
    let stopped = service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    assert_eq!(stopped.status, StatusCode::OK, "{}", stopped.text);
    let recording = service.until(&id, &["complete"], 60).await;

    assert_eq!(recording["sub_code"], "stopped_by_api");
    assert_eq!(recording["request"]["metadata"]["team"], "blue");
    let media = recording["outcome"]["media"].as_array().expect("media").clone();
    let of = |kind: &str| media.iter().filter(|media| media["kind"] == kind).count();
    assert_eq!((of("track"), of("film"), of("manifest")), (2, 1, 1), "{media:#?}");

    let film = service.get(&format!("/v1/recordings/{id}/media/film.mp4")).await;
    assert_eq!((film.status, &film.headers["content-type"]), (StatusCode::OK, &"video/mp4".parse().expect("a value")));
    let seen = probe(&service.recording(&id).join("film.mp4"));
    assert!(seen.frames > 30, "{seen:?}");
    let part =
        service.request(Method::GET, &format!("/v1/recordings/{id}/media/film.mp4")).header("range", "bytes=0-99");
    let part = service.send(part).await;
    assert_eq!((part.status, part.headers["content-length"].to_str().ok()), (StatusCode::PARTIAL_CONTENT, Some("100")));

    let metrics = service.send(client().get(format!("{}/metrics", service.url()))).await.text;
    for line in [
        "roombot_recordings_active 0",
        "roombot_recordings_total{result=\"complete\",sub_code=\"stopped_by_api\"} 1",
        "roombot_queue_depth 0",
    ] {
        assert!(metrics.lines().any(|l| l.starts_with(line)), "{line}:\n{metrics}");
    }
    assert!(metrics.contains("path=\"/v1/recordings/{id}/stop\""), "{metrics}");

    let again = service
        .post(&format!("/v1/recordings/{id}/films"), json!({ "layout": "speaker", "codec": "vp8", "size": "160x160" }))
        .await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text);
    let film = again.json()["id"].as_str().expect("an id").to_owned();
    let done = async {
        loop {
            let job = service.get(&format!("/v1/films/{film}")).await.json();
            if job["state"] != "open" {
                return job;
            }
            moment().await;
        }
    };
    let job = within(60, "another film is made", done).await;
    assert_eq!(
        (&job["state"], &job["path"]),
        (&json!("done"), &json!(format!("{film}.webm"))),
        "{job:#}\n{}",
        service.log(&id)
    );
    assert!(probe(&service.recording(&id).join(format!("{film}.webm"))).frames > 30);

    let events = events(&service, &id).await;
    assert_in_order(&events);
    let expected = [
        "recording.queued",
        "recording.joining",
        "recording.waiting",
        "recording.started",
        "recording.stopped",
        "recording.processing",
        "recording.film_ready",
        "recording.completed",
    ];
    let mut seen: Vec<_> = kinds(&events).into_iter().filter(|kind| expected.contains(kind)).collect();
    assert_eq!(seen.pop(), Some("recording.film_ready"), "the other film");
    assert_eq!(seen, expected);
    assert!(kinds(&events).contains(&"recording.participant_joined"));
}

#[tokio::test]
async fn a_recorder_that_is_killed_is_back_in_the_same_recording() {
    let (server, service) = (TestServer::start().await, Service::start(&[]).await);
    let _alice = person(&server, "standup");
    let id = service.record(json!({ "room_url": server.room("standup") })).await;
    service.until(&id, &["recording"], 30).await;
    crate::support::pause(Duration::from_secs(2), "something is recorded").await;
    let killed = Instant::now();
    let [pid] = service.processes(&id)[..] else { panic!("one recorder: {:?}", service.processes(&id)) };
    let raw = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).expect("it was running");
    let back = async {
        while std::fs::read_to_string(service.recording(&id).join("timeline.jsonl"))
            .is_ok_and(|t| !t.contains("recorder-back"))
        {
            moment().await;
        }
    };
    within(10, "the recorder is back", back).await;
    println!("back after {:?}", killed.elapsed());
    crate::support::pause(Duration::from_secs(3), "something more is recorded").await;
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    let recording = service.until(&id, &["partial", "complete"], 60).await;
    assert_eq!((&recording["parts"], &recording["state"]), (&json!(2), &json!("partial")), "{recording:#}");
    let events = events(&service, &id).await;
    assert_in_order(&events);
    assert!(kinds(&events).contains(&"worker.lost"), "{:?}", kinds(&events));
}

#[tokio::test]
async fn a_service_that_is_killed_finds_its_recorders_again() {
    let (server, mut service) = (TestServer::start().await, Service::start(&[]).await);
    let _alice = person(&server, "standup");
    let id = service.record(json!({ "room_url": server.room("standup") })).await;
    service.until(&id, &["recording"], 30).await;
    let before = service.processes(&id);
    assert_eq!(before.len(), 1);
    for _ in 0..2 {
        service.kill_and_restart().await;
        crate::support::pause(Duration::from_secs(1), "a second recorder would begin").await;
        assert_eq!(service.processes(&id), before);
    }
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    let recording = service.until(&id, &["complete"], 60).await;
    assert_eq!(recording["parts"], 1);
    let events = events(&service, &id).await;
    assert_in_order(&events);
    assert_eq!(kinds(&events).iter().filter(|kind| **kind == "recording.participant_joined").count(), 1);
}

#[tokio::test]
async fn what_ends_while_no_service_runs_is_concluded_by_the_next() {
    let (server, mut service) = (TestServer::start().await, Service::start(&[]).await);
    let alice = person(&server, "standup");
    let id = service.record(json!({ "room_url": server.room("standup"), "auto_stop": { "empty_s": 1 } })).await;
    service.until(&id, &["recording"], 30).await;
    service.kill_only();
    drop(alice);
    until_it_holds("the recorder ends by itself", 60, || service.processes(&id).is_empty()).await;
    service.restart().await;
    let recording = service.until(&id, &["complete", "partial"], 30).await;
    assert_eq!(recording["sub_code"], "everybody_left", "{recording:#}");
}

#[tokio::test]
async fn requests_that_cannot_be_met_say_why() {
    let service = Service::start(&[]).await;
    let room = "ws://127.0.0.1:9/rooms/standup";
    let problem = async |request, status: StatusCode, code: &str| {
        let answer = service.send(request).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.json()["request_id"], answer.headers["x-request-id"].to_str().expect("text"));
        answer.json()
    };
    let create = |body: Value| service.request(Method::POST, "/v1/recordings").json(&body);
    let unknown =
        problem(create(json!({ "room_url": room, "flim": 1 })), StatusCode::UNPROCESSABLE_ENTITY, "invalid_body").await;
    assert!(unknown["detail"].as_str().is_some_and(|detail| detail.contains("flim")), "{unknown}");
    let scheme =
        problem(create(json!({ "room_url": "ftp://h/a" })), StatusCode::UNPROCESSABLE_ENTITY, "invalid_field").await;
    assert_eq!(scheme["field"], "room_url");
    let broken = service.request(Method::POST, "/v1/recordings").header("content-type", "application/json").body("{");
    problem(broken, StatusCode::BAD_REQUEST, "invalid_body").await;
    let missing = "/v1/recordings/rec_01jdzq4h8v0t3k5m7n9p1r3s5t";
    problem(service.request(Method::GET, missing), StatusCode::NOT_FOUND, "not_found").await;
    problem(service.request(Method::GET, "/v1/nothing"), StatusCode::NOT_FOUND, "not_found").await;
    problem(service.request(Method::PUT, "/v1/recordings"), StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed").await;
    let wrong = client().get(format!("{}/v1/recordings", service.url())).bearer_auth("rb_wrong");
    problem(wrong, StatusCode::UNAUTHORIZED, "key_wrong").await;
    let large = create(json!({ "room_url": "x".repeat(300 << 10) }));
    problem(large, StatusCode::PAYLOAD_TOO_LARGE, "too_large").await;

    // A key that may only read.
    let made =
        service.post("/v1/keys", json!({ "name": "reader", "project": "other", "scopes": ["recordings:read"] })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let reader = made.json()["secret"].as_str().expect("a key").to_owned();
    let http = client();
    let denied =
        http.post(format!("{}/v1/recordings", service.url())).bearer_auth(&reader).json(&json!({ "room_url": room }));
    problem(denied, StatusCode::FORBIDDEN, "scope_missing").await;
    // It sees no recordings of other projects.
    let id = service.record(json!({ "room_url": room, "start_at": "2099-01-01T00:00:00Z" })).await;
    let foreign = http.get(format!("{}/v1/recordings/{id}", service.url())).bearer_auth(&reader);
    problem(foreign, StatusCode::NOT_FOUND, "not_found").await;
    let listed = service.send(http.get(format!("{}/v1/recordings", service.url())).bearer_auth(&reader)).await;
    assert_eq!(listed.json()["recordings"], json!([]));
    let key = made.json()["id"].as_str().expect("an id").to_owned();
    let revoked = service.send(service.request(Method::DELETE, &format!("/v1/keys/{key}"))).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    let after = http.get(format!("{}/v1/recordings", service.url())).bearer_auth(&reader);
    problem(after, StatusCode::UNAUTHORIZED, "key_wrong").await;
}

#[tokio::test]
async fn the_same_request_is_made_once() {
    let mut service = Service::start(&[]).await;
    let body = json!({ "room_url": "ws://127.0.0.1:9/rooms/a", "start_at": "2099-01-01T00:00:00Z" });
    let again = |service: &Service, body: &Value| {
        service.request(Method::POST, "/v1/recordings").header("idempotency-key", "standup-42").json(body)
    };
    let first = service.send(again(&service, &body)).await;
    let second = service.send(again(&service, &body)).await;
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::OK));
    service.kill_and_restart().await;
    let third = service.send(again(&service, &body)).await;
    assert_eq!((&first.json()["id"], &second.json()["id"]), (&third.json()["id"], &third.json()["id"]));
    let other = service.send(again(&service, &json!({ "room_url": "ws://127.0.0.1:9/rooms/b" }))).await;
    assert_eq!((other.status, &other.json()["code"]), (StatusCode::CONFLICT, &json!("idempotency_key_reused")));
    assert_eq!(service.get("/v1/recordings").await.json()["recordings"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_does_not_fit_waits_and_can_be_cancelled() {
    let (server, service) = (TestServer::start().await, Service::start(&["--capacity", "0.1"]).await);
    let _alice = person(&server, "a");
    let first = service.record(json!({ "room_url": server.room("a") })).await;
    service.until(&first, &["recording"], 30).await;
    let second = service.record(json!({ "room_url": server.room("a") })).await;
    let third = service.record(json!({ "room_url": server.room("a") })).await;
    crate::support::pause(Duration::from_secs(1), "a second recorder would begin").await;
    assert_eq!(service.get(&format!("/v1/recordings/{second}")).await.json()["state"], "queued");
    assert_eq!(service.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    service.post(&format!("/v1/recordings/{third}/cancel"), json!({})).await;
    service.until(&third, &["cancelled"], 5).await;
    service.post(&format!("/v1/recordings/{first}/stop"), json!({})).await;
    service.until(&first, &["complete"], 60).await;
    service.until(&second, &["recording"], 30).await;
    service.post(&format!("/v1/recordings/{second}/cancel"), json!({})).await;
    service.until(&second, &["cancelled"], 60).await;
    let deleted = service.send(service.request(Method::DELETE, &format!("/v1/recordings/{first}"))).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.text);
    assert!(!service.recording(&first).exists());
}

#[tokio::test]
async fn a_pause_is_seen_and_ended() {
    let (server, service) = (TestServer::start().await, Service::start(&[]).await);
    let _alice = person(&server, "standup");
    let id = service.record(json!({ "room_url": server.room("standup") })).await;
    service.until(&id, &["recording"], 30).await;
    service.post(&format!("/v1/recordings/{id}/pause"), json!({})).await;
    service.until(&id, &["paused"], 10).await;
    service.post(&format!("/v1/recordings/{id}/resume"), json!({})).await;
    service.until(&id, &["recording"], 10).await;
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    service.until(&id, &["complete"], 60).await;
    let seen = events(&service, &id).await;
    let told: Vec<_> =
        kinds(&seen).into_iter().filter(|kind| kind.contains("paused") || kind.contains("resumed")).collect();
    assert_eq!(told, ["recording.paused", "recording.resumed"]);
    let late = service.post(&format!("/v1/recordings/{id}/pause"), json!({})).await;
    assert_eq!((late.status, &late.json()["code"]), (StatusCode::CONFLICT, &json!("wrong_state")));
}

#[tokio::test]
async fn a_recording_that_is_scheduled_begins_in_its_time() {
    let (server, mut service) = (TestServer::start().await, Service::start(&[]).await);
    let at = jiff::Timestamp::now() + Duration::from_secs(3);
    let id = service.record(json!({ "room_url": server.room("later"), "start_at": at.to_string() })).await;
    assert_eq!(service.get(&format!("/v1/recordings/{id}")).await.json()["state"], "scheduled");
    service.kill_and_restart().await;
    service.until(&id, &["waiting"], 30).await;
    assert!(jiff::Timestamp::now() >= at);
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    service.until(&id, &["complete"], 60).await;
}

#[tokio::test]
async fn a_room_that_does_not_let_us_in_fails_with_its_reason() {
    let server = TestServer::start_with(|config| config.token = Some("open sesame".into())).await;
    let service = Service::start(&[]).await;
    let wrong = service.record(json!({ "room_url": server.room("a"), "token": "wrong" })).await;
    let failed = service.until(&wrong, &["failed"], 30).await;
    assert_eq!(failed["sub_code"], "token_wrong", "{failed:#}");
    let right = service.record(json!({ "room_url": server.room("a"), "token": "open sesame" })).await;
    service.until(&right, &["waiting"], 30).await;
    let [pid] = service.processes(&right)[..] else { panic!("one recorder") };
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).expect("a process");
    assert!(!String::from_utf8_lossy(&line).contains("sesame"), "others can read a command line");
    service.post(&format!("/v1/recordings/{right}/cancel"), json!({})).await;
    service.until(&right, &["cancelled"], 60).await;
}

#[tokio::test]
async fn the_api_describes_itself() {
    let service = Service::start(&[]).await;
    let description = service.get("/openapi.json").await.json();
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{description}");
    for path in ["/v1/recordings", "/v1/recordings/{id}/stop", "/v1/events", "/readyz"] {
        assert!(description["paths"][path].is_object(), "{path}");
    }
}

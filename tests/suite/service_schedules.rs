//! Schedules of the service: each time makes one recording, also where the service was killed at that time.

use crate::support::moment;
use crate::support::server::TestServer;
use crate::support::service::Service;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// A cron expression for this second of this day.
fn cron_at(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    format!("{} {} {} {} {} *", at.second(), at.minute(), at.hour(), at.day(), at.month())
}

/// Asks for a schedule and returns it.
async fn schedule(service: &Service, request: Value) -> Value {
    let answer = service.post("/v1/schedules", request).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()
}

/// The recordings that a schedule has made.
async fn made(service: &Service, id: &Value) -> Vec<Value> {
    let all = service.get("/v1/recordings").await.json();
    let all = all["recordings"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|recording| recording["schedule"] == *id).collect()
}

#[tokio::test]
async fn each_time_makes_one_recording_also_after_a_kill() {
    let (server, mut service) = (TestServer::start().await, Service::start(&[]).await);
    let soon = Timestamp::now() + Duration::from_secs(3);
    let request = |name: &str, duration_s: u64| {
        json!({
            "name": name, "cron": cron_at(soon), "duration_s": duration_s,
            "recording": { "room_url": server.room("standup"), "token": "s3cret", "metadata": { "team": "blue" } },
        })
    };
    let kept = schedule(&service, request("kept", 600)).await;
    assert!(!kept.to_string().contains("s3cret"), "{kept}");
    let next: Timestamp = kept["next_at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    assert!(soon.duration_since(next).abs() <= jiff::SignedDuration::from_secs(1), "{kept}");
    let missed = schedule(&service, request("missed", 1)).await;
    let paused = schedule(&service, request("paused", 600)).await;
    let path = |schedule: &Value| format!("/v1/schedules/{}", schedule["id"].as_str().expect("an id"));
    let change = service.request(Method::PATCH, &path(&paused)).json(&json!({ "enabled": false }));
    let changed = service.send(change).await.json();
    assert!(changed["next_at"].is_null() && changed["request"]["enabled"] == false, "{changed}");

    service.kill_only();
    while Timestamp::now() < soon + Duration::from_secs(2) {
        moment().await;
    }
    for _ in 0..3 {
        service.restart().await;
        let end = Timestamp::now() + Duration::from_secs(2);
        while Timestamp::now() < end {
            moment().await;
        }
        service.kill_only();
    }
    service.restart().await;
    let recordings = made(&service, &kept["id"]).await;
    assert_eq!(recordings.len(), 1, "{recordings:#?}");
    let recording = &recordings[0];
    assert_eq!(recording["request"]["metadata"]["team"], "blue");
    let start: Option<Timestamp> = recording["request"]["start_at"].as_str().and_then(|at| at.parse().ok());
    assert_eq!(start, Some(next), "{recording:#}");
    let longest = recording["request"]["auto_stop"]["max_duration_s"].as_u64().expect("seconds");
    assert!((580..600).contains(&longest), "{longest}");
    let id = recording["id"].as_str().expect("an id");
    service.until(id, &["waiting"], 30).await;
    let now = service.get(&path(&kept)).await.json();
    assert_eq!(now["last"]["recording"], *id);
    let later: Timestamp = now["next_at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    let a_year = next.to_zoned(TimeZone::UTC).checked_add(1.year()).expect("a year").timestamp();
    assert_eq!(later, a_year);

    assert!(made(&service, &missed["id"]).await.is_empty() && made(&service, &paused["id"]).await.is_empty());
    let now = service.get(&path(&missed)).await.json();
    assert_eq!((&now["last_missed"]["at"], &now["last_missed"]["count"]), (&kept["next_at"], &json!(1)), "{now}");

    // Its recordings stay when it is deleted.
    let deleted = service.send(service.request(Method::DELETE, &path(&kept))).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(service.get(&path(&kept)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(made(&service, &kept["id"]).await.len(), 1);
    let list = service.get("/v1/schedules?limit=1").await.json();
    assert_eq!(
        (list["schedules"].as_array().map(Vec::len), list["next_cursor"].is_string()),
        (Some(1), true),
        "{list}"
    );
    service.post(&format!("/v1/recordings/{id}/cancel"), json!({})).await;
    service.until(id, &["cancelled"], 60).await;
}

#[tokio::test]
async fn what_a_schedule_cannot_be_is_named() {
    let service = Service::start(&[]).await;
    let good = json!({ "name": "a", "cron": "0 9 * * MON-FRI", "time_zone": "Europe/Berlin", "duration_s": 3600,
        "recording": { "room_url": "ws://127.0.0.1:9/rooms/a" } });
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request[field] = value;
        request
    };
    for (request, field) in [
        (with("cron", json!("every day")), "cron"),
        (with("cron", json!("* * * * * *")), "cron"),
        (with("cron", json!("0 0 30 2 *")), "cron"),
        (with("time_zone", json!("Mars/Olympus")), "time_zone"),
        (with("duration_s", json!(0)), "duration_s"),
        (with("name", json!("")), "name"),
        (with("recording", json!({ "room_url": "ftp://h" })), "recording"),
        (
            with("recording", json!({ "room_url": "ws://h/rooms/a", "start_at": "2099-01-01T00:00:00Z" })),
            "recording.start_at",
        ),
        (
            with("recording", json!({ "room_url": "ws://h/rooms/a", "webhook_url": "http://127.0.0.1/" })),
            "recording.webhook_url",
        ),
    ] {
        let answer = service.post("/v1/schedules", request).await;
        assert_eq!(
            (answer.status, &answer.json()["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)),
            "{}",
            answer.text
        );
    }
    let made = schedule(&service, good).await;
    assert_eq!(made["request"]["time_zone"], "Europe/Berlin");
}

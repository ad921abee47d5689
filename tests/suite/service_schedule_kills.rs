//! Schedules of the service while it is killed at the very time they are due, and while they are changed then: each time makes one recording.
//! `ROOMBOT_KILL_SEED` repeats one seed.

use crate::support::service::Service;
use crate::support::{moment, within};
use jiff::{Timestamp, tz::TimeZone};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Schedules that are due at the same second: a kill falls between them.
const SCHEDULES: usize = 30;

/// A service that makes recordings and starts none of them: its disk never has enough room.
async fn without_recorders() -> (Service, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("roombot.toml");
    std::fs::write(&config, "disk_low = \"1000TiB\"\ndisk_high = \"1001TiB\"\n").expect("written");
    (Service::start(&["--config", config.to_str().expect("UTF-8")]).await, folder)
}

async fn schedule(service: &Service, name: &str, at: Timestamp) -> String {
    let time = at.to_zoned(TimeZone::UTC);
    let cron = format!("{} {} {} {} {} *", time.second(), time.minute(), time.hour(), time.day(), time.month());
    let recording = json!({ "room_url": "ws://127.0.0.1:9/rooms/a" });
    let request = json!({ "name": name, "cron": cron, "duration_s": 600, "recording": recording });
    let answer = service.post("/v1/schedules", request).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

/// How many recordings each schedule has made.
async fn made(service: &Service) -> BTreeMap<String, usize> {
    let mut made = BTreeMap::new();
    for recording in service.get("/v1/recordings?limit=500").await.json()["recordings"].as_array().expect("a list") {
        *made.entry(recording["schedule"].as_str().expect("a schedule").to_owned()).or_default() += 1;
    }
    made
}

async fn until(at: Timestamp) {
    while Timestamp::now() < at {
        moment().await;
    }
}

/// Kills the service several times around the time that all schedules are due at.
async fn killed(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut service, _folder) = without_recorders().await;
    // Whole seconds, far enough away to make all of them.
    let due = Timestamp::from_second(Timestamp::now().as_second() + 5).expect("a time");
    let mut ids = Vec::new();
    for number in 0..SCHEDULES {
        ids.push(schedule(&service, &format!("at {number}"), due).await);
    }
    assert!(Timestamp::now() < due, "seed {seed}: this machine is too slow for the test");
    until(due).await;
    // It looks once a second: the first kill falls before, between or after the writes of that look.
    let mut left_by = Vec::new();
    for round in 0..4 {
        let wait = if round == 0 { random.random_range(0..1100) } else { random.random_range(0..60) };
        until(Timestamp::now() + Duration::from_millis(wait)).await;
        service.kill_only();
        service.restart().await;
        left_by.push(made(&service).await.len());
    }
    let all = async {
        while made(&service).await.len() < SCHEDULES {
            moment().await;
        }
    };
    within(20, &format!("seed {seed}: each schedule makes its recording (after kills: {left_by:?})"), all).await;
    // Two more looks make nothing.
    until(Timestamp::now() + Duration::from_millis(2200)).await;
    service.kill_and_restart().await;
    let recordings = made(&service).await;
    assert!(recordings.values().all(|count| *count == 1), "seed {seed}: {recordings:?}");
    for id in &ids {
        assert!(recordings.contains_key(id), "seed {seed}: {id} made none");
        let now = service.get(&format!("/v1/schedules/{id}")).await.json();
        assert_eq!(now["last"]["at"].as_str().and_then(|at| at.parse().ok()), Some(due), "seed {seed}: {now:#}");
        assert!(now["last_missed"].is_null(), "seed {seed}: {now:#}");
        let next: Option<Timestamp> = now["next_at"].as_str().and_then(|at| at.parse().ok());
        assert!(next.is_some_and(|next| next > due), "seed {seed}: {now:#}");
    }
    // Each is told once.
    let audit = service.get("/v1/audit?action=recording.create&limit=500").await.json();
    assert_eq!(audit["entries"].as_array().map(Vec::len), Some(SCHEDULES), "seed {seed}");
    for recording in service.get("/v1/recordings?limit=500").await.json()["recordings"].as_array().expect("a list") {
        let id = recording["id"].as_str().expect("an id");
        assert_eq!(recording["state"], "queued", "seed {seed}: {recording:#}");
        let events = service.get(&format!("/v1/audit?object={id}")).await.json();
        assert_eq!(events["entries"].as_array().map(Vec::len), Some(1), "seed {seed}: {events:#}");
    }
}

#[tokio::test]
async fn a_service_that_is_killed_when_schedules_are_due_makes_each_recording_once() {
    if let Ok(seed) = std::env::var("ROOMBOT_KILL_SEED") {
        return killed(seed.parse().expect("a number")).await;
    }
    tokio::join!(killed(1), killed(2), killed(3), killed(4));
}

#[tokio::test]
async fn a_schedule_that_is_changed_when_it_is_due_makes_its_recording_once() {
    let (service, _folder) = without_recorders().await;
    let due = Timestamp::from_second(Timestamp::now().as_second() + 3).expect("a time");
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(schedule(&service, &format!("at {number}"), due).await);
    }
    let change = async |id: &str, body: Value| {
        let request = service.request(Method::PATCH, &format!("/v1/schedules/{id}")).json(&body);
        let answer = service.send(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    };
    let mut round = 0;
    while Timestamp::now() < due + Duration::from_secs(3) {
        round += 1;
        for id in &ids {
            change(id, json!({ "name": format!("changed {round}"), "duration_s": 600 + round })).await;
        }
    }
    let recordings = made(&service).await;
    for id in &ids {
        assert_eq!(recordings.get(id), Some(&1), "after {round} changes: {recordings:?}");
        let now = service.get(&format!("/v1/schedules/{id}")).await.json();
        assert_eq!(now["request"]["name"], format!("changed {round}"), "{now:#}");
    }
    // One that is disabled makes none, and enabled again not what has passed.
    let due = Timestamp::from_second(Timestamp::now().as_second() + 2).expect("a time");
    let off = schedule(&service, "off", due).await;
    change(&off, json!({ "enabled": false })).await;
    until(due + Duration::from_millis(1500)).await;
    change(&off, json!({ "enabled": true })).await;
    until(Timestamp::now() + Duration::from_millis(1500)).await;
    assert_eq!(made(&service).await.get(&off), None);
}

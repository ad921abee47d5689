//! The service, its recorders and its clients while everything is killed at random instants, by a seed: every recording ends, is recorded by
//! one recorder at a time, and none of its events is lost or told twice.

use crate::support::bot::Bot;
use crate::support::machine;
use crate::support::probe::probe;
use crate::support::server::TestServer;
use crate::support::service::Service;
use crate::support::{moment, pause};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long things are killed.
const LENGTH: Duration = Duration::from_secs(20);
/// The states that are ends.
const ENDS: [&str; 4] = ["complete", "partial", "failed", "cancelled"];

#[tokio::test]
async fn whatever_is_killed_every_recording_ends_and_none_has_two_recorders() {
    let _busy = machine::share().await;
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let server = TestServer::start().await;
    let mut service = Service::start(&["--capacity", "4"]).await;
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let _people: Vec<Bot> =
        ["a", "b"].iter().map(|room| Bot::start(&["feed", &server.room(room), &media, "--loop"])).collect();
    let mut ids = Vec::new();
    for room in ["a", "b", "a", "b"] {
        ids.push(service.record(json!({ "room_url": server.room(room) })).await);
    }
    let begun = Instant::now();
    while begun.elapsed() < LENGTH {
        let id = ids[random.random_range(0..ids.len())].clone();
        match random.random_range(0..20) {
            0..=6 => service.kill_and_restart().await,
            7..=13 => {
                for pid in service.processes(&id).into_iter().filter_map(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            14 => drop(service.post(&format!("/v1/recordings/{id}/pause"), json!({})).await),
            15 => drop(service.post(&format!("/v1/recordings/{id}/resume"), json!({})).await),
            16..=18 if ids.len() < 8 => ids.push(service.record(json!({ "room_url": server.room("a") })).await),
            _ => drop(service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await),
        }
        let until = Instant::now() + Duration::from_millis(random.random_range(0..1500));
        while Instant::now() < until {
            for id in &ids {
                let recorders = recorders(&service, id);
                assert!(recorders.len() <= 1, "seed {seed}: {id} has {recorders:?}");
            }
            moment().await;
        }
    }
    for id in &ids {
        drop(service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await);
    }
    let mut counts: HashMap<String, usize> = HashMap::new();
    for id in &ids {
        let recording = service.until(id, &ENDS, 120).await;
        let state = recording["state"].as_str().unwrap_or_default().to_owned();
        for media in recording["outcome"]["media"].as_array().into_iter().flatten() {
            let path = media["path"].as_str().unwrap_or_default();
            if media["kind"] == "track" {
                assert!(probe(&service.recording(id).join(path)).frames > 0, "seed {seed}: {id} {path} does not open");
            }
        }
        let stream = service.get(&format!("/v1/recordings/{id}/events")).await;
        let data = stream.text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = data.filter_map(|line| serde_json::from_str(line).ok()).collect();
        let sequence: Vec<_> = events.iter().filter_map(|event| event["sequence"].as_i64()).collect();
        assert_eq!(sequence, (1..=events.len() as i64).collect::<Vec<_>>(), "seed {seed}: {id}");
        let ended = events.iter().filter(|event| {
            ["recording.completed", "recording.failed", "recording.cancelled"].iter().any(|kind| event["type"] == *kind)
        });
        assert_eq!(ended.count(), 1, "seed {seed}: {id} ended once: {events:#?}");
        *counts.entry(state).or_default() += 1;
    }
    println!("{counts:?}");
    pause(Duration::from_millis(300), "what should not run any more would be seen").await;
    for id in &ids {
        assert_eq!(recorders(&service, id), Vec::<i32>::new(), "seed {seed}: {id} still runs");
    }
}

/// The recorders of a recording that have its folder: a process that is about to be killed may still be listed, dead.
fn recorders(service: &Service, id: &str) -> Vec<i32> {
    let lives = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    };
    service.processes(id).into_iter().filter(lives).collect()
}

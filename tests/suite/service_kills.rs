//! The service while everything about it is killed or cut off at random instants, by a seed: every recording ends, is recorded by one
//! recorder at a time, every event is told once and its webhook arrives, and every byte that was on the disk is in the store.
//!
//! For longer: `ROOMBOT_CHAOS_MINUTES=60 ROOMBOT_CHAOS_RECORDINGS=200 cargo test --test suite -- whatever_is_killed --nocapture`. A run is
//! repeated by its `ROOMBOT_KILL_SEED`, as far as the machine lets it.

use crate::support::bot::Bot;
use crate::support::cargo::{below, sha256};
use crate::support::machine;
use crate::support::needs::needed;
use crate::support::outage::Outage;
use crate::support::pause;
use crate::support::probe::probe;
use crate::support::receiver::{Receiver, Reply};
use crate::support::server::TestServer;
use crate::support::service::{ENDS, Service};
use crate::support::store::{Store, configuration, storage};
use crate::support::{moment, within};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// Recordings that run at once.
const AT_ONCE: usize = 10;

fn number<T: std::str::FromStr>(variable: &str, default: T) -> T {
    let Ok(text) = std::env::var(variable) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}"))
}

/// Everything that is killed, and what it is watched by.
struct Chaos {
    seed: u64,
    random: StdRng,
    server: TestServer,
    service: Service,
    line: Outage,
    receiver: Receiver,
    most: usize,
    ids: Vec<String>,
}

impl Chaos {
    async fn record(&mut self) {
        let room = ["a", "b"][self.random.random_range(0..2)];
        let url = self.receiver.url("/hook");
        self.ids.push(self.service.record(json!({ "room_url": self.server.room(room), "webhook_url": url })).await);
    }

    /// How many of the recordings have not ended.
    async fn open(&self) -> usize {
        let mut open = 0;
        for id in &self.ids {
            open += usize::from(!self.service.has_ended(id).await);
        }
        open
    }

    async fn act(&mut self) {
        let id = self.ids[self.random.random_range(self.ids.len().saturating_sub(AT_ONCE)..self.ids.len())].clone();
        match self.random.random_range(0..24) {
            0..=5 => self.service.kill_and_restart().await,
            6..=12 => {
                for pid in self.service.processes(&id).into_iter().filter_map(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            13 => drop(self.service.post(&format!("/v1/recordings/{id}/pause"), json!({})).await),
            14 => drop(self.service.post(&format!("/v1/recordings/{id}/resume"), json!({})).await),
            15 => self.line.set_cut(true),
            16 => self.line.set_cut(false),
            17 => self.receiver.reply("/hook", &[Reply::RetryAfter(503, 1)]),
            18..=20 if self.ids.len() < self.most && self.open().await < AT_ONCE => self.record().await,
            _ => drop(self.service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await),
        }
    }

    /// Looks that no recording has two recorders.
    fn look(&self) {
        for id in self.ids.iter().rev().take(2 * AT_ONCE) {
            let recorders = recorders(&self.service, id);
            assert!(recorders.len() <= 1, "seed {}: {id} has {recorders:?}", self.seed);
        }
    }

    /// Everything of a recording that has ended: its events, their webhooks, its files here and in the store.
    async fn check(&self, id: &str, store: &Store) -> String {
        let seed = self.seed;
        let recording = self.service.until(id, &ENDS, 180).await;
        let stream = self.service.get(&format!("/v1/recordings/{id}/events")).await;
        let data = stream.text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = data.filter_map(|line| serde_json::from_str(line).ok()).collect();
        let sequence: Vec<_> = events.iter().filter_map(|event| event["sequence"].as_i64()).collect();
        assert_eq!(sequence, (1..=events.len() as i64).collect::<Vec<_>>(), "seed {seed}: {id}");
        let ended = events.iter().filter(|event| {
            ["recording.completed", "recording.failed", "recording.cancelled"].iter().any(|kind| event["type"] == *kind)
        });
        assert_eq!(ended.count(), 1, "seed {seed}: {id} ended once: {events:#?}");
        let told: HashSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
        let arrived = async {
            loop {
                let received = self.receiver.received("/hook");
                let ids: HashSet<&str> = received.iter().map(|received| received.id()).collect();
                if told.is_subset(&ids) {
                    return;
                }
                moment().await;
            }
        };
        within(120, "every webhook arrives", arrived).await;
        let folder = self.service.recording(id);
        for media in recording["outcome"]["media"].as_array().into_iter().flatten() {
            let path = media["path"].as_str().unwrap_or_default();
            if media["kind"] == "track" {
                assert!(probe(&folder.join(path)).frames > 0, "seed {seed}: {id} {path} does not open");
            }
        }
        if recording["outcome"].is_object() {
            let storage = storage(&recording);
            assert_eq!(storage["state"], "stored", "seed {seed}: {recording:#}");
            let place = storage["path"].as_str().expect("a place");
            for name in below(&folder).into_iter().filter(|name| !name.starts_with('.') && !name.contains("/.")) {
                let (_, stored) = store.object(&format!("2026/{place}/{name}")).await;
                assert_eq!(stored, sha256(&folder.join(&name)), "seed {seed}: {id} {name}");
            }
        }
        recording["state"].as_str().unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn whatever_is_killed_every_recording_ends_whole_and_none_has_two_recorders() {
    let mut store = needed!(Store::prepare().await);
    let _busy = machine::share().await;
    let seed = number("ROOMBOT_KILL_SEED", rand::rng().random());
    let length = Duration::from_secs_f64(number("ROOMBOT_CHAOS_MINUTES", 1.0 / 3.0) * 60.0);
    println!("ROOMBOT_KILL_SEED={seed}");
    store.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let line = Outage::start(store.address()).await;
    let more = "allow_private_webhooks = true\ncapacity = 4\n";
    let service = Service::start(&["--config", &configuration(folder.path(), line.address, more)]).await;
    let (server, receiver) = (TestServer::start().await, Receiver::start().await);
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let _people: Vec<Bot> =
        ["a", "b"].iter().map(|room| Bot::start(&["feed", &server.room(room), &media, "--loop"])).collect();
    let (random, most) = (StdRng::seed_from_u64(seed), number("ROOMBOT_CHAOS_RECORDINGS", 8));
    let mut chaos = Chaos { seed, random, server, service, line, receiver, most, ids: Vec::new() };
    for _ in 0..4 {
        chaos.record().await;
    }
    let begun = Instant::now();
    while begun.elapsed() < length {
        chaos.act().await;
        let until = Instant::now() + Duration::from_millis(chaos.random.random_range(0..1500));
        while Instant::now() < until {
            chaos.look();
            moment().await;
        }
    }
    chaos.line.set_cut(false);
    for id in &chaos.ids {
        drop(chaos.service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await);
    }
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for id in &chaos.ids {
        *states.entry(chaos.check(id, &store).await).or_default() += 1;
    }
    println!("{states:?} in {} s", begun.elapsed().as_secs());
    pause(Duration::from_millis(300), "what should not run any more would be seen").await;
    for id in &chaos.ids {
        assert_eq!(recorders(&chaos.service, id), Vec::<i32>::new(), "seed {seed}: {id} still runs");
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

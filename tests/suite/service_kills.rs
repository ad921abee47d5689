//! The service while everything about it is killed or cut off at random instants, by a seed: every recording ends, is recorded by one
//! recorder at a time, every event is told once and its webhook arrives, and every byte that was on the disk is in the store.
//!
//! `support/chaos.rs` says how it runs for longer.

use crate::support::bot::Bot;
use crate::support::cargo::{below, sha256};
use crate::support::chaos::{AT_ONCE, Dose, FIRST, kill, open, told_in_order};
use crate::support::machine;
use crate::support::moment;
use crate::support::needs::needed;
use crate::support::outage::Outage;
use crate::support::pause;
use crate::support::receiver::{Receiver, Reply};
use crate::support::server::TestServer;
use crate::support::service::{ENDS, Service};
use crate::support::store::{Store, configuration, storage};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Everything that is killed, and what it is watched by.
struct Chaos {
    dose: Dose,
    random: StdRng,
    server: TestServer,
    service: Service,
    line: Outage,
    receiver: Receiver,
    ids: Vec<String>,
    /// Those that had not ended when they were looked at last.
    living: Vec<String>,
    done: BTreeMap<&'static str, usize>,
}

impl Chaos {
    async fn record(&mut self) {
        let room = ["a", "b"][self.random.random_range(0..2)];
        let url = self.receiver.url(&format!("/hook/{}", self.ids.len()));
        let id = self.service.record(json!({ "room_url": self.server.room(room), "webhook_url": url })).await;
        self.living.push(id.clone());
        self.ids.push(id);
    }

    /// The path of a recording's webhooks.
    fn hook(&self, id: &str) -> String {
        let at = self.ids.iter().position(|known| known == id).expect("one of ours");
        format!("/hook/{at}")
    }

    async fn act(&mut self) {
        let ids = if self.living.is_empty() { &self.ids } else { &self.living };
        let id = ids[self.random.random_range(0..ids.len())].clone();
        let what = match self.random.random_range(0..24) {
            0..=5 => {
                self.service.kill_and_restart().await;
                "kills of the service"
            }
            6..=12 => {
                kill(self.service.processes(&id));
                "kills of a recorder"
            }
            13 => self.ask(&id, "pause").await,
            14 => self.ask(&id, "resume").await,
            15 => {
                self.line.set_cut(true);
                "cuts of the store"
            }
            16 => {
                self.line.set_cut(false);
                "ends of a cut"
            }
            17 => {
                self.receiver.reply(&self.hook(&id), &[Reply::RefuseOnce]);
                "webhooks refused"
            }
            18..=20
                if self.ids.len() < self.dose.allowed() && open(&self.service, &mut self.living).await < AT_ONCE =>
            {
                self.record().await;
                "recordings"
            }
            // Enough of them are to last.
            _ if open(&self.service, &mut self.living).await < FIRST => return,
            _ => self.ask(&id, "stop").await,
        };
        *self.done.entry(what).or_default() += 1;
    }

    async fn ask(&self, id: &str, verb: &'static str) -> &'static str {
        self.service.post(&format!("/v1/recordings/{id}/{verb}"), json!({})).await;
        verb
    }

    /// Looks that no recording has two recorders.
    fn look(&self) {
        for id in &self.living {
            let recorders = recorders(&self.service, id);
            assert!(recorders.len() <= 1, "seed {}: {id} has {recorders:?}", self.dose.seed);
        }
    }

    /// Everything of a recording that has ended: its events, their webhooks, its files here and in the store.
    async fn check(&self, id: &str, store: &Store) -> String {
        let seed = self.dose.seed;
        let recording = self.service.until(id, &ENDS, 180).await;
        told_in_order(&format!("seed {seed}"), &self.service, id, &self.receiver, &self.hook(id)).await;
        let folder = self.service.recording(id);
        for media in recording["outcome"]["media"].as_array().into_iter().flatten() {
            let path = media["path"].as_str().unwrap_or_default();
            if media["kind"] == "track" {
                assert!(self.dose.frames(&folder.join(path)) > 0, "seed {seed}: {id} {path} does not open");
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

// The receiver of webhooks answers while tracks are decoded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_every_recording_ends_whole_and_none_has_two_recorders() {
    let mut store = needed!(Store::prepare().await);
    let _busy = machine::alone().await;
    let dose = Dose::read();
    store.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let line = Outage::start(store.address()).await;
    let more = "allow_private_webhooks = true\ncapacity = 4\n";
    let service = Service::start(&["--config", &configuration(folder.path(), line.address, more)]).await;
    let (server, receiver) = (TestServer::start().await, Receiver::start().await);
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let _people: Vec<Bot> =
        ["a", "b"].iter().map(|room| Bot::start(&["feed", &server.room(room), &media, "--loop"])).collect();
    let (random, seed) = (StdRng::seed_from_u64(dose.seed), dose.seed);
    let (ids, living, done) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut chaos = Chaos { dose, random, server, service, line, receiver, ids, living, done };
    for _ in 0..FIRST {
        chaos.record().await;
    }
    chaos.dose.begin();
    while !chaos.dose.is_over() {
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
    println!("{states:?} in {} s; {:?}", chaos.dose.elapsed().as_secs(), chaos.done);
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

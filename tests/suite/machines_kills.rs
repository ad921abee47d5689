//! The service on many machines while everything about it is killed, stopped or cut off at random instants, by a seed: the API node,
//! workers, recorders, NATS, the store, and the lines between them. Every recording ends, its rooms never have two of its recorders at once and
//! none is left without one, every event is told once and its webhook arrives, and every byte that was on a worker's disk is in the store.
//!
//! `support/chaos.rs` says how it runs for longer.

use crate::support::bot::Bot;
use crate::support::chaos::{AT_ONCE, Dose, FIRST, kill, open, told_in_order};
use crate::support::machine;
use crate::support::nats::{Line, Nats};
use crate::support::needs::{needed, tools};
use crate::support::outage::Outage;
use crate::support::receiver::{Receiver, Reply};
use crate::support::server::TestServer;
use crate::support::service::{ENDS, Service};
use crate::support::store::{Store, configuration, storage};
use crate::support::witness::Witness;
use crate::support::{moment, pause, within};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const WORKERS: [&str; 3] = ["one", "two", "three"];
/// Between two times at which everything is mended and every recording must have its recorder.
const CALM: Duration = Duration::from_secs(120);
/// How soon it must have one then: what docs/machines.md says, the pause of one that crashed again and again, and a busy machine.
const SOON: u64 = 60;

/// A worker, and what was done to it.
struct Worker {
    service: Service,
    line: Line,
    is_dead: bool,
    is_stopped: bool,
    is_draining: bool,
}

/// What can be out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Api,
    Nats,
    Store,
    Worker(usize),
}

struct Chaos {
    what: String,
    dose: Dose,
    random: StdRng,
    server: TestServer,
    receiver: Receiver,
    store: Store,
    outage: Outage,
    nats: Nats,
    api: Service,
    workers: Vec<Worker>,
    witness: Witness,
    ids: Vec<String>,
    /// Those that had not ended when they were looked at last.
    living: Vec<String>,
    /// What is out of order, and until when.
    broken: Vec<(Instant, Part)>,
    done: BTreeMap<&'static str, usize>,
}

impl Chaos {
    fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn is_whole(&self, part: Part) -> bool {
        self.broken.iter().all(|(_, broken)| *broken != part)
    }

    /// It stays out of order for a while: shorter than what is a loss, or longer.
    fn broke(&mut self, part: Part) {
        let after = Duration::from_millis(self.random.random_range(0..8000));
        self.broken.push((Instant::now() + after, part));
    }

    fn hook(&self, id: &str) -> String {
        let at = self.ids.iter().position(|known| known == id).expect("one of ours");
        format!("/hook/{at}")
    }

    async fn record(&mut self) {
        let room = ["a", "b"][self.random.random_range(0..2)];
        let url = self.receiver.url(&format!("/hook/{}", self.ids.len()));
        let request =
            json!({ "room_url": self.server.room(room), "webhook_url": url, "auto_stop": { "silence_s": 0 } });
        let id = self.api.record(request).await;
        self.living.push(id.clone());
        self.ids.push(id);
        self.count("recordings");
    }

    async fn act(&mut self) {
        let ids = if self.living.is_empty() { &self.ids } else { &self.living };
        let id = ids[self.random.random_range(0..ids.len())].clone();
        let worker = self.random.random_range(0..self.workers.len());
        let act = self.random.random_range(0..40);
        match act {
            0..=1 if self.is_whole(Part::Api) => {
                self.api.kill_only();
                self.count("kills of the API node");
                self.broke(Part::Api);
            }
            2..=3 if self.is_whole(Part::Nats) => {
                self.nats.kill();
                self.count("kills of NATS");
                self.broke(Part::Nats);
            }
            4..=5 if self.is_whole(Part::Store) => {
                self.outage.set_cut(true);
                self.count("cuts of the store");
                self.broke(Part::Store);
            }
            6 if self.is_whole(Part::Store) => {
                self.store.signal(Signal::STOP);
                self.count("stops of the store");
                self.broke(Part::Store);
            }
            7..=18 if self.is_whole(Part::Worker(worker)) => self.harm(worker, act).await,
            19..=26 => {
                let recorders = self.witness.recorders();
                kill(recorders.iter().filter(|one| one.recording == id).map(|one| one.pid));
                self.count("kills of a recorder");
            }
            27 => self.receiver.reply(&self.hook(&id), &[Reply::RefuseOnce]),
            28.. if self.is_whole(Part::Api) => self.ask(&id, act).await,
            _ => {}
        }
    }

    /// Does something to a worker.
    async fn harm(&mut self, index: usize, how: u32) {
        let worker = &mut self.workers[index];
        let what = match how {
            7..=8 => {
                worker.service.kill_only();
                worker.is_dead = true;
                "kills of a worker alone"
            }
            9..=10 => {
                worker.service.kill_only();
                worker.is_dead = true;
                kill(worker.service.processes(""));
                "kills of a worker with all that it started"
            }
            11..=13 => {
                worker.service.signal(Signal::STOP);
                worker.is_stopped = true;
                "stops of a worker"
            }
            14..=16 => {
                worker.line.hold();
                "cuts between a worker and NATS"
            }
            17 if self.broken.iter().all(|(_, part)| !matches!(part, Part::Api | Part::Nats)) => {
                let drained = self.api.post(&format!("/v1/workers/{}/drain", WORKERS[index]), json!({})).await;
                worker.is_draining = drained.status.is_success();
                "drains"
            }
            _ => {
                worker.service.end().await;
                worker.is_dead = true;
                "ends of a worker"
            }
        };
        self.count(what);
        self.broke(Part::Worker(index));
    }

    /// Asks for something.
    async fn ask(&mut self, id: &str, what: u32) {
        let verb = match what {
            28..=29 => "pause",
            30..=32 => "resume",
            33..=36 if self.ids.len() < self.dose.allowed() && open(&self.api, &mut self.living).await < AT_ONCE => {
                return self.record().await;
            }
            37 => "cancel",
            _ => "stop",
        };
        // Enough of them are to last.
        if matches!(verb, "cancel" | "stop") && open(&self.api, &mut self.living).await < FIRST {
            return;
        }
        self.api.post(&format!("/v1/recordings/{id}/{verb}"), json!({})).await;
    }

    /// Mends what has been out of order for long enough.
    async fn mend(&mut self, all: bool) {
        let now = Instant::now();
        let (due, later) = self.broken.drain(..).partition(|(until, _)| all || *until <= now);
        self.broken = later;
        let due: Vec<(Instant, Part)> = due;
        for (_, part) in due {
            match part {
                Part::Api => self.api.restart().await,
                Part::Nats => self.nats.restart().await,
                Part::Store => {
                    self.store.signal(Signal::CONT);
                    self.outage.set_cut(false);
                }
                Part::Worker(index) => self.workers[index].mend().await,
            }
        }
    }

    /// Mends everything: soon every recording that has not ended has a recorder. Returns how long that took.
    async fn calm(&mut self) -> Duration {
        self.mend(true).await;
        let begun = Instant::now();
        open(&self.api, &mut self.living).await;
        for id in self.living.clone() {
            let recorded = async {
                while self.witness.in_the_room(&id).len() != 1 {
                    let recording = self.api.get(&format!("/v1/recordings/{id}")).await.json();
                    let state = recording["state"].as_str().unwrap_or_default();
                    if ["stopping", "processing", "uploading"].contains(&state) || ENDS.contains(&state) {
                        return;
                    }
                    moment().await;
                }
            };
            if tokio::time::timeout(Duration::from_secs(SOON), recorded).await.is_err() {
                panic!("{}: {id} has no recorder within {SOON} s: {}", self.what, self.witness.told(&id));
            }
        }
        begun.elapsed()
    }

    /// Everything of a recording that has ended. Returns its state and the times without a recorder, in ms.
    async fn check(&self, id: &str) -> (String, Vec<(i64, bool)>) {
        let what = &self.what;
        let recording = self.api.until(id, &ENDS, 300).await;
        told_in_order(what, &self.api, id, &self.receiver, &self.hook(id)).await;
        let gaps = self.witness.gaps(what, id);
        let storage = storage(&recording);
        // Also of one that ended without a place: what others had of it comes there.
        let text = |key: &str| recording[key].as_str().expect("text").to_owned();
        let place = format!("2026/default/{}/{}/{id}/", text("created_at")[..10].replace('-', "/"), text("room"));
        let arrived = async {
            let mut since = Instant::now();
            loop {
                let stored = self.store.below(&place).await;
                let missing = self.witness.missing(id, &stored);
                if missing.is_empty() {
                    return stored;
                }
                if since.elapsed() > Duration::from_secs(20) {
                    println!("{what}: {id} waits for {missing:?}; there are {:?}", stored.keys());
                    since = Instant::now();
                }
                moment().await;
            }
        };
        let stored = within(240, &format!("{what}: all of {id} is in the store"), arrived).await;
        if recording["outcome"].is_object() {
            assert_eq!(storage["state"], "stored", "{what}: {recording:#}");
        }
        let has_tracks = recording["outcome"]["media"].to_string().contains("tracks/");
        let is_complete = recording["state"] == "complete";
        assert!(has_tracks || !is_complete || !self.witness.has_tracks(id), "{what}: {recording:#}");
        let folder = tempfile::tempdir().expect("a folder");
        for media in recording["outcome"]["media"].as_array().into_iter().flatten() {
            let path = media["path"].as_str().unwrap_or_default();
            if media["kind"] == "track" {
                let file = folder.path().join("track");
                std::fs::write(&file, &stored[path]).expect("written");
                assert!(self.dose.frames(&file) > 0, "{what}: {id} {path} does not open");
            }
        }
        (recording["state"].as_str().unwrap_or_default().to_owned(), gaps)
    }
}

impl Worker {
    async fn mend(&mut self) {
        if self.is_stopped {
            self.service.signal(Signal::CONT);
        }
        self.line.open();
        if self.is_draining {
            self.service.end().await;
        }
        if self.is_dead || self.is_draining {
            self.service.restart().await;
        }
        (self.is_dead, self.is_stopped, self.is_draining) = (false, false, false);
    }
}

async fn prepare(dose: Dose, mut store: Store, nats: Nats, folder: &std::path::Path) -> Chaos {
    store.start().await;
    let outage = Outage::start(store.address()).await;
    let more = "allow_private_webhooks = true\ncapacity = 4\nupload_every = \"2s\"\nkeep_local = \"0s\"\n";
    let config = configuration(folder, outage.address, more);
    let queue = format!("nats://{}", nats.address);
    let api = Service::start(&["--config", &config, "--role", "api", "--queue", &queue]).await;
    let mut workers = Vec::new();
    for name in WORKERS {
        let line = Line::to(nats.address).await;
        let queue = format!("nats://{}", line.address);
        let own = ["--config", &config, "--role", "worker", "--worker", name, "--queue", &queue];
        let service = Service::start(&own).await;
        workers.push(Worker { service, line, is_dead: false, is_stopped: false, is_draining: false });
    }
    let data =
        WORKERS.iter().zip(&workers).map(|(name, worker)| ((*name).to_owned(), worker.service.data().to_owned()));
    let witness = Witness::start(data.collect());
    let (server, receiver) = (TestServer::start().await, Receiver::start().await);
    let (what, random) = (format!("seed {}", dose.seed), StdRng::seed_from_u64(dose.seed));
    let (ids, living, broken, done) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
    Chaos {
        what,
        dose,
        random,
        server,
        receiver,
        store,
        outage,
        nats,
        api,
        workers,
        witness,
        ids,
        living,
        broken,
        done,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_of_many_machines_every_recording_ends_whole_and_none_has_two_recorders() {
    needed!(tools(&["ffmpeg"]));
    let store = needed!(Store::prepare().await);
    let nats = needed!(Nats::start().await);
    let _busy = machine::alone().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut chaos = prepare(Dose::read(), store, nats, folder.path()).await;
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let _people: Vec<Bot> =
        ["a", "b"].iter().map(|room| Bot::start(&["feed", &chaos.server.room(room), &media, "--loop"])).collect();
    for _ in 0..FIRST {
        chaos.record().await;
    }
    chaos.calm().await;
    chaos.dose.begin();
    let (mut calm, mut waits) = (Instant::now(), Vec::new());
    while !chaos.dose.is_over() {
        chaos.act().await;
        let wait = Duration::from_millis(chaos.random.random_range(0..1000));
        pause(wait, "what was done has its effects").await;
        chaos.mend(false).await;
        if calm.elapsed() > CALM {
            waits.push(chaos.calm().await.as_millis());
            calm = Instant::now();
        }
    }
    waits.push(chaos.calm().await.as_millis());
    for id in &chaos.ids {
        drop(chaos.api.post(&format!("/v1/recordings/{id}/stop"), json!({})).await);
    }
    let (mut states, mut gaps): (BTreeMap<String, usize>, Vec<(i64, bool)>) = Default::default();
    for id in &chaos.ids {
        let (state, between) = chaos.check(id).await;
        *states.entry(state).or_default() += 1;
        gaps.extend(between);
    }
    println!("{states:?} in {} s; {:?}", chaos.dose.elapsed().as_secs(), chaos.done);
    println!("until every recording had its recorder, ms: {waits:?}; {:?} links and looks", chaos.witness.figures());
    for (moved, what) in [(false, "on the same worker"), (true, "on another worker")] {
        let mut gaps: Vec<i64> = gaps.iter().filter(|gap| gap.1 == moved).map(|gap| gap.0).collect();
        gaps.sort_unstable();
        let at = |share: usize| gaps.get((gaps.len() * share / 100).min(gaps.len().saturating_sub(1))).copied();
        println!(
            "{} next parts {what}, after ms: median {:?}, 95 % {:?}, most {:?}",
            gaps.len(),
            at(50),
            at(95),
            at(100)
        );
    }
    pause(Duration::from_millis(300), "what should not run any more would be seen").await;
    assert!(chaos.witness.recorders().is_empty(), "{}: {:?}", chaos.what, chaos.witness.recorders());
}

//! The service on many machines whose networks are parted: workers, NATS and the store in network namespaces of their own, and cables that are
//! pulled out. Whoever is parted, no recording has two recorders, it goes on in time, and all of it is in the store in the end.

use crate::support::bot::Bot;
use crate::support::machine;
use crate::support::nats::Nats;
use crate::support::needs::{needed, tools};
use crate::support::networks::{Network, Networks};
use crate::support::server::TestServer;
use crate::support::service::{Around, Service};
use crate::support::store::{Store, configuration, storage};
use crate::support::witness::Witness;
use crate::support::{moment, within};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// A part's end and the next one's beginning lie no further apart, in ms: what docs/machines.md promises, and a busy machine.
const SOON: i64 = 20_000;

/// Machines by number: [`Networks`] has this one as 0.
struct Parted {
    networks: Networks,
    queue: usize,
    store: Store,
    api: Service,
    workers: Vec<(usize, Service)>,
    witness: Witness,
    room: String,
    _people: Bot,
    _server: TestServer,
    _nats: Nats,
    _folder: tempfile::TempDir,
}

impl Parted {
    async fn start() -> Result<Parted, String> {
        tools(&["ffmpeg"])?;
        let mut networks = Networks::make()?;
        let (queue, stored) = (networks.machine(), networks.machine());
        let at = |machine: usize, network| networks.address(machine, network);
        let nats = Nats::start_at(&at(queue, Network::Queue), networks.on(queue)).await?;
        let mut store = Store::prepare_at(&at(stored, Network::Store), networks.on(stored)).await?;
        store.start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let config = configuration(folder.path(), store.address(), "upload_every = \"1s\"\ncapacity = 2\n");
        let url = format!("nats://{}", nats.address);
        let own = ["--config", &config, "--queue", &url];
        let api = Service::start(&[&own[..], &["--role", "api"]].concat()).await;
        let mut workers = Vec::new();
        for name in ["one", "two"] {
            let machine = networks.machine();
            let around = Around { by: networks.on(machine), ..Around::default() };
            let more = [&own[..], &["--role", "worker", "--worker", name]].concat();
            workers.push((machine, Service::start_around(around, &more).await));
        }
        let listen: SocketAddr = format!("{}:0", networks.address(0, Network::Rooms)).parse().expect("an address");
        let server = TestServer::start_with(|config| config.listen = listen).await;
        let room = server.room("standup");
        let people = Bot::start(&["feed", &room, "--stamp", "alice,320x180@15", "--as", "Alice"]);
        let data = ["one", "two"]
            .iter()
            .zip(&workers)
            .map(|(name, (_, worker))| ((*name).to_owned(), worker.data().to_owned()));
        let witness = Witness::start(data.collect());
        let parted = Parted {
            networks,
            queue,
            store,
            api,
            workers,
            witness,
            room,
            _people: people,
            _server: server,
            _nats: nats,
            _folder: folder,
        };
        for state in ["one", "two"] {
            parted.knows(state, "active").await;
        }
        Ok(parted)
    }

    async fn knows(&self, worker: &str, state: &str) {
        let known = async {
            loop {
                let workers = self.api.get("/v1/workers").await.json();
                let is = |known: &Value| known["id"] == worker && known["state"] == state;
                if workers["workers"].as_array().is_some_and(|workers| workers.iter().any(is)) {
                    return;
                }
                moment().await;
            }
        };
        within(30, &format!("{worker} is {state}"), known).await;
    }

    /// Waits until one recorder is in the room, of another worker than this one if that is said; returns whose it is.
    async fn recorded(&self, id: &str, not_by: Option<&str>) -> String {
        let recorded = async {
            loop {
                match self.witness.in_the_room(id).as_slice() {
                    [one] if not_by != Some(one) => return one.clone(),
                    _ => moment().await,
                }
            }
        };
        within(30, &format!("{id} is recorded, and not by {not_by:?}"), recorded).await
    }

    fn machine(&self, worker: &str) -> usize {
        self.workers[usize::from(worker == "two")].0
    }

    fn parts(&self, id: &str) -> usize {
        self.witness.parts(id).len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_parted_from_whom_no_recording_has_two_recorders() {
    let _busy = machine::alone().await;
    let parted = needed!(Parted::start().await);
    let id = parted.api.record(json!({ "room_url": parted.room, "auto_stop": { "silence_s": 0 } })).await;
    let first = parted.recorded(&id, None).await;

    // A worker from NATS: it still reaches the room and the store, and makes way for the other one.
    parted.networks.set_plugged(parted.machine(&first), Network::Queue, false);
    let second = parted.recorded(&id, Some(&first)).await;
    parted.networks.set_plugged(parted.machine(&first), Network::Queue, true);
    parted.knows(&first, "active").await;

    // A worker from the store: what it records waits on its disk, and nobody else comes.
    let before = parted.parts(&id);
    parted.networks.set_plugged(parted.machine(&second), Network::Store, false);
    crate::support::pause(Duration::from_secs(4), "a worker that would be lost is lost by then").await;
    assert_eq!(parted.recorded(&id, None).await, second);
    assert_eq!(parted.parts(&id), before, "{:#?}", parted.witness.parts(&id));
    parted.networks.set_plugged(parted.machine(&second), Network::Store, true);

    // NATS from everybody: all recorders leave, and come back when it does.
    parted.networks.set_plugged(parted.queue, Network::Queue, false);
    let left = async {
        while !parted.witness.in_the_room(&id).is_empty() {
            moment().await;
        }
    };
    within(20, "the recorder leaves", left).await;
    parted.networks.set_plugged(parted.queue, Network::Queue, true);
    parted.recorded(&id, None).await;

    parted.api.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    let recording = parted.api.until(&id, &["partial"], 120).await;
    let gaps = parted.witness.gaps("parted", &id);
    println!("without a recorder, ms (whether another worker came then): {gaps:?}");
    assert!(gaps.len() >= 2 && gaps.iter().all(|(gap, _)| *gap < SOON), "{gaps:?}");
    assert_eq!(storage(&recording)["state"], "stored", "{recording:#}");
    let place = format!("2026/{}/", storage(&recording)["path"].as_str().expect("a place"));
    let whole = async {
        loop {
            let stored = parted.store.below(&place).await;
            let missing = parted.witness.missing(&id, &stored);
            if missing.is_empty() {
                return;
            }
            moment().await;
        }
    };
    within(90, "all that was on a disk is in the store", whole).await;
}

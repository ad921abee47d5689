//! The service on many machines: an API node, workers, a real NATS and a store, and a room with somebody in it.

use super::bot::Bot;
use super::chaos::kill;
use super::nats::Nats;
use super::server::TestServer;
use super::service::{Service, events_in, until_it_holds};
use super::{deadline, moment, within};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// An API node with its workers, their store, and a room with somebody in it.
pub struct Machines {
    pub api: Service,
    pub server: TestServer,
    pub store: TempDir,
    pub nats: Nats,
    _alice: Bot,
}

fn arguments(nats: SocketAddr, store: &Path, more: &[&str]) -> Vec<String> {
    let (queue, store) = (format!("nats://{nats}"), format!("file://{}", store.display()));
    let own = ["--queue", &queue, "--store", &store];
    own.iter().chain(more).map(|&arg| arg.to_owned()).collect()
}

async fn serve(nats: SocketAddr, store: &Path, more: &[&str]) -> Service {
    let arguments = arguments(nats, store, more);
    Service::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

impl Machines {
    /// Without a worker.
    pub async fn start() -> Result<Machines, String> {
        let nats = Nats::start().await?;
        let store = tempfile::tempdir().expect("a folder");
        let server = TestServer::start().await;
        let alice = Bot::start(&["feed", &server.room("standup"), "--stamp", "alice,320x180@15", "--as", "Alice"]);
        let api = serve(nats.address, &store.path().join("store"), &["--role", "api"]).await;
        Ok(Machines { api, server, store, nats, _alice: alice })
    }

    /// A worker that reaches NATS at this address; `more` of its configuration.
    pub async fn worker_at(&self, name: &str, nats: SocketAddr, more: &str) -> Service {
        let file = self.store.path().join(format!("{name}.toml"));
        std::fs::write(&file, format!("upload_every = \"1s\"\n{more}\n")).expect("written");
        let own = ["--role", "worker", "--worker", name, "--capacity", "2", "--config", file.to_str().expect("UTF-8")];
        let worker = serve(nats, &self.store.path().join("store"), &own).await;
        let known = async {
            while !self.workers().await.iter().any(|worker| worker["id"] == name && worker["state"] == "active") {
                moment().await;
            }
        };
        within(20, "the worker is known", known).await;
        worker
    }

    /// A worker that reaches NATS.
    pub async fn worker(&self, name: &str) -> Service {
        self.worker_at(name, self.nats.address, "").await
    }

    /// Waits until an answer of the API has this in it.
    pub async fn says(&self, path: &str, text: &str) {
        let said = async {
            while !self.api.get(path).await.text.contains(text) {
                moment().await;
            }
        };
        within(30, &format!("{path} says {text:?}"), said).await;
    }

    pub async fn workers(&self) -> Vec<Value> {
        self.api.get("/v1/workers").await.json()["workers"].as_array().cloned().unwrap_or_default()
    }

    /// Asks for a recording of the room.
    pub async fn record(&self) -> String {
        self.api.record(json!({ "room_url": self.server.room("standup"), "auto_stop": { "silence_s": 0 } })).await
    }

    /// Waits until the worker has recorded something of it.
    pub async fn records(&self, worker: &Service, id: &str, seconds: u64) {
        let tracks = worker.recording(id).join("tracks");
        let grows = || {
            std::fs::read_dir(&tracks)
                .is_ok_and(|files| files.flatten().any(|file| file.metadata().is_ok_and(|m| m.len() > 20_000)))
        };
        until_it_holds("the worker records", seconds, grows).await;
    }

    /// All events of a recording so far.
    pub async fn events(&self, id: &str) -> Vec<Value> {
        let request = self.api.request(reqwest::Method::GET, &format!("/v1/recordings/{id}/events"));
        let has_ended = self.api.has_ended(id).await;
        let mut stream = request.send().await.expect("an answer");
        let mut text = Vec::new();
        // The stream of a recording that goes on has no end.
        let silence = if has_ended { deadline(0) } else { Duration::from_millis(500) };
        while let Ok(Ok(Some(bytes))) = tokio::time::timeout(silence, stream.chunk()).await {
            text.extend_from_slice(&bytes);
        }
        events_in(&String::from_utf8_lossy(&text))
    }

    /// Waits for an event whose data say this.
    pub async fn tells(&self, id: &str, kind: &str, says: &str, seconds: u64) -> Value {
        let told = async {
            loop {
                let is = |event: &&Value| event["type"] == kind && event["data"].to_string().contains(says);
                if let Some(event) = self.events(id).await.iter().find(is) {
                    return event.clone();
                }
                moment().await;
            }
        };
        within(seconds, &format!("{kind} says {says:?}"), told).await
    }

    /// Stops a recording and waits for its end.
    pub async fn stop(&self, id: &str, states: &[&str]) -> Value {
        self.api.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
        self.api.until(id, states, 90).await
    }
}

/// Kills a worker with everything that it started, as a machine's end does.
pub fn lose(worker: &mut Service, id: &str) {
    worker.kill_only();
    kill(worker.processes(id));
}

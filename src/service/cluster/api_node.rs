//! What an API node shares between its tasks and requests: the connection to NATS and what is known of the workers.

use super::ask;
use super::bus::{Bus, BusError, BusSettings};
use super::roster::{Member, Roster};
use super::wire::{Answer, Ask, WorkerRecord};
use super::worker::connected;
use async_nats::jetstream::kv::Operation;
use futures_util::StreamExt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, watch};
use tokio::time::sleep;
use utoipa::ToSchema;

/// The workers of an API node.
#[derive(Default)]
pub struct Cluster {
    bus: OnceCell<Bus>,
    roster: Mutex<Roster>,
    /// Changes with every record that was seen.
    changed: watch::Sender<u64>,
}

/// A worker, as the API tells of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WorkerView {
    /// Its name.
    pub id: String,
    pub state: WorkerState,
    pub labels: BTreeMap<String, String>,
    /// Cores that recorders and films may use.
    pub capacity: f64,
    /// Cores that they use, by their cost.
    pub load: f64,
    /// Recordings that it has.
    pub recordings: usize,
    /// Milliseconds since it was last heard of.
    pub seen_ms: u64,
    pub version: String,
}

/// How a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// It takes recordings.
    Active,
    /// It takes no new ones.
    Draining,
    /// It is not heard of any more; its recordings are others'.
    Lost,
}

impl Cluster {
    /// Connects, however long that takes, and watches the workers until it is dropped.
    pub async fn watch(self: Arc<Self>, settings: BusSettings) {
        let bus = connected(&settings).await;
        let _ = self.bus.set(bus.clone());
        tracing::info!("connected to NATS");
        loop {
            match bus.workers.watch_with_history(">").await {
                Ok(mut entries) => {
                    // An empty bucket has no last entry.
                    let is_empty = bus.workers.status().await.is_ok_and(|status| status.values() == 0);
                    self.lock().is_complete |= is_empty;
                    while let Some(Ok(entry)) = entries.next().await {
                        let mut roster = self.lock();
                        match serde_json::from_slice::<WorkerRecord>(&entry.value) {
                            Ok(record) if entry.operation == Operation::Put => {
                                roster.observe(&entry.key, record, entry.revision, Instant::now());
                            }
                            _ => roster.remove(&entry.key),
                        }
                        roster.is_complete |= entry.delta == 0;
                        drop(roster);
                        self.changed.send_modify(|count| *count = count.wrapping_add(1));
                    }
                }
                Err(e) => tracing::warn!("workers cannot be watched: {e}"),
            }
            sleep(Duration::from_millis(300)).await;
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, once there is one.
    pub(super) fn bus(&self) -> Option<&Bus> {
        self.bus.get()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// All workers that were heard of.
    pub fn workers(&self) -> Vec<WorkerView> {
        let now = Instant::now();
        self.lock().members().map(|(name, member)| view(name, member, now)).collect()
    }

    /// Cores that all workers use, and may use.
    pub fn load(&self) -> (f64, f64) {
        let roster = self.lock();
        roster.alive().fold((0.0, 0.0), |(load, capacity), (_, member)| {
            (load + member.record.load, capacity + member.record.capacity)
        })
    }

    /// Whether a worker has room for one more recording.
    pub fn has_room(&self) -> bool {
        let has_room = |record: &WorkerRecord| !record.draining && record.capacity - record.load > 0.1 - 1e-6;
        self.lock().alive().any(|(_, member)| has_room(&member.record))
    }

    /// Asks a worker.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ask(&self, worker: &str, what: &Ask) -> Result<Answer, BusError> {
        let bus = self.bus().ok_or_else(|| BusError("not connected".into()))?;
        ask::ask(bus, worker, what).await
    }
}

fn view(name: &str, Member { record, seen, .. }: &Member, now: Instant) -> WorkerView {
    WorkerView {
        id: name.to_owned(),
        state: match (record.lost, record.draining) {
            (true, _) => WorkerState::Lost,
            (_, true) => WorkerState::Draining,
            _ => WorkerState::Active,
        },
        labels: record.labels.clone(),
        capacity: record.capacity,
        load: record.load,
        recordings: record.recordings,
        seen_ms: u64::try_from(now.saturating_duration_since(*seen).as_millis()).unwrap_or(u64::MAX),
        version: record.version.clone(),
    }
}

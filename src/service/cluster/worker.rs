//! A worker's side: keeps its session, does what its list says, tells what came of it, answers what is asked. The work itself is done by
//! the same jobs as on one machine.

use super::ask::Answers;
use super::bus::{Bus, BusSettings, read};
use super::films;
use super::orphans::Orphans;
use super::reporter::Reporter;
use super::session::SessionKeeper;
use super::take::{Taken, keep, take};
use super::tidy::tidy;
use super::timing::LOOK;
use super::wire::{JobList, WorkerRecord, list_key, nudge_subject};
use crate::service::database::DatabaseError;
use crate::service::database::recordings::{Placement, StoredRecording, placed};
use crate::service::jobs::{Capacity, JobContext, Lease};
use crate::service::model::Id;
use crate::viewer::{Media, Pictures};
use futures_util::StreamExt;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// The pause before NATS is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What a worker is.
pub struct Worker {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub settings: BusSettings,
    pub context: JobContext,
    pub lease: Arc<Lease>,
    pub capacity: Arc<Mutex<Capacity>>,
    /// Something is to be looked at.
    pub nudge: Arc<Notify>,
}

impl Worker {
    /// Works until the service leaves. Recorders that run then leave their rooms soon, unless the next service is there before.
    pub async fn run(self) {
        let mut leaving = self.context.leaving.clone();
        tokio::select! {
            () = self.work() => {}
            _ = leaving.wait_for(|leaving| *leaving) => {}
        }
    }

    async fn work(self) {
        let bus = connected(&self.settings).await;
        tracing::info!(worker = self.name, "connected to NATS");
        let (draining, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (current, session) = watch::channel(String::new());
        let keeper = SessionKeeper {
            name: self.name.clone(),
            lease: self.lease.clone(),
            file: self.context.folders.session(),
            current,
        };
        let (is_draining, has, machine, labels) =
            (draining.clone(), count.clone(), self.capacity.clone(), self.labels.clone());
        let folders = self.context.folders.clone();
        let record = move || {
            let (load, capacity) = machine.lock().map_or((0.0, 0.0), |capacity| capacity.load());
            // With a full disk it takes nothing new.
            let capacity = if folders.has_room() { capacity } else { load };
            WorkerRecord {
                session: String::new(),
                lost: false,
                draining: is_draining.load(Ordering::Relaxed),
                labels: labels.clone(),
                capacity,
                load,
                recordings: has.load(Ordering::Relaxed),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            }
        };
        let answers =
            Answers { context: self.context.clone(), draining, media: Media::default(), pictures: Pictures::default() };
        let reporter = Reporter { worker: self.name.clone(), context: self.context.clone(), bus: bus.clone() };
        // In a task of its own: whatever the others do, the session is renewed in time.
        let mut keeping = JoinSet::new();
        keeping.spawn(keeper.keep(bus.clone(), record));
        tokio::join!(
            self.follow(&reporter, session, &count),
            reporter.run(),
            answers.answer(&bus, &self.name),
            tidy(&self.context),
        );
    }

    /// Does what the list says, again and again.
    async fn follow(&self, reporter: &Reporter, session: watch::Receiver<String>, count: &AtomicUsize) {
        let bus = &reporter.bus;
        let mut nudges = bus.client.subscribe(nudge_subject(&self.name)).await.ok();
        let (mut orphans, mut taking) = (Orphans::default(), HashMap::new());
        loop {
            let session = session.borrow().clone();
            if !session.is_empty() {
                match read::<JobList>(&bus.jobs, &list_key(&self.name)).await {
                    // There was none yet, or the server has lost it.
                    Ok(None) => {}
                    Ok(Some((list, _))) => {
                        let list = if list.session == session { list } else { JobList::default() };
                        count.store(list.jobs.len(), Ordering::Relaxed);
                        if let Err(e) = self.reconcile(bus, &session, &list, &mut orphans, &mut taking).await {
                            tracing::error!("the worker's list cannot be followed: {e}");
                        }
                        if let Err(e) = films::follow(&self.context, (&self.name, &session), &list.films).await {
                            tracing::error!("the worker's films cannot be followed: {e}");
                        }
                        if let Err(e) = reporter.tell_films(&list.films).await {
                            tracing::warn!("the end of a film cannot be reported yet: {e}");
                        }
                    }
                    Err(e) => tracing::warn!("the worker's list cannot be read: {e}"),
                }
            }
            let nudged = async {
                match &mut nudges {
                    Some(nudges) => drop(nudges.next().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = nudged => {}
                () = self.nudge.notified() => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Takes what is new in the list, hands on what is wanted, and gives up what is not in it.
    async fn reconcile(
        &self,
        bus: &Bus,
        session: &str,
        list: &JobList,
        orphans: &mut Orphans,
        taking: &mut HashMap<Id, JoinHandle<()>>,
    ) -> Result<(), DatabaseError> {
        taking.retain(|_, task| !task.is_finished());
        let jobs = &list.jobs;
        // Of a film it says who may send it.
        let mut allowed: HashSet<Id> = list.films.iter().map(|entry| entry.job.id.clone()).collect();
        for entry in jobs {
            let placement = Placement { worker: self.name.clone(), session: session.to_owned(), fence: entry.fence };
            if taking.get(&entry.id).is_some_and(|task| !task.is_finished()) {
                continue;
            }
            match keep(&self.context, placement.clone(), entry).await? {
                Taken::Ours => drop(allowed.insert(entry.id.clone())),
                Taken::Later => {}
                // What the store has of it may be large; others do not wait for it.
                Taken::Missing => {
                    let (bus, context, entry) = (bus.clone(), self.context.clone(), entry.clone());
                    let (id, nudge) = (entry.id.clone(), self.nudge.clone());
                    let task = tokio::spawn(async move {
                        if let Err(e) = take(bus, context, placement, entry).await {
                            tracing::error!("a recording cannot be taken: {e}");
                        }
                        nudge.notify_one();
                    });
                    taking.insert(id, task);
                }
                // What is here of it must be sent first.
                Taken::HasOrphan => orphans.hurry(&entry.id),
            }
        }
        let here: Vec<StoredRecording> = self.context.database.read(placed).await?;
        let listed: HashSet<&Id> = jobs.iter().map(|entry| &entry.id).collect();
        for stored in &here {
            let id = &stored.recording.id;
            if allowed.contains(id) {
                continue;
            }
            // A session that begins has no list at first.
            if orphans.look(&self.context, &self.name, stored, listed.contains(id)).await? {
                allowed.insert(id.clone());
            }
        }
        orphans.keep(&here);
        self.lease.set_jobs(session, allowed);
        Ok(())
    }
}

/// Connects, however long that takes.
pub(super) async fn connected(settings: &BusSettings) -> Bus {
    loop {
        match Bus::connect(settings).await {
            Ok(bus) => return bus,
            Err(e) => {
                tracing::warn!("{e}; tried again in a second");
                sleep(RETRY).await;
            }
        }
    }
}

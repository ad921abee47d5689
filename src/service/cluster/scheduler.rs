//! An API node's loop: takes sessions away that are not renewed, places recordings with workers, and keeps the workers' lists. The database
//! says what is; the lists are made of it again and again.

use super::api_node::Cluster;
use super::bus::{Bus, BusError, SwapError, put, read, swap};
use super::films::{self, FilmLists};
use super::place::choose;
use super::timing::LOOK;
use super::wire::{Changeable, Job, JobEntry, JobList, WorkerRecord, job_key, list_key, nudge_subject};
use crate::service::database::recordings::{Placement, StoredRecording, Unfinished, get, unfinished};
use crate::service::database::{Database, DatabaseError};
use crate::service::jobs::Quota;
use crate::service::model::{EventDraft, EventType, Id, State, SubCode, Wanted};
use futures_util::StreamExt;
use jiff::Timestamp;
use serde_json::json;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(30);
/// How often all lists are put, though they have not changed.
const PUT_ALL: Duration = Duration::from_secs(15);
const SWAP_TIMEOUT: Duration = Duration::from_secs(1);

/// Gives recordings to workers.
pub struct Scheduler {
    database: Database,
    cluster: Arc<Cluster>,
    leaving: watch::Receiver<bool>,
    quota: watch::Receiver<Quota>,
    /// What was put last: lists by worker, jobs by recording with their fences.
    lists: HashMap<String, JobList>,
    jobs: HashMap<Id, u64>,
    /// What an API node before this one had put is among them.
    is_tidy: bool,
    /// When all lists were put.
    put_all: Instant,
}

impl Scheduler {
    /// One that has given out nothing yet.
    pub fn new(
        database: Database,
        cluster: Arc<Cluster>,
        leaving: watch::Receiver<bool>,
        quota: watch::Receiver<Quota>,
    ) -> Scheduler {
        Scheduler {
            database,
            cluster,
            leaving,
            quota,
            lists: HashMap::new(),
            jobs: HashMap::new(),
            is_tidy: false,
            put_all: Instant::now(),
        }
    }

    /// Runs until the service leaves. Workers go on without it.
    pub async fn run(mut self) {
        let (mut changes, mut workers) = (self.database.changes(), self.cluster.changes());
        let mut leaving = self.leaving.clone();
        while !*leaving.borrow_and_update() {
            changes.borrow_and_update();
            workers.borrow_and_update();
            if let Err(e) = self.look().await {
                tracing::warn!("recordings cannot be placed: {e}");
                self.mend().await;
            }
            tokio::select! {
                _ = leaving.changed() => {}
                _ = timeout(LOOK, changes.changed()) => sleep(GATHER).await,
            }
        }
    }

    /// Has everything put anew, by a server that may have lost it.
    async fn mend(&mut self) {
        self.lists.clear();
        self.jobs.clear();
        self.is_tidy = false;
        if let Some(bus) = self.cluster.bus()
            && let Err(e) = bus.mend().await
        {
            tracing::warn!("{e}");
        }
    }

    async fn look(&mut self) -> Result<(), BusError> {
        let Some(bus) = self.cluster.bus().cloned() else { return Ok(()) };
        self.take_away(&bus).await;
        if !self.cluster.lock().is_complete {
            return Ok(());
        }
        let open = self.place().await.map_err(BusError::of)?;
        let roster = || films::alive(&self.cluster.lock());
        let films = films::place(&self.database, roster).await.map_err(BusError::of)?;
        self.give_out(&bus, &open, films).await
    }

    /// Ends the sessions that were not renewed. One that was renewed meanwhile stays: its revision is another.
    async fn take_away(&self, bus: &Bus) {
        let overdue = self.cluster.lock().overdue(Instant::now());
        for (name, member) in overdue {
            let lost = WorkerRecord { lost: true, load: 0.0, recordings: 0, ..member.record };
            match swap(&bus.workers, &name, &lost, member.revision, SWAP_TIMEOUT).await {
                Ok(revision) => {
                    tracing::warn!(worker = name, "is lost: what it had goes to others");
                    self.cluster.lock().observe(&name, lost, revision, Instant::now());
                }
                Err(SwapError::Other) => match read::<WorkerRecord>(&bus.workers, &name).await {
                    Ok(Some((record, revision))) => {
                        self.cluster.lock().replace(&name, record, revision, Instant::now())
                    }
                    Ok(None) => self.cluster.lock().remove(&name),
                    Err(e) => tracing::warn!("{e}"),
                },
                Err(SwapError::Bus(e)) => tracing::warn!(worker = name, "its session cannot be taken away: {e}"),
            }
        }
    }

    /// Places what is not placed, or was with a worker that lost it; returns everything that is placed.
    async fn place(&self) -> Result<Vec<StoredRecording>, DatabaseError> {
        let now = Timestamp::now();
        let read = |connection: &rusqlite::Connection| {
            let open = unfinished(connection)?;
            let stored: Result<Vec<_>, DatabaseError> =
                open.into_iter().map(|open| Ok(get(connection, &open.id)?.map(|stored| (open, stored)))).collect();
            Ok(stored?.into_iter().flatten().collect::<Vec<_>>())
        };
        let open: Vec<(Unfinished, StoredRecording)> = self.database.read(read).await?;
        let mut given: BTreeMap<String, usize> = BTreeMap::new();
        let is_alive = |placement: &Placement| self.cluster.lock().is_alive(&placement.worker, &placement.session);
        let mut recorders: HashMap<String, u32> = HashMap::new();
        for (_, stored) in &open {
            if stored.runtime.placement.is_some() && stored.recording.state < State::Processing {
                *recorders.entry(stored.recording.project.clone()).or_default() += 1;
            }
            if let Some(placement) = stored.runtime.placement.as_ref().filter(|placement| is_alive(placement))
                && stored.recording.state == State::Queued
            {
                *given.entry(placement.worker.clone()).or_default() += 1;
            }
        }
        let mut placed = Vec::new();
        for (Unfinished { id, state, start_at, .. }, stored) in open {
            let held = stored.runtime.placement.clone();
            if state == State::Scheduled {
                if start_at.is_none_or(|at| at <= now) {
                    let queue = move |stored: &mut StoredRecording| {
                        ((), stored.recording.advance(State::Queued, None, now).into_iter().collect())
                    };
                    self.database.update_recording(&id, queue).await?;
                }
                continue;
            }
            if held.as_ref().is_some_and(is_alive) {
                placed.push(stored);
                continue;
            }
            if held.is_some() || ends_here(&stored) {
                self.database.update_recording(&id, move |stored| ((), release(stored, now))).await?;
                if ends_here(&stored) {
                    continue;
                }
            }
            let of_project = recorders.entry(stored.recording.project.clone()).or_default();
            if state == State::Queued
                && held.is_none()
                && !self.quota.borrow().allows(&stored.recording.project, *of_project)
            {
                continue;
            }
            let chosen = {
                let roster = self.cluster.lock();
                let workers = roster.alive().map(|(name, member)| {
                    (name.as_str(), &member.record, given.get(name).copied().unwrap_or_default())
                });
                choose(&stored.recording, workers)
                    .and_then(|name| Some((name.to_owned(), roster.get(name)?.record.session.clone())))
            };
            let Some((worker, session)) = chosen else { continue };
            *given.entry(worker.clone()).or_default() += 1;
            *of_project += u32::from(held.is_none());
            let place = move |stored: &mut StoredRecording| {
                let runtime = &mut stored.runtime;
                (runtime.fence, runtime.applied) = (runtime.fence + 1, 0);
                runtime.placement = Some(Placement { worker, session, fence: runtime.fence });
                (stored.clone(), Vec::new())
            };
            placed.extend(self.database.update_recording(&id, place).await?);
        }
        Ok(placed)
    }

    /// Puts jobs and lists that have changed, and removes what has ended.
    async fn give_out(&mut self, bus: &Bus, placed: &[StoredRecording], mut films: FilmLists) -> Result<(), BusError> {
        if self.put_all.elapsed() >= PUT_ALL {
            self.put_all = Instant::now();
            self.lists.clear();
        }
        if !self.is_tidy {
            let mut keys = bus.jobs.keys().await.map_err(BusError::of)?;
            while let Some(key) = keys.next().await {
                let key = key.map_err(BusError::of)?;
                let id = key.strip_prefix("job.").and_then(|id| Id::parse(Id::RECORDING, id));
                self.jobs.extend(id.map(|id| (id, 0)));
            }
            self.is_tidy = true;
        }
        let mut lists: HashMap<String, JobList> = HashMap::new();
        for stored in placed {
            let Some(placement) = &stored.runtime.placement else { continue };
            let id = &stored.recording.id;
            if self.jobs.get(id) != Some(&placement.fence) {
                put(&bus.jobs, &job_key(id), &Job::of(stored, placement.fence)).await?;
                self.jobs.insert(id.clone(), placement.fence);
            }
            let list = lists.entry(placement.worker.clone()).or_default();
            list.session.clone_from(&placement.session);
            let wanted = stored.recording.wanted;
            let changeable = Some(Changeable::of(&stored.request));
            list.jobs.push(JobEntry { id: id.clone(), fence: placement.fence, wanted, changeable });
        }
        let known: Vec<(String, String)> =
            self.cluster.lock().alive().map(|(name, member)| (name.clone(), member.record.session.clone())).collect();
        for (worker, session) in known {
            let list = lists.remove(&worker).unwrap_or_default();
            let list = JobList { session, films: films.remove(&worker).unwrap_or_default(), ..list };
            if self.lists.get(&worker) != Some(&list) {
                put(&bus.jobs, &list_key(&worker), &list).await?;
                let _ = bus.client.publish(nudge_subject(&worker), Default::default()).await;
                self.lists.insert(worker, list);
            }
        }
        let open: HashSet<&Id> = placed.iter().map(|stored| &stored.recording.id).collect();
        let over: Vec<Id> = self.jobs.keys().filter(|id| !open.contains(id)).cloned().collect();
        for id in over {
            // With its secrets, and without a mark that would stay.
            let subject = format!("$KV.{}.{}", super::wire::JOBS, job_key(&id));
            bus.jobs.stream.purge().filter(subject).await.map_err(BusError::of)?;
            self.jobs.remove(&id);
        }
        Ok(())
    }
}

/// Whether a recording that no worker has need not go to another: nothing was recorded, and nobody wants it any more.
fn ends_here(stored: &StoredRecording) -> bool {
    stored.recording.parts == 0 && matches!(stored.recording.wanted, Wanted::Stop | Wanted::Cancel)
}

/// Its worker is lost.
fn release(stored: &mut StoredRecording, now: Timestamp) -> Vec<EventDraft> {
    let mut events = Vec::new();
    if let Some(placement) = stored.runtime.placement.take() {
        let data = json!({ "message": "the worker is not heard of any more; another one takes its place",
            "worker": placement.worker, "fence": placement.fence });
        events.push(EventDraft::new(EventType::WorkerLost, data));
    }
    if ends_here(stored) {
        let why = (SubCode::CancelledByApi, "it had not begun".to_owned());
        events.extend(stored.recording.advance(State::Cancelled, Some(why), now));
    }
    events
}

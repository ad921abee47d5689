//! Looks after recordings that have ended: uploads them again on request, removes participants, deletes media here that is in the store, and
//! all media whose retention is over. Whatever it deletes here it has compared with the store just before.

use super::deletion::delete_media;
use super::retention::{Next, Retention, next};
use super::{JobContext, purge, upload};
use crate::recording::folder::{MANIFEST, TIMELINE};
use crate::service::database::recordings::{self, StoredRecording};
use crate::service::database::{Database, DatabaseError, films, uploads};
use crate::service::model::{EventDraft, EventType, FilmState, Id, State, Storage, StorageState};
use crate::service::storage::{LocalFile, walk};
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{Instrument, error_span};

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// Recordings that are worked on side by side.
const SIDE_BY_SIDE: usize = 8;
/// When what failed is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(60);
/// How often it is looked whether the disk is short of room, and how many recordings leave it then.
const EVICT: Duration = Duration::from_secs(5);
const EVICTED: u32 = 4;
/// What stays here when the media leaves: small, and what the API answers from.
const STAYS: [&str; 3] = [MANIFEST, TIMELINE, "chat.vtt"];

/// Looks after recordings that have ended.
pub struct Sweeper {
    context: JobContext,
    retention: watch::Receiver<Retention>,
}

impl Sweeper {
    /// One that keeps media for so long.
    pub fn new(context: JobContext, retention: watch::Receiver<Retention>) -> Sweeper {
        Sweeper { context, retention }
    }

    /// Runs until the service leaves.
    pub async fn run(self) {
        let mut leaving = self.context.leaving.clone();
        let mut tasks: JoinSet<Id> = JoinSet::new();
        let mut running: HashSet<Id> = HashSet::new();
        let mut evict = interval(EVICT);
        evict.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*leaving.borrow_and_update() {
            if let Err(e) = self.look(&mut tasks, &mut running).await {
                tracing::error!("recordings that have ended cannot be looked up: {e}");
            }
            tokio::select! {
                _ = leaving.changed() => {}
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => match ended {
                    Ok(id) => { running.remove(&id); }
                    Err(e) => {
                        tracing::error!("a recording that has ended cannot be looked after: {e}");
                        sleep(LOOK).await;
                    }
                },
                () = sleep(LOOK) => {}
                _ = evict.tick() => if let Err(e) = self.evict(&mut tasks, &mut running).await {
                    tracing::error!("what may leave the disk cannot be looked up: {e}");
                },
            }
        }
        // An upload ends by itself when the service leaves; a deletion is soon done, or done again by the next service.
        let _ = timeout(Duration::from_secs(5), async { while tasks.join_next().await.is_some() {} }).await;
    }

    /// Deletes here what a store has, where the disk is short of room.
    async fn evict(&self, tasks: &mut JoinSet<Id>, running: &mut HashSet<Id>) -> Result<(), DatabaseError> {
        if self.context.storage.is_none() || !self.context.folders.is_short() {
            return Ok(());
        }
        for id in self.context.database.read(|connection| uploads::both_here_and_there(connection, EVICTED)).await? {
            if running.len() < SIDE_BY_SIDE && running.insert(id.clone()) {
                tracing::info!(recording_id = %id, "its media leaves the disk, which is short of room");
                self.start(tasks, id, Next::DeleteLocal);
            }
        }
        Ok(())
    }

    fn start(&self, tasks: &mut JoinSet<Id>, id: Id, next: Next) {
        let context = self.context.clone();
        // Of the highest level: the id belongs to each line of the log.
        let span = error_span!("sweep", recording_id = %id);
        let work = async move {
            act(&context, &id, next).await;
            id
        };
        tasks.spawn(work.instrument(span));
    }

    async fn look(&self, tasks: &mut JoinSet<Id>, running: &mut HashSet<Id>) -> Result<(), DatabaseError> {
        let now = Timestamp::now();
        let limit = SIDE_BY_SIDE as u32 * 2;
        for id in
            self.context.database.read(move |connection| uploads::due(connection, now.as_millisecond(), limit)).await?
        {
            if running.len() >= SIDE_BY_SIDE || running.contains(&id) {
                continue;
            }
            let (of, retention) = (id.clone(), self.retention.borrow().clone());
            // Decided within the write: what changes a recording afterwards makes it due again.
            let next = self.context.database.write(move |connection| {
                let stored = recordings::get(connection, &of)?;
                let next = stored.map_or(Next::Wait(None), |stored| next(&stored, &retention, now));
                if let Next::Wait(until) = next {
                    // Rounded up: it must be over by then.
                    uploads::look_at(connection, &of, until.map(|at| at.as_millisecond() + 1))?;
                }
                Ok(next)
            });
            let next = next.await?;
            if !matches!(next, Next::Wait(_)) {
                running.insert(id.clone());
                self.start(tasks, id, next);
            }
        }
        Ok(())
    }
}

/// Does it; what fails is tried again later.
async fn act(context: &JobContext, id: &Id, next: Next) {
    let done = match next {
        Next::Wait(_) => return,
        Next::Upload => upload::run(context, id).await.map_err(|e| e.to_string()),
        Next::DeleteLocal => delete_local(context, id).await,
        Next::Expire => expire(context, id).await,
        Next::Purge => purge::run(context, id).await,
        Next::Tell(expires) => tell(context, id, expires).await,
    };
    if let Err(problem) = done {
        tracing::error!("{problem}; it is tried again in a minute");
        let (of, at) = (id.clone(), Timestamp::now().checked_add(RETRY).unwrap_or(Timestamp::MAX));
        let later =
            context.database.write(move |connection| uploads::look_at(connection, &of, Some(at.as_millisecond())));
        if let Err(e) = later.await {
            tracing::error!("{e}");
            sleep(LOOK).await;
        }
    }
}

async fn note(database: &Database, id: &Id, change: impl FnOnce(&mut Storage) + Send + 'static) -> Result<(), String> {
    let change = move |stored: &mut StoredRecording| {
        if let Some(storage) = &mut stored.recording.storage {
            change(storage);
        }
        ((), Vec::new())
    };
    database.update_recording(id, change).await.map(drop).map_err(|e| e.to_string())
}

/// Deletes what is in the store and stays there; where that is not all, it is uploaded again.
async fn delete_local(context: &JobContext, id: &Id) -> Result<(), String> {
    let said = |e: DatabaseError| e.to_string();
    let Some(stored) = context.database.recording(id).await.map_err(said)? else { return Ok(()) };
    let Some(copy) = stored.recording.storage.filter(|storage| storage.state == StorageState::Stored) else {
        return Ok(());
    };
    let of = id.clone();
    let films = context.database.read(move |connection| films::of(connection, &of)).await.map_err(said)?;
    if films.iter().any(|job| job.state == FilmState::Open) {
        return Err("its media stays here: a film is made of it".to_owned());
    }
    let target = context.storage.as_ref().and_then(|storage| storage.target(copy.store));
    let Some(target) = target else { return Err(format!("{} is not configured any more", copy.store.word())) };
    let there = target.list(&copy.path).await.map_err(|e| format!("the store cannot be compared: {e}"))?;
    let (of, store) = (id.clone(), copy.store);
    let sent = context.database.read(move |connection| uploads::of(connection, &of, store)).await.map_err(said)?;
    let folder = context.folders.recording(id);
    let removed = tokio::task::spawn_blocking(move || remove_stored(&folder, &sent, &there)).await;
    match removed.map_err(|e| e.to_string())?? {
        true => note(&context.database, id, |storage| storage.local = false).await,
        false => {
            tracing::warn!("the store does not have what is here: it is uploaded again");
            let of = id.clone();
            context.database.write(move |connection| uploads::doubt(connection, &of)).await.map_err(said)?;
            note(&context.database, id, |storage| storage.state = StorageState::Uploading).await
        }
    }
}

/// Removes the files of a recording, if the store has each as it is here. False: it has not, and nothing was removed.
fn remove_stored(
    folder: &Path,
    sent: &HashMap<String, uploads::Upload>,
    there: &HashMap<String, u64>,
) -> Result<bool, String> {
    let files = walk(folder).map_err(|e| e.to_string())?;
    let is_stored = |file: &LocalFile| {
        let same = |upload: &&uploads::Upload| {
            upload.verified && upload.bytes == file.bytes && upload.modified_ns == file.modified_ns
        };
        sent.get(&file.path).filter(same).is_some() && there.get(&file.path) == Some(&file.bytes)
    };
    if !there.contains_key(MANIFEST) || !files.iter().all(is_stored) {
        return Ok(false);
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    for file in files.iter().filter(|file| !STAYS.contains(&file.path.as_str())) {
        let path = folder.join(&file.path);
        std::fs::remove_file(&path).map_err(|e| format!("{}: cannot be deleted: {e}", path.display()))?;
        folders.extend(path.parent().filter(|parent| *parent != folder).map(Path::to_owned));
    }
    // Empty ones go; the others have something that is no media.
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.as_os_str().len()));
    folders.dedup();
    for folder in folders {
        let _ = std::fs::remove_dir(folder);
    }
    Ok(true)
}

/// Tells that its media will be deleted.
async fn tell(context: &JobContext, id: &Id, expires: Timestamp) -> Result<(), String> {
    let change = move |stored: &mut StoredRecording| {
        stored.runtime.told_expiry = Some(expires);
        let data = serde_json::json!({ "expires_at": format!("{expires:.3}") });
        ((), vec![EventDraft::new(EventType::Expiring, data)])
    };
    context.database.update_recording(id, change).await.map(drop).map_err(|e| e.to_string())
}

/// Deletes all media, here and in the stores.
async fn expire(context: &JobContext, id: &Id) -> Result<(), String> {
    let said = |e: DatabaseError| e.to_string();
    let Some(stored) = context.database.recording(id).await.map_err(said)? else { return Ok(()) };
    delete_media(context.storage.as_deref(), &context.database, &context.folders, &stored.recording).await?;
    let change = |stored: &mut StoredRecording| {
        let recording = &mut stored.recording;
        if let Some(outcome) = &mut recording.outcome {
            (outcome.media, outcome.bytes) = (Vec::new(), 0);
        }
        if let Some(storage) = &mut recording.storage {
            (storage.state, storage.local, storage.files, storage.bytes) = (StorageState::Deleted, false, 0, 0);
        }
        ((), recording.advance(State::Expired, None, Timestamp::now()).into_iter().collect())
    };
    context.database.update_recording(id, change).await.map(drop).map_err(said)
}

#[cfg(test)]
#[path = "sweeper_tests.rs"]
mod tests;

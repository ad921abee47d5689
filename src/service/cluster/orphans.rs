//! Recordings that a worker had and lost: another worker may have them now. What is here of them is sent to the store beside the recording,
//! once it is certain that they do not come back.

use super::timing::ORPHAN_WAIT;
use crate::recording::folder::{MANIFEST, RecordingFolder};
use crate::recording::resume::HeldFolder;
use crate::service::database::DatabaseError;
use crate::service::database::recordings::{self, Ending, StoredRecording};
use crate::service::database::uploads;
use crate::service::jobs::{JobContext, end_processes};
use crate::service::model::{Id, State, Storage, StoreName, SubCode};
use crate::service::storage::{LATE, location};
use jiff::Timestamp;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long what was lost has been lost.
#[derive(Default)]
pub struct Orphans {
    since: HashMap<Id, Instant>,
}

impl Orphans {
    /// The recording is wanted again, and what is here is in the way.
    pub fn hurry(&mut self, id: &Id) {
        let before = Instant::now().checked_sub(ORPHAN_WAIT);
        self.since.insert(id.clone(), before.unwrap_or_else(Instant::now));
    }

    /// Forgets those that are no more.
    pub fn keep(&mut self, here: &[StoredRecording]) {
        self.since.retain(|id, _| here.iter().any(|stored| stored.recording.id == *id));
    }

    /// Looks after a recording that is here and not ours; true where it may be worked on: it is being sent. `is_listed`: it is about to be
    /// ours.
    pub async fn look(
        &mut self,
        context: &JobContext,
        worker: &str,
        stored: &StoredRecording,
        is_listed: bool,
    ) -> Result<bool, DatabaseError> {
        let id = &stored.recording.id;
        if stored.recording.state.is_final() {
            return Ok(false);
        }
        if stored.runtime.orphaned {
            return Ok(true);
        }
        let since = *self.since.entry(id.clone()).or_insert_with(Instant::now);
        let wait = if is_listed { Duration::ZERO } else { ORPHAN_WAIT };
        if since.elapsed() < wait {
            return Ok(false);
        }
        let (folder, room) = (context.folders.recording(id), stored.recording.room.clone());
        // Its recorder has left the room and finishes its files.
        if RecordingFolder::is_live(&folder) && since.elapsed() < ORPHAN_WAIT {
            return Ok(false);
        }
        end_processes(stored);
        if RecordingFolder::is_live(&folder) {
            return Ok(false);
        }
        let has_media = tokio::task::spawn_blocking(move || {
            // Finishes what was cut short.
            let has_media = folder.join(MANIFEST).exists();
            if has_media && let Err(e) = HeldFolder::open(&folder, &room) {
                tracing::warn!("{}: {e}", folder.display());
            }
            has_media
        });
        let has_media = has_media.await.unwrap_or(false);
        let worker = worker.to_owned();
        let change = move |stored: &mut StoredRecording| {
            let fence = stored.runtime.placement.as_ref().map_or(0, |placement| placement.fence);
            let why = Some((SubCode::WorkerLost, "this worker had lost it".to_owned()));
            stored.runtime.orphaned = true;
            stored.runtime.ending = Some(Ending { state: State::Partial, why: why.clone() });
            let next = if has_media { State::Uploading } else { State::Failed };
            if has_media {
                let place = format!("{}/{LATE}/{worker}-{fence}", location(&stored.recording));
                stored.recording.storage = Some(Storage::wanted(place));
            }
            let event = stored.recording.advance(next, why, Timestamp::now());
            ((), event.into_iter().collect())
        };
        let id = id.clone();
        let write = move |connection: &rusqlite::Connection| {
            recordings::update(connection, &id, Timestamp::now(), change)?;
            // What was sent was sent to another place.
            for store in [StoreName::Main, StoreName::Backup] {
                uploads::forget(connection, &id, store)?;
            }
            Ok(())
        };
        context.database.write(write).await?;
        Ok(true)
    }
}

//! A worker takes a recording of its list: into its own database, with what the store has of it in the recording's folder.

use super::bus::{Bus, read};
use super::wire::{Changeable, Job, JobEntry, job_key};
use crate::service::database::DatabaseError;
use crate::service::database::events;
use crate::service::database::recordings::{self, Placement, Runtime, StoredRecording};
use crate::service::jobs::JobContext;
use crate::service::model::{EventDraft, EventType, State, Storage, StorageState, Wanted};
use crate::service::storage::location;
use jiff::Timestamp;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

/// The pause before a store that does not answer is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// What came of an entry.
pub enum Taken {
    /// It is here and is worked on.
    Ours,
    /// It is not here.
    Missing,
    /// It is tried again.
    Later,
    /// An earlier part of it is here, which somebody else may have continued.
    HasOrphan,
}

/// Hands on what is wanted of a recording that is here.
pub async fn keep(context: &JobContext, placement: Placement, entry: &JobEntry) -> Result<Taken, DatabaseError> {
    if let Some(stored) = context.database.recording(&entry.id).await? {
        let held = stored.runtime.placement.as_ref();
        if held == Some(&placement) && !stored.runtime.orphaned {
            let changed = entry.changeable.clone().filter(|new| *new != Changeable::of(&stored.request));
            if stored.recording.wanted != entry.wanted || changed.is_some() {
                let wanted = entry.wanted;
                let want = move |stored: &mut StoredRecording| {
                    stored.recording.wanted = wanted;
                    if let Some(changed) = &changed {
                        changed.put_into(&mut stored.request);
                        changed.put_into(&mut stored.recording.request);
                    }
                    ((), Vec::new())
                };
                context.database.update_recording(&entry.id, want).await?;
            }
            return Ok(Taken::Ours);
        }
        let was_last = held.is_some_and(|held| held.fence + 1 == entry.fence);
        if was_last && !stored.recording.state.is_final() && stored.runtime.ending.is_none() {
            // Nobody had it in between: everything is here.
            let again = move |stored: &mut StoredRecording| {
                (stored.runtime.placement, stored.runtime.orphaned) = (Some(placement), false);
                ((), Vec::new())
            };
            context.database.update_recording(&entry.id, again).await?;
            return Ok(Taken::Ours);
        }
        if !stored.recording.state.is_final() {
            return Ok(Taken::HasOrphan);
        }
        if !clear(context, &stored).await? {
            return Ok(Taken::Later);
        }
    }
    Ok(Taken::Missing)
}

/// Takes a recording that is not here.
pub async fn take(bus: Bus, context: JobContext, placement: Placement, entry: JobEntry) -> Result<(), DatabaseError> {
    let job = match read::<Job>(&bus.jobs, &job_key(&entry.id)).await {
        Ok(Some((job, _))) if job.fence == entry.fence => job,
        // The list may come before the job is readable everywhere.
        Ok(_) => return Ok(()),
        Err(e) => {
            tracing::warn!(recording_id = %entry.id, "it cannot be taken yet: {e}");
            return Ok(());
        }
    };
    let folder = context.folders.recording(&entry.id);
    // One that was interrupted has brought all or nothing.
    let is_here = folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    let mut not_fetched = None;
    if job.recording.parts > 0
        && !is_here
        && let Some(storage) = &context.storage
    {
        match storage.fetch(&location(&job.recording), &folder).await {
            Ok(Some(found)) => tracing::info!(recording_id = %entry.id, bytes = found.bytes, "goes on from the store"),
            Ok(None) => tracing::warn!(recording_id = %entry.id, "the store has nothing of it: it begins anew"),
            Err(e) => {
                tracing::error!(recording_id = %entry.id, "what the store has of it cannot be fetched: {e}");
                // Nothing more is recorded: it waits for the store.
                if matches!(entry.wanted, Wanted::Stop | Wanted::Cancel) || job.recording.state >= State::Stopping {
                    sleep(RETRY).await;
                    return Ok(());
                }
                // The room does not wait: what is in the store stays there, and what comes is recorded.
                not_fetched = Some(e);
            }
        }
    }
    let mut stored = prepare(job, placement, entry.wanted, &folder);
    let warning = not_fetched.map(|problem| {
        (stored.runtime.beside, stored.runtime.lossy) = (true, true);
        let message =
            format!("what was recorded before stays in the store, below live/, and could not be fetched: {problem}");
        EventDraft::new(EventType::Warning, json!({ "message": message }))
    });
    tracing::info!(recording_id = %entry.id, fence = entry.fence, "taken");
    let insert = move |connection: &rusqlite::Connection| {
        recordings::insert_quietly(connection, &stored)?;
        events::append(connection, &stored.recording, Timestamp::now(), warning.into_iter().collect())
    };
    context.database.write(insert).await
}

/// A recording as it is put into this worker's database.
fn prepare(job: Job, placement: Placement, wanted: Wanted, folder: &Path) -> StoredRecording {
    let mut recording = job.recording;
    let place = (recording.state == State::Uploading).then(|| Storage::wanted(location(&recording)));
    (recording.wanted, recording.storage) = (wanted, place);
    let mut runtime = Runtime { placement: Some(placement), ..Runtime::default() };
    job.progress.put_into(&mut runtime);
    // The store may be behind what was told already: what is told again would be told twice.
    let timeline = folder.join(crate::recording::folder::TIMELINE);
    let length = timeline.metadata().map_or(0, |timeline| timeline.len());
    runtime.timeline_offset = runtime.timeline_offset.min(length);
    StoredRecording { recording, request: job.request, runtime }
}

/// Forgets an orphan that was sent; false while that is not certain.
async fn clear(context: &JobContext, stored: &StoredRecording) -> Result<bool, DatabaseError> {
    let id = stored.recording.id.clone();
    let (folder, is_stored) = (
        context.folders.recording(&id),
        stored.recording.storage.as_ref().is_some_and(|storage| storage.state == StorageState::Stored),
    );
    let live = context.folders.live(&id);
    let aside = folder.with_extension(format!("lost-{}", Timestamp::now().as_millisecond()));
    let moved = tokio::task::spawn_blocking(move || {
        let _ = std::fs::remove_file(live);
        if !folder.exists() {
            return Ok(());
        }
        if is_stored { std::fs::remove_dir_all(&folder) } else { std::fs::rename(&folder, aside) }
    });
    match moved.await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => {
            tracing::error!(recording_id = %id, "its earlier part cannot be put aside: {e}");
            return Ok(false);
        }
        Err(_) => return Ok(false),
    }
    context.database.write(move |connection| recordings::delete(connection, &id)).await
}

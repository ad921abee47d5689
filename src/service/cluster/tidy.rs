//! A worker forgets recordings that have ended, once the API node was told of their end and their media is in the store only.

use super::reporter::position;
use crate::service::database::recordings::{self, Filter, State};
use crate::service::database::{DatabaseError, events};
use crate::service::jobs::JobContext;
use crate::service::model::{Id, Recording, StorageState};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::time::sleep;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(60);
/// Recordings that are looked at in one go.
const BATCH: u32 = 500;
/// What nothing was recorded of is kept for its log.
const LOGS: SignedDuration = SignedDuration::from_hours(24);

/// Tidies up until it is dropped.
pub async fn tidy(context: &JobContext) {
    loop {
        sleep(EVERY).await;
        if let Err(e) = once(context, Timestamp::now()).await {
            tracing::warn!("recordings that have ended cannot be looked up: {e}");
        }
    }
}

async fn once(context: &JobContext, now: Timestamp) -> Result<(), DatabaseError> {
    let told = position(&context.folders.reported());
    let filter =
        Filter { states: State::ALL.into_iter().filter(|state| state.is_final()).collect(), ..Filter::default() };
    let find = move |connection: &rusqlite::Connection| {
        let ended = recordings::list(connection, &filter, BATCH)?.into_iter().map(|(_, recording)| recording);
        let mut over = Vec::new();
        for recording in ended.filter(|recording| is_over(recording, now)) {
            if events::after(connection, None, Some(&recording.id), told, 1)?.is_empty() {
                over.push(recording.id);
            }
        }
        Ok(over)
    };
    for id in context.database.read(find).await? {
        if let Err(e) = remove(context, id.clone()).await {
            tracing::warn!(recording_id = %id, "what is left of it cannot be deleted: {e}");
        }
    }
    Ok(())
}

/// Removes a recording from this machine.
async fn remove(context: &JobContext, id: Id) -> Result<(), String> {
    let (folder, files) = (context.folders.recording(&id), [context.folders.log(&id), context.folders.result(&id)]);
    let removed = tokio::task::spawn_blocking(move || {
        let _ = files.map(std::fs::remove_file);
        match std::fs::remove_dir_all(folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    });
    removed.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    let deleted = context.database.write(move |connection| recordings::delete(connection, &id)).await;
    deleted.map(drop).map_err(|e| e.to_string())
}

/// Forgets at once a recording that has ended and is in the store: somebody is to be removed from it. One that is not here is forgotten.
///
/// # Errors
/// Why it cannot be yet, for people.
pub async fn forget(context: &JobContext, id: &Id) -> Result<(), String> {
    let (of, told) = (id.clone(), position(&context.folders.reported()));
    let look = move |connection: &rusqlite::Connection| {
        let Some(stored) = recordings::get(connection, &of)? else { return Ok(Ok(false)) };
        let storage = stored.recording.storage.as_ref();
        let is_stored = storage.is_none_or(|storage| storage.state == StorageState::Stored);
        Ok(match (stored.recording.state.is_final(), is_stored) {
            (false, _) => Err("it is at work on the recording"),
            (_, false) => Err("it has media that is not in the store"),
            _ if !events::after(connection, None, Some(&of), told, 1)?.is_empty() => Err("it has more to tell of it"),
            _ => Ok(true),
        })
    };
    match context.database.read(look).await.map_err(|e: DatabaseError| e.to_string())? {
        Ok(true) => remove(context, id.clone()).await,
        Ok(false) => Ok(()),
        Err(problem) => Err(problem.to_owned()),
    }
}

/// Whether nothing of it is needed here.
fn is_over(recording: &Recording, now: Timestamp) -> bool {
    match &recording.storage {
        Some(storage) => !storage.local,
        None => {
            let is_empty = recording.outcome.as_ref().is_none_or(|outcome| outcome.media.is_empty());
            let ended = recording.states.last().map_or(now, |change| change.at);
            is_empty && now.duration_since(ended) > LOGS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::model::{RecordingRequest, Storage};

    #[test]
    fn only_what_is_in_the_store_is_forgotten() {
        let at = |hours: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        let request = RecordingRequest::new("ws://h/rooms/a");
        let mut recording = Recording::new(Id::new(Id::RECORDING), "p", &request, at(0));
        recording.advance(State::Complete, None, at(0)).unwrap();
        assert!(!is_over(&recording, at(1)) && is_over(&recording, at(25)), "its log is kept for a day");
        recording.storage = Some(Storage::wanted("p/a".into()));
        assert!(!is_over(&recording, at(1000)), "its media is here");
        recording.storage.iter_mut().for_each(|storage| storage.local = false);
        assert!(is_over(&recording, at(1)));
    }
}

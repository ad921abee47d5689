//! Films that are asked for after the recording.

use super::JobContext;
use super::compose::{Composed, compose};
use super::film_of_recording::FilmOfRecording;
use super::outcome::look;
use super::remote_films;
use crate::service::database::DatabaseError;
use crate::service::database::{films, recordings};
use crate::service::model::{EventDraft, EventType, FilmState, Id, Recording, StorageState};
use jiff::Timestamp;
use serde_json::json;
use tracing::Span;
use tracing::field::display;

/// A recording that is in a store goes there again, with what it has now.
fn stored_again(recording: &mut Recording) -> Option<EventDraft> {
    let storage = recording.storage.as_mut().filter(|storage| storage.state == StorageState::Stored)?;
    storage.state = StorageState::Uploading;
    Some(EventDraft::new(EventType::Uploading, json!({ "state": recording.state })))
}

/// Makes the film and notes how it ended.
pub(super) async fn run(context: &JobContext, id: &Id) -> Result<(), DatabaseError> {
    let of = id.clone();
    let Some(stored) = context.database.read(move |connection| films::get(connection, &of)).await? else {
        return Ok(());
    };
    if stored.remote.is_some() {
        return remote_films::run(context, stored).await;
    }
    let recording = stored.job.recording.clone();
    Span::current().record("recording_id", display(&recording));
    let folder = context.folders.recording(&recording);
    let (state, reason) = match compose(context, &FilmOfRecording { context, stored, folder: &folder }).await? {
        Composed::Leaving => return Ok(()),
        Composed::Made => (FilmState::Done, None),
        Composed::Cancelled => (FilmState::Cancelled, None),
        Composed::Failed => (FilmState::Failed, Some("compose failed; the recording's log says why".to_owned())),
    };
    let found = tokio::task::spawn_blocking(move || look(&folder)).await.unwrap_or(None);
    let (id, result, now) = (id.clone(), context.folders.result(id), Timestamp::now());
    let end = move |connection: &rusqlite::Connection| {
        let job = films::update(connection, &id, |stored| {
            stored.job.end(state, reason, now);
            stored.process = None;
            stored.job.clone()
        })?;
        recordings::update(connection, &recording, now, |stored| {
            if let Some((_, outcome)) = found {
                stored.recording.outcome = Some(outcome);
            }
            let made = job.filter(|job| job.state == FilmState::Done);
            let mut events = Vec::new();
            if let Some(job) = made {
                events.push(EventDraft::new(EventType::FilmReady, json!({ "film": job.id, "paths": [job.path] })));
                events.extend(stored_again(&mut stored.recording));
            }
            ((), events)
        })
    };
    context.database.write(end).await?;
    let _ = tokio::fs::remove_file(result).await;
    Ok(())
}

//! The end of a film whose recording is in a store only: what its worker, or this machine, has put there becomes part of the recording.

use crate::service::database::DatabaseError;
use crate::service::database::films::{self, RemoteFilm, StoredFilm};
use crate::service::database::recordings::{self, StoredRecording};
use crate::service::model::{EventDraft, EventType, FilmState, Id, Media};
use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::json;

/// Ends a film that is open, with what is in the store of it; one that has ended stays as it is. `by`: the worker that says so, and its
/// session; whoever has lost the film says nothing.
///
/// # Errors
/// The disk's.
pub fn end_film(
    connection: &Connection,
    id: &Id,
    by: Option<&(String, String)>,
    (state, reason): (FilmState, Option<String>),
    media: Vec<Media>,
) -> Result<(), DatabaseError> {
    let now = Timestamp::now();
    let ended = films::update(connection, id, |stored| {
        let is_its = stored.remote.as_ref().is_some_and(|remote| remote.worker.as_ref() == by);
        (is_its && stored.job.state == FilmState::Open).then(|| {
            stored.job.end(state, reason, now);
            stored.process = None;
            stored.job.clone()
        })
    })?;
    let Some(job) = ended.flatten().filter(|job| job.state == FilmState::Done) else { return Ok(()) };
    let add = |stored: &mut StoredRecording| {
        let recording = &mut stored.recording;
        let outcome = recording.outcome.get_or_insert_default();
        let (bytes, files) = (media.iter().map(|file| file.bytes).sum::<u64>(), media.len());
        outcome.bytes += bytes;
        outcome.media.extend(media);
        outcome.media.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(storage) = &mut recording.storage {
            storage.bytes += bytes;
            storage.files = storage.files.saturating_add(u32::try_from(files).unwrap_or(u32::MAX));
        }
        ((), vec![EventDraft::new(EventType::FilmReady, json!({ "film": job.id, "paths": [job.path] }))])
    };
    recordings::update(connection, &job.recording, now, add).map(drop)
}

/// The film with what was made of it: it waits to be told of.
pub(super) fn note_made(
    connection: &Connection,
    id: &Id,
    (state, reason): (FilmState, Option<String>),
    media: Vec<Media>,
) -> Result<(), DatabaseError> {
    let note = |StoredFilm { job, process, remote }: &mut StoredFilm| {
        job.end(state, reason, Timestamp::now());
        *process = None;
        if let Some(RemoteFilm { media: made, .. }) = remote {
            *made = media;
        }
    };
    films::update(connection, id, note).map(drop)
}

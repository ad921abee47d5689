//! Films of recordings that are in a store only: the recording is brought here, the film composed and sent there, and all of it forgotten here.
//! A worker tells of the end; alone, this machine ends the film itself.

use super::compose::{Composed, compose};
use super::film_end::{end_film, note_made};
use super::film_of_recording::{FilmOfRecording, is_over};
use super::outcome::kind;
use super::{JobContext, Part};
use crate::recording::folder::MANIFEST;
use crate::service::database::DatabaseError;
use crate::service::database::films::{RemoteFilm, StoredFilm};
use crate::service::model::{FilmState, Id, Media};
use crate::service::storage::{LocalFile, walk};
use std::time::Duration;
use tokio::time::sleep;
use tracing::Span;
use tracing::field::display;

/// When what the store did not do is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What came of a try.
enum Tried {
    Ended(FilmState, Option<String>, Vec<Media>),
    /// The store failed, or the service leaves: it is begun again.
    Later,
}

fn failed(reason: impl Into<String>) -> Tried {
    Tried::Ended(FilmState::Failed, Some(reason.into()), Vec::new())
}

/// Makes the film as far as the store lets it; what is left is done by the next run.
pub(super) async fn run(context: &JobContext, stored: StoredFilm) -> Result<(), DatabaseError> {
    let (id, recording) = (stored.job.id.clone(), stored.job.recording.clone());
    Span::current().record("recording_id", display(&recording));
    let mut leaving = context.leaving.clone();
    let tried = tokio::select! {
        tried = make(context, stored) => tried?,
        _ = leaving.wait_for(|leaving| *leaving) => Tried::Later,
    };
    let Tried::Ended(state, reason, media) = tried else {
        tokio::select! {
            () = sleep(RETRY) => {}
            _ = leaving.wait_for(|leaving| *leaving) => {}
        }
        return Ok(());
    };
    let (of, is_worker) = (id.clone(), context.part == Part::Worker);
    let end = move |connection: &rusqlite::Connection| match is_worker {
        true => note_made(connection, &of, (state, reason), media),
        false => end_film(connection, &of, None, (state, reason), media),
    };
    context.database.write(end).await?;
    forget(context, &id).await;
    Ok(())
}

/// Removes what a film has here besides its job.
pub async fn forget(context: &JobContext, id: &Id) {
    let (folder, result) = (context.folders.film(id), context.folders.result(id));
    match tokio::fs::remove_dir_all(&folder).await {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!("{}: cannot be deleted: {e}", folder.display());
        }
        _ => {}
    }
    let _ = tokio::fs::remove_file(result).await;
}

async fn make(context: &JobContext, stored: StoredFilm) -> Result<Tried, DatabaseError> {
    let (id, recording) = (stored.job.id.clone(), stored.job.recording.clone());
    let (Some(RemoteFilm { place, store, .. }), Some(storage)) = (stored.remote.clone(), &context.storage) else {
        return Ok(failed("no store is configured"));
    };
    let folder = context.folders.film(&id);
    if !folder.join(MANIFEST).is_file() {
        match storage.fetch(&place, &folder).await {
            Ok(Some(found)) => tracing::info!(bytes = found.bytes, "its recording was brought from the store"),
            Ok(None) => return Ok(failed("the store has nothing of the recording")),
            Err(e) => {
                tracing::warn!("its recording cannot be brought from the store yet: {e}");
                return Ok(Tried::Later);
            }
        }
    }
    if is_over(context, &id).await? {
        return Ok(Tried::Ended(FilmState::Cancelled, None, Vec::new()));
    }
    let job = FilmOfRecording { context, stored, folder: &folder };
    match compose(context, &job).await? {
        Composed::Leaving => return Ok(Tried::Later),
        Composed::Cancelled => return Ok(Tried::Ended(FilmState::Cancelled, None, Vec::new())),
        Composed::Failed => return Ok(failed("compose failed; the log of its machine says why")),
        Composed::Made => {}
    }
    if is_over(context, &id).await? {
        return Ok(Tried::Ended(FilmState::Cancelled, None, Vec::new()));
    }
    let (of, name) = (folder.clone(), id.clone());
    let made = tokio::task::spawn_blocking(move || made(&of, &name)).await;
    let made = match made.map_err(|e| e.to_string()).flatten() {
        Ok(made) => made,
        Err(e) => return Ok(failed(format!("what was made cannot be listed: {e}"))),
    };
    // Only who holds the lease sends: another worker may have the film since.
    let sent = tokio::select! {
        sent = storage.add(&context.database, &recording, (store, &place), (&folder, &made)) => sent,
        () = context.lease_over(&id) => return Ok(Tried::Later),
    };
    if let Err(e) = sent {
        tracing::warn!("it is not in the store yet: {e}");
        return Ok(Tried::Later);
    }
    let media = made.into_iter().map(|file| Media { kind: kind(&file.path), path: file.path, bytes: file.bytes });
    Ok(Tried::Ended(FilmState::Done, None, media.collect()))
}

/// The files of a film: they begin with its id.
fn made(folder: &std::path::Path, id: &Id) -> Result<Vec<LocalFile>, String> {
    let files = walk(folder).map_err(|e| e.to_string())?;
    Ok(files.into_iter().filter(|file| file.path.starts_with(id.as_str())).collect())
}

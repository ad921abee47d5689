//! Films of recordings that are in a store only: the recording is brought here, the film composed and sent there, and all of it forgotten here.
//! A worker tells of the end; alone, this machine ends the film itself.

use super::compose::{ComposeJob, Composed, compose, film_flags, program};
use super::film_end::{end_film, note_made};
use super::outcome::kind;
use super::{JobContext, Part};
use crate::recording::folder::MANIFEST;
use crate::service::database::DatabaseError;
use crate::service::database::films::{self, RemoteFilm, StoredFilm};
use crate::service::database::recordings::ProcessId;
use crate::service::model::{FilmState, Id, Media};
use crate::service::storage::{LocalFile, walk};
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::sleep;
use tracing::Span;
use tracing::field::display;

/// When what the store did not do is tried again.
const RETRY: Duration = Duration::from_secs(5);

struct FilmOfStored<'a> {
    context: &'a JobContext,
    stored: StoredFilm,
    folder: PathBuf,
}

impl ComposeJob for FilmOfStored<'_> {
    fn name(&self) -> &str {
        self.stored.job.id.as_str()
    }
    fn command(&self) -> Command {
        let job = &self.stored.job;
        let mut command = program(self.context);
        film_flags(&mut command, &job.request, Some(&self.folder.join(job.file())));
        command.arg("--no-stills").arg("--").arg(&self.folder);
        command
    }
    fn files(&self) -> (PathBuf, PathBuf) {
        let job = &self.stored.job;
        (self.context.folders.result(&job.id), self.context.folders.log(&job.recording))
    }
    fn process(&self) -> Option<ProcessId> {
        self.stored.process
    }
    async fn note(&self, process: ProcessId) -> Result<(), DatabaseError> {
        let id = self.stored.job.id.clone();
        let note = move |stored: &mut StoredFilm| stored.process = Some(process);
        self.context.database.write(move |connection| films::update(connection, &id, note)).await.map(drop)
    }
    async fn is_cancelled(&self) -> Result<bool, DatabaseError> {
        is_over(self.context, &self.stored.job.id).await
    }
}

/// Whether nobody wants it any more.
async fn is_over(context: &JobContext, id: &Id) -> Result<bool, DatabaseError> {
    let id = id.clone();
    let stored = context.database.read(move |connection| films::get(connection, &id)).await?;
    Ok(stored.is_none_or(|stored| stored.job.state != FilmState::Open))
}

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
    let job = FilmOfStored { context, stored, folder: folder.clone() };
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

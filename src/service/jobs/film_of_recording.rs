//! The process of a film that is asked for after the recording, wherever the recording's folder is.

use super::JobContext;
use super::compose::{ComposeJob, film_flags, program};
use crate::service::database::DatabaseError;
use crate::service::database::films::{self, StoredFilm};
use crate::service::database::recordings::ProcessId;
use crate::service::model::{FilmState, Id};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// What is composed, of the recording in this folder.
pub(super) struct FilmOfRecording<'a> {
    pub context: &'a JobContext,
    pub stored: StoredFilm,
    pub folder: &'a Path,
}

impl ComposeJob for FilmOfRecording<'_> {
    fn name(&self) -> &str {
        self.stored.job.id.as_str()
    }
    fn command(&self) -> Command {
        let job = &self.stored.job;
        let mut command = program(self.context);
        film_flags(&mut command, &job.request, Some(&self.folder.join(job.file())));
        command.arg("--no-stills").arg("--").arg(self.folder);
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
pub(super) async fn is_over(context: &JobContext, id: &Id) -> Result<bool, DatabaseError> {
    let id = id.clone();
    let stored = context.database.read(move |connection| films::get(connection, &id)).await?;
    Ok(stored.is_none_or(|stored| stored.job.state != FilmState::Open))
}

//! Echo of chat messages and files to their senders. Nothing is kept. Only people are answered: two echo bots would answer each other for ever.

use crate::bot::command;
use crate::client::event::RoomEvent;
use crate::client::{FileSend, Handle, IncomingFiles};
use crate::error::{Error, Result};
use crate::room::participant::{ParticipantId, Role};
use crate::transfer::store::{FileStore, Limits};
use crate::transfer::{FileReport, FileStatus};
use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;
use tempfile::TempDir;

/// The folder of received files below the temporary one.
const FOLDER: &str = "files";

/// Sends chat and files back to their senders.
pub(crate) struct ChatAndFileEcho {
    /// Deleted with its content when the last file was sent.
    folder: Arc<TempDir>,
    vault: Arc<FileStore>,
    people: HashSet<ParticipantId>,
}

impl ChatAndFileEcho {
    /// Makes a temporary folder for the files on their way.
    ///
    /// # Errors
    /// The machine's: there can be none.
    pub fn new() -> Result<ChatAndFileEcho> {
        let cannot = |e| Error::machine("no temporary folder for files that are sent back").because(e);
        let folder = tempfile::Builder::new().prefix("roombot-echo-").tempdir().map_err(cannot)?;
        let vault = FileStore::new(File::open(folder.path()).map_err(cannot)?.into(), FOLDER, Limits::default());
        Ok(ChatAndFileEcho { folder: Arc::new(folder), vault, people: HashSet::new() })
    }

    /// Takes the files that participants send.
    pub fn takes(&self) -> IncomingFiles {
        IncomingFiles::into(self.vault.clone())
    }

    /// Handles an event: returns chat and files.
    pub async fn on_event(&mut self, event: &RoomEvent, room: &Handle) {
        match event {
            RoomEvent::Joined(participant) if participant.role == Role::Participant => {
                self.people.insert(participant.id.clone());
            }
            RoomEvent::Left { id, .. } => {
                self.people.remove(id);
            }
            RoomEvent::Chat { id, text } if self.people.contains(id) && command::addressed(text).is_none() => {
                room.say(Some(id), text).await;
            }
            RoomEvent::File { id, report } => self.file(id, report, room),
            _ => {}
        }
    }

    fn file(&self, id: &ParticipantId, report: &FileReport, room: &Handle) {
        let FileStatus::Received { path, .. } = &report.status else { return };
        let path = self.folder.path().join(FOLDER).join(path);
        let file = FileSend { name: Some(report.name.clone()), mime: report.mime.clone(), ..FileSend::new(&path) };
        let sending = self.people.contains(id).then(|| room.send_file(id, file));
        let (vault, folder, owner, size) = (self.vault.clone(), self.folder.clone(), report.owner.clone(), report.size);
        tokio::spawn(async move {
            if let Some(mut sending) = sending {
                let outcome = sending.outcome().await;
                tracing::info!("{owner}: sent back: {outcome:?}");
            }
            if let Err(e) = tokio::fs::remove_file(&path).await {
                tracing::warn!("{}: cannot be removed: {e}", path.display());
            }
            vault.release(&owner, size);
            drop(folder);
        });
    }
}

//! Deletes the media of a recording, wherever it is.

use super::folders::Folders;
use crate::service::database::Database;
use crate::service::model::Recording;
use crate::service::storage::StorageService;

/// Deletes it in the stores first: what is left when that fails is the whole recording here, and the next try.
///
/// # Errors
/// Why it could not be, for people.
pub async fn delete_media(
    storage: Option<&StorageService>,
    database: &Database,
    folders: &Folders,
    recording: &Recording,
) -> Result<(), String> {
    match storage {
        Some(storage) => storage.delete(database, recording, folders.live(&recording.id).exists()).await?,
        None if recording.storage.as_ref().is_some_and(|storage| storage.bytes > 0) => {
            return Err("it is in a store, and none is configured".to_owned());
        }
        None => {}
    }
    let (folder, id) = (folders.recording(&recording.id), &recording.id);
    let others = [folders.result(id), folders.log(id), folders.live(id)];
    let removed = tokio::task::spawn_blocking(move || {
        for file in others {
            let _ = std::fs::remove_file(file);
        }
        match std::fs::remove_dir_all(folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    });
    match removed.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(format!("its folder cannot be deleted: {e}")),
        Err(e) => Err(e.to_string()),
    }
}

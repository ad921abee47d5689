//! Removes some files of a recording from every store that has it.

use super::error::StorageError;
use super::service::StorageService;
use crate::service::database::uploads::{self, Upload};
use crate::service::database::{Database, DatabaseError};
use crate::service::model::{Id, StoreName};
use std::collections::HashMap;

impl StorageService {
    /// Deletes the files of the recording at `place` that `is_purged` names, by their paths in it, and everything that was sent while it was
    /// recorded. What lists them (checksums, manifest) is to be uploaded again afterwards.
    ///
    /// # Errors
    /// The store's, for people; or it is not configured any more.
    pub async fn purge(
        &self,
        database: &Database,
        recording: &Id,
        place: &str,
        is_purged: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        for name in [StoreName::Main, StoreName::Backup] {
            let id = recording.clone();
            let sent = database.read(move |connection| uploads::of(connection, &id, name)).await;
            let sent = sent.map_err(|e: DatabaseError| e.to_string())?;
            let Some(target) = self.target(name) else {
                if sent.is_empty() {
                    continue;
                }
                return Err(format!("{}: is not configured, and has media of this recording", name.word()));
            };
            let failed = |e: StorageError| format!("{}: {e}", name.word());
            if name == StoreName::Main {
                target.delete_packs(place).await.map_err(failed)?;
            }
            let there: HashMap<_, _> =
                if sent.is_empty() { HashMap::new() } else { target.list(place).await.map_err(failed)? };
            for path in there.keys().filter(|path| is_purged(path)) {
                target.remove(place, path, None).await.map_err(failed)?;
            }
            for Upload { path, multipart, .. } in sent.into_values().filter(|upload| is_purged(&upload.path)) {
                target.remove(place, &path, multipart.as_deref()).await.map_err(failed)?;
                let id = recording.clone();
                let forgotten =
                    database.write(move |connection| uploads::forget_file(connection, &id, name, &path)).await;
                forgotten.map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }
}

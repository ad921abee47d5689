//! Removes some files of a recording from every store that has it; and what a machine needs for that which has not sent it itself.

use super::error::StorageError;
use super::pack::is_plain;
use super::service::StorageService;
use crate::recording::folder::MANIFEST;
use crate::service::database::uploads::{self, Upload};
use crate::service::database::{Database, DatabaseError};
use crate::service::model::{Id, StoreName};
use std::collections::HashMap;
use std::path::Path;

impl StorageService {
    /// Takes a recording that another machine has sent for one of this machine's: what is there counts as sent and verified, as the store's
    /// own list of checksums says. Does nothing where something is known of it already.
    ///
    /// # Errors
    /// The store's, for people.
    pub async fn adopt(
        &self,
        database: &Database,
        recording: &Id,
        (name, place): (StoreName, &str),
    ) -> Result<(), String> {
        let id = recording.clone();
        let known = database.read(move |connection| uploads::of(connection, &id, name)).await;
        if !known.map_err(|e: DatabaseError| e.to_string())?.is_empty() {
            return Ok(());
        }
        let target = self.target(name).ok_or_else(|| format!("{} is not configured", name.word()))?;
        let failed = |e: StorageError| format!("{}: {e}", name.word());
        let (there, sums) = (target.list(place).await.map_err(failed)?, target.checksums(place).await.map_err(failed)?);
        let manifest = target.key(place, MANIFEST).map_err(failed)?;
        let manifest = target.look(&manifest).await.map_err(failed)?.and_then(|meta| meta.e_tag);
        let of = |(path, sha256): (String, String)| {
            let bytes = *there.get(&path)?;
            let etag = manifest.clone().filter(|_| path == MANIFEST);
            // What is here, or comes here, is another file: it is compared.
            let modified_ns = -1;
            Some(Upload { path, bytes, modified_ns, sha256, verified: true, multipart: None, parts: Vec::new(), etag })
        };
        let (id, all): (_, Vec<Upload>) = (recording.clone(), sums.into_iter().filter_map(of).collect());
        let note = move |connection: &rusqlite::Connection| {
            all.iter().try_for_each(|upload| uploads::put(connection, &id, name, upload))
        };
        database.write(note).await.map_err(|e| e.to_string())
    }

    /// Brings files of a recording from a store into its folder, those that `is_wanted` names and that are not there.
    ///
    /// # Errors
    /// The store's or the disk's, for people.
    pub async fn bring(
        &self,
        (name, place): (StoreName, &str),
        folder: &Path,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let target = self.target(name).ok_or_else(|| format!("{} is not configured", name.word()))?;
        let failed = |e: StorageError| format!("{}: {e}", name.word());
        for (path, size) in target.list(place).await.map_err(failed)? {
            let at = folder.join(&path);
            if is_wanted(&path) && is_plain(&path) && !at.exists() {
                // Whole or not at all.
                let part = at.with_added_extension("part");
                target.download(place, &path, size, &part).await.map_err(failed)?;
                tokio::fs::rename(part, at).await.map_err(|e| format!("{path}: {e}"))?;
            }
        }
        Ok(())
    }

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

//! Brings back what a store has of a recording, for a machine that continues it.

use super::digest::PART;
use super::error::StorageError;
use super::folder::CHECKSUMS;
use super::layout::LATE;
use super::pack::number;
use super::service::StorageService;
use super::target::Target;
use std::path::Path;
use tokio::io::AsyncWriteExt;

impl StorageService {
    /// Copies what a store has of the recording into `folder`: all of it, or as far as it was sent while it was recorded. What is there
    /// already with the same size stays. False: no store has anything.
    ///
    /// # Errors
    /// Why not everything could be brought, for people. Whatever was brought is whole.
    pub async fn bring(&self, place: &str, folder: &Path) -> Result<bool, String> {
        if !folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            return self.fetch(place, folder).await.map(|fetched| fetched.is_some());
        }
        let mut problems = Vec::new();
        for target in self.targets() {
            match fetch(target, place, folder).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(e) => problems.push(format!("{}: {e}", target.name.word())),
            }
        }
        if problems.is_empty() { Ok(false) } else { Err(problems.join("; ")) }
    }
}

async fn fetch(target: &Target, place: &str, folder: &Path) -> Result<bool, StorageError> {
    let files = target.list(place).await?;
    let late = format!("{LATE}/");
    let is_file = |path: &str| path != CHECKSUMS && !path.starts_with(&late) && number(path).is_none();
    let mut any = false;
    for (path, bytes) in files.into_iter().filter(|(path, _)| is_file(path)) {
        any = true;
        let file = folder.join(&path);
        if file.metadata().is_ok_and(|here| here.len() == bytes) {
            continue;
        }
        let local = |error| StorageError::Local { path: path.clone(), error };
        if let Some(parent) = file.parent() {
            tokio::fs::create_dir_all(parent).await.map_err(local)?;
        }
        let part = file.with_extension("fetched.part");
        let mut out = tokio::fs::File::create(&part).await.map_err(local)?;
        let mut from = 0;
        while from < bytes {
            let data = target.range(place, &path, from..bytes.min(from + PART)).await?;
            if data.is_empty() {
                return Err(StorageError::Changed(path));
            }
            from += data.len() as u64;
            out.write_all(&data).await.map_err(local)?;
        }
        out.sync_all().await.map_err(local)?;
        drop(out);
        tokio::fs::rename(&part, &file).await.map_err(local)?;
    }
    Ok(any)
}

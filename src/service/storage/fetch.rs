//! Rebuilds a recording's folder from what a store has: the whole recording where its commit mark is there, else what was sent of it while
//! it was recorded, and the whole files that were sent after it.

use super::error::StorageError;
use super::folder::CHECKSUMS;
use super::layout::LATE;
use super::pack::{Pack, is_plain, number};
use super::rebuild::Rebuild;
use super::target::Target;
use crate::recording::folder::MANIFEST;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Packs that are read side by side.
const SIDE_BY_SIDE: usize = 8;
/// The largest pack: a manifest and 8 MiB.
const LARGEST_PACK: u64 = 96 << 20;

/// A recording that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The store had all of it; else it was cut short, and lacks what came since the last pack.
    pub whole: bool,
    pub files: u32,
    pub bytes: u64,
}

impl Target {
    /// Rebuilds the recording at `location` in the folder `into`, which must not exist, or be empty. It appears in one step.
    /// None: the store has nothing of it.
    ///
    /// # Errors
    /// The store's or the disk's; a file that is not as it was sent.
    pub async fn fetch(&self, location: &str, into: &Path) -> Result<Option<Fetched>, StorageError> {
        let mut there = self.list(location).await?;
        // What machines that had lost it sent beside it.
        let late = format!("{LATE}/");
        there.retain(|path, _| !path.starts_with(&late));
        let whole = there.contains_key(MANIFEST);
        if !whole && !there.keys().any(|path| number(path).is_some()) {
            return Ok(None);
        }
        let into = std::path::absolute(into).map_err(|error| local(into, error))?;
        let work = work_folder(&into)?;
        let work = Cleared(work);
        let place = work.0.join("recording");
        let made = place.clone();
        blocking(move || std::fs::create_dir_all(made)).await?;
        let (mut files, mut bytes) = if whole { (0, 0) } else { self.join_packs(location, &work.0, &place).await? };
        let sums = if whole { self.checksums(location).await? } else { HashMap::new() };
        for (path, size) in there.iter().filter(|(path, _)| number(path).is_none() && *path != CHECKSUMS) {
            if !is_plain(path) {
                return Err(StorageError::Name(path.clone()));
            }
            let is_new = !place.join(path).exists();
            let sha256 = self.download(location, path, *size, &place.join(path)).await?;
            if sums.get(path).is_some_and(|sum| *sum != sha256) {
                return Err(StorageError::Corrupt(path.clone()));
            }
            (files, bytes) = (files + u32::from(is_new), bytes + if is_new { *size } else { 0 });
        }
        let missing = sums.keys().find(|path| !there.contains_key(*path));
        if let Some(path) = missing {
            return Err(StorageError::Corrupt(path.clone()));
        }
        if !place.join(MANIFEST).is_file() {
            return Ok(None);
        }
        blocking(move || {
            // Onto an empty folder too, and onto no other.
            std::fs::rename(&place, &into)?;
            into.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
        })
        .await?;
        Ok(Some(Fetched { whole, files, bytes }))
    }

    /// Puts together what was sent while it was recorded.
    async fn join_packs(&self, location: &str, work: &Path, place: &Path) -> Result<(u32, u64), StorageError> {
        let packs = self.packs(location).await?.into_iter().filter(|(_, meta)| meta.size <= LARGEST_PACK);
        let reads: Vec<_> = packs
            .map(|(number, meta)| {
                let store = self.store.clone();
                async move {
                    let object = store.get(&meta.location).await?.bytes().await?;
                    Ok::<_, StorageError>((number, object))
                }
                .boxed()
            })
            .collect();
        let mut reads = stream::iter(reads).buffered(SIDE_BY_SIDE);
        let mut rebuild = Rebuild::new(work.join("packs"));
        while let Some((number, object)) = reads.try_next().await? {
            let Some((pack, data)) = Pack::decode(&object) else {
                tracing::warn!("{location}: pack {number} is damaged, or of a newer version, and is left out");
                continue;
            };
            rebuild = blocking(move || rebuild.add(&pack, &data).map(|()| rebuild)).await?;
        }
        let place = place.to_owned();
        blocking(move || rebuild.finish(&place)).await
    }

    /// The checksums of a whole recording, by path.
    pub(super) async fn checksums(&self, location: &str) -> Result<HashMap<String, String>, StorageError> {
        let object = self.store.get(&self.key(location, CHECKSUMS)?).await?.bytes().await?;
        let text = String::from_utf8_lossy(&object);
        let lines = text.lines().filter_map(|line| line.split_once("  "));
        Ok(lines.map(|(sum, path)| (path.to_owned(), sum.to_owned())).collect())
    }

    /// Reads an object into a file, in place of one that is there; returns its SHA-256.
    pub(super) async fn download(
        &self,
        location: &str,
        path: &str,
        size: u64,
        place: &Path,
    ) -> Result<String, StorageError> {
        let failed = |error| StorageError::Local { path: path.to_owned(), error };
        let mut pieces = std::pin::pin!(self.read(location, path, 0..size)?);
        let at = place.to_owned();
        let mut file = blocking(move || {
            at.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            File::create(at)
        })
        .await?;
        let (mut hash, mut length) = (Sha256::new(), 0);
        while let Some(piece) = pieces.try_next().await? {
            length += piece.len() as u64;
            let write = move || {
                hash.update(&piece);
                file.write_all(&piece).map(|()| (file, hash))
            };
            (file, hash) =
                tokio::task::spawn_blocking(write).await.map_err(io::Error::other).flatten().map_err(failed)?;
        }
        blocking(move || file.sync_all()).await?;
        if length != size {
            return Err(StorageError::Corrupt(path.to_owned()));
        }
        Ok(super::digest::hex(&hash.finalize()))
    }
}

/// A folder beside `into` for what is not whole yet.
fn work_folder(into: &Path) -> Result<PathBuf, StorageError> {
    let local = |error| local(into, error);
    if into.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(local(io::Error::new(io::ErrorKind::AlreadyExists, "there is something already")));
    }
    let name = into.file_name().ok_or_else(|| local(io::ErrorKind::InvalidInput.into()))?;
    let work = into.with_file_name(format!(".{}.fetch", name.to_string_lossy()));
    // Left by one that was killed.
    match std::fs::remove_dir_all(&work) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(local(e)),
        _ => Ok(work),
    }
}

fn local(path: &Path, error: io::Error) -> StorageError {
    StorageError::Local { path: path.display().to_string(), error }
}

/// Removes its folder when it is dropped.
struct Cleared(PathBuf);

impl Drop for Cleared {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, StorageError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten();
    done.map_err(|error| StorageError::Local { path: "the fetched recording".into(), error })
}

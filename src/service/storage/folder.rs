//! Sends a whole recording: its files side by side, then their checksums, then the manifest as the commit mark.

use super::digest::Source;
use super::error::StorageError;
use super::files::{LocalFile, walk};
use super::transfer::{Outgoing, Transfer};
use crate::recording::folder::MANIFEST;
use crate::service::database::uploads;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The list of checksums, as `sha256sum -c` reads it.
pub(super) const CHECKSUMS: &str = "checksums.sha256";
/// Files of one recording that are sent side by side.
const SIDE_BY_SIDE: usize = 3;

/// What is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub files: u32,
    pub bytes: u64,
}

impl Transfer<'_> {
    /// Sends everything in the folder that is not there and verified yet.
    pub(super) async fn send_folder(&self, folder: &Path) -> Result<Sent, StorageError> {
        let of = folder.to_owned();
        let files = tokio::task::spawn_blocking(move || walk(&of)).await;
        let files = files.map_err(|e| local("", std::io::Error::other(e)))??;
        let (id, store) = (self.recording.clone(), self.target.name);
        let earlier = self.database.read(move |connection| uploads::of(connection, &id, store)).await?;
        // The list is made here; one in the folder would be a download's.
        let (manifest, others): (Vec<_>, Vec<_>) =
            files.into_iter().filter(|file| file.path != CHECKSUMS).partition(|file| file.path == MANIFEST);
        let Some(manifest) = manifest.into_iter().next() else { return Err(StorageError::NoManifest) };
        let mut bytes = manifest.bytes;
        let manifest = open(folder, manifest).await?;
        let whole = manifest.source.digests(manifest.bytes, manifest.bytes.max(1)).await;
        let whole = whole.map_err(|error| local(MANIFEST, error))?;

        let sends: Vec<_> =
            others.iter().map(|file| self.send_local(folder, file, earlier.get(&file.path)).boxed()).collect();
        let mut sums: Vec<_> = stream::iter(sends).buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
        let is_here = |path: &String| others.iter().any(|file| file.path == *path);
        let belongs = |upload: &&uploads::Upload| {
            self.only_there
                && upload.verified
                && upload.path != CHECKSUMS
                && upload.path != MANIFEST
                && !is_here(&upload.path)
        };
        let only_there: Vec<_> = earlier.values().filter(belongs).collect();
        bytes += only_there.iter().map(|upload| upload.bytes).sum::<u64>();
        sums.extend(only_there.iter().map(|upload| (upload.path.clone(), upload.sha256.clone())));
        sums.push((MANIFEST.to_owned(), whole.sha256));
        let list = list(sums);
        let unsure = earlier.get(CHECKSUMS).map(|upload| uploads::Upload { verified: false, ..upload.clone() });
        self.send(&list, unsure.as_ref()).await?;
        self.send(&manifest, earlier.get(MANIFEST)).await?;
        bytes += list.bytes + others.iter().map(|file| file.bytes).sum::<u64>();
        let files = others.len() + only_there.len() + 2;
        Ok(Sent { files: u32::try_from(files).unwrap_or(u32::MAX), bytes })
    }

    /// Sends more files to a recording that is whole there, and puts them on the list of checksums.
    pub(super) async fn add_files(&self, folder: &Path, files: &[LocalFile]) -> Result<(), StorageError> {
        let (id, store) = (self.recording.clone(), self.target.name);
        let earlier = self.database.read(move |connection| uploads::of(connection, &id, store)).await?;
        let mut sums = self.target.checksums(self.location).await?;
        for file in files {
            let (path, sha256) = self.send_local(folder, file, earlier.get(&file.path)).await?;
            sums.insert(path, sha256);
        }
        self.send(&list(sums.into_iter().collect()), None).await.map(drop)
    }

    /// Sends a file of the folder; returns its path and SHA-256.
    async fn send_local(
        &self,
        folder: &Path,
        file: &LocalFile,
        earlier: Option<&uploads::Upload>,
    ) -> Result<(String, String), StorageError> {
        let outgoing = open(folder, file.clone()).await?;
        let sha256 = self.send(&outgoing, earlier).await?;
        Ok((outgoing.path, sha256))
    }
}

/// The list of checksums of these paths.
fn list(mut sums: Vec<(String, String)>) -> Outgoing {
    sums.sort();
    let sums: String = sums.iter().map(|(path, sha256)| format!("{sha256}  {path}\n")).collect();
    let sums = Bytes::from(sums);
    // Made anew each time: its contents say whether it is another.
    let (bytes, modified_ns) = (sums.len() as u64, -1);
    Outgoing { path: CHECKSUMS.to_owned(), bytes, modified_ns, source: Source::Bytes(sums) }
}

fn local(path: &str, error: std::io::Error) -> StorageError {
    StorageError::Local { path: path.to_owned(), error }
}

async fn open(folder: &Path, file: LocalFile) -> Result<Outgoing, StorageError> {
    let LocalFile { path, bytes, modified_ns, .. } = file;
    let place = folder.join(&path);
    let opened = tokio::task::spawn_blocking(move || File::open(place)).await;
    match opened.map_err(std::io::Error::other) {
        Ok(Ok(file)) => Ok(Outgoing { path, bytes, modified_ns, source: Source::File(Arc::new(file)) }),
        Ok(Err(error)) | Err(error) => Err(local(&path, error)),
    }
}

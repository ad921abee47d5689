//! Sends what a recorder has written since the last time, in packs. It only reads the recording's folder, holds little in memory, and
//! whatever the store does, the recorder knows nothing of it.

use super::digest::PART;
use super::error::StorageError;
use super::files::{LocalFile, walk};
use super::pack::{FOLDER, Pack, Piece, Plan, Progress, key, number};
use super::target::Target;
use crate::recording::folder::MANIFEST;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{Error, ObjectMeta, PutMode, PutOptions, PutPayload};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Packs of a recording in one go: what a store did not take for a while follows slowly.
const MOST_PACKS: u32 = 8;

/// What was sent in one go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LiveSent {
    pub packs: u32,
    pub bytes: u64,
}

impl Target {
    /// Sends what is new in the folder of a recording that grows. How far that is stands in the file `progress`: it may be lost.
    pub(super) async fn send_live(
        &self,
        location: &str,
        folder: &Path,
        progress_file: &Path,
    ) -> Result<LiveSent, StorageError> {
        let mut sent = LiveSent::default();
        let mut progress = match load(progress_file) {
            Some(progress) => progress,
            None => Progress::new(ulid::Ulid::generate().to_string(), self.next_pack(location).await?),
        };
        while sent.packs < MOST_PACKS {
            let (of, planner) = (folder.to_owned(), progress.clone());
            let read = tokio::task::spawn_blocking(move || read(&of, &planner)).await;
            let (Plan { pieces, caught_up }, data) = read.map_err(|e| local("", io::Error::other(e)))??;
            if pieces.is_empty() {
                break;
            }
            let listed: Vec<Piece> = pieces.iter().map(|(piece, _)| piece.clone()).collect();
            let object = Pack::encode(&progress.writer, caught_up, listed, &data).map_err(|e| local("", e.into()))?;
            drop(data);
            let bytes = object.len() as u64;
            if !self.put_pack(location, progress.next, object).await? {
                // Sent by a service that was killed before it could note that: the same pieces go into the next one.
                progress.next = self.next_pack(location).await?.max(progress.next + 1);
                continue;
            }
            progress.sent(&pieces);
            (sent.packs, sent.bytes) = (sent.packs + 1, sent.bytes + bytes);
            save(progress_file, &progress).map_err(|e| local("", e))?;
            if caught_up {
                break;
            }
        }
        Ok(sent)
    }

    /// Puts a pack there. False: there is one of that number.
    async fn put_pack(&self, location: &str, number: u64, object: Bytes) -> Result<bool, StorageError> {
        let key = self.key(location, &key(number))?;
        let put = |mode| {
            let options = PutOptions { mode, ..PutOptions::default() };
            self.store.put_opts(&key, PutPayload::from_bytes(object.clone()), options)
        };
        let result = match put(PutMode::Create).await {
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => return Ok(false),
            // A store without conditions.
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => put(PutMode::Overwrite).await,
            result => result,
        };
        result?;
        Ok(true)
    }

    /// The number after those of all packs that are there.
    async fn next_pack(&self, location: &str) -> Result<u64, StorageError> {
        Ok(self.packs(location).await?.last().map_or(1, |(number, _)| number + 1))
    }

    /// The packs of a recording, in order.
    pub(super) async fn packs(&self, location: &str) -> Result<Vec<(u64, ObjectMeta)>, StorageError> {
        let whole = format!("{}/", self.key(location, "")?);
        let found: Vec<ObjectMeta> = self.store.list(Some(&self.key(location, FOLDER)?)).try_collect().await?;
        let numbered = |meta: ObjectMeta| Some((number(meta.location.as_ref().strip_prefix(&whole)?)?, meta));
        let mut packs: Vec<_> = found.into_iter().filter_map(numbered).collect();
        packs.sort_by_key(|(number, _)| *number);
        Ok(packs)
    }

    /// Deletes the packs: the whole files are there.
    pub(super) async fn delete_packs(&self, location: &str) -> Result<(), StorageError> {
        let packs = self.packs(location).await?.into_iter().map(|(_, meta)| Ok(meta.location));
        let mut deleted = self.store.delete_stream(stream::iter(packs.collect::<Vec<_>>()).boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// Plans the next pack and reads its pieces. Blocks.
fn read(folder: &Path, progress: &Progress) -> Result<(Plan, Vec<Bytes>), StorageError> {
    if !folder.join(MANIFEST).is_file() {
        // Nothing is recorded yet.
        return Ok((Plan::default(), Vec::new()));
    }
    let Plan { pieces, mut caught_up } = progress.plan(&walk(folder)?, PART);
    let (mut kept, mut data) = (Vec::new(), Vec::new());
    for (piece, file) in pieces {
        match read_piece(folder, &piece, &file) {
            Ok(Some(bytes)) => {
                kept.push((piece, file));
                data.push(bytes);
            }
            // Replaced at this moment: it is in the next pack.
            Ok(None) => caught_up = false,
            Err(e) => return Err(local(&piece.path, e)),
        }
    }
    Ok((Plan { pieces: kept, caught_up }, data))
}

/// None: it is not the file any more that was seen.
fn read_piece(folder: &Path, piece: &Piece, seen: &LocalFile) -> io::Result<Option<Bytes>> {
    let file = match File::open(folder.join(&piece.path)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let is_same = |file: &File| {
        let is = file.metadata()?;
        let written_ns = is.mtime().saturating_mul(1_000_000_000).saturating_add(is.mtime_nsec());
        let is_whole = piece.path != MANIFEST || written_ns == seen.modified_ns;
        io::Result::Ok(is.ino() == seen.inode && is.len() >= seen.bytes && is_whole)
    };
    let mut buffer = vec![0; usize::try_from(piece.bytes).map_err(io::Error::other)?];
    match is_same(&file)?.then(|| file.read_exact_at(&mut buffer, piece.offset)) {
        Some(Ok(())) => Ok(Some(buffer.into())),
        Some(Err(e)) if e.kind() != io::ErrorKind::UnexpectedEof => Err(e),
        _ => Ok(None),
    }
}

fn load(file: &Path) -> Option<Progress> {
    std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok())
}

/// Replaces the file, without waiting for the disk: who does not find it sends all anew.
fn save(path: &Path, progress: &Progress) -> io::Result<()> {
    let part = path.with_extension("part");
    File::create(&part)?.write_all(&serde_json::to_vec(progress)?)?;
    std::fs::rename(part, path)
}

fn local(path: &str, error: io::Error) -> StorageError {
    StorageError::Local { path: path.to_owned(), error }
}

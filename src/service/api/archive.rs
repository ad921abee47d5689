//! A whole recording as one ZIP file, made while it is sent: stored, not compressed, nothing of it is kept here. From the disk or the store.

use super::auth::Caller;
use super::problem::{Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use crate::service::database::keys::{Scope, audit_detail};
use crate::service::model::{Recording, StorageState};
use crate::service::storage::{StorageService, walk};
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Archives that are made at once; each has a thread.
static AT_ONCE: Semaphore = Semaphore::const_new(8);
/// Bytes that are read at a time, and such pieces that wait for a slow client (policy Block): 1 MiB.
const PIECE: usize = 128 << 10;
const WAITING: usize = 8;
/// From here on a file needs the sizes of ZIP64.
const LARGE: u64 = u32::MAX as u64 - 1;

/// Where the files of an archive come from.
enum Origin {
    Disk(PathBuf),
    Store { storage: Arc<StorageService>, recording: Box<Recording> },
}

/// A file of the archive.
struct Entry {
    path: String,
    bytes: u64,
}

/// Everything that was recorded, as one ZIP file.
#[utoipa::path(get, path = "/v1/recordings/{id}/archive.zip", tag = "media", params(("id" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/zip"), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "It has not ended, or there is nothing of it.")))]
pub(super) async fn archive(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let recording = find(&state, &caller, &id).await?.recording;
    let response = of(&state, recording.clone()).await?;
    let (by, now) = (caller.0.id.clone(), Timestamp::now());
    let write = state.database.write(move |connection| {
        let (project, id) = (&recording.project, recording.id.as_str());
        audit_detail(connection, project, Some(&by), "recording.download", id, "archive.zip", now)
    });
    write.await?;
    Ok(response)
}

/// The archive of a recording that has ended.
pub(super) async fn of(state: &ApiState, recording: Recording) -> Result<Response, Problem> {
    if !recording.state.is_final() {
        return Err(Problem::wrong_state(format!("the recording is {}", recording.state)));
    }
    let name = format!("{}-{}", safe(&recording.room), recording.id);
    let (origin, entries) = entries(state, recording).await?;
    if entries.is_empty() {
        return Err(Problem::wrong_state("there is nothing of this recording"));
    }
    let place = AT_ONCE.try_acquire().map_err(|_| Problem::unavailable("too many archives are being made", 10))?;
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    let (handle, top) = (Handle::current(), name.clone());
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let made = write_archive(&handle, &origin, &top, &entries, Pipe(sender.clone()));
        // The client's copy breaks off: it has no end, so it is not taken for whole.
        if let Err(e) = made
            && e.kind() != io::ErrorKind::BrokenPipe
        {
            tracing::error!(archive = top, "cannot be made: {e}");
            let _ = sender.blocking_send(Err(e));
        }
    });
    let pieces = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let disposition = format!("attachment; filename=\"{name}.zip\"");
    let headers = [(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// A word for a file's name: letters, digits, hyphens.
fn safe(text: &str) -> String {
    let word: String = text.chars().take(64).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    if word.is_empty() { "room".to_owned() } else { word }
}

/// The files, from the disk where they all are there, else from the store.
async fn entries(state: &ApiState, recording: Recording) -> Result<(Origin, Vec<Entry>), Problem> {
    let failed = |e: String| {
        tracing::error!(recording = %recording.id, "its files cannot be listed: {e}");
        Problem::unavailable(
            "the recording's files cannot be listed; the service's operator can see why in the log",
            10,
        )
    };
    let copy = recording.storage.clone().filter(|copy| copy.state == StorageState::Stored && !copy.local);
    let Some(copy) = copy else {
        let folder = state.folders.recording(&recording.id);
        if !folder.is_dir() {
            return Ok((Origin::Disk(folder), Vec::new()));
        }
        let of = folder.clone();
        let files = tokio::task::spawn_blocking(move || walk(&of)).await;
        let files = files.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
        let entries = files.into_iter().map(|file| Entry { path: file.path, bytes: file.bytes });
        return Ok((Origin::Disk(folder), entries.collect()));
    };
    let storage = state.storage.clone();
    let target = storage.as_ref().and_then(|storage| storage.target(copy.store));
    let (Some(storage), Some(target)) = (storage.clone(), target) else {
        return Err(failed(format!("{} is not configured", copy.store.word())));
    };
    let files = target.list(&copy.path).await.map_err(|e| failed(e.to_string()))?;
    let mut entries: Vec<_> = files.into_iter().map(|(path, bytes)| Entry { path, bytes }).collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((Origin::Store { storage, recording: Box::new(recording) }, entries))
}

/// Writes the whole archive. Blocks.
fn write_archive(handle: &Handle, origin: &Origin, top: &str, entries: &[Entry], to: impl Write) -> io::Result<()> {
    let mut zip = ZipWriter::new_stream(to);
    let mut piece = vec![0; PIECE];
    for entry in entries {
        let parts = entry.path.split('/');
        // The names are of our making; an archive is opened by programs that may believe them.
        if parts.clone().any(|part| part.is_empty() || part == "." || part == "..") || entry.path.contains(['\\', '\0'])
        {
            return Err(io::Error::other(format!("{:?} is no name for an archive", entry.path)));
        }
        let options =
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(entry.bytes >= LARGE);
        zip.start_file(format!("{top}/{}", entry.path), options)?;
        let mut left = entry.bytes;
        let cut = || io::Error::other(format!("{}: is shorter than it was", entry.path));
        match origin {
            Origin::Disk(folder) => {
                let nofollow = rustix::fs::OFlags::NOFOLLOW.bits();
                let nofollow = i32::try_from(nofollow).map_err(io::Error::other)?;
                let file = File::options().read(true).custom_flags(nofollow).open(folder.join(&entry.path))?;
                let mut file = file.take(entry.bytes);
                while left > 0 {
                    let count = file.read(&mut piece)?;
                    if count == 0 {
                        return Err(cut());
                    }
                    zip.write_all(&piece[..count])?;
                    left -= count as u64;
                }
            }
            Origin::Store { storage, recording } => {
                let copy = recording.storage.as_ref().ok_or_else(cut)?;
                let target = storage.target(copy.store).ok_or_else(cut)?;
                let pieces = target.read(&copy.path, &entry.path, 0..entry.bytes).map_err(io::Error::other)?;
                let mut pieces = std::pin::pin!(pieces);
                while let Some(piece) = handle.block_on(pieces.next()) {
                    let piece = piece.map_err(io::Error::other)?;
                    zip.write_all(&piece)?;
                    left = left.saturating_sub(piece.len() as u64);
                }
                if left > 0 {
                    return Err(cut());
                }
            }
        }
    }
    zip.finish()?.flush()
}

/// Writes into a body that is being sent.
struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(data)));
        sent.map(|()| data.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;

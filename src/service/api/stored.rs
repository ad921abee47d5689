//! Files of recordings that are in a store and not on the service's disk any more.

use super::problem::Problem;
use crate::service::model::{Recording, Storage, StorageState};
use crate::service::storage::{StorageError, StorageService, Target, content_type};
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, TryStreamExt};
use http_range_header::parse_range_header;
use std::ops::Range;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

/// The file as the store has it: the bytes that were `asked` for in a `Range`, or its signed address. `head`: without a body.
pub(super) async fn file(
    storage: Option<&StorageService>,
    recording: &Recording,
    path: &str,
    asked: Option<String>,
    head: bool,
) -> Result<Response, Problem> {
    let (target, copy) = place(storage, recording, path)?;
    if target.redirect {
        let failed = |e: StorageError| failed(recording, path, &e.to_string());
        // A store takes a name that leads nowhere for a failure.
        target.size(&copy.path, path).await.map_err(failed)?.ok_or_else(|| Problem::not_found("file"))?;
        if let Some(url) = target.signed(&copy.path, path).await.map_err(failed)? {
            return Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url.to_string())]).into_response());
        }
    }
    piece(storage, recording, path, asked, head).await
}

/// A sound track is filled with silence for players up to this size, in bytes: five hours at 100 kbit/s.
const LARGEST_SOUND: u64 = 256 << 20;

/// Whether a file is a track of sound, by its name (docs/recording.md).
pub(super) fn is_sound(path: &str) -> bool {
    let Some(name) = path.strip_prefix("tracks/") else { return false };
    let mut parts = name.rsplit('.').skip(2);
    matches!((parts.next(), parts.next()), (Some("mic" | "screen-audio"), Some(_)))
}

/// The whole file, brought here. None: there is none, it is too large, or the store does not answer.
pub(super) async fn fetch(
    storage: Option<&StorageService>,
    recording: &Recording,
    path: &str,
) -> Option<NamedTempFile> {
    let (target, copy) = place(storage, recording, path).ok()?;
    let size = target.size(&copy.path, path).await.ok()??;
    if size > LARGEST_SOUND {
        return None;
    }
    let file = NamedTempFile::new().inspect_err(|e| tracing::warn!("{path}: cannot be kept for a player: {e}")).ok()?;
    let mut writer = tokio::fs::File::from_std(file.reopen().ok()?);
    let mut pieces = std::pin::pin!(target.read(&copy.path, path, 0..size).ok()?);
    while let Some(piece) = pieces.next().await {
        writer.write_all(&piece.ok()?).await.ok()?;
    }
    writer.flush().await.ok()?;
    Some(file)
}

/// The bytes of a small file. None: there is none, or it is larger.
///
/// # Errors
/// The store does not answer.
pub(super) async fn read(
    storage: Option<&StorageService>,
    recording: &Recording,
    path: &str,
    largest: u64,
) -> Result<Option<Vec<u8>>, Problem> {
    let Ok((target, copy)) = place(storage, recording, path) else { return Ok(None) };
    let failed = |e: String| failed(recording, path, &e);
    let size = target.size(&copy.path, path).await.map_err(|e| failed(e.to_string()))?;
    let Some(size) = size.filter(|size| *size <= largest) else { return Ok(None) };
    let pieces = target.read(&copy.path, path, 0..size).map_err(|e| failed(e.to_string()))?;
    let pieces: Vec<Bytes> = pieces.try_collect().await.map_err(|e| failed(e.to_string()))?;
    Ok(Some(pieces.concat()))
}

/// Where the recording is stored.
fn place<'a>(
    storage: Option<&'a StorageService>,
    recording: &'a Recording,
    path: &str,
) -> Result<(&'a Target, &'a Storage), Problem> {
    let copy = recording.storage.as_ref().filter(|copy| copy.state == StorageState::Stored);
    let copy = copy.ok_or_else(|| Problem::not_found("file"))?;
    let target = storage.and_then(|storage| storage.target(copy.store));
    let missing = || failed(recording, path, &format!("{} is not configured", copy.store.word()));
    Ok((target.ok_or_else(missing)?, copy))
}

fn failed(recording: &Recording, path: &str, problem: &str) -> Problem {
    tracing::error!(recording_id = %recording.id, "{path} cannot be read: {problem}");
    Problem::unavailable("the store does not answer; the service's operator can see why in the log", 10)
}

/// As [`file`], and never the store's own address: a player's page may read from its own server only.
pub(super) async fn piece(
    storage: Option<&StorageService>,
    recording: &Recording,
    path: &str,
    asked: Option<String>,
    head: bool,
) -> Result<Response, Problem> {
    let (target, copy) = place(storage, recording, path)?;
    let failed = |e: String| failed(recording, path, &e);
    let size = target.size(&copy.path, path).await.map_err(|e| failed(e.to_string()))?;
    let size = size.ok_or_else(|| Problem::not_found("file"))?;
    let read = |range| {
        let pieces = target.read(&copy.path, path, range).map_err(|e| failed(e.to_string()))?;
        Ok(Body::from_stream(pieces))
    };
    let mut response = ranged(size, asked, head, read)?;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    Ok(response)
}

/// The answer with the bytes of a file that were `asked` for in a `Range`, read by `read`. `head`: without a body.
pub(super) fn ranged(
    size: u64,
    asked: Option<String>,
    head: bool,
    read: impl FnOnce(Range<u64>) -> Result<Body, Problem>,
) -> Result<Response, Problem> {
    let (status, range) = match asked.map(|asked| wanted(&asked, size)) {
        None | Some(Wanted::All) => (StatusCode::OK, 0..size),
        Some(Wanted::Part(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(Wanted::Nothing) => {
            let whole = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, whole).into_response());
        }
    };
    let place = (status == StatusCode::PARTIAL_CONTENT)
        .then(|| format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1)));
    let length = range.end - range.start;
    let body = if head { Body::empty() } else { read(range)? };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(place) = place.and_then(|place| HeaderValue::from_str(&place).ok()) {
        headers.insert(header::CONTENT_RANGE, place);
    }
    Ok(response)
}

/// What a `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    Nothing,
}

/// One range; several, and what is no range of bytes, may be answered with everything (RFC 9110 14.2).
fn wanted(header: &str, size: u64) -> Wanted {
    let Ok(parsed) = parse_range_header(header) else { return Wanted::All };
    if size == 0 {
        return Wanted::Nothing;
    }
    match parsed.validate(size).as_deref() {
        Ok([one]) => Wanted::Part(*one.start()..one.end().saturating_add(1)),
        Ok(_) => Wanted::All,
        Err(_) => Wanted::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_known_by_its_name() {
        let sounds = ["tracks/alice.mic.1.webm", "tracks/a.b.screen-audio.2.webm"];
        assert!(sounds.into_iter().all(is_sound));
        let others = ["tracks/alice.camera.1.webm", "files/alice.mic.1.webm", "film.mp4", "tracks/mic.1.webm"];
        assert!(!others.into_iter().any(is_sound), "{others:?}");
    }

    #[test]
    fn a_range_is_within_the_file() {
        assert_eq!(wanted("bytes=0-99", 1000), Wanted::Part(0..100));
        assert_eq!(wanted("bytes=900-", 1000), Wanted::Part(900..1000));
        assert_eq!(wanted("bytes=-10", 1000), Wanted::Part(990..1000));
        assert_eq!(wanted("bytes=990-2000", 1000), Wanted::Part(990..1000));
        assert_eq!(wanted("bytes=1000-", 1000), Wanted::Nothing);
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted("bytes=0-1, 5-6", 1000), Wanted::All);
        assert_eq!(wanted("pages=1", 1000), Wanted::All);
    }
}

//! The files of a recording over HTTP, with ranges (RFC 9110, 14). Only regular files below the recording's folder, and never as something
//! that a browser would run: what participants sent is a download.

use super::silence::Filler;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::NamedTempFile;
use tower::ServiceExt;
use tower_http::services::ServeFile;

/// What a player gets at once of a file whose end it did not name, in bytes. A browser has six connections to a server, and keeps each
/// until its answer is over: seven long tracks would wait for each other forever.
const PIECE: u64 = 1 << 20;

/// Kinds of files that we write. All others are a download without a kind.
const KINDS: &[(&str, &str)] = &[
    ("webm", "video/webm"),
    ("mkv", "video/x-matroska"),
    ("mp4", "video/mp4"),
    ("m4a", "audio/mp4"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("jpg", "image/jpeg"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("json", "application/json"),
    ("jsonl", "application/x-ndjson; charset=utf-8"),
];

/// Serves the files of recordings. Its clones share what they keep.
#[derive(Clone, Default)]
pub struct Media {
    filler: Arc<Filler>,
}

impl Media {
    /// The file at `relative` in a recording's folder; `None` where there is none that may be given out. With `?play`, sound has silence
    /// in its gaps, and a range without an end is answered in pieces; `&length=N` is the file as it was when it had N bytes.
    pub async fn serve(&self, recording: &Path, relative: &str, mut request: Request) -> Option<Response> {
        let path = below(recording, relative).await?;
        let query = request.uri().query().unwrap_or_default();
        let of_query = |name: &str| url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
        let wanted: Option<u64> = of_query("length").and_then(|(_, value)| value.parse().ok());
        let (mut filled, mut cut) = (None, None);
        if is_for_player(&request) {
            let whole = tokio::fs::metadata(&path).await.ok()?.len();
            let length = wanted.map_or(whole, |wanted| wanted.min(whole));
            filled = self.filler.fill(&path, length).await;
            cut = Some(length).filter(|length| filled.is_none() && *length < whole);
            if let Some(range) = request.headers().get(header::RANGE).and_then(|range| piece(range, cut)) {
                request.headers_mut().insert(header::RANGE, range);
            }
        }
        Some(answer(filled, path, relative, request, cut).await)
    }

    /// A sound track that is elsewhere, for a player: with silence in its gaps. `key` names it, `fetch` brings it here. `None`: it is to be
    /// given out as it is.
    pub async fn serve_fetched(
        &self,
        key: &Path,
        relative: &str,
        mut request: Request,
        fetch: impl Future<Output = Option<NamedTempFile>>,
    ) -> Option<Response> {
        let filled = self.filler.fill_fetched(key, fetch).await?;
        if let Some(range) = request.headers().get(header::RANGE).and_then(|range| piece(range, None)) {
            request.headers_mut().insert(header::RANGE, range);
        }
        Some(answer(Some(filled), key.to_owned(), relative, request, None).await)
    }
}

/// Whether the request is a player's (`?play`).
pub fn is_for_player(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "play")
}

/// A range without an end as a range of a piece.
pub fn in_pieces(range: &str) -> Option<String> {
    let range = piece(&HeaderValue::from_str(range).ok()?, None)?;
    range.to_str().ok().map(str::to_owned)
}

/// The file, or `filled` in its place.
async fn answer(
    filled: Option<Arc<File>>,
    path: PathBuf,
    relative: &str,
    request: Request,
    cut: Option<u64>,
) -> Response {
    // A file without a name has one here for as long as it is open.
    let opened = filled.as_ref().map(|file| PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())));
    let Ok(response) = ServeFile::new(opened.unwrap_or(path)).oneshot(request).await;
    drop(filled);
    let mut response = response.map(Body::new).into_response();
    if let Some(length) = cut {
        of_length(&mut response, length);
    }
    if response.status().is_success() || response.status().is_redirection() {
        describe(&mut response, relative);
    }
    protected(response)
}

/// The headers that keep what participants sent from running as a page of this server, and from being embedded by another one's.
pub fn protected(mut response: Response) -> Response {
    let headers = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The kind of a file, and for what participants sent that it is to be saved.
fn describe(response: &mut Response, relative: &str) {
    let name = relative.rsplit('/').next().unwrap_or(relative);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = KINDS.iter().find(|(known, _)| *known == extension).map(|(_, kind)| *kind);
    let kind = known.filter(|_| !relative.starts_with("files/"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind.unwrap_or("application/octet-stream")));
    if kind.is_none() {
        let value = format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
        let value = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"));
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
}

/// The path of a regular file below `folder`: nothing that is hidden or unfinished, and over no link.
async fn below(folder: &Path, relative: &str) -> Option<PathBuf> {
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
    if relative.ends_with(".part") || !relative.split('/').all(is_plain) {
        return None;
    }
    let mut path = folder.to_owned();
    let mut parts = relative.split('/').peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        let found = tokio::fs::symlink_metadata(&path).await.ok()?;
        let is_right = if parts.peek().is_some() { found.is_dir() } else { found.is_file() };
        if !is_right {
            return None;
        }
    }
    Some(path)
}

/// A range without an end as a piece, of the first `length` bytes; what begins behind them cannot be satisfied.
fn piece(range: &HeaderValue, length: Option<u64>) -> Option<HeaderValue> {
    let from: u64 = range.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
    let last = from.checked_add(PIECE - 1)?;
    let piece = match length {
        Some(length) if from >= length => format!("bytes={}-", u64::MAX),
        Some(length) => format!("bytes={from}-{}", last.min(length - 1)),
        None => format!("bytes={from}-{last}"),
    };
    HeaderValue::from_str(&piece).ok()
}

/// Says that the file has this length: a browser takes one that changes between two pieces for damaged.
fn of_length(response: &mut Response, length: u64) {
    let headers = response.headers_mut();
    let range = headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok()?.rsplit_once('/'));
    let range = range.and_then(|(range, _)| HeaderValue::from_str(&format!("{range}/{length}")).ok());
    if let Some(range) = range {
        headers.insert(header::CONTENT_RANGE, range);
    }
}

#[cfg(test)]
#[path = "media_tests.rs"]
mod tests;

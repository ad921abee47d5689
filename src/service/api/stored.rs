//! Files of recordings that are in a store and not on the service's disk any more.

use super::problem::Problem;
use crate::service::model::{Recording, StorageState};
use crate::service::storage::{StorageService, content_type};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_range_header::parse_range_header;
use std::ops::Range;

/// The file as the store has it: the bytes that were `asked` for in a `Range`, or its signed address. `head`: without a body.
pub(super) async fn file(
    storage: Option<&StorageService>,
    recording: &Recording,
    path: &str,
    asked: Option<String>,
    head: bool,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("file");
    let copy = recording.storage.as_ref().filter(|copy| copy.state == StorageState::Stored).ok_or_else(missing)?;
    let failed = |e: String| {
        tracing::error!(recording_id = %recording.id, "{path} cannot be read: {e}");
        Problem::unavailable("the store does not answer; the service's operator can see why in the log", 10)
    };
    let target = storage.and_then(|storage| storage.target(copy.store));
    let target = target.ok_or_else(|| failed(format!("{} is not configured", copy.store.word())))?;
    // A store takes a name that leads nowhere for a failure.
    let size = target.size(&copy.path, path).await.map_err(|e| failed(e.to_string()))?.ok_or_else(missing)?;
    if target.redirect
        && let Some(url) = target.signed(&copy.path, path).await.map_err(|e| failed(e.to_string()))?
    {
        return Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url.to_string())]).into_response());
    }
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
    let body = if head {
        Body::empty()
    } else {
        Body::from_stream(target.read(&copy.path, path, range).map_err(|e| failed(e.to_string()))?)
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
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

//! The player of a recording: its page, the document that it shows, and the last picture of a recording that goes on. Media is in `media`,
//! at the address that the page expects.

use super::auth::Caller;
use super::elsewhere;
use super::problem::{Path, Problem};
use super::recordings::find;
use super::state::ApiState;
use super::stored;
use crate::pages::Page;
use crate::recording::folder::{MANIFEST, TIMELINE};
use crate::recording::report::State as Written;
use crate::service::database::keys::Scope;
use crate::service::database::recordings::StoredRecording;
use crate::service::model::{Id, StorageState};
use crate::viewer::{Document, LARGEST_INDEX, Listed, SLIDES, protected};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

/// The largest manifest or timeline that is read from a store.
const LARGEST_DOCUMENT: u64 = 64 << 20;
/// When a picture was captured, and whose it is.
const CAPTURED_AT: HeaderName = HeaderName::from_static("x-captured-at");
const PARTICIPANT: HeaderName = HeaderName::from_static("x-participant");

/// The player's page. Who has no session is led to the dashboard, which asks for a key.
pub(super) async fn page(Path(id): Path<String>, caller: Result<Caller, Problem>) -> Response {
    match (Id::parse(Id::RECORDING, &id), caller) {
        (None, _) => Page::NoRecording.response(),
        (Some(_), Ok(_)) => Page::Player.response(),
        (Some(id), Err(_)) => Redirect::to(&dashboard(&id)).into_response(),
    }
}

/// The recording's page in the dashboard.
fn dashboard(id: &Id) -> String {
    format!("/#/recordings/{id}")
}

/// All that a player shows of a recording, as one document (docs/view.md).
#[utoipa::path(get, path = "/v1/recordings/{id}/view.json", tag = "media", params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn document(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let stored = find(&state, &caller, &id).await?;
    if let Some(mut document) = elsewhere::document(&state, &stored).await {
        document["list"] = dashboard(&stored.recording.id).into();
        return Ok(protected(axum::Json(document).into_response()));
    }
    let mut document = load(&state, &stored).await?;
    document.list = Some(dashboard(&stored.recording.id));
    Ok(protected(axum::Json(document).into_response()))
}

async fn load(state: &ApiState, stored: &StoredRecording) -> Result<Document, Problem> {
    let (storage, recording) = (state.storage.as_deref(), &stored.recording);
    let mut folder = state.folders.recording(&recording.id);
    let copy = recording.storage.as_ref().filter(|copy| copy.state == StorageState::Stored);
    let is_here = tokio::fs::try_exists(folder.join(MANIFEST)).await.unwrap_or(false);
    let mut fetched = None;
    if !is_here {
        let failed = |e: std::io::Error| Problem::unavailable(format!("a temporary folder cannot be made: {e}"), 60);
        let temporary = fetched.insert(tempfile::tempdir().map_err(failed)?).path().to_owned();
        let (manifest, timeline) = match elsewhere::manifest(state, stored).await {
            Some(manifest) => (Some(manifest.into()), elsewhere::timeline(state, stored).await.map(Into::into)),
            None => (
                stored::read(storage, recording, MANIFEST, LARGEST_DOCUMENT).await?,
                stored::read(storage, recording, TIMELINE, LARGEST_DOCUMENT).await?,
            ),
        };
        for (file, bytes) in [(MANIFEST, manifest), (TIMELINE, timeline)] {
            if let Some(bytes) = bytes {
                tokio::fs::write(temporary.join(file), bytes).await.map_err(failed)?;
            }
        }
        folder = temporary;
    }
    let loaded = tokio::task::spawn_blocking(move || Document::load(&folder)).await;
    drop(fetched);
    let nothing = || Problem::wrong_state("nothing is recorded yet: wait until somebody is in the room");
    let mut document = loaded.ok().and_then(Result::ok).ok_or_else(nothing)?;
    if copy.is_some_and(|copy| !copy.local || !is_here) {
        let media = recording.outcome.iter().flat_map(|outcome| &outcome.media);
        let files: Vec<_> = media.map(|media| Listed { file: media.path.clone(), bytes: media.bytes }).collect();
        let has_slides = files.iter().any(|listed| listed.file == SLIDES);
        let index = if has_slides { stored::read(storage, recording, SLIDES, LARGEST_INDEX).await? } else { None };
        document.add_files(files, index.as_deref());
    } else if !is_here {
        // A worker has it: nothing is missing, and whether it is being written cannot be seen from here.
        document.missing.clear();
        if document.state == Written::CutShort {
            document.state = Written::Recording;
        }
    }
    Ok(document)
}

/// The last picture of a recording that goes on: a file of one frame of a shared screen, of who spoke last, or of anybody. `x-captured-at`
/// says when it was captured, `x-participant` whose it is. Takes `If-None-Match`.
#[utoipa::path(get, path = "/v1/recordings/{id}/picture", tag = "media", params(("id" = String, Path)),
    responses((status = 200, content_type = "video/webm"), (status = 304), (status = 404, body = Problem)))]
pub(super) async fn picture(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let stored = find(&state, &caller, &id).await?;
    let recording = &stored.recording;
    let missing = || Problem::not_found("picture: no video is recorded now");
    if !recording.state.is_live() {
        return Err(missing());
    }
    let picture = match elsewhere::picture(&state, &stored).await {
        Some(picture) => picture?,
        None => {
            let (pictures, folder) = (state.pictures.clone(), state.folders.recording(&recording.id));
            tokio::task::spawn_blocking(move || pictures.last(&folder)).await.ok().flatten()
        }
    };
    let picture = picture.ok_or_else(missing)?;
    let text = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    let tag = text(format!("{:?}", picture.tag));
    let is_known = request.headers().get(header::IF_NONE_MATCH) == Some(&tag);
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { picture.body.into_response() };
    let whose = percent_encoding::utf8_percent_encode(&picture.participant, percent_encoding::NON_ALPHANUMERIC);
    let described = [
        (header::CONTENT_TYPE, HeaderValue::from_static(picture.content_type)),
        (header::ETAG, tag),
        (CAPTURED_AT, text(picture.at.to_string())),
        (PARTICIPANT, text(whose.to_string())),
    ];
    // In place of what the body brought: `extend` would add a second type.
    for (name, value) in described {
        response.headers_mut().insert(name, value);
    }
    Ok(protected(response))
}

//! What a recording holds, where it is not on this machine: with a worker that records it, or in the store. And what such a worker is told.

use super::problem::Problem;
use super::state::ApiState;
use super::stored::ranged;
use crate::recording::folder::{MANIFEST, TIMELINE};
use crate::service::cluster::{Answer, Ask, Cluster, Piece, WorkerState};
use crate::service::database::recordings::StoredRecording;
use crate::service::model::{Id, StorageState};
use crate::viewer::Picture;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use futures_util::{TryStreamExt, stream};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a manifest or a timeline that are read from a store.
const LONGEST: u64 = 64 << 20;

/// Asks the worker that has it. None: no worker has it.
pub(super) async fn ask(
    state: &ApiState,
    stored: &StoredRecording,
    what: impl FnOnce(Id) -> Ask,
) -> Option<Result<String, String>> {
    let (cluster, placement) = (state.cluster.as_ref()?, stored.runtime.placement.as_ref()?);
    Some(match cluster.ask(&placement.worker, &what(stored.recording.id.clone())).await {
        Ok(Answer::Text(text)) => Ok(text),
        Ok(Answer::Problem(problem)) => Err(problem),
        Ok(_) => Err("its worker answers something else".to_owned()),
        Err(e) => Err(format!("its worker does not answer: {e}")),
    })
}

/// Its manifest.
pub(super) async fn manifest(state: &ApiState, stored: &StoredRecording) -> Option<String> {
    match ask(state, stored, |recording| Ask::Manifest { recording }).await {
        Some(answer) => answer.ok(),
        None => from_store(state, stored, MANIFEST).await,
    }
}

/// Its timeline.
pub(super) async fn timeline(state: &ApiState, stored: &StoredRecording) -> Option<String> {
    match ask(state, stored, |recording| Ask::Timeline { recording }).await {
        Some(answer) => answer.ok(),
        None => from_store(state, stored, TIMELINE).await,
    }
}

/// A file from the store, of many machines only: one alone keeps these.
async fn from_store(state: &ApiState, stored: &StoredRecording, path: &str) -> Option<String> {
    let (_, storage) = (state.cluster.as_ref()?, state.storage.as_ref()?);
    let copy = stored.recording.storage.as_ref().filter(|copy| copy.state == StorageState::Stored)?;
    let target = storage.target(copy.store)?;
    let size = target.size(&copy.path, path).await.ok()??.min(LONGEST);
    let pieces = target.read(&copy.path, path, 0..size).ok()?;
    let bytes: Vec<u8> = pieces
        .try_fold(Vec::new(), async |mut all, piece| {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
        .ok()?;
    String::from_utf8(bytes).ok()
}

/// Who is asked about a recording that is not here.
struct Elsewhere {
    cluster: Arc<Cluster>,
    worker: String,
    recording: Id,
}

impl Elsewhere {
    /// The worker that has it. None: no worker has it.
    fn of(state: &ApiState, stored: &StoredRecording) -> Option<Elsewhere> {
        let (cluster, placement) = (state.cluster.clone()?, stored.runtime.placement.as_ref()?);
        Some(Elsewhere { cluster, worker: placement.worker.clone(), recording: stored.recording.id.clone() })
    }

    async fn ask(&self, what: Ask) -> Result<Answer, Problem> {
        let worker = &self.worker;
        match self.cluster.ask(worker, &what).await {
            Ok(Answer::Problem(problem)) => Err(Problem::wrong_state(format!("worker {worker}: {problem}"))),
            Ok(answer) => Ok(answer),
            Err(e) => Err(Problem::unavailable(format!("worker {worker} does not answer: {e}"), 2)),
        }
    }

    /// Bytes of a file, as many as a message takes. None: there is no such file.
    async fn piece(&self, path: &str, query: &str, range: Range<u64>) -> Result<Option<Piece>, Problem> {
        let (path, query, last) = (path.to_owned(), query.to_owned(), range.end.saturating_sub(1));
        let asked = Ask::Media { recording: self.recording.clone(), path, query, first: range.start, last };
        match self.ask(asked).await? {
            Answer::Piece(piece) => Ok(Some(piece)),
            _ => Ok(None),
        }
    }
}

/// A file of a recording that a worker has, in pieces as they are read. None: no worker has it.
pub(super) async fn media(
    state: &ApiState,
    stored: &StoredRecording,
    (path, query): (&str, &str),
    asked: Option<String>,
    head: bool,
) -> Option<Result<Response, Problem>> {
    let elsewhere = Elsewhere::of(state, stored)?;
    Some(read_media(elsewhere, path.to_owned(), query.to_owned(), asked, head).await)
}

async fn read_media(
    elsewhere: Elsewhere,
    path: String,
    query: String,
    asked: Option<String>,
    head: bool,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("file");
    // How long it is, and what.
    let Piece { total, headers, .. } = elsewhere.piece(&path, &query, 0..1).await?.ok_or_else(missing)?;
    let read = |range: Range<u64>| {
        let pieces = stream::try_unfold((elsewhere, path, range.start), move |(elsewhere, path, from)| {
            let query = query.clone();
            async move {
                if from >= range.end {
                    return Ok(None);
                }
                let piece = elsewhere.piece(&path, &query, from..range.end).await;
                let piece = piece.ok().flatten().filter(|piece| !piece.data.is_empty());
                let Piece { data, .. } = piece.ok_or_else(|| std::io::Error::other("the worker does not give it"))?;
                let next = from + data.len() as u64;
                Ok::<_, std::io::Error>(Some((data, (elsewhere, path, next))))
            }
        });
        Ok(Body::from_stream(pieces))
    };
    let mut response = ranged(total, asked, head, read)?;
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// What a player shows of a recording that a worker has. None: no worker has it, or it is too long for a message.
pub(super) async fn document(state: &ApiState, stored: &StoredRecording) -> Option<serde_json::Value> {
    let elsewhere = Elsewhere::of(state, stored)?;
    match elsewhere.ask(Ask::Document { recording: elsewhere.recording.clone() }).await {
        Ok(Answer::Text(text)) => serde_json::from_str(&text).ok(),
        _ => None,
    }
}

/// The last picture of a recording that a worker has. None: no worker has it.
pub(super) async fn picture(state: &ApiState, stored: &StoredRecording) -> Option<Result<Option<Picture>, Problem>> {
    let elsewhere = Elsewhere::of(state, stored)?;
    let answer = elsewhere.ask(Ask::Picture { recording: elsewhere.recording.clone() }).await;
    Some(answer.map(|answer| match answer {
        Answer::Picture(picture) => Some(Picture {
            participant: picture.participant,
            source: picture.source,
            at: picture.at,
            tag: picture.tag,
            content_type: if picture.content_type == "video/webm" { "video/webm" } else { "video/x-matroska" },
            body: picture.data.into(),
        }),
        _ => None,
    }))
}

/// Has the worker that had a recording upload it again. None: this service is one machine.
pub(super) async fn upload(state: &ApiState, stored: &StoredRecording) -> Option<Result<(), Problem>> {
    let cluster = state.cluster.clone()?;
    let recording = stored.recording.id.clone();
    let has_failed = stored.recording.storage.as_ref().is_some_and(|storage| storage.state == StorageState::Failed);
    let last = stored.runtime.last.as_ref().filter(|_| has_failed);
    let Some(last) = last else {
        return Some(Err(Problem::wrong_state("no worker has media of it that the store has not")));
    };
    let elsewhere = Elsewhere { cluster, worker: last.worker.clone(), recording };
    Some(elsewhere.ask(Ask::Upload { recording: elsewhere.recording.clone() }).await.map(drop))
}

/// Has all workers forget what they have of a recording that has ended: somebody is to be removed from it.
pub(super) async fn forget(cluster: &Arc<Cluster>, recording: &Id) -> Result<(), Problem> {
    for worker in cluster.workers().into_iter().filter(|worker| worker.state != WorkerState::Lost) {
        let elsewhere = Elsewhere { cluster: cluster.clone(), worker: worker.id.clone(), recording: recording.clone() };
        elsewhere.ask(Ask::Forget { recording: recording.clone() }).await?;
    }
    Ok(())
}

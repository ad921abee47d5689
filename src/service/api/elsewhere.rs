//! What a recording holds, where it is not on this machine: with a worker that records it, or in the store.

use super::state::ApiState;
use crate::recording::folder::{MANIFEST, TIMELINE};
use crate::service::cluster::{Answer, Ask};
use crate::service::database::recordings::StoredRecording;
use crate::service::model::{Id, StorageState};
use futures_util::TryStreamExt;

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

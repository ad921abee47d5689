//! How a recording ends: at once, or with a store once its media is there.

use crate::service::database::recordings::{Ending, StoredRecording};
use crate::service::model::{EventDraft, State, Storage, SubCode};
use crate::service::storage::location;
use jiff::Timestamp;

/// Ends the recording in `state`; where there is a store and something to be stored, it is uploaded before.
pub(super) fn end(
    stored: &mut StoredRecording,
    has_store: bool,
    state: State,
    why: Option<(SubCode, String)>,
    now: Timestamp,
) -> Vec<EventDraft> {
    let recording = &mut stored.recording;
    let has_media = recording.outcome.as_ref().is_some_and(|outcome| !outcome.media.is_empty());
    if !has_store || !has_media {
        return recording.advance(state, why, now).into_iter().collect();
    }
    stored.runtime.ending = Some(Ending { state, why: why.clone() });
    recording.storage = Some(Storage::wanted(location(recording)));
    recording.advance(State::Uploading, why, now).into_iter().collect()
}

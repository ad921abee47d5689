//! The stage `uploading`: sends a recording to the store, then ends it. Whatever the store does, nothing local is lost by it.

use super::JobContext;
use crate::service::database::recordings::{self, StoredRecording};
use crate::service::database::{DatabaseError, uploads};
use crate::service::model::{EventDraft, EventType, Id, Recording, State, Storage, StorageState, SubCode};
use crate::service::storage::{Stored, location};
use jiff::Timestamp;
use serde_json::json;

/// Uploads a recording in the stage `uploading`, or one that has ended and is to be uploaded again.
pub(super) async fn run(context: &JobContext, id: &Id) -> Result<(), DatabaseError> {
    let Some(stored) = context.database.recording(id).await? else { return Ok(()) };
    let Some(result) = upload(context, &stored.recording).await else { return Ok(()) };
    // What is noted there and could not be deleted goes with the recording.
    if let (Ok(_), Some(storage)) = (&result, &context.storage)
        && context.folders.live(id).exists()
        && !stored.runtime.beside
        // A machine that had lost it sends what it has beside it: what was sent before is not its own any more.
        && stored.recording.storage.as_ref().is_some_and(|copy| copy.path == location(&stored.recording))
        && storage.forget_live(&stored.recording).await
    {
        let _ = tokio::fs::remove_file(context.folders.live(id)).await;
    }
    if let Err(problem) = &result {
        tracing::error!("{}", problem.message());
    }
    let change = move |stored: &mut StoredRecording| ((), conclude(stored, result, Timestamp::now()));
    context.database.update_recording(id, change).await.map(drop)
}

/// Why a recording is not in the store.
enum Problem {
    /// It stays here.
    Kept(String),
    /// It is not here: with several machines, on one that was lost before it had sent anything.
    Gone,
}

impl Problem {
    fn message(&self) -> String {
        match self {
            Problem::Kept(why) => format!("the media is kept on the service's disk: {why}"),
            Problem::Gone => {
                "what was recorded is neither here nor in the store: a worker that was lost has it".to_owned()
            }
        }
    }

    fn code(&self) -> SubCode {
        match self {
            Problem::Kept(_) => SubCode::UploadFailed,
            Problem::Gone => SubCode::WorkerLost,
        }
    }
}

/// None: the service leaves, its lease is over, or there is nothing to upload. The next one goes on where this one was.
async fn upload(context: &JobContext, recording: &Recording) -> Option<Result<Stored, Problem>> {
    let kept = |why: &str| Err(Problem::Kept(why.to_owned()));
    if recording.storage.as_ref().is_none_or(|storage| storage.state != StorageState::Uploading) {
        return (recording.state == State::Uploading).then(|| kept("it has no place in a store"));
    }
    let Some(storage) = &context.storage else { return Some(kept("no store is configured")) };
    let folder = context.folders.recording(&recording.id);
    // Tried again and again, it would not come.
    if matches!(tokio::fs::try_exists(&folder).await, Ok(false)) {
        return Some(Err(Problem::Gone));
    }
    let mut leaving = context.leaving.clone();
    tokio::select! {
        result = storage.upload(&context.database, recording, &folder) => Some(result.map_err(Problem::Kept)),
        _ = leaving.wait_for(|leaving| *leaving) => None,
        // Two that send to one place would be in each other's way. One that has ended is sent again by who had it, and nobody else.
        () = context.lease_over(&recording.id), if !recording.state.is_final() => None,
    }
}

/// Notes that a recording is to be uploaded once more; returns the events, or why it cannot be. Asking twice is harmless.
///
/// # Errors
/// Why it cannot be, for people.
pub fn wanted(recording: &mut Recording) -> Result<Vec<EventDraft>, String> {
    if !recording.state.is_final() || recording.state == State::Expired {
        return Err(format!("the recording is {}", recording.state));
    }
    if recording.outcome.as_ref().is_none_or(|outcome| outcome.media.is_empty()) {
        return Err("nothing was recorded".to_owned());
    }
    let place = location(recording);
    let storage =
        recording.storage.get_or_insert_with(|| Storage { state: StorageState::Failed, ..Storage::wanted(place) });
    if !storage.local {
        return Err("its media is in the store only".to_owned());
    }
    if storage.state == StorageState::Uploading {
        return Ok(Vec::new());
    }
    (storage.state, storage.problem) = (StorageState::Uploading, None);
    Ok(vec![EventDraft::new(EventType::Uploading, json!({ "state": recording.state }))])
}

/// Has a recording of this machine uploaded once more.
///
/// # Errors
/// Why it cannot be, for people.
pub async fn again(context: &JobContext, id: &Id) -> Result<(), String> {
    let of = id.clone();
    let write = move |connection: &rusqlite::Connection| {
        let now = Timestamp::now();
        let asked = recordings::update(connection, &of, now, |stored| match wanted(&mut stored.recording) {
            Ok(events) => (Ok(()), events),
            Err(problem) => (Err(problem), Vec::new()),
        })?;
        uploads::doubt(connection, &of)?;
        Ok(asked)
    };
    let asked = context.database.write(write).await.map_err(|e| e.to_string())?;
    asked.unwrap_or_else(|| Err("it is not here any more".to_owned()))
}

/// Notes where the media is; ends the recording, if it has not ended.
fn conclude(stored: &mut StoredRecording, result: Result<Stored, Problem>, now: Timestamp) -> Vec<EventDraft> {
    let recording = &mut stored.recording;
    let mut storage = recording.storage.take().unwrap_or_else(|| Storage::wanted(location(recording)));
    let mut events = Vec::new();
    let failed = match result {
        Ok(Stored { store, url, files, bytes }) => {
            (storage.state, storage.store, storage.problem) = (StorageState::Stored, store, None);
            (storage.files, storage.bytes, storage.stored_at) = (files, bytes, Some(now));
            let data = json!({ "store": store, "url": url, "files": files, "bytes": bytes });
            events.push(EventDraft::new(EventType::Uploaded, data));
            storage.url = Some(url);
            None
        }
        Err(problem) => {
            let (message, code) = (problem.message(), problem.code());
            storage.state = StorageState::Failed;
            storage.problem = Some(match problem {
                Problem::Kept(why) => why,
                Problem::Gone => message.clone(),
            });
            let data = json!({ "message": message, "sub_code": code });
            events.push(EventDraft::new(EventType::Warning, data));
            Some((code, message))
        }
    };
    recording.storage = Some(storage);
    if recording.state == State::Uploading {
        let ending = stored.runtime.ending.take();
        let (state, why) = ending.map_or((State::Complete, None), |ending| (ending.state, ending.why));
        let (state, why) = match (state, failed) {
            (State::Complete | State::Partial, Some(failed)) => (State::Partial, Some(failed)),
            (state, _) => (state, why),
        };
        events.extend(recording.advance(state, why, now));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::database::recordings::{Ending, Runtime};
    use crate::service::jobs::ending::end;
    use crate::service::model::{Media, MediaKind, Outcome, RecordingRequest, StoreName};

    fn processing() -> StoredRecording {
        let request = RecordingRequest::new("ws://h/rooms/a");
        let mut recording = Recording::new(Id::new(Id::RECORDING), "p", &request, Timestamp::UNIX_EPOCH);
        let media = vec![Media { path: "manifest.json".into(), kind: MediaKind::Manifest, bytes: 1 }];
        recording.outcome = Some(Outcome { media, ..Outcome::default() });
        recording.advance(State::Processing, None, Timestamp::UNIX_EPOCH).unwrap();
        StoredRecording { recording, request, runtime: Runtime::default() }
    }

    fn kinds(events: &[EventDraft]) -> Vec<EventType> {
        events.iter().map(|event| event.kind).collect()
    }

    #[test]
    fn a_recording_ends_after_its_upload_as_it_would_have_without() {
        let now = Timestamp::UNIX_EPOCH;
        let mut stored = processing();
        let why = Some((SubCode::EverybodyLeft, "empty".to_owned()));
        let events = end(&mut stored, true, State::Complete, why.clone(), now);
        assert_eq!((kinds(&events), stored.recording.state), (vec![EventType::Uploading], State::Uploading));
        assert_eq!(stored.runtime.ending, Some(Ending { state: State::Complete, why }));
        let sent = Stored { store: StoreName::Backup, url: "s3://b/x".into(), files: 3, bytes: 9 };
        let events = conclude(&mut stored, Ok(sent), now);
        assert_eq!(kinds(&events), [EventType::Uploaded, EventType::Completed]);
        let recording = &stored.recording;
        assert_eq!((recording.state, recording.sub_code), (State::Complete, Some(SubCode::EverybodyLeft)));
        let storage = recording.storage.clone().unwrap();
        assert_eq!((storage.state, storage.store, storage.bytes), (StorageState::Stored, StoreName::Backup, 9));
    }

    #[test]
    fn what_cannot_be_stored_is_partial_and_can_be_completed_later() {
        let now = Timestamp::UNIX_EPOCH;
        let mut stored = processing();
        end(&mut stored, true, State::Complete, None, now);
        let events = conclude(&mut stored, Err(Problem::Kept("store: down".into())), now);
        assert_eq!(kinds(&events), [EventType::Warning, EventType::Completed]);
        assert_eq!((stored.recording.state, stored.recording.sub_code), (State::Partial, Some(SubCode::UploadFailed)));
        assert!(stored.recording.storage.as_ref().is_some_and(|storage| storage.local));
        let sent = Stored { store: StoreName::Main, url: "s3://b/x".into(), files: 3, bytes: 9 };
        assert_eq!(kinds(&conclude(&mut stored, Ok(sent), now)), [EventType::Uploaded]);
        let storage = stored.recording.storage.unwrap();
        assert_eq!((storage.state, storage.problem), (StorageState::Stored, None));
    }

    #[test]
    fn what_is_nowhere_is_partial_and_a_lost_workers() {
        let mut stored = processing();
        end(&mut stored, true, State::Complete, None, Timestamp::UNIX_EPOCH);
        let events = conclude(&mut stored, Err(Problem::Gone), Timestamp::UNIX_EPOCH);
        assert_eq!(kinds(&events), [EventType::Warning, EventType::Completed]);
        assert_eq!((stored.recording.state, stored.recording.sub_code), (State::Partial, Some(SubCode::WorkerLost)));
        let storage = stored.recording.storage.unwrap();
        assert_eq!(storage.state, StorageState::Failed);
        assert!(storage.problem.is_some_and(|problem| problem.contains("neither here nor in the store")));
    }

    #[test]
    fn a_recording_that_was_cancelled_stays_so() {
        let now = Timestamp::UNIX_EPOCH;
        let mut stored = processing();
        end(&mut stored, true, State::Cancelled, Some((SubCode::CancelledByApi, "cancelled".into())), now);
        conclude(&mut stored, Err(Problem::Kept("store: down".into())), now);
        let recording = stored.recording;
        assert_eq!((recording.state, recording.sub_code), (State::Cancelled, Some(SubCode::CancelledByApi)));
        let mut without = processing();
        without.recording.outcome = None;
        end(&mut without, true, State::Failed, None, now);
        assert_eq!((without.recording.state, without.recording.storage), (State::Failed, None));
    }
}

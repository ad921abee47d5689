//! What a report changes of a recording. Pure.

use super::wire::{Report, ReportedEvent};
use crate::service::database::recordings::{Placement, StoredRecording};
use crate::service::model::{EventDraft, EventType, Storage, StorageState};
use jiff::Timestamp;
use serde_json::json;

/// Takes a report over; returns the events that are new. What comes from a worker that does not have the recording any more changes
/// nothing, but that it has sent beside what it had.
pub fn apply(stored: &mut StoredRecording, report: Report, now: Timestamp) -> Vec<(Timestamp, EventDraft)> {
    if let Some(late) = report.late {
        let what = match (&late.url, &late.problem) {
            (Some(url), _) => format!("what it had recorded is at {url}"),
            (None, Some(problem)) => format!("what it had recorded is still there: {problem}"),
            (None, None) => "it had recorded nothing".to_owned(),
        };
        let message = format!("worker {} had lost this recording and came back; {what}", report.worker);
        let data = json!({ "message": message, "worker": report.worker, "url": late.url });
        return vec![(now, EventDraft::new(EventType::Warning, data))];
    }
    let holds = |placement: &Option<Placement>| {
        placement.as_ref().is_some_and(|placement| {
            (&placement.worker, &placement.session, placement.fence) == (&report.worker, &report.session, report.fence)
        })
    };
    let has_ended = stored.recording.state.is_final();
    if !holds(if has_ended { &stored.runtime.last } else { &stored.runtime.placement }) {
        return Vec::new();
    }
    let applied = stored.runtime.applied;
    let mut new: Vec<&ReportedEvent> = report.events.iter().filter(|event| event.sequence > applied).collect();
    stored.runtime.applied = new.last().map_or(applied, |event| event.sequence);
    if has_ended {
        // What is left is an upload that was asked for again.
        new.retain(|event| matches!(event.kind, EventType::Uploading | EventType::Uploaded | EventType::Warning));
        let storage = report.state.and_then(|state| state.recording.storage);
        if let Some(storage) = storage.filter(|it| matches!(it.state, StorageState::Stored | StorageState::Failed)) {
            stored.recording.storage = Some(Storage { local: false, ..storage });
        }
        return new.into_iter().map(|event| (event.at, event.draft())).collect();
    }
    let events = new.into_iter().map(|event| (event.at, event.draft())).collect();
    if let Some(state) = report.state {
        let (recording, theirs) = (&mut stored.recording, state.recording);
        if theirs.states.len() >= recording.states.len() {
            (recording.state, recording.states) = (theirs.state, theirs.states);
            (recording.sub_code, recording.reason) = (theirs.sub_code, theirs.reason);
        }
        (recording.parts, recording.outcome) = (theirs.parts, theirs.outcome);
        recording.storage = theirs.storage.map(|storage| Storage { local: false, ..storage });
        state.progress.put_into(&mut stored.runtime);
    }
    if stored.recording.state.is_final() {
        stored.runtime.last = stored.runtime.placement.take();
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::cluster::wire::{Late, Progress, Snapshot};
    use crate::service::database::recordings::Runtime;
    use crate::service::model::{Id, Recording, RecordingRequest, State, Wanted};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn placed(fence: u64) -> StoredRecording {
        let request = RecordingRequest::new("ws://h/rooms/a");
        let recording = Recording::new(Id::new(Id::RECORDING), "p", &request, NOW);
        let placement = Some(Placement { worker: "w".into(), session: "s".into(), fence });
        StoredRecording { recording, request, runtime: Runtime { placement, fence, ..Runtime::default() } }
    }

    fn report(stored: &StoredRecording, fence: u64, sequences: &[i64], state: Option<State>) -> Report {
        let event = |sequence: &i64| ReportedEvent {
            sequence: *sequence,
            kind: EventType::ParticipantJoined,
            at: NOW,
            data: json!({ "n": sequence }),
        };
        let state = state.map(|state| {
            let mut recording = stored.recording.clone();
            recording.advance(state, None, NOW);
            recording.wanted = Wanted::Cancel;
            Snapshot { recording, progress: Progress { timeline_offset: 7, ..Progress::default() } }
        });
        let (worker, session) = ("w".into(), "s".into());
        let events = sequences.iter().map(event).collect();
        Report { recording: stored.recording.id.clone(), worker, session, fence, events, state, late: None, film: None }
    }

    #[test]
    fn a_report_counts_once_however_often_it_comes() {
        let mut stored = placed(3);
        let first = report(&stored, 3, &[1, 2], Some(State::Recording));
        assert_eq!(apply(&mut stored, first.clone(), NOW).len(), 2);
        assert_eq!((stored.recording.state, stored.runtime.timeline_offset), (State::Recording, 7));
        assert_eq!(stored.recording.wanted, Wanted::Record, "what is wanted is said here");
        let after = stored.clone();
        assert!(apply(&mut stored, first, NOW).is_empty());
        assert_eq!(stored, after);
        let second = report(&stored, 3, &[2, 3], None);
        assert_eq!(apply(&mut stored, second, NOW).len(), 1);
    }

    #[test]
    fn who_has_lost_a_recording_changes_nothing_of_it() {
        let mut stored = placed(4);
        let stale = report(&stored, 3, &[1], Some(State::Complete));
        assert!(apply(&mut stored, stale.clone(), NOW).is_empty());
        assert_eq!(stored, placed(4).clone_with_id(&stored));
        let late = Report { late: Some(Late { url: Some("s3://b/x".into()), problem: None }), ..stale };
        let events = apply(&mut stored, late, NOW);
        assert_eq!(events.len(), 1);
        assert!(events[0].1.data["message"].as_str().unwrap().contains("s3://b/x"));
    }

    #[test]
    fn an_end_sets_the_worker_free_and_is_not_taken_back() {
        let mut stored = placed(1);
        let end = report(&stored, 1, &[1], Some(State::Complete));
        apply(&mut stored, end, NOW);
        assert_eq!((stored.recording.state, &stored.runtime.placement), (State::Complete, &None));
        let again = report(&stored, 1, &[2], Some(State::Expired));
        assert!(apply(&mut stored, again, NOW).is_empty());
        assert_eq!(stored.recording.state, State::Complete);
    }

    #[test]
    fn an_upload_after_the_end_is_told_by_who_had_it() {
        let mut stored = placed(2);
        let end = report(&stored, 2, &[1], Some(State::Partial));
        apply(&mut stored, end, NOW);
        let mut uploaded = report(&stored, 2, &[2, 3], Some(State::Partial));
        uploaded.events[1].kind = EventType::Uploaded;
        let there = Storage { state: StorageState::Stored, ..Storage::wanted("p/x".into()) };
        uploaded.state.as_mut().unwrap().recording.storage = Some(there);
        let stranger = Report { worker: "other".into(), ..uploaded.clone() };
        assert!(apply(&mut stored, stranger, NOW).is_empty() && stored.recording.storage.is_none());
        let events = apply(&mut stored, uploaded, NOW);
        assert_eq!((events.len(), events[0].1.kind), (1, EventType::Uploaded));
        let storage = stored.recording.storage.as_ref().unwrap();
        assert_eq!(
            (storage.state, storage.local, stored.recording.state),
            (StorageState::Stored, false, State::Partial)
        );
    }

    impl StoredRecording {
        fn clone_with_id(mut self, other: &StoredRecording) -> StoredRecording {
            self.recording.id = other.recording.id.clone();
            self
        }
    }
}

//! What is to be done about a recording that has ended, and when. Pure: told the time.

use crate::service::database::recordings::StoredRecording;
use crate::service::model::{Recording, State, StorageState};
use crate::service::storage::KeepLocal;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// How long media is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// On the service's own disk, once it is in the store.
    pub keep_local: KeepLocal,
    /// In days, where the request says nothing; none: for ever.
    pub days: Option<u32>,
    /// The same for single projects.
    pub project_days: BTreeMap<String, u32>,
}

/// How long before it is deleted this is told.
const NOTICE: SignedDuration = SignedDuration::from_hours(24);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing before this time, or before the recording changes.
    Wait(Option<Timestamp>),
    /// It is to be uploaded again.
    Upload,
    /// Its media is in the store and has been here for long enough.
    DeleteLocal,
    /// Its retention is over.
    Expire,
    /// Participants are to be removed from it.
    Purge,
    /// It is to be told that its media is deleted at this time.
    Tell(Timestamp),
}

/// Decides about one recording that may have participants to be removed.
pub(super) fn next(stored: &StoredRecording, retention: &Retention, now: Timestamp) -> Next {
    let recording = &stored.recording;
    let has_media = recording.state.is_final() && recording.state != State::Expired;
    if has_media && !recording.legal_hold && !stored.runtime.purging.is_empty() {
        return Next::Purge;
    }
    let decided = decide(recording, retention, now);
    let (Next::Wait(until), Some(expires)) = (decided, expires_at(recording, retention)) else { return decided };
    let is_told = stored.runtime.told_expiry.is_some_and(|told| told.as_millisecond() == expires.as_millisecond());
    if !has_media || recording.legal_hold || is_told {
        return decided;
    }
    match expires.checked_sub(NOTICE) {
        Ok(tell) if tell > now => Next::Wait(until.into_iter().chain([tell]).min()),
        _ => Next::Tell(expires),
    }
}

/// Decides about one recording.
pub(super) fn decide(recording: &Recording, retention: &Retention, now: Timestamp) -> Next {
    if !recording.state.is_final() || recording.state == State::Expired {
        return Next::Wait(None);
    }
    let storage = recording.storage.as_ref();
    if storage.is_some_and(|storage| storage.state == StorageState::Uploading) {
        return Next::Upload;
    }
    if recording.legal_hold {
        return Next::Wait(None);
    }
    let expires = expires_at(recording, retention);
    if expires.is_some_and(|at| at <= now) {
        return Next::Expire;
    }
    let stored = storage.filter(|storage| storage.state == StorageState::Stored && storage.local);
    let leaves = stored.and_then(|storage| {
        let time = SignedDuration::try_from(retention.keep_local.0?).ok()?;
        storage.stored_at?.checked_add(time).ok()
    });
    match leaves {
        Some(at) if at <= now => Next::DeleteLocal,
        _ => Next::Wait(expires.into_iter().chain(leaves).min()),
    }
}

/// When its media is deleted: so many days after its end.
fn expires_at(recording: &Recording, retention: &Retention) -> Option<Timestamp> {
    let own = recording.request.retention_days;
    let days = own.or_else(|| retention.project_days.get(&recording.project).copied()).or(retention.days)?;
    let ended = recording.states.iter().find(|change| change.state.is_final())?.at;
    ended.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::database::recordings::Runtime;
    use crate::service::model::{Id, RecordingRequest, Storage};
    use std::time::Duration;

    const DAY: i64 = 24 * 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ended() -> Recording {
        let request = RecordingRequest::new("ws://h/rooms/a");
        let mut recording = Recording::new(Id::new(Id::RECORDING), "p", &request, at(0));
        recording.advance(State::Complete, None, at(0)).unwrap();
        recording
    }

    fn stored() -> Recording {
        let storage = Storage {
            state: StorageState::Stored,
            stored_at: Some(at(100)),
            ..Storage::wanted("p/2026/01/01/a/rec".into())
        };
        Recording { storage: Some(storage), ..ended() }
    }

    #[test]
    fn the_request_goes_before_the_project_and_that_before_the_rest() {
        let mut recording = ended();
        let mut retention = Retention::default();
        assert_eq!(decide(&recording, &retention, at(1000 * DAY)), Next::Wait(None));
        retention.days = Some(30);
        assert_eq!(decide(&recording, &retention, at(0)), Next::Wait(Some(at(30 * DAY))));
        retention.project_days.insert("p".into(), 20);
        assert_eq!(decide(&recording, &retention, at(0)), Next::Wait(Some(at(20 * DAY))));
        recording.request.retention_days = Some(40);
        assert_eq!(decide(&recording, &retention, at(40 * DAY - 1)), Next::Wait(Some(at(40 * DAY))));
        assert_eq!(decide(&recording, &retention, at(40 * DAY)), Next::Expire);
        recording.legal_hold = true;
        assert_eq!(decide(&recording, &retention, at(400 * DAY)), Next::Wait(None));
    }

    #[test]
    fn it_is_told_a_day_before_and_once_for_each_time() {
        let request = RecordingRequest::new("ws://h/rooms/a");
        let mut stored = StoredRecording { recording: ended(), request, runtime: Runtime::default() };
        let mut retention = Retention { days: Some(30), ..Retention::default() };
        assert_eq!(next(&stored, &retention, at(0)), Next::Wait(Some(at(29 * DAY))));
        assert_eq!(next(&stored, &retention, at(29 * DAY)), Next::Tell(at(30 * DAY)));
        stored.runtime.told_expiry = Some(at(30 * DAY));
        assert_eq!(next(&stored, &retention, at(29 * DAY)), Next::Wait(Some(at(30 * DAY))));
        assert_eq!(next(&stored, &retention, at(30 * DAY)), Next::Expire);
        retention.days = Some(31);
        assert_eq!(next(&stored, &retention, at(29 * DAY)), Next::Wait(Some(at(30 * DAY))));
        assert_eq!(next(&stored, &retention, at(30 * DAY)), Next::Tell(at(31 * DAY)));
        stored.runtime.purging = vec!["alice".into()];
        assert_eq!(next(&stored, &retention, at(30 * DAY)), Next::Purge);
        stored.recording.legal_hold = true;
        assert_eq!(next(&stored, &retention, at(30 * DAY)), Next::Wait(None));
    }

    #[test]
    fn media_leaves_this_disk_only_when_it_is_in_the_store() {
        let day = Retention::default();
        assert_eq!(decide(&stored(), &day, at(DAY)), Next::Wait(Some(at(DAY + 100))));
        assert_eq!(decide(&stored(), &day, at(DAY + 100)), Next::DeleteLocal);
        let at_once = Retention { keep_local: KeepLocal(Some(Duration::ZERO)), ..Retention::default() };
        assert_eq!(decide(&stored(), &at_once, at(100)), Next::DeleteLocal);
        let always = Retention { keep_local: KeepLocal(None), ..Retention::default() };
        assert_eq!(decide(&stored(), &always, at(1000 * DAY)), Next::Wait(None));
        for state in [StorageState::Failed, StorageState::Uploading, StorageState::Deleted] {
            let mut recording = stored();
            recording.storage.as_mut().unwrap().state = state;
            assert_ne!(decide(&recording, &at_once, at(1000 * DAY)), Next::DeleteLocal, "{state:?}");
        }
        let mut held = stored();
        held.legal_hold = true;
        assert_eq!(decide(&held, &at_once, at(1000 * DAY)), Next::Wait(None));
        assert_eq!(decide(&ended(), &at_once, at(1000 * DAY)), Next::Wait(None));
    }

    #[test]
    fn what_has_not_ended_is_left_alone() {
        let request = RecordingRequest { retention_days: Some(1), ..RecordingRequest::new("ws://h/rooms/a") };
        let recording = Recording::new(Id::new(Id::RECORDING), "p", &request, at(0));
        assert_eq!(decide(&recording, &Retention::default(), at(1000 * DAY)), Next::Wait(None));
        let mut again = stored();
        again.storage.as_mut().unwrap().state = StorageState::Uploading;
        assert_eq!(decide(&again, &Retention::default(), at(0)), Next::Upload);
    }
}

//! A recording as the service knows it, and how it goes from one state to the next.

use super::event::{EventDraft, EventType};
use super::id::Id;
use super::request::RecordingRequest;
use super::state::{State, SubCode};
use super::storage::Storage;
use crate::recording::utc_ms;
use crate::signal;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// A recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Recording {
    pub id: Id,
    /// Whose it is; keys belong to projects.
    pub project: String,
    pub state: State,
    /// Why it is in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_code: Option<SubCode>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The schedule that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Id>,
    /// The room's name.
    pub room: String,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub created_at: Timestamp,
    /// All states so far, the present one last.
    pub states: Vec<StateChange>,
    /// What was asked for, without its secrets.
    pub request: RecordingRequest,
    /// What somebody asked for since.
    pub wanted: Wanted,
    /// How often the recorder was started: its parts.
    pub parts: u32,
    /// What came of it, once the recorder has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Where its media is besides the service's own disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Its media is not deleted, whatever its retention.
    #[serde(default)]
    pub legal_hold: bool,
}

/// What a client wants of a running recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    Record,
    Pause,
    Stop,
    Cancel,
}

/// When a state began, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StateChange {
    pub state: State,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_code: Option<SubCode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a recorder left behind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    pub duration_ms: u64,
    pub participants: u32,
    /// Bytes of all media.
    pub bytes: u64,
    /// Everything that can be fetched, with `/media/{path}`.
    pub media: Vec<Media>,
    /// What was lost, one line each.
    pub losses: Vec<String>,
    pub warnings: Vec<String>,
}

/// A file of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Media {
    /// Its path in the recording: `tracks/alice.camera.1.webm`.
    pub path: String,
    pub kind: MediaKind,
    pub bytes: u64,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    Track,
    Film,
    Audio,
    Participant,
    File,
    Chat,
    Still,
    Manifest,
    Timeline,
    Other,
}

impl Recording {
    /// A recording that was just asked for.
    pub fn new(id: Id, project: &str, request: &RecordingRequest, now: Timestamp) -> Recording {
        let state = if request.start_at.is_some_and(|at| at > now) { State::Scheduled } else { State::Queued };
        Recording {
            id,
            project: project.to_owned(),
            state,
            sub_code: None,
            reason: None,
            schedule: None,
            room: signal::room_name(&request.room_url),
            created_at: now,
            states: vec![StateChange { state, at: now, sub_code: None, reason: None }],
            request: request.without_secrets(),
            wanted: Wanted::Record,
            parts: 0,
            outcome: None,
            storage: None,
            legal_hold: false,
        }
    }

    /// Goes to `state`, if it may follow; returns the event that tells it.
    pub fn advance(&mut self, state: State, why: Option<(SubCode, String)>, now: Timestamp) -> Option<EventDraft> {
        if !self.state.allows(state) {
            return None;
        }
        let resumes = self.state == State::Paused && state == State::Recording;
        let (sub_code, reason) = why.map_or((None, None), |(code, text)| (Some(code), Some(text)));
        (self.state, self.sub_code, self.reason) = (state, sub_code, reason.clone());
        // Clocks of machines differ, and are set; the states are in their order.
        let at = self.states.last().map_or(now, |last| last.at.max(now));
        self.states.push(StateChange { state, at, sub_code, reason: reason.clone() });
        let kind = match state {
            State::Scheduled => EventType::Scheduled,
            State::Queued => EventType::Queued,
            State::Joining => EventType::Joining,
            State::Waiting => EventType::Waiting,
            State::Recording if resumes => EventType::Resumed,
            State::Recording => EventType::Started,
            State::Paused => EventType::Paused,
            State::Stopping => EventType::Stopped,
            State::Processing => EventType::Processing,
            State::Uploading => EventType::Uploading,
            State::Complete | State::Partial => EventType::Completed,
            State::Failed => EventType::Failed,
            State::Cancelled => EventType::Cancelled,
            State::Expired => EventType::Expired,
        };
        Some(EventDraft::new(kind, json!({ "state": state, "sub_code": sub_code, "reason": reason })))
    }

    /// Notes what somebody wants; returns whether that can still be. Stop and cancel are not taken back.
    pub fn want(&mut self, wanted: Wanted) -> bool {
        let allowed = match wanted {
            Wanted::Record | Wanted::Pause => {
                matches!(self.wanted, Wanted::Record | Wanted::Pause) && self.state < State::Stopping
            }
            Wanted::Stop => self.wanted != Wanted::Cancel && self.state < State::Processing,
            Wanted::Cancel => !self.state.is_final(),
        };
        if allowed {
            self.wanted = wanted;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn recording() -> Recording {
        Recording::new(Id::new(Id::RECORDING), "default", &RecordingRequest::new("ws://h/rooms/standup"), at(0))
    }

    #[test]
    fn every_state_has_its_time_and_its_event() {
        let mut recording = recording();
        assert_eq!((recording.state, recording.room.as_str()), (State::Queued, "standup"));
        let mut kinds = Vec::new();
        for (second, state) in
            [State::Joining, State::Recording, State::Paused, State::Recording].into_iter().enumerate()
        {
            kinds.push(recording.advance(state, None, at(second as i64 + 1)).unwrap().kind);
        }
        assert_eq!(kinds, [EventType::Joining, EventType::Started, EventType::Paused, EventType::Resumed]);
        assert_eq!(recording.states.last().unwrap().at, at(4));
        assert!(recording.advance(State::Queued, None, at(5)).is_none());
        let why = (SubCode::EverybodyLeft, "the room was empty".to_owned());
        recording.advance(State::Stopping, Some(why), at(6)).unwrap();
        assert_eq!(recording.sub_code, Some(SubCode::EverybodyLeft));
        assert_eq!(recording.states.len(), 6);
        recording.advance(State::Processing, None, at(2)).unwrap();
        assert_eq!(recording.states.last().unwrap().at, at(6), "a clock that was put back");
    }

    #[test]
    fn a_start_in_the_future_is_scheduled() {
        let mut request = RecordingRequest::new("ws://h/rooms/a");
        request.start_at = Some(at(100));
        let new = |now| Recording::new(Id::new(Id::RECORDING), "p", &request, at(now)).state;
        assert_eq!((new(99), new(100)), (State::Scheduled, State::Queued));
    }

    #[test]
    fn stop_and_cancel_are_not_taken_back() {
        let mut recording = recording();
        assert!(recording.want(Wanted::Pause) && recording.want(Wanted::Record) && recording.want(Wanted::Stop));
        assert!(!recording.want(Wanted::Record) && !recording.want(Wanted::Pause));
        assert!(recording.want(Wanted::Cancel) && !recording.want(Wanted::Stop));
    }
}

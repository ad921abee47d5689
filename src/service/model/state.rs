//! The states of a recording and which may follow which. They only advance; `recording` and `paused` alternate.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Where a recording is between the request and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its time has not come.
    Scheduled,
    /// Waits for capacity.
    Queued,
    /// A recorder connects to the room.
    Joining,
    /// The recorder is in the room, and nobody else is.
    Waiting,
    /// Media is recorded.
    Recording,
    /// The recorder is in the room and takes nothing.
    Paused,
    /// The recorder leaves and finishes its files.
    Stopping,
    /// The film is made.
    Processing,
    /// Media goes to the store.
    Uploading,
    /// Ended; nothing was lost on our side.
    Complete,
    /// Ended; something was lost, and the recording says what.
    Partial,
    /// Ended without what was asked for. What was recorded is there.
    Failed,
    /// Ended by `cancel`. What was recorded is there.
    Cancelled,
    /// Its media was deleted when its retention was over.
    Expired,
}

impl State {
    /// All, in order.
    pub const ALL: [State; 14] = [
        State::Scheduled,
        State::Queued,
        State::Joining,
        State::Waiting,
        State::Recording,
        State::Paused,
        State::Stopping,
        State::Processing,
        State::Uploading,
        State::Complete,
        State::Partial,
        State::Failed,
        State::Cancelled,
        State::Expired,
    ];

    /// Whether nothing follows but `expired`.
    pub fn is_final(self) -> bool {
        self >= State::Complete
    }

    /// Whether a recorder is, or should be, in the room.
    pub fn is_live(self) -> bool {
        matches!(self, State::Joining | State::Waiting | State::Recording | State::Paused)
    }

    /// Whether `next` may follow.
    pub fn allows(self, next: State) -> bool {
        match (self, next) {
            (State::Paused, State::Recording) => true,
            // The media of anything that ended may be deleted.
            (from, State::Expired) => from.is_final() && from != State::Expired,
            (from, _) if from.is_final() => false,
            // Waiting is the state before anybody came.
            (State::Recording | State::Paused, State::Waiting) => false,
            (from, to) => to > from,
        }
    }

    /// As in the API.
    pub fn word(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Queued => "queued",
            State::Joining => "joining",
            State::Waiting => "waiting",
            State::Recording => "recording",
            State::Paused => "paused",
            State::Stopping => "stopping",
            State::Processing => "processing",
            State::Uploading => "uploading",
            State::Complete => "complete",
            State::Partial => "partial",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Expired => "expired",
        }
    }

    /// The state of that word.
    pub fn of(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a recording is in its state, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubCode {
    /// The room's server does not answer.
    RoomUnreachable,
    /// The room is full.
    RoomFull,
    /// The room wants another token.
    TokenWrong,
    /// The room sent the recorder out.
    Kicked,
    /// The room was closed.
    RoomEnded,
    /// Nobody came in time.
    NobodyJoined,
    /// The last person has left.
    EverybodyLeft,
    /// Nobody spoke for as long as the request allows.
    Silence,
    /// Only bots were left.
    OnlyBots,
    /// The longest duration was reached.
    MaxDuration,
    /// The largest size was reached.
    MaxSize,
    /// Somebody stopped it.
    StoppedByApi,
    /// Somebody cancelled it.
    CancelledByApi,
    /// No media connection could be made.
    IceFailed,
    /// Nothing that was sent could be recorded.
    CodecUnsupported,
    /// The disk is full or failed.
    DiskFull,
    /// The recorder ended again and again.
    WorkerLost,
    /// The film could not be made; the tracks are there.
    FilmFailed,
    /// The store took not everything; what it lacks is kept here.
    UploadFailed,
    /// The program has a defect; its log says more.
    Internal,
}

impl SubCode {
    /// The one that a recorder's `reason_code` means.
    pub fn of_recorder(code: &str) -> Option<SubCode> {
        Some(match code {
            "stopped" => SubCode::StoppedByApi,
            "cancelled" => SubCode::CancelledByApi,
            other => serde_json::from_value(serde_json::Value::from(other)).ok()?,
        })
    }

    /// Whether it is an end that was asked for or expected.
    pub fn is_expected(self) -> bool {
        use SubCode::*;
        matches!(
            self,
            RoomEnded
                | EverybodyLeft
                | Silence
                | OnlyBots
                | MaxDuration
                | MaxSize
                | StoppedByApi
                | CancelledByApi
                | NobodyJoined
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is asked for in whatever order: a final state is reached once, and only `expired` follows it.
        #[test]
        fn states_only_advance(steps in prop::collection::vec(0..State::ALL.len(), 1..60)) {
            let (mut state, mut ended) = (State::Scheduled, None);
            for step in steps {
                let next = State::ALL[step];
                if state.allows(next) {
                    prop_assert!(next > state || (state, next) == (State::Paused, State::Recording));
                    if let Some(ended) = ended {
                        prop_assert_eq!((state, next), (ended, State::Expired));
                    }
                    state = next;
                    if state.is_final() && ended.is_none() {
                        ended = Some(state);
                    }
                }
            }
        }
    }

    #[test]
    fn words_are_those_of_the_api() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
            assert_eq!(State::of(state.word()), Some(state));
        }
        assert_eq!(SubCode::of_recorder("stopped"), Some(SubCode::StoppedByApi));
        assert_eq!(SubCode::of_recorder("room_full"), Some(SubCode::RoomFull));
        assert_eq!(SubCode::of_recorder("of a later version"), None);
    }
}

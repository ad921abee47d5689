//! The words of the control socket: requests, answers and the status, one JSON object a line. Values only; sockets are elsewhere.

use crate::record::status::{PersonStatus, Status, TrackStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// The longest line of a request, in bytes.
pub const MAX_LINE: usize = 64 << 10;

/// A line that a client sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Comes back with the answer: any JSON value.
    #[serde(default)]
    pub id: Value,
    #[serde(flatten)]
    pub command: Command,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Command {
    /// Nothing is recorded until `resume`.
    Pause,
    Resume,
    /// Ends the recording.
    Stop,
    /// Ends the recording, which is not wanted any more. Its files stay.
    Cancel,
    /// Asks for the status once.
    Status,
    /// Asks for the status once a second.
    Subscribe,
    /// Changes what the command line said.
    Set {
        /// In place of `--for`, counted from the same start: `30m`.
        #[serde(rename = "for")]
        duration: String,
    },
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub id: Value,
    /// Present if it was done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ok: bool,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The answer to `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Report>,
}

impl Answer {
    /// It was done.
    pub fn ok(id: Value) -> Answer {
        Answer { id, ok: true, error: None, status: None }
    }

    /// It was not done.
    pub fn error(id: Value, why: impl Into<String>) -> Answer {
        Answer { id, ok: false, error: Some(why.into()), status: None }
    }
}

/// Where a recorder stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has not joined the room yet.
    #[default]
    Joining,
    /// Nobody but recorders is in the room.
    Waiting,
    Recording,
    Paused,
    /// It finishes its files, and its film.
    Stopping,
}

/// What `status` answers and `subscribe` sends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub state: State,
    /// The recording's folder, once there is one.
    pub folder: Option<PathBuf>,
    /// Session time.
    pub session_ms: u64,
    /// Bytes of media so far.
    pub bytes: u64,
    pub participants: Vec<Participant>,
    pub files: u64,
    pub file_bytes: u64,
    pub chats: u64,
    /// How many warnings there are.
    pub warnings: u64,
    /// What the disk complains about, while it does.
    pub trouble: Option<String>,
}

/// Somebody in the room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Participant {
    pub name: String,
    pub role: crate::room::participant::Role,
    /// Of all their tracks, over the last second.
    pub kbit_s: u64,
    /// The worst share of packets lost among their tracks, 0.0 to 1.0.
    pub loss: f64,
    pub tracks: Vec<Track>,
}

/// A track that is being recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    pub source: crate::room::media::Source,
    pub codec: crate::room::media::Codec,
    pub kbit_s: u64,
    /// Share of packets lost since the start, 0.0 to 1.0.
    pub loss: f64,
    pub size: Option<(u32, u32)>,
    /// Waiting for a key frame to begin or go on with.
    pub waiting: bool,
}

impl Report {
    /// Of a recorder that has joined.
    pub fn of(status: &Status, folder: Option<PathBuf>, is_stopping: bool) -> Report {
        let state = match status {
            _ if is_stopping => State::Stopping,
            Status { paused: true, .. } => State::Paused,
            Status { empty: true, .. } => State::Waiting,
            _ => State::Recording,
        };
        Report {
            state,
            folder,
            session_ms: status.elapsed_ms,
            bytes: status.bytes,
            participants: status.people.iter().map(Participant::of).collect(),
            files: status.files,
            file_bytes: status.file_bytes,
            chats: status.chats,
            warnings: status.warnings.len() as u64,
            trouble: status.trouble.clone(),
        }
    }

    /// As far as it says, the status that it was made of: for those who show a recorder of another process.
    pub fn into_status(self) -> Status {
        Status {
            elapsed_ms: self.session_ms,
            bytes: self.bytes,
            people: self.participants.into_iter().map(Participant::into_status).collect(),
            paused: self.state == State::Paused,
            empty: self.state == State::Waiting,
            files: self.files,
            file_bytes: self.file_bytes,
            chats: self.chats,
            trouble: self.trouble,
            ..Status::default()
        }
    }
}

impl Participant {
    fn of(person: &PersonStatus) -> Participant {
        let tracks = person.tracks.iter().map(|track| Track {
            source: track.source,
            codec: track.codec,
            kbit_s: track.bitrate / 1000,
            loss: track.loss,
            size: track.size,
            waiting: track.waiting,
        });
        Participant {
            name: person.name.clone(),
            role: person.role,
            kbit_s: person.tracks.iter().map(|track| track.bitrate).sum::<u64>() / 1000,
            loss: person.tracks.iter().map(|track| track.loss).fold(0.0, f64::max),
            tracks: tracks.collect(),
        }
    }

    fn into_status(self) -> PersonStatus {
        let tracks = self.tracks.into_iter().map(|track| TrackStatus {
            source: track.source,
            codec: track.codec,
            bitrate: track.kbit_s * 1000,
            loss: track.loss,
            size: track.size,
            waiting: track.waiting,
        });
        PersonStatus { name: self.name, role: self.role, tracks: tracks.collect() }
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;

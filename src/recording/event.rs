//! The events of a recording as values, in the form of the timeline's JSON.

use crate::recording::account::Unrecorded;
use crate::recording::utc_ms;
use crate::room::media::{Codec, Source};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The `state` of [`Event::IceState`] when ICE has selected a candidate pair; DTLS follows.
pub const PATH_FOUND: &str = "path-found";

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since the recording's start.
    pub t_ms: u64,
    /// The same on the wall clock.
    #[serde(with = "utc_ms")]
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened. In all variants, `participant` is the key of a participant in the manifest (and the start of its file names), and
/// `file` the file name of a track unless said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The first event of a recording.
    RecordingStarted {
        /// The room's name.
        room: String,
        /// The room's address, without its token.
        url: String,
    },
    /// The last event of a recording, or of a part of it.
    RecordingEnded {
        /// Why, in words.
        reason: String,
    },
    /// The recorder has gone, and everybody is out of its sight: a crash, or an end of a recording that was continued.
    RecorderAway {
        /// Why, in words.
        reason: String,
    },
    /// The recording is continued by another process.
    RecorderBack {
        /// How long there was none, in milliseconds.
        away_ms: u64,
    },
    /// Nothing is recorded from now on, as somebody wished.
    RecordingPaused {},
    /// The recording goes on.
    RecordingResumed {},
    /// A participant joined the room.
    Joined {
        /// The participant's key.
        participant: String,
        /// The id that the room gave; another one each time somebody comes back.
        id: String,
        /// The display name.
        name: String,
    },
    /// A participant left the room.
    Left {
        /// The participant's key.
        participant: String,
        /// Why, in words.
        reason: String,
    },
    /// A track file was begun.
    TrackOn {
        /// The participant's key.
        participant: String,
        /// The track's file name.
        file: String,
        /// What the track shows or sounds like.
        source: Source,
        /// The track's codec.
        codec: Codec,
    },
    /// A track has ended.
    TrackOff {
        /// The participant's key.
        participant: String,
        /// The track's file name.
        file: String,
        /// What the track shows or sounds like.
        source: Source,
        /// The track's codec.
        codec: Codec,
    },
    /// A participant muted a source.
    Mute {
        /// The participant's key.
        participant: String,
        /// What the track shows or sounds like.
        source: Source,
    },
    /// A participant unmuted a source.
    Unmute {
        /// The participant's key.
        participant: String,
        /// What the track shows or sounds like.
        source: Source,
    },
    /// A participant begins or ceases to speak; several may speak at once.
    Speech {
        /// The participant's key.
        participant: String,
        /// Whether they speak from now on.
        speaks: bool,
    },
    /// The active speaker from now on, one of those who speak; `null`: nobody.
    Speaker {
        /// The participant's key.
        participant: Option<String>,
    },
    /// The picture size of a track changed.
    Resolution {
        /// The track's file name.
        file: String,
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// Media that is missing in a track, in session time.
    Gap {
        /// The track's file name.
        file: String,
        /// In session milliseconds.
        start_ms: u64,
        /// In session milliseconds.
        end_ms: u64,
        /// Why it is missing, as in the manifest.
        cause: String,
    },
    /// Video was discarded for `waited_ms` because there was no key frame to start from.
    KeyFrameWait {
        /// The track's file name.
        file: String,
        /// In milliseconds.
        waited_ms: u64,
    },
    /// The connection of a participant changed its state.
    IceState {
        /// The participant's key.
        participant: String,
        /// The new state, as the room reports it.
        state: String,
    },
    /// The connection to the room server was lost.
    Reconnecting {
        /// Why.
        cause: String,
    },
    /// The connection to the room server is back.
    Resumed {},
    /// What arrives is not recorded, as in the manifest; again with the final counts at its end.
    Unrecorded(Unrecorded),
    /// As in the manifest's warnings.
    Warning {
        /// One line for people.
        message: String,
    },
    /// A chat message.
    Chat {
        /// The participant's key.
        participant: String,
        /// What was written.
        text: String,
    },
    /// The state of a file transfer.
    File {
        /// The participant's key.
        participant: String,
        /// The sender's name for it: any text.
        name: String,
        /// Its new state.
        status: TransferState,
        /// The path in the recording; absent where nothing was written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// In bytes, as the sender announced it.
        size: u64,
        /// Bytes that were received.
        bytes: u64,
        /// The media type that the sender gave.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime: Option<String>,
        /// SHA-256 in hex, once it is complete.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// Why, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The film that is made meanwhile lacks `pictures` frames between these times, because the machine was too slow.
    FilmShort {
        /// In session milliseconds.
        start_ms: u64,
        /// In session milliseconds.
        end_ms: u64,
        /// Frames that are missing.
        pictures: u64,
    },
    /// An interrupted track file was finished: written by the recovery before it replaces the file.
    Recovered {
        /// The track's file name.
        file: String,
        /// Whole frames in the file.
        frames: u64,
        /// Bytes at its end that were no whole frame.
        dropped_bytes: u64,
    },
}

impl Event {
    /// The key of the participant whom it is about.
    pub fn participant(&self) -> Option<&str> {
        match self {
            Event::Joined { participant, .. }
            | Event::Left { participant, .. }
            | Event::TrackOn { participant, .. }
            | Event::TrackOff { participant, .. }
            | Event::Mute { participant, .. }
            | Event::Unmute { participant, .. }
            | Event::Speech { participant, .. }
            | Event::IceState { participant, .. }
            | Event::Chat { participant, .. }
            | Event::File { participant, .. } => Some(participant),
            Event::Speaker { participant } => participant.as_deref(),
            Event::Unrecorded(stream) => Some(&stream.participant),
            Event::Resolution { file, .. }
            | Event::Gap { file, .. }
            | Event::KeyFrameWait { file, .. }
            | Event::Recovered { file, .. } => file.split('.').next(),
            Event::RecordingStarted { .. }
            | Event::RecordingEnded { .. }
            | Event::RecorderAway { .. }
            | Event::RecorderBack { .. }
            | Event::RecordingPaused {}
            | Event::RecordingResumed {}
            | Event::Reconnecting { .. }
            | Event::Resumed {}
            | Event::Warning { .. }
            | Event::FilmShort { .. } => None,
        }
    }
}

/// The state of a file transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferState {
    /// Its first bytes arrived, or it was resumed.
    Started,
    /// It is complete and verified.
    Received,
    /// It was not accepted.
    Refused,
    /// It ended before its last byte.
    Incomplete,
}

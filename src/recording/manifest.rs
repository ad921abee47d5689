//! The manifest: what a recording contains, as one JSON document with a schema version. Values only; the recorder fills them in.

use crate::error::{Error, Result, io_failed};
use crate::recording::account::losses;
pub use crate::recording::account::{Loss, Unrecorded};
use crate::recording::folder::{MANIFEST, RecordingFolder};
use crate::recording::parts;
pub use crate::recording::parts::Part;
pub use crate::recording::track_entry::{Dropped, Gap, Resolution, Span, TrackEntry};
use crate::recording::utc_ms;
use crate::room::participant::Role;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The schema that this version writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;
/// Streams that were not recorded and are listed: peers must not fill the manifest.
const MAX_UNRECORDED: usize = 2000;
/// The largest manifest that is read.
const LARGEST: u64 = 64 << 20;

/// A recording. All `*_ms` are session time: milliseconds since `started`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format, at most [`SCHEMA`].
    pub schema: u32,
    /// The program that wrote it: `roombot 0.1.0`.
    pub tool: String,
    /// The room's name.
    pub room: String,
    /// The room's address, without its token.
    pub url: String,
    /// Whether the recording has ended, and how.
    pub status: Status,
    /// When session time 0 was.
    #[serde(with = "utc_ms")]
    pub started: Timestamp,
    /// When the recording ended; absent before.
    #[serde(default, with = "utc_ms::option")]
    pub ended: Option<Timestamp>,
    /// Until the end; while recording, until the last time that the manifest was written.
    pub duration_ms: u64,
    /// The times during which a process recorded: more than one if the recording was continued. Empty in those of older versions.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// When the recorder was paused: nothing was to be recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Span>,
    /// Everybody who was in the room.
    #[serde(default)]
    pub participants: Vec<ParticipantEntry>,
    /// One entry for each track file.
    #[serde(default)]
    pub tracks: Vec<TrackEntry>,
    /// What never became a track file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unrecorded: Vec<Unrecorded>,
    /// Files that were received over data channels.
    #[serde(default)]
    pub files: Vec<FileEntry>,
    /// What was lost, though not by the network. Empty where the status is `complete`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Loss>,
    /// What was lost, truncated or uncertain, one line each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Whether a recording has ended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being written; or interrupted, where no process holds the lock.
    Recording,
    /// Ended normally; every track is finished, and nothing was lost on our side.
    Complete,
    /// Ended normally, and something was lost: [`Manifest::reasons`] say what.
    Partial,
    /// Interrupted, and finished by a later start.
    Recovered,
}

/// A participant, over all their connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParticipantEntry {
    /// Unique in the recording; file names begin with it: `alice`.
    pub key: String,
    /// The ids that the room gave, in the order of joining.
    pub ids: Vec<String>,
    /// The display name.
    pub name: String,
    /// A person, or a bot of some kind.
    #[serde(default)]
    pub role: Role,
    /// When they were in the room.
    pub present: Vec<Span>,
}

/// A file that was received over a data channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The path in the recording: `files/alice/slides.pdf`, and with `.part` behind it while it is incomplete.
    pub file: String,
    /// The sender's key.
    pub participant: String,
    /// The sender's name for it: any text.
    pub name: String,
    /// The media type that the sender gave.
    #[serde(default)]
    pub mime: Option<String>,
    /// In bytes, as the sender announced it.
    pub size: u64,
    /// Bytes that were received.
    pub bytes: u64,
    /// SHA-256 of the whole file in hex, computed here.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Whether it is complete.
    pub state: FileState,
    /// Why it is incomplete.
    #[serde(default)]
    pub reason: Option<String>,
    /// When the transfer began, in session milliseconds.
    pub started_ms: u64,
    /// When it was received, or its state last changed.
    pub at_ms: u64,
}

/// Whether a received file is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// Complete, verified and synced.
    Received,
    /// Partly received, under a name that ends in `.part`.
    Incomplete,
}

impl Manifest {
    /// The manifest of a recording that begins now.
    pub fn new(room: &str, url: &str, started: Timestamp) -> Self {
        Self {
            schema: SCHEMA,
            tool: concat!("roombot ", env!("CARGO_PKG_VERSION")).into(),
            room: room.into(),
            url: url.into(),
            status: Status::Recording,
            started,
            ended: None,
            duration_ms: 0,
            parts: vec![Part::new(0)],
            pauses: Vec::new(),
            participants: Vec::new(),
            tracks: Vec::new(),
            unrecorded: Vec::new(),
            files: Vec::new(),
            reasons: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The wall clock at a session time, as the recording has it: the machine's clock may have been set since its start.
    pub fn time_of(&self, t_ms: u64) -> Timestamp {
        let since = SignedDuration::from_millis(i64::try_from(t_ms).unwrap_or(i64::MAX));
        self.started.checked_add(since).unwrap_or(self.started)
    }

    /// Reads a recording's manifest.
    ///
    /// # Errors
    /// The user's: the folder is no recording, or one of a newer version. The machine's: the disk.
    pub fn load(recording: &Path) -> Result<Self> {
        let path = recording.join(MANIFEST);
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text));
        match read {
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                let path = recording.display();
                return Err(Error::user(format!("{path}: is not a recording (it has no {MANIFEST})")).because(e));
            }
            read => read.map_err(|e| io_failed(&format!("read {}", path.display()), e))?,
        };
        if text.len() as u64 > LARGEST {
            return Err(Error::user(format!("{}: is too large to be a manifest", path.display())));
        }
        Self::parse(&text).map_err(|e| Error::user(format!("{}: {e}", path.display())).because(e))
    }

    /// Reads a manifest's text.
    ///
    /// # Errors
    /// The user's: it is no manifest, a damaged one, or of a newer version.
    pub fn parse(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
            #[serde(default)]
            tool: String,
        }
        let version: Version = serde_json::from_slice(text)
            .map_err(|e| Error::user("is not the manifest of a recording, or it is damaged").because(e))?;
        if version.schema > SCHEMA {
            let Version { schema, tool } = version;
            let by = if tool.is_empty() { String::new() } else { format!(" by {}", tool.escape_debug()) };
            return Err(Error::user(format!(
                "was written{by} with schema {schema}, this version reads up to {SCHEMA}: use a newer roombot"
            )));
        }
        serde_json::from_slice(text).map_err(|e| Error::user(format!("is damaged: {e}")).because(e))
    }

    /// Replaces the manifest of `folder`, whole or not at all. Waits for the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn save(&self, folder: &RecordingFolder) -> Result<()> {
        let mut text =
            serde_json::to_vec_pretty(self).map_err(|e| Error::internal("cannot write the manifest").because(e))?;
        text.push(b'\n');
        folder.write_atomically(MANIFEST, &text)
    }

    /// Notes what is not recorded; the same stream or label of a participant has one entry.
    pub fn note(&mut self, stream: Unrecorded) {
        if let Some(known) = self.unrecorded.iter_mut().find(|known| known.is_same(&stream)) {
            *known = stream;
        } else if self.unrecorded.len() < MAX_UNRECORDED {
            self.unrecorded.push(stream);
        } else {
            self.warn("more streams were not recorded than are listed");
        }
    }

    /// Says what was lost; returns whether the recording is complete.
    pub fn judge(&mut self) -> bool {
        self.reasons = parts::losses(&self.parts, &self.pauses, &self.present());
        self.reasons.extend(losses(&self.tracks, &self.unrecorded));
        self.reasons.is_empty()
    }

    /// When participants were there.
    pub(crate) fn present(&self) -> Vec<Span> {
        let people = self.participants.iter().filter(|person| person.role != Role::Recorder);
        people.flat_map(|person| &person.present).copied().collect()
    }

    /// Ends the part that goes on; `code` is one of [`crate::room::end::EndReason::code`], or `crashed`.
    pub fn end_part(&mut self, at_ms: u64, reason: &str, code: &str) {
        if let Some(part) = self.parts.last_mut().filter(|part| part.end_ms.is_none()) {
            part.end_ms = Some(at_ms.max(part.start_ms));
            (part.reason, part.reason_code) = (Some(reason.to_owned()), Some(code.to_owned()));
        }
    }

    /// Adds a warning, once.
    pub fn warn(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manifest in the documentation.
    fn documented() -> &'static str {
        let page = include_str!("../../docs/recording.md");
        let start = page.find("```json\n{\n  \"schema\"").unwrap() + "```json\n".len();
        page[start..].split_once("```").unwrap().0
    }

    #[test]
    fn the_documented_manifest_comes_back_as_it_is() {
        let manifest = Manifest::parse(documented().as_bytes()).unwrap();
        assert_eq!(manifest.tracks[0].clock.as_ref().unwrap().basis, crate::room::clock::Basis::SenderReports);
        let again = serde_json::to_value(&manifest).unwrap();
        let page: serde_json::Value = serde_json::from_str(documented()).unwrap();
        assert_eq!(again, page);
    }

    #[test]
    fn a_newer_schema_is_named() {
        let text = documented().replace("\"schema\": 1", "\"schema\": 7").replace("roombot 0.1.0", "roombot 9.0.0");
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, crate::error::Error::User(_)));
        assert_eq!(
            error.to_string(),
            "was written by roombot 9.0.0 with schema 7, this version reads up to 1: use a newer roombot"
        );
        // Even where nothing else is as we know it.
        assert!(Manifest::parse(b"{\"schema\": 2}").unwrap_err().to_string().contains("schema 2"));
    }

    #[test]
    fn what_is_no_recording_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let error = Manifest::load(dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("is not a recording (it has no manifest.json)"), "{error}");
        std::fs::write(dir.path().join(MANIFEST), "{\"schema\": 1, \"room\":").unwrap();
        let error = Manifest::load(dir.path()).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }

    #[test]
    fn times_have_milliseconds() {
        let mut manifest = Manifest::new("r", "u", Timestamp::from_millisecond(250).unwrap());
        manifest.ended = Some(Timestamp::from_second(60).unwrap());
        let json = serde_json::to_value(&manifest).unwrap();
        assert_eq!(
            (&json["started"], &json["ended"]),
            (&"1970-01-01T00:00:00.250Z".into(), &"1970-01-01T00:01:00.000Z".into())
        );
    }
}

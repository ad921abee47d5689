//! What goes through NATS between API nodes and workers, all of it JSON. Values only.
//!
//! | | |
//! |---|---|
//! | bucket `roombot_workers`, key `{worker}` | [`WorkerRecord`]: the worker's session, renewed by the worker, taken away by the API node |
//! | bucket `roombot_jobs`, key `list.{worker}` | [`JobList`]: what the worker is to do, whole |
//! | bucket `roombot_jobs`, key `job.{recording}` | [`Job`]: a recording as it was given out last |
//! | stream `roombot_reports`, `roombot.reports.{recording}` | [`Report`]: what became of it, in order |
//! | request `roombot.ask.{worker}` | [`Ask`]; `roombot.nudge.{worker}` says that the list has changed |

use crate::room::media::Source;
use crate::service::database::recordings::{Ending, Runtime, StoredRecording};
use crate::service::model::{
    EventDraft, EventType, FilmJob, FilmState, Id, Media, Recording, RecordingRequest, StoreName, Wanted,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

pub const WORKERS: &str = "roombot_workers";
pub const JOBS: &str = "roombot_jobs";
pub const REPORTS: &str = "roombot_reports";
/// The subjects of all reports.
pub const ALL_REPORTS: &str = "roombot.reports.>";

pub fn report_subject(recording: &Id) -> String {
    format!("roombot.reports.{recording}")
}
pub fn ask_subject(worker: &str) -> String {
    format!("roombot.ask.{worker}")
}
pub fn nudge_subject(worker: &str) -> String {
    format!("roombot.nudge.{worker}")
}
pub fn list_key(worker: &str) -> String {
    format!("list.{worker}")
}
pub fn job_key(recording: &Id) -> String {
    format!("job.{recording}")
}

/// A worker as it tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerRecord {
    /// New whenever the one before was lost.
    pub session: String,
    /// The session was taken away: whatever the worker had is somebody else's.
    pub lost: bool,
    /// It takes nothing new.
    pub draining: bool,
    pub labels: BTreeMap<String, String>,
    /// Cores that recorders and films may use, and do use.
    pub capacity: f64,
    pub load: f64,
    /// Recordings that it has.
    pub recordings: usize,
    pub version: String,
}

/// What a worker is to do. What is not in it is not to be done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobList {
    /// The session that it is for.
    pub session: String,
    pub jobs: Vec<JobEntry>,
    /// Films of recordings in the store.
    #[serde(default)]
    pub films: Vec<FilmEntry>,
}

/// A recording of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEntry {
    pub id: Id,
    pub fence: u64,
    pub wanted: Wanted,
    /// Absent from an API node of an earlier version.
    #[serde(default)]
    pub changeable: Option<Changeable>,
}

/// A film of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilmEntry {
    pub job: FilmJob,
    /// Its recording's place in the store.
    pub place: String,
    pub store: StoreName,
}

/// What became of a film at a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilmReport {
    pub film: Id,
    pub state: FilmState,
    pub reason: Option<String>,
    /// What is in the store of it.
    pub media: Vec<Media>,
}

/// What can be changed of a request while its recorder runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changeable {
    pub max_duration_s: u64,
    /// Of the film, if there is one.
    pub title: Option<String>,
}

impl Changeable {
    pub fn of(request: &RecordingRequest) -> Changeable {
        let title = request.outputs.film.as_ref().and_then(|film| film.title.clone());
        Changeable { max_duration_s: request.auto_stop.max_duration_s, title }
    }

    pub fn put_into(&self, request: &mut RecordingRequest) {
        request.auto_stop.max_duration_s = self.max_duration_s;
        if let Some(film) = &mut request.outputs.film {
            film.title.clone_from(&self.title);
        }
    }
}

/// A recording as it is given to a worker: with what is known of it so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub fence: u64,
    pub recording: Recording,
    /// With its secrets.
    pub request: RecordingRequest,
    pub progress: Progress,
}

/// How far a recording's events and outputs are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub timeline_offset: u64,
    pub outputs_done: Vec<String>,
    pub failed_outputs: Vec<String>,
    pub lossy: bool,
    #[serde(default)]
    pub beside: bool,
    /// How it ends once its media is in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
}

impl Progress {
    pub fn of(runtime: &Runtime) -> Progress {
        Progress {
            timeline_offset: runtime.timeline_offset,
            outputs_done: runtime.outputs_done.clone(),
            failed_outputs: runtime.failed_outputs.clone(),
            lossy: runtime.lossy,
            beside: runtime.beside,
            ending: runtime.ending.clone(),
        }
    }

    pub fn put_into(self, runtime: &mut Runtime) {
        runtime.timeline_offset = self.timeline_offset;
        (runtime.outputs_done, runtime.failed_outputs) = (self.outputs_done, self.failed_outputs);
        (runtime.lossy, runtime.beside, runtime.ending) = (self.lossy, self.beside, self.ending);
    }
}

impl Job {
    /// What a worker needs of a recording. It deletes nothing and sends no webhooks: retention and endpoints stay here.
    pub fn of(stored: &StoredRecording, fence: u64) -> Job {
        let mut job = Job {
            fence,
            recording: stored.recording.clone(),
            request: stored.request.clone(),
            progress: Progress::of(&stored.runtime),
        };
        for request in [&mut job.recording.request, &mut job.request] {
            (request.webhook_url, request.retention_days) = (None, None);
        }
        job
    }
}

/// What became of a recording at a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub recording: Id,
    pub worker: String,
    pub session: String,
    pub fence: u64,
    /// In the order in which they happened.
    pub events: Vec<ReportedEvent>,
    /// As it was after the last of these events; absent where more of them follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Snapshot>,
    /// The worker had lost the recording and has sent beside it what it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<Late>,
    /// A film of the recording has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub film: Option<FilmReport>,
}

/// An event of a worker's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportedEvent {
    /// Its position among the recording's events on the worker.
    pub sequence: i64,
    pub kind: EventType,
    #[serde(with = "crate::recording::utc_ms")]
    pub at: Timestamp,
    pub data: Value,
}

impl ReportedEvent {
    pub fn draft(&self) -> EventDraft {
        EventDraft::new(self.kind, self.data.clone())
    }
}

/// A recording as a worker has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub recording: Recording,
    pub progress: Progress,
}

/// What a worker had of a recording that it had lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Its address in the store.
    pub url: Option<String>,
    /// Why it could not be sent.
    pub problem: Option<String>,
}

/// What an API node asks a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// How a recorder stands.
    Live { recording: Id },
    /// The end of a recording's log.
    Logs { recording: Id },
    /// The end of its timeline.
    Timeline { recording: Id },
    /// Its manifest.
    Manifest { recording: Id },
    /// What a player shows of it (docs/view.md).
    Document { recording: Id },
    /// Its last picture.
    Picture { recording: Id },
    /// Bytes of one of its files, from the first to the last, as `media/{path}?{query}` gives them out: as many as a message takes.
    Media { recording: Id, path: String, query: String, first: u64, last: u64 },
    /// Send it to the store again: it has ended, and its upload failed.
    Upload { recording: Id },
    /// Forget what is here of a recording that has ended and is in the store.
    Forget { recording: Id },
    /// Take nothing new.
    Drain,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Text(String),
    Problem(String),
    /// There is no such file or picture.
    Missing,
    Piece(Piece),
    Picture(RemotePicture),
}

/// Bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// How long the file is.
    pub total: u64,
    /// Headers of the answer over HTTP.
    pub headers: BTreeMap<String, String>,
    #[serde(with = "base64_text")]
    pub data: Vec<u8>,
}

/// The last picture of a recording that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemotePicture {
    pub participant: String,
    pub source: Source,
    #[serde(with = "crate::recording::utc_ms")]
    pub at: Timestamp,
    pub tag: String,
    pub content_type: String,
    #[serde(with = "base64_text")]
    pub data: Vec<u8>,
}

/// Bytes as a text.
mod base64_text {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64_STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

//! The stages after the recorder: films and other outputs, each by a process of its own, then the end.

use super::JobContext;
use super::compose::{ComposeJob, Composed, compose, film_flags, program};
use super::ending::end;
use super::outcome::look;
use crate::service::database::DatabaseError;
use crate::service::database::recordings::{ProcessId, StoredRecording};
use crate::service::model::{EventDraft, EventType, FilmCodec, Id, MediaKind, Outputs, State, SubCode, Wanted};
use jiff::Timestamp;
use serde_json::json;
use std::path::PathBuf;
use tokio::process::Command;

/// Makes what was asked for besides the tracks, then ends the recording.
pub(super) async fn run(context: &JobContext, id: &Id) -> Result<(), DatabaseError> {
    loop {
        let Some(stored) = context.database.recording(id).await? else { return Ok(()) };
        if stored.recording.state != State::Processing {
            return Ok(());
        }
        if stored.recording.wanted == Wanted::Cancel {
            return finish(context, id).await;
        }
        let done = &stored.runtime.outputs_done;
        let next = wanted(&stored.recording.request.outputs).into_iter().find(|name| !done.iter().any(|d| d == name));
        let Some(name) = next else { return finish(context, id).await };
        match compose(context, &Output { context, stored, name }).await? {
            Composed::Leaving => return Ok(()),
            Composed::Cancelled => {}
            ended => note(context, id, name, ended == Composed::Made).await?,
        }
    }
}

/// The names of the outputs that were asked for.
fn wanted(outputs: &Outputs) -> Vec<&'static str> {
    let all =
        [("film", outputs.film.is_some()), ("audio", outputs.audio_only), ("participants", outputs.per_participant)];
    all.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name).collect()
}

struct Output<'a> {
    context: &'a JobContext,
    stored: StoredRecording,
    name: &'static str,
}

impl ComposeJob for Output<'_> {
    fn name(&self) -> &str {
        self.stored.recording.id.as_str()
    }
    fn command(&self) -> Command {
        let folder = self.context.folders.recording(&self.stored.recording.id);
        let mut command = program(self.context);
        match (self.name, &self.stored.recording.request.outputs.film) {
            ("film", Some(film)) => {
                let out = (film.codec != FilmCodec::H264).then(|| folder.join("film.webm"));
                film_flags(&mut command, film, out.as_deref());
            }
            ("audio", _) => drop(command.arg("--audio-only")),
            _ => drop(command.arg("--each")),
        }
        command.arg("--").arg(folder);
        command
    }
    fn files(&self) -> (PathBuf, PathBuf) {
        let id = &self.stored.recording.id;
        (self.context.folders.output_result(id, self.name), self.context.folders.log(id))
    }
    fn process(&self) -> Option<ProcessId> {
        self.stored.runtime.process
    }
    async fn note(&self, process: ProcessId) -> Result<(), DatabaseError> {
        let note = move |stored: &mut StoredRecording| {
            stored.runtime.process = Some(process);
            ((), Vec::new())
        };
        self.context.database.update_recording(&self.stored.recording.id, note).await.map(drop)
    }
    async fn is_cancelled(&self) -> Result<bool, DatabaseError> {
        let stored = self.context.database.recording(&self.stored.recording.id).await?;
        Ok(stored.is_none_or(|stored| stored.recording.wanted == Wanted::Cancel))
    }
}

/// Notes that an output is there, or could not be made.
async fn note(context: &JobContext, id: &Id, name: &'static str, made: bool) -> Result<(), DatabaseError> {
    let folder = context.folders.recording(id);
    let found = tokio::task::spawn_blocking(move || look(&folder)).await.unwrap_or(None);
    let change = move |stored: &mut StoredRecording| {
        stored.runtime.process = None;
        stored.runtime.outputs_done.push(name.to_owned());
        let recording = &mut stored.recording;
        if let Some((_, outcome)) = found {
            recording.outcome = Some(outcome);
        }
        let kind = match name {
            "film" => MediaKind::Film,
            "audio" => MediaKind::Audio,
            _ => MediaKind::Participant,
        };
        let media = recording.outcome.iter().flat_map(|outcome| &outcome.media);
        let paths: Vec<_> = media.filter(|media| media.kind == kind).map(|media| media.path.clone()).collect();
        let event = if made {
            EventDraft::new(EventType::FilmReady, json!({ "output": name, "paths": paths }))
        } else {
            stored.runtime.lossy = true;
            stored.runtime.failed_outputs.push(name.to_owned());
            let message = format!("the {name} could not be made; the tracks are there");
            EventDraft::new(EventType::Warning, json!({ "message": message, "sub_code": SubCode::FilmFailed }))
        };
        ((), vec![event])
    };
    context.database.update_recording(id, change).await.map(drop)
}

/// The recording ends.
async fn finish(context: &JobContext, id: &Id) -> Result<(), DatabaseError> {
    let has_store = context.storage.is_some();
    let change = move |stored: &mut StoredRecording| {
        let recording = &stored.recording;
        let why = match recording.sub_code.zip(recording.reason.clone()) {
            _ if !stored.runtime.failed_outputs.is_empty() => {
                let what = stored.runtime.failed_outputs.join(", ");
                Some((SubCode::FilmFailed, format!("could not be made: {what}; the tracks are there")))
            }
            why => why,
        };
        let state = match recording.wanted {
            Wanted::Cancel => State::Cancelled,
            _ if stored.runtime.lossy => State::Partial,
            _ => State::Complete,
        };
        let why = if state == State::Cancelled { Some((SubCode::CancelledByApi, "cancelled".to_owned())) } else { why };
        ((), end(stored, has_store, state, why, Timestamp::now()))
    };
    context.database.update_recording(id, change).await.map(drop)
}

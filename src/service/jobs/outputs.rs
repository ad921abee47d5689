//! The stages after the recorder: films and other outputs, each by a process of its own, then the end.

use super::JobContext;
use super::outcome::{LastWords, look};
use super::process::Process;
use crate::service::database::DatabaseError;
use crate::service::database::recordings::StoredRecording;
use crate::service::model::{
    EventDraft, EventType, FilmCodec, FilmRequest, Id, MediaKind, Outputs, State, SubCode, Wanted,
};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::json;
use std::time::Duration;
use tokio::process::Command;

/// How often it is looked whether somebody cancelled.
const TICK: Duration = Duration::from_millis(500);
/// How often an output is tried.
const TRIES: u32 = 2;
/// The niceness of films: capture has priority.
const NICENESS: &str = "10";

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
        if !make(context, &stored, name).await? {
            return Ok(());
        }
    }
}

/// The names of the outputs that were asked for.
fn wanted(outputs: &Outputs) -> Vec<&'static str> {
    let all =
        [("film", outputs.film.is_some()), ("audio", outputs.audio_only), ("participants", outputs.per_participant)];
    all.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name).collect()
}

/// Makes one output, or notes that it could not be made. False: the service leaves.
async fn make(context: &JobContext, stored: &StoredRecording, name: &'static str) -> Result<bool, DatabaseError> {
    let id = &stored.recording.id;
    let result = context.folders.output_result(id, name);
    let earlier = stored.runtime.process.and_then(|process| Process::adopt(process, id.as_str()));
    let found = earlier.is_some();
    // One that ended while no service ran may have succeeded.
    let mut words = if found || stored.runtime.process.is_none() { None } else { LastWords::read(&result) };
    let mut process = earlier;
    let mut tries = 0;
    while words.as_ref().is_none_or(|words| words.exit_code != 0) && (process.is_some() || tries < TRIES) {
        let mut running = match process.take() {
            Some(running) => running,
            None => {
                tries += 1;
                match Process::start(command(context, stored, name), &result, &context.folders.log(id)) {
                    Ok(running) => running,
                    Err(e) => {
                        tracing::warn!(recording = %id, "the {name} cannot be made: {e}");
                        continue;
                    }
                }
            }
        };
        let number = Some(running.id());
        context
            .database
            .update_recording(id, move |stored| {
                stored.runtime.process = number;
                ((), Vec::new())
            })
            .await?;
        match wait(context, id, &mut running).await? {
            Waited::Ended => words = LastWords::read(&result),
            Waited::Leaving => return Ok(false),
            Waited::Cancelled => return Ok(true),
        }
    }
    let made = words.is_some_and(|words| words.exit_code == 0);
    let folder = context.folders.recording(id);
    let found = tokio::task::spawn_blocking(move || look(&folder)).await.unwrap_or(None);
    let change = move |stored: &mut StoredRecording| {
        stored.runtime.process = None;
        stored.runtime.outputs_done.push(name.to_owned());
        let recording = &mut stored.recording;
        if let Some((_, outcome)) = found {
            recording.outcome = Some(outcome);
        }
        let kind = if name == "film" { MediaKind::Film } else { MediaKind::Audio };
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
    context.database.update_recording(id, change).await?;
    Ok(true)
}

enum Waited {
    Ended,
    Leaving,
    Cancelled,
}

async fn wait(context: &JobContext, id: &Id, process: &mut Process) -> Result<Waited, DatabaseError> {
    let mut leaving = context.leaving.clone();
    let mut tick = tokio::time::interval(TICK);
    let mut cancelled = false;
    loop {
        tokio::select! {
            _ = process.ended() => return Ok(if cancelled { Waited::Cancelled } else { Waited::Ended }),
            _ = leaving.wait_for(|leaving| *leaving) => return Ok(Waited::Leaving),
            _ = tick.tick() => {}
        }
        let stored = context.database.recording(id).await?;
        if !cancelled && stored.is_none_or(|stored| stored.recording.wanted == Wanted::Cancel) {
            cancelled = true;
            process.signal(Signal::TERM);
        }
    }
}

/// The command that makes an output.
fn command(context: &JobContext, stored: &StoredRecording, name: &str) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", NICENESS]).arg(&context.program).args(["compose", "--json"]);
    match (name, &stored.recording.request.outputs.film) {
        ("film", Some(film)) => {
            let FilmRequest { layout, size, fps, codec, title } = film;
            let word = |value: serde_json::Result<serde_json::Value>| match value {
                Ok(serde_json::Value::String(word)) => word,
                _ => String::new(),
            };
            command.arg("--layout").arg(word(serde_json::to_value(layout)));
            command.arg("--size").arg(size).arg("--fps").arg(fps.to_string());
            if *codec != FilmCodec::H264 {
                command.arg("--codec").arg(word(serde_json::to_value(codec)));
                command.arg("--out").arg(context.folders.recording(&stored.recording.id).join("film.webm"));
            }
            if let Some(title) = title {
                command.arg(format!("--title={title}"));
            }
        }
        ("audio", _) => {
            command.arg("--audio-only");
        }
        _ => {
            command.arg("--each");
        }
    }
    command.arg("--").arg(context.folders.recording(&stored.recording.id));
    command
}

/// The recording ends.
async fn finish(context: &JobContext, id: &Id) -> Result<(), DatabaseError> {
    let change = |stored: &mut StoredRecording| {
        let recording = &mut stored.recording;
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
        let event = recording.advance(state, why, Timestamp::now());
        ((), event.into_iter().collect())
    };
    context.database.update_recording(id, change).await.map(drop)
}

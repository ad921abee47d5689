//! The stage from `queued` to the recorder's end: one recorder process after another in the same recording, until one ends by itself.

use super::ending::end;
use super::outcome::{LastWords, look};
use super::process::Process;
use super::{JobContext, Permit, control, timeline};
use crate::recording::folder::TIMELINE;
use crate::recording::manifest::Status;
use crate::recording::timeline::{Entry, Event};
use crate::service::database::DatabaseError;
use crate::service::database::recordings::StoredRecording;
use crate::service::model::{EventDraft, EventType, Id, MediaKind, Recording, State, SubCode, Wanted};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::json;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// How often the timeline is read.
const TICK: Duration = Duration::from_millis(250);
/// How long a recorder may take to leave and finish its files after it was told to; then it gets SIGTERM, and as long again after it, SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(45);
/// A recorder that ran this long was no failure when it crashes.
const STEADY: Duration = Duration::from_secs(60);
/// Crashes in a row, each soon after the start, after which a recording has failed.
const MOST_FAILURES: u32 = 8;
/// How long a recorder tries to reach the room.
const JOIN_FOR: &str = "60s";

/// Drives the recorder until it has ended and the recording is in a later stage.
pub(super) async fn run(context: &JobContext, id: &Id) -> Result<(), DatabaseError> {
    let mut running = match find(context, id).await? {
        Some(running) => running,
        None => return Ok(()),
    };
    loop {
        let started = Instant::now();
        match watch(context, id, &mut running).await? {
            Watched::Leaving => return Ok(()),
            // A usage error: the next start would end the same way.
            Watched::Ended(Some(2)) if LastWords::read(&context.folders.result(id)).is_none() => {
                let why = (SubCode::Internal, "the recorder did not start; its log says why".to_owned());
                return conclude(context, id, why).await;
            }
            Watched::Ended(_) => {}
        }
        read_timeline(context, id).await?;
        match LastWords::read(&context.folders.result(id)) {
            Some(words) if !words.has_lost_lease() => return conclude(context, id, words.why()).await,
            Some(_) => {}
            // Nothing said: it crashed or was killed.
            None => {
                let Some(pause) = crashed(context, id, started.elapsed() >= STEADY).await? else {
                    let why = (SubCode::WorkerLost, "the recorder ended again and again; its log says more".to_owned());
                    return conclude(context, id, why).await;
                };
                let mut leaving = context.leaving.clone();
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = leaving.wait_for(|leaving| *leaving) => return Ok(()),
                }
            }
        }
        let Some(next) = start(context, id).await? else { return Ok(()) };
        running = next;
    }
}

/// The recorder that an earlier service started, or a new one. None: there is nothing to record any more.
async fn find(context: &JobContext, id: &Id) -> Result<Option<Process>, DatabaseError> {
    let Some(stored) = context.database.recording(id).await? else { return Ok(None) };
    if let Some(process) = stored.runtime.process.and_then(|process| Process::adopt(process, id.as_str())) {
        tracing::info!(pid = process.id().pid, "found its recorder again");
        return Ok(Some(process));
    }
    // The service may have been killed between the start of a recorder and the note of its number.
    if let Some(pid) = control::owner(&context.folders.control(id)).await
        && let Ok(process) = Process::find(pid)
    {
        note_process(context, id, &process).await?;
        return Ok(Some(process));
    }
    if stored.runtime.process.is_some() {
        read_timeline(context, id).await?;
        if let Some(words) = LastWords::read(&context.folders.result(id)).filter(|words| !words.has_lost_lease()) {
            conclude(context, id, words.why()).await?;
            return Ok(None);
        }
    }
    start(context, id).await
}

/// Starts a recorder: the first, or the next part. None: nobody wants it any more, or nobody here.
async fn start(context: &JobContext, id: &Id) -> Result<Option<Process>, DatabaseError> {
    let Some(permit) = context.leased(id).await else { return Ok(None) };
    let Some(stored) = context.database.recording(id).await? else { return Ok(None) };
    if matches!(stored.recording.wanted, Wanted::Stop | Wanted::Cancel) {
        let why = match stored.recording.wanted {
            Wanted::Cancel => (SubCode::CancelledByApi, "cancelled".to_owned()),
            _ => (SubCode::StoppedByApi, "stopped".to_owned()),
        };
        conclude(context, id, why).await?;
        return Ok(None);
    }
    context
        .database
        .update_recording(id, |stored| {
            stored.recording.parts += 1;
            stored.runtime.started_ms = Timestamp::now().as_millisecond();
            let event = stored.recording.advance(State::Joining, None, Timestamp::now());
            ((), event.into_iter().collect())
        })
        .await?;
    let (result, log) = (context.folders.result(id), context.folders.log(id));
    match Process::start(command(context, &stored, &permit), &result, &log) {
        Ok(process) => {
            note_process(context, id, &process).await?;
            Ok(Some(process))
        }
        Err(e) => {
            conclude(context, id, (SubCode::Internal, format!("the recorder could not be started: {e}"))).await?;
            Ok(None)
        }
    }
}

async fn note_process(context: &JobContext, id: &Id, process: &Process) -> Result<(), DatabaseError> {
    let process = process.id();
    let note = move |stored: &mut StoredRecording| {
        stored.runtime.process = Some(process);
        ((), Vec::new())
    };
    context.database.update_recording(id, note).await.map(drop)
}

/// The recorder's command line. The token is in its environment, where other users cannot read it.
fn command(context: &JobContext, stored: &StoredRecording, permit: &Permit) -> Command {
    let (id, request) = (&stored.recording.id, &stored.request);
    let mut command = Command::new(&context.program);
    command.args(["record", "--json", "--quiet", "--join-for", JOIN_FOR]);
    command.arg("--folder").arg(context.folders.recording(id)).arg("--control").arg(context.folders.control(id));
    command.arg("--as").arg(&request.bot_name);
    if let Some(file) = &permit.lease {
        command.arg("--lease").arg(file);
    }
    let stop = &request.auto_stop;
    let elapsed = stored
        .recording
        .states
        .iter()
        .find(|change| change.state == State::Joining)
        .map_or(0, |joined| u64::try_from(Timestamp::now().duration_since(joined.at).as_secs()).unwrap_or(0));
    // A limit that has passed while the recorder was away ends the next part at once.
    let left = |seconds: u64| seconds.saturating_sub(elapsed).max(1);
    for (flag, seconds) in [
        ("--until-nobody", stop.nobody_joined_s),
        ("--until-empty", stop.empty_s),
        ("--until-silent", stop.silence_s),
        ("--until-only-bots", stop.only_bots_s),
        ("--for", if stop.max_duration_s == 0 { 0 } else { left(stop.max_duration_s) }),
    ] {
        if seconds > 0 {
            command.arg(flag).arg(format!("{seconds}s"));
        }
    }
    if stop.max_bytes > 0 {
        command.arg("--max-recording").arg(stop.max_bytes.to_string());
    }
    if request.files.off {
        command.arg("--no-files");
    } else {
        command.arg("--max-file").arg(request.files.max_file.to_string());
        command.arg("--max-files-total").arg(request.files.max_total.to_string());
    }
    command.arg("--").arg(&request.room_url);
    command.env_remove("ROOMBOT_TOKEN").env_remove("ROOMBOT_ADMIN_KEY");
    if let Some(token) = &request.token {
        command.env("ROOMBOT_TOKEN", token);
    }
    command.stdin(Stdio::null());
    command
}

/// How long the recorder that runs now may record, counted from its start, where the whole recording may last `longest` seconds.
fn left_of(stored: &StoredRecording, longest: u64) -> u64 {
    // 0 is never; the recorder has no word for that.
    const NEVER: u64 = 366 * 24 * 3600;
    let joined = stored.recording.states.iter().find(|change| change.state == State::Joining);
    let before = joined.map_or(0, |joined| stored.runtime.started_ms - joined.at.as_millisecond()).max(0) / 1000;
    if longest == 0 { NEVER } else { longest.saturating_sub(before.unsigned_abs()).max(1) }
}

enum Watched {
    /// The process has ended, with this exit code if it is known.
    Ended(Option<i32>),
    /// The service ends; the process goes on.
    Leaving,
}

/// Watches a recorder until its end: makes events of its timeline, and hands it what is wanted.
async fn watch(context: &JobContext, id: &Id, process: &mut Process) -> Result<Watched, DatabaseError> {
    let mut leaving = context.leaving.clone();
    let mut changes = context.database.changes();
    let mut tick = tokio::time::interval(TICK);
    let mut asked = Asked::default();
    let path = context.folders.recording(id).join(TIMELINE);
    let Some(mut stored) = context.database.recording(id).await? else { return Ok(Watched::Leaving) };
    loop {
        tokio::select! {
            code = process.ended() => return Ok(Watched::Ended(code)),
            _ = leaving.wait_for(|leaving| *leaving) => return Ok(Watched::Leaving),
            _ = tick.tick() => {}
        }
        // Hundreds of recordings are looked at four times a second: the database is asked only when something is new.
        if path.metadata().is_ok_and(|timeline| timeline.len() != stored.runtime.timeline_offset) {
            read_timeline(context, id).await?;
        }
        if changes.has_changed().unwrap_or(true) {
            changes.borrow_and_update();
            stored = match context.database.recording(id).await? {
                Some(stored) => stored,
                None => {
                    process.signal(Signal::TERM);
                    continue;
                }
            };
        }
        asked.ask(context, &stored, process).await;
    }
}

/// What a recorder was told already.
#[derive(Default)]
struct Asked {
    paused: bool,
    /// The longest duration, in seconds.
    longest: Option<u64>,
    /// When it was first told to end.
    stopped: Option<Instant>,
    told: bool,
    terminated: bool,
}

impl Asked {
    /// Tells the recorder what is wanted and was not told yet. What it does not hear is told again at the next tick.
    async fn ask(&mut self, context: &JobContext, stored: &StoredRecording, process: &Process) {
        let recording = &stored.recording;
        let socket = context.folders.control(&recording.id);
        let longest = stored.request.auto_stop.max_duration_s;
        // A service that found this recorder again tells it once more: the same changes nothing.
        if self.longest != Some(longest) && recording.state >= State::Waiting {
            let length = json!({ "command": "set", "for": format!("{}s", left_of(stored, longest)) });
            self.longest = control::request(&socket, length).await.is_ok().then_some(longest);
        }
        match recording.wanted {
            Wanted::Record | Wanted::Pause => {
                let pause = recording.wanted == Wanted::Pause;
                // A service that found this recorder again does not know what it was told.
                let differs = pause != self.paused || pause != (recording.state == State::Paused);
                if differs && recording.state >= State::Waiting {
                    let told = control::command(&socket, if pause { "pause" } else { "resume" }).await;
                    self.paused = if told.is_ok() { pause } else { self.paused };
                }
            }
            Wanted::Stop | Wanted::Cancel => {
                let first = *self.stopped.get_or_insert_with(Instant::now);
                if !self.told {
                    let word = if recording.wanted == Wanted::Cancel { "cancel" } else { "stop" };
                    self.told = control::command(&socket, word).await.is_ok();
                }
                if first.elapsed() > 2 * STOP_TIMEOUT {
                    process.signal(Signal::KILL);
                } else if first.elapsed() > STOP_TIMEOUT && !std::mem::replace(&mut self.terminated, true) {
                    process.signal(Signal::TERM);
                }
            }
        }
    }
}

/// Makes events and states of what is new in the timeline. The position and the events are written together.
async fn read_timeline(context: &JobContext, id: &Id) -> Result<(), DatabaseError> {
    let path = context.folders.recording(id).join(TIMELINE);
    loop {
        let Some(stored) = context.database.recording(id).await? else { return Ok(()) };
        let offset = stored.runtime.timeline_offset;
        let of = path.clone();
        let read = tokio::task::spawn_blocking(move || timeline::read_from(&of, offset)).await;
        let Ok(Ok(tail)) = read else { return Ok(()) };
        if tail.offset == offset {
            return Ok(());
        }
        let change = move |stored: &mut StoredRecording| {
            stored.runtime.timeline_offset = tail.offset;
            let mut drafts = Vec::new();
            for entry in &tail.entries {
                drafts.extend(
                    state_of(entry, &stored.recording)
                        .and_then(|state| stored.recording.advance(state, None, entry.at)),
                );
                drafts.extend(timeline::as_event(entry));
            }
            ((), drafts)
        };
        context.database.update_recording(id, change).await?;
    }
}

/// The state that begins with an entry of the timeline.
fn state_of(entry: &Entry, recording: &Recording) -> Option<State> {
    match entry.event {
        Event::RecordingStarted { .. } => Some(State::Waiting),
        Event::RecordingPaused {} => Some(State::Paused),
        Event::RecordingResumed {} => Some(State::Recording),
        Event::Joined { .. } if recording.state != State::Paused => Some(State::Recording),
        _ => None,
    }
}

/// Notes a crash; returns how long to wait before the next start. None: it has crashed too often.
async fn crashed(context: &JobContext, id: &Id, was_steady: bool) -> Result<Option<Duration>, DatabaseError> {
    let note = move |stored: &mut StoredRecording| {
        stored.runtime.process = None;
        stored.runtime.failures = if was_steady { 1 } else { stored.runtime.failures + 1 };
        let data = json!({ "message": "the recorder ended unexpectedly", "failures": stored.runtime.failures });
        (stored.runtime.failures, vec![EventDraft::new(EventType::WorkerLost, data)])
    };
    let failures = context.database.update_recording(id, note).await?.unwrap_or(u32::MAX);
    tracing::warn!(failures, "its recorder ended unexpectedly");
    // The first is back at once; then 0.5, 1, 2 … seconds.
    let pause = Duration::from_millis(500) * 2u32.pow(failures.saturating_sub(2).min(5));
    Ok((failures <= MOST_FAILURES).then_some(if failures <= 1 { Duration::ZERO } else { pause }))
}

/// The recorder has ended for good: notes what it left and goes to the next stage.
async fn conclude(context: &JobContext, id: &Id, why: (SubCode, String)) -> Result<(), DatabaseError> {
    let folder = context.folders.recording(id);
    let found = tokio::task::spawn_blocking(move || look(&folder)).await.unwrap_or(None);
    let has_store = context.storage.is_some();
    let change = move |stored: &mut StoredRecording| {
        let now = Timestamp::now();
        stored.runtime.process = None;
        let has_media = found.as_ref().is_some_and(|(_, outcome)| {
            outcome.media.iter().any(|media| matches!(media.kind, MediaKind::Track | MediaKind::File | MediaKind::Chat))
        });
        let recording = &mut stored.recording;
        // It was recorded, and is not here: with several machines it is another's.
        let is_gone = found.is_none() && recording.states.iter().any(|change| change.state == State::Waiting);
        let losses = is_gone || found.as_ref().is_some_and(|(status, _)| *status != Status::Complete);
        recording.outcome = found.map(|(_, outcome)| outcome);
        let mut events = Vec::new();
        let (code, _) = why;
        let last = match (recording.wanted, code) {
            (Wanted::Cancel, _) => Some(State::Cancelled),
            (_, SubCode::NobodyJoined) => Some(State::Failed),
            (_, code) if !has_media && !code.is_expected() => Some(State::Failed),
            _ => None,
        };
        if let Some(last) = last {
            events.extend(end(stored, has_store, last, Some(why), now));
        } else {
            if losses || !code.is_expected() {
                stored.runtime.lossy = true;
            }
            events.extend(recording.advance(State::Stopping, Some(why.clone()), now));
            events.extend(recording.advance(State::Processing, Some(why), now));
        }
        ((), events)
    };
    context.database.update_recording(id, change).await.map(drop)
}

//! Tells the API node what happens to a worker's recordings: the events of its own database, in order, each at least once.

use super::bus::{Bus, BusError};
use super::timing::LOOK;
use super::wire::{FilmReport, Late, Progress, Report, ReportedEvent, Snapshot, report_subject};
use crate::service::database::recordings::{self, StoredRecording};
use crate::service::database::{DatabaseError, events};
use crate::service::jobs::JobContext;
use crate::service::model::{Event, EventType, StorageState};
use async_nats::HeaderMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Events that are read at a time.
const BATCH: u32 = 100;
/// Bytes of events in a report; a server takes messages of 1 MiB unless it is told otherwise.
const LARGEST: usize = 256 << 10;
/// Files that a report lists; the manifest has all.
const MOST_FILES: usize = 3000;
const RETRY: Duration = Duration::from_secs(1);
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Reporter {
    pub worker: String,
    pub context: JobContext,
    pub bus: Bus,
}

impl Reporter {
    /// Tells until it is dropped.
    pub async fn run(&self) {
        let file = self.context.folders.reported();
        let mut changes = self.context.database.changes();
        let mut position = position(&file);
        loop {
            changes.borrow_and_update();
            match self.step(position).await {
                Ok(Some(next)) => {
                    position = next;
                    note(&file, position);
                    continue;
                }
                Ok(None) => {}
                Err(e) => {
                    tracing::warn!("what happened cannot be reported yet: {e}");
                    sleep(RETRY).await;
                    continue;
                }
            }
            let _ = timeout(LOOK * 10, changes.changed()).await;
        }
    }

    /// Tells of the next events; returns the position behind them. None: there are none.
    async fn step(&self, position: i64) -> Result<Option<i64>, BusError> {
        let read = move |connection: &rusqlite::Connection| {
            // Both from one moment.
            let moment = connection.unchecked_transaction()?;
            let found = events::after(&moment, None, None, position, BATCH)?;
            let Some(first) = found.first() else { return Ok(None) };
            let stored = recordings::get(&moment, &first.recording)?;
            Ok(Some((found, stored)))
        };
        let read = self.context.database.read(read).await.map_err(|e: DatabaseError| BusError::of(e))?;
        let Some((found, stored)) = read else { return Ok(None) };
        let is_all = found.len() < BATCH as usize;
        let (taken, is_last) = first_run(&found, is_all);
        let Some(next) = taken.last().map(|event| event.position) else { return Ok(None) };
        if let Some(report) = stored.and_then(|stored| self.report(&stored, taken, is_last)) {
            self.send(&report, next).await?;
        }
        Ok(Some(next))
    }

    fn report(&self, stored: &StoredRecording, events: &[Event], is_last: bool) -> Option<Report> {
        let placement = stored.runtime.placement.clone()?;
        let mut report = Report {
            recording: stored.recording.id.clone(),
            worker: self.worker.clone(),
            session: placement.session,
            fence: placement.fence,
            events: Vec::new(),
            state: None,
            late: None,
            film: None,
        };
        if stored.runtime.orphaned {
            let ended = stored.recording.state.is_final()
                && is_last
                && events.iter().any(|event| matches!(event.kind, EventType::Completed | EventType::Failed));
            let storage = stored.recording.storage.as_ref();
            report.late = ended.then(|| Late {
                url: storage.filter(|s| s.state == StorageState::Stored).and_then(|s| s.url.clone()),
                problem: storage.and_then(|s| s.problem.clone()),
            });
            return ended.then_some(report);
        }
        let told = |event: &Event| ReportedEvent {
            sequence: event.sequence,
            kind: event.kind,
            at: event.at,
            data: event.data.clone(),
        };
        report.events = events.iter().map(told).collect();
        report.state = is_last.then(|| {
            let mut recording = stored.recording.clone();
            if let Some(outcome) = &mut recording.outcome
                && outcome.media.len() > MOST_FILES
            {
                outcome.media.truncate(MOST_FILES);
                outcome.warnings.push(format!("only {MOST_FILES} of its files are listed here"));
            }
            Snapshot { recording, progress: Progress::of(&stored.runtime) }
        });
        Some(report)
    }

    pub(super) async fn send(&self, report: &Report, position: i64) -> Result<(), BusError> {
        let body = serde_json::to_vec(report).map_err(BusError::of)?;
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, message_id(report, position).as_str());
        let sent = async {
            let published =
                self.bus.context.publish_with_headers(report_subject(&report.recording), headers, body.into()).await;
            published.map_err(BusError::of)?.await.map_err(BusError::of)
        };
        match timeout(ACK_TIMEOUT, sent).await {
            Ok(result) => result.map(drop),
            Err(_) => Err(BusError("no answer".into())),
        }
    }
}

/// The same for the same report: a server that has it does not keep it twice.
fn message_id(report: &Report, position: i64) -> String {
    let Report { recording, worker, fence, film, .. } = report;
    match film {
        Some(FilmReport { film, .. }) => format!("{film}.{worker}.{}", report.session),
        None => format!("{recording}.{fence}.{worker}.{position}"),
    }
}

/// The first events that are of one recording; and whether they are the last of it so far.
fn first_run(events: &[Event], is_all: bool) -> (&[Event], bool) {
    let Some(first) = events.first() else { return (events, true) };
    let (mut end, mut bytes) = (0, 0);
    for event in events.iter().take_while(|event| event.recording == first.recording) {
        bytes += event.data.to_string().len() + 200;
        if end > 0 && bytes > LARGEST {
            break;
        }
        end += 1;
    }
    let more = |event: &Event| event.recording == first.recording;
    (&events[..end], is_all && !events[end..].iter().any(more))
}

/// The position up to which everything was told.
pub(super) fn position(file: &Path) -> i64 {
    std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Notes it. What is told twice is taken for one.
fn note(file: &PathBuf, position: i64) {
    let part = file.with_extension("part");
    let written = std::fs::write(&part, position.to_string()).and_then(|()| std::fs::rename(&part, file));
    if let Err(e) = written {
        tracing::warn!("{}: {e}", file.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::model::Id;
    use jiff::Timestamp;
    use serde_json::json;

    fn event(recording: &Id, position: i64, size: usize) -> Event {
        Event {
            id: Id::new(Id::EVENT),
            position,
            recording: recording.clone(),
            sequence: position,
            kind: EventType::ChatMessage,
            at: Timestamp::UNIX_EPOCH,
            data: json!({ "text": "x".repeat(size) }),
        }
    }

    #[test]
    fn a_report_is_of_one_recording_and_says_its_state_only_at_its_end() {
        let (a, b) = (Id::new(Id::RECORDING), Id::new(Id::RECORDING));
        let events = [event(&a, 1, 1), event(&a, 2, 1), event(&b, 3, 1), event(&a, 4, 1)];
        let (run, is_last) = first_run(&events, true);
        assert_eq!((run.len(), is_last), (2, false));
        assert_eq!((first_run(&events[2..], true).0.len(), first_run(&events[2..], true).1), (1, true));
        assert!(!first_run(&events[3..], false).1, "more of it may follow");
        let large = [event(&a, 1, LARGEST), event(&a, 2, 1)];
        let (run, is_last) = first_run(&large, true);
        assert_eq!((run.len(), is_last), (1, false));
    }
}

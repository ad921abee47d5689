//! Makes the recordings of schedules when they are due. That a recording was made and when the next one is due are one write: each time
//! makes one recording, whenever the service is killed.

use super::JobContext;
use crate::service::database::DatabaseError;
use crate::service::database::keys::audit;
use crate::service::database::recordings::{self, Runtime, StoredRecording};
use crate::service::database::schedules::{self, StoredSchedule};
use crate::service::model::{EventDraft, EventType, Id, LastRun, Recording};
use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::json;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked whether something is due. The wall clock may be set at any time, so nothing sleeps until then.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until the service leaves.
pub async fn run_schedules(context: JobContext) {
    let mut leaving = context.leaving.clone();
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = leaving.wait_for(|leaving| *leaving) => return,
        }
        if let Err(e) = look(&context, Timestamp::now()).await {
            tracing::error!("schedules cannot be looked up: {e}");
        }
    }
}

/// Makes what is due at `now`.
async fn look(context: &JobContext, now: Timestamp) -> Result<(), DatabaseError> {
    for id in context.database.read(move |connection| schedules::due(connection, now)).await? {
        context.database.write(move |connection| make(connection, &id, now)).await?;
    }
    Ok(())
}

/// Makes the recording of a schedule that is due, and notes the next time.
fn make(connection: &Connection, id: &Id, now: Timestamp) -> Result<(), DatabaseError> {
    let Some(StoredSchedule { mut schedule, request }) = schedules::get(connection, id)? else { return Ok(()) };
    let Some(next) = schedule.next_at.filter(|at| *at <= now) else { return Ok(()) };
    // It was read when it was made, so this is another machine's time zones, or ours were removed.
    let timetable = match request.check(now) {
        Ok(timetable) => timetable,
        Err(invalid) => {
            tracing::error!(schedule = %id, "is disabled: {}: {}", invalid.field, invalid.problem);
            schedule.next_at = None;
            schedule.request.enabled = false;
            return schedules::update(connection, &StoredSchedule { schedule, request });
        }
    };
    let due = timetable.due(next, request.duration(), now);
    schedule.next_at = due.next;
    let project = schedule.project.clone();
    if let Some(missed) = due.missed {
        tracing::warn!(schedule = %id, "{} times until {} passed without a recording: the service did not run", missed.count, missed.at);
        schedule.last_missed = Some(missed);
        audit(connection, &project, Some(id), "schedule.missed", id.as_str(), now)?;
    }
    if let Some(at) = due.make {
        let request = request.recording_at(at, now);
        let mut recording = Recording::new(Id::new(Id::RECORDING), &project, &request, now);
        recording.schedule = Some(id.clone());
        schedule.last = Some(LastRun { at, recording: recording.id.clone() });
        let event = EventDraft::new(EventType::Queued, json!({ "state": recording.state, "schedule": id }));
        audit(connection, &project, Some(id), "recording.create", recording.id.as_str(), now)?;
        recordings::insert(connection, &StoredRecording { recording, request, runtime: Runtime::default() }, event)?;
    }
    schedules::update(connection, &StoredSchedule { schedule, request })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::database::Database;
    use crate::service::model::{RecordingRequest, Schedule, ScheduleRequest};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn each_time_makes_one_recording() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("service.db")).unwrap();
        let request = ScheduleRequest {
            name: "standup".into(),
            cron: "0 9 * * *".into(),
            time_zone: "UTC".into(),
            duration_s: 3600,
            enabled: true,
            recording: RecordingRequest { token: Some("secret".into()), ..RecordingRequest::new("ws://h/rooms/a") },
        };
        let start = at("2026-01-01T00:00:00Z");
        let timetable = request.check(start).ok().unwrap();
        let schedule = Schedule::new("blue", &request, &timetable, start);
        let id = schedule.id.clone();
        database
            .write(move |connection| schedules::insert(connection, &StoredSchedule { schedule, request }))
            .await
            .unwrap();
        // The second look at each time finds it done. The third day is missed, the fourth is late.
        for (now, made, missed) in [
            ("2026-01-01T08:59:59Z", 0, None),
            ("2026-01-01T09:00:00Z", 1, None),
            ("2026-01-01T09:00:01Z", 1, None),
            ("2026-01-02T09:00:00.5Z", 2, None),
            ("2026-01-03T10:00:00Z", 2, Some(at("2026-01-03T09:00:00Z"))),
            ("2026-01-04T09:59:00Z", 3, Some(at("2026-01-03T09:00:00Z"))),
        ] {
            let of = id.clone();
            database.write(move |connection| make(connection, &of, at(now))).await.unwrap();
            let filter = recordings::Filter::default();
            let found = database.read(move |connection| recordings::list(connection, &filter, 10)).await.unwrap();
            assert_eq!(found.len(), made, "{now}");
            let of = id.clone();
            let stored = database.read(move |connection| schedules::get(connection, &of)).await.unwrap().unwrap();
            assert_eq!(stored.schedule.last_missed.map(|missed| missed.at), missed, "{now}");
            assert!(stored.schedule.next_at.is_some_and(|next| next > at(now)), "{now}");
            if let Some((_, recording)) = found.first() {
                assert_eq!((recording.schedule.as_ref(), recording.project.as_str()), (Some(&id), "blue"));
                let stored = database.recording(&recording.id).await.unwrap().unwrap();
                assert_eq!(stored.request.token.as_deref(), Some("secret"));
                assert_eq!(stored.request.auto_stop.max_duration_s, if made == 3 { 60 } else { 3600 });
            }
        }
        database.close();
    }
}

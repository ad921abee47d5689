//! Recordings in the database.

use super::connection::{Database, DatabaseError};
use super::{events, uploads};
pub use crate::service::model::State;
use crate::service::model::{EventDraft, Id, Recording, RecordingRequest, SubCode};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use serde::{Deserialize, Serialize};

/// A recording as it is kept: what is given out, and what is not.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRecording {
    pub recording: Recording,
    /// The request with its secrets.
    pub request: RecordingRequest,
    pub runtime: Runtime,
}

/// What the service has to know of a running recorder to find it again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runtime {
    /// The recorder's or the film's process.
    pub process: Option<ProcessId>,
    /// Bytes of the timeline that events were made of.
    pub timeline_offset: u64,
    /// When the recorder was started that runs now, in milliseconds of Unix time.
    pub started_ms: i64,
    /// How often in a row a recorder ended soon after its start.
    pub failures: u32,
    /// Outputs that are made, or could not be.
    pub outputs_done: Vec<String>,
    /// Those of them that could not be.
    pub failed_outputs: Vec<String>,
    /// Something was lost: the recording will be `partial`.
    pub lossy: bool,
    /// Keys of participants that are to be removed from it.
    pub purging: Vec<String>,
    /// The time for which it was told that its media is deleted then.
    #[serde(with = "crate::recording::utc_ms::option")]
    pub told_expiry: Option<Timestamp>,
    /// How the recording ends once its media is in the store.
    pub ending: Option<Ending>,
    /// With several machines: the worker that has it. None on an API node: nobody has it.
    pub placement: Option<Placement>,
    /// The worker that had it at its end, on an API node.
    pub last: Option<Placement>,
    /// The highest fencing number that was given out for it, on an API node.
    pub fence: u64,
    /// The last event that was taken over from the worker that has it, on an API node.
    pub applied: i64,
    /// On a worker: another one may have it; what is here is sent beside.
    pub orphaned: bool,
    /// With several machines: something of it is in the store, as it was sent while it was recorded, that is in no folder of a worker's.
    pub beside: bool,
}

/// A worker's hold on a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The worker's name.
    pub worker: String,
    /// Its session: what was given to another session of that worker was lost with it.
    pub session: String,
    /// Higher than that of everybody who had the recording before.
    pub fence: u64,
}

/// A final state that is yet to come, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    pub state: State,
    pub why: Option<(SubCode, String)>,
}

/// A process beyond doubt: numbers of processes are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    /// Its start, in clock ticks since boot (proc(5), field 22 of `stat`).
    pub start_ticks: u64,
}

/// Which recordings to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub project: Option<String>,
    pub states: Vec<State>,
    pub room: Option<String>,
    pub external_id: Option<String>,
    /// Created at this time or later.
    pub since: Option<Timestamp>,
    /// Only those before this position.
    pub before: Option<i64>,
}

/// Inserts a recording with its first event.
pub fn insert(connection: &Connection, stored: &StoredRecording, draft: EventDraft) -> Result<(), DatabaseError> {
    insert_quietly(connection, stored)?;
    let recording = &stored.recording;
    events::append(connection, recording, recording.created_at, vec![draft])
}

/// Inserts a recording that another machine has told of before.
pub fn insert_quietly(connection: &Connection, stored: &StoredRecording) -> Result<(), DatabaseError> {
    let recording = &stored.recording;
    connection.prepare_cached(
        "INSERT INTO recordings (id, project, state, room, external_id, created_ms, start_ms, document, secrets, runtime)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        recording.id.as_str(),
        recording.project,
        recording.state.word(),
        recording.room,
        recording.request.external_id,
        recording.created_at.as_millisecond(),
        recording.request.start_at.map(Timestamp::as_millisecond),
        serde_json::to_string(recording)?,
        serde_json::to_string(&stored.request)?,
        serde_json::to_string(&stored.runtime)?,
    ])?;
    Ok(())
}

/// The recording of that id.
pub fn get(connection: &Connection, id: &Id) -> Result<Option<StoredRecording>, DatabaseError> {
    let sql = "SELECT document, secrets, runtime FROM recordings WHERE id = ?1";
    let row = connection.prepare_cached(sql)?.query_row([id.as_str()], texts).optional()?;
    row.map(parse).transpose()
}

/// Changes a recording and appends the events that `change` returns, as one write. None: there is no such recording.
pub fn update<T>(
    connection: &Connection,
    id: &Id,
    now: Timestamp,
    change: impl FnOnce(&mut StoredRecording) -> (T, Vec<EventDraft>),
) -> Result<Option<T>, DatabaseError> {
    let Some(mut stored) = get(connection, id)? else { return Ok(None) };
    let before = stored.clone();
    let (value, drafts) = change(&mut stored);
    if stored != before {
        connection
            .prepare_cached(
                "UPDATE recordings SET state = ?2, document = ?3, runtime = ?4, secrets = ?5 WHERE id = ?1",
            )?
            .execute(params![
                id.as_str(),
                stored.recording.state.word(),
                serde_json::to_string(&stored.recording)?,
                serde_json::to_string(&stored.runtime)?,
                serde_json::to_string(&stored.request)?,
            ])?;
        // What can be changed of a recording that has ended is its retention and where its media is.
        if stored.recording.state.is_final() {
            uploads::look_at(connection, id, Some(0))?;
        }
    }
    if stored.recording.state.is_final() && !before.recording.state.is_final() {
        count_end(connection, &stored.recording)?;
    }
    events::append(connection, &stored.recording, now, drafts)?;
    Ok(Some(value))
}

/// Recordings, the newest first, with their positions.
pub fn list(connection: &Connection, filter: &Filter, limit: u32) -> Result<Vec<(i64, Recording)>, DatabaseError> {
    let mut sql = "SELECT position, document FROM recordings WHERE 1".to_owned();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut and = |clause: &str, value: Box<dyn ToSql>| {
        values.push(value);
        sql.push_str(&clause.replace('?', &format!("?{}", values.len())));
    };
    if let Some(project) = &filter.project {
        and(" AND project = ?", Box::new(project.clone()));
    }
    if let Some(room) = &filter.room {
        and(" AND room = ?", Box::new(room.clone()));
    }
    if let Some(external_id) = &filter.external_id {
        and(" AND external_id = ?", Box::new(external_id.clone()));
    }
    if let Some(since) = filter.since {
        and(" AND created_ms >= ?", Box::new(since.as_millisecond()));
    }
    if let Some(before) = filter.before {
        and(" AND position < ?", Box::new(before));
    }
    if !filter.states.is_empty() {
        let words: Vec<_> = filter.states.iter().map(|state| state.word()).collect();
        and(" AND state IN (SELECT value FROM json_each(?))", Box::new(serde_json::to_string(&words)?));
    }
    and(" ORDER BY position DESC LIMIT ?", Box::new(limit));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement
        .query_map(rusqlite::params_from_iter(values), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (position, document) = row?;
        Ok((position, serde_json::from_str(&document)?))
    })
    .collect()
}

/// A recording that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfinished {
    pub id: Id,
    pub project: String,
    pub state: State,
    /// When a scheduled one is to begin.
    pub start_at: Option<Timestamp>,
}

/// All recordings that have not ended, the oldest first.
pub fn unfinished(connection: &Connection) -> Result<Vec<Unfinished>, DatabaseError> {
    let open: Vec<_> = State::ALL.iter().filter(|state| !state.is_final()).map(|state| state.word()).collect();
    let sql = "SELECT id, project, state, start_ms FROM recordings
               WHERE state IN (SELECT value FROM json_each(?1)) ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([serde_json::to_string(&open)?], |row| {
        let texts: (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((texts, row.get::<_, Option<i64>>(3)?))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let ((id, project, word), start_ms) = row?;
        let (id, state) = (serde_json::from_value(id.into())?, State::of(&word));
        let start_at = start_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        found.extend(state.map(|state| Unfinished { id, project, state, start_at }));
    }
    Ok(found)
}

/// All recordings that have not ended and are, or were, placed with a worker.
pub fn placed(connection: &Connection) -> Result<Vec<StoredRecording>, DatabaseError> {
    let stored: Vec<_> = unfinished(connection)?
        .iter()
        .filter_map(|open| get(connection, &open.id).transpose())
        .collect::<Result<_, _>>()?;
    Ok(stored.into_iter().filter(|stored| stored.runtime.placement.is_some()).collect())
}

/// How many recordings there are and were.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// By state, without those that were deleted.
    pub states: Vec<(State, u64)>,
    /// All that ever ended: state, sub-code, how many.
    pub ended: Vec<(String, String, u64)>,
}

/// Counts for monitoring.
pub fn totals(connection: &Connection) -> Result<Totals, DatabaseError> {
    let mut statement = connection.prepare_cached("SELECT state, sub_code, count FROM ended")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs())))?;
    Ok(Totals { states: counts(connection)?, ended: rows.collect::<Result<_, _>>()? })
}

/// Counts an end, for good: a recording may be deleted.
fn count_end(connection: &Connection, recording: &Recording) -> Result<(), DatabaseError> {
    let code = recording.sub_code.map_or(Ok(serde_json::Value::Null), serde_json::to_value)?;
    connection
        .prepare_cached(
            "INSERT INTO ended (state, sub_code, count) VALUES (?1, ?2, 1)
             ON CONFLICT (state, sub_code) DO UPDATE SET count = count + 1",
        )?
        .execute(params![recording.state.word(), code.as_str().unwrap_or_default()])?;
    Ok(())
}

/// How many recordings are in each state.
pub fn counts(connection: &Connection) -> Result<Vec<(State, u64)>, DatabaseError> {
    let mut statement = connection.prepare_cached("SELECT state, count(*) FROM recordings GROUP BY state")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let counts: Vec<_> = rows.collect::<Result<_, _>>()?;
    Ok(counts.into_iter().filter_map(|(word, count)| Some((State::of(&word)?, u64::try_from(count).ok()?))).collect())
}

/// Forgets a recording with its events.
pub fn delete(connection: &Connection, id: &Id) -> Result<bool, DatabaseError> {
    for table in ["events", "films", "uploads", "sweeps"] {
        connection.execute(&format!("DELETE FROM {table} WHERE recording = ?1"), [id.as_str()])?;
    }
    Ok(connection.execute("DELETE FROM recordings WHERE id = ?1", [id.as_str()])? > 0)
}

impl Database {
    /// [`update`], as a write of its own.
    ///
    /// # Errors
    /// The disk's.
    pub async fn update_recording<T: Send + 'static>(
        &self,
        id: &Id,
        change: impl FnOnce(&mut StoredRecording) -> (T, Vec<EventDraft>) + Send + 'static,
    ) -> Result<Option<T>, DatabaseError> {
        let id = id.clone();
        self.write(move |connection| update(connection, &id, Timestamp::now(), change)).await
    }

    /// [`get`], as a read of its own.
    ///
    /// # Errors
    /// The disk's.
    pub async fn recording(&self, id: &Id) -> Result<Option<StoredRecording>, DatabaseError> {
        let id = id.clone();
        self.read(move |connection| get(connection, &id)).await
    }
}

fn texts(row: &Row<'_>) -> rusqlite::Result<(String, String, Option<String>)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn parse((document, request, runtime): (String, String, Option<String>)) -> Result<StoredRecording, DatabaseError> {
    Ok(StoredRecording {
        recording: serde_json::from_str(&document)?,
        request: serde_json::from_str(&request)?,
        runtime: runtime.map_or(Ok(Runtime::default()), |text| serde_json::from_str(&text))?,
    })
}

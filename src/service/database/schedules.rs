//! Schedules in the database.

use super::connection::{DatabaseError, documents};
use crate::service::model::{Id, Schedule, ScheduleRequest};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A schedule as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSchedule {
    pub schedule: Schedule,
    /// The request with its secrets.
    pub request: ScheduleRequest,
}

/// Inserts a schedule.
pub fn insert(connection: &Connection, stored: &StoredSchedule) -> Result<(), DatabaseError> {
    let StoredSchedule { schedule, request } = stored;
    connection
        .prepare_cached("INSERT INTO schedules (id, project, next_ms, document, secrets) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            schedule.id.as_str(),
            schedule.project,
            schedule.next_at.map(Timestamp::as_millisecond),
            serde_json::to_string(schedule)?,
            serde_json::to_string(request)?,
        ])?;
    Ok(())
}

/// The schedule of that id.
pub fn get(connection: &Connection, id: &Id) -> Result<Option<StoredSchedule>, DatabaseError> {
    let sql = "SELECT document, secrets FROM schedules WHERE id = ?1";
    let row = connection.prepare_cached(sql)?.query_row([id.as_str()], texts).optional()?;
    let parse = |(document, secrets): (String, String)| {
        Ok(StoredSchedule { schedule: serde_json::from_str(&document)?, request: serde_json::from_str(&secrets)? })
    };
    row.map(parse).transpose()
}

/// Replaces a schedule by what it is now.
pub fn update(connection: &Connection, stored: &StoredSchedule) -> Result<(), DatabaseError> {
    let StoredSchedule { schedule, request } = stored;
    connection
        .prepare_cached("UPDATE schedules SET next_ms = ?2, document = ?3, secrets = ?4 WHERE id = ?1")?
        .execute(params![
            schedule.id.as_str(),
            schedule.next_at.map(Timestamp::as_millisecond),
            serde_json::to_string(schedule)?,
            serde_json::to_string(request)?,
        ])?;
    Ok(())
}

/// Schedules, the newest first, with their positions: of one project, or all.
pub fn list(
    connection: &Connection,
    project: Option<&str>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, Schedule)>, DatabaseError> {
    let sql = "SELECT position, document FROM schedules
               WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR position < ?2) ORDER BY position DESC LIMIT ?3";
    documents(connection, sql, params![project, before, limit])
}

/// How many a project has.
pub fn count(connection: &Connection, project: &str) -> Result<u32, DatabaseError> {
    let sql = "SELECT count(*) FROM schedules WHERE project = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([project], |row| row.get(0))?)
}

/// Schedules that have something to do at `now`.
pub fn due(connection: &Connection, now: Timestamp) -> Result<Vec<Id>, DatabaseError> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM schedules WHERE next_ms <= ?1 ORDER BY next_ms, position")?;
    let rows = statement.query_map([now.as_millisecond()], |row| row.get::<_, String>(0))?;
    rows.map(|id| Ok(serde_json::from_value(id?.into())?)).collect()
}

/// Forgets a schedule; returns whether there was one. Its recordings stay.
pub fn delete(connection: &Connection, id: &Id) -> Result<bool, DatabaseError> {
    Ok(connection.execute("DELETE FROM schedules WHERE id = ?1", [id.as_str()])? > 0)
}

fn texts(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

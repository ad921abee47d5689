//! Film jobs in the database.

use super::connection::DatabaseError;
use super::recordings::ProcessId;
use crate::service::model::{FilmJob, FilmState, Id};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A film job as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFilm {
    pub job: FilmJob,
    /// What makes it.
    pub process: Option<ProcessId>,
}

/// Inserts a job.
pub fn insert(connection: &Connection, job: &FilmJob) -> Result<(), DatabaseError> {
    connection
        .prepare_cached("INSERT INTO films (id, recording, open, document) VALUES (?1, ?2, 1, ?3)")?
        .execute(params![job.id.as_str(), job.recording.as_str(), serde_json::to_string(job)?])?;
    Ok(())
}

/// The job of that id.
pub fn get(connection: &Connection, id: &Id) -> Result<Option<StoredFilm>, DatabaseError> {
    let sql = "SELECT document, process FROM films WHERE id = ?1";
    let row = connection.prepare_cached(sql)?.query_row([id.as_str()], texts).optional()?;
    row.map(parse).transpose()
}

/// The jobs of a recording, the oldest first.
pub fn of(connection: &Connection, recording: &Id) -> Result<Vec<FilmJob>, DatabaseError> {
    let sql = "SELECT document, process FROM films WHERE recording = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([recording.as_str()], texts)?;
    rows.map(|row| Ok(parse(row?)?.job)).collect()
}

/// The newest jobs of a project or of all, in this state or in any; the newest first.
pub fn newest(
    connection: &Connection,
    project: Option<&str>,
    state: Option<FilmState>,
    limit: u32,
) -> Result<Vec<FilmJob>, DatabaseError> {
    let state = state.map(serde_json::to_value).transpose()?;
    let sql = "SELECT document, process FROM films
               WHERE (?1 IS NULL OR document ->> '$.project' = ?1) AND (?2 IS NULL OR document ->> '$.state' = ?2)
               ORDER BY position DESC LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![project, state.as_ref().and_then(|state| state.as_str()), limit], texts)?;
    rows.map(|row| Ok(parse(row?)?.job)).collect()
}

/// The jobs that have not ended, the oldest first.
pub fn open(connection: &Connection) -> Result<Vec<Id>, DatabaseError> {
    let mut statement = connection.prepare_cached("SELECT id FROM films WHERE open ORDER BY position")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|id| Ok(serde_json::from_value(id?.into())?)).collect()
}

/// Changes a job. None: there is no such job.
pub fn update<T>(
    connection: &Connection,
    id: &Id,
    change: impl FnOnce(&mut StoredFilm) -> T,
) -> Result<Option<T>, DatabaseError> {
    let Some(mut stored) = get(connection, id)? else { return Ok(None) };
    let value = change(&mut stored);
    let process = stored.process.map(|process| serde_json::to_string(&process)).transpose()?;
    connection.prepare_cached("UPDATE films SET open = ?2, document = ?3, process = ?4 WHERE id = ?1")?.execute(
        params![id.as_str(), stored.job.state == FilmState::Open, serde_json::to_string(&stored.job)?, process],
    )?;
    Ok(Some(value))
}

fn texts(row: &Row<'_>) -> rusqlite::Result<(String, Option<String>)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn parse((document, process): (String, Option<String>)) -> Result<StoredFilm, DatabaseError> {
    let process = process.map(|text| serde_json::from_str(&text)).transpose()?;
    Ok(StoredFilm { job: serde_json::from_str(&document)?, process })
}

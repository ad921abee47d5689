//! Film jobs in the database.

use super::connection::DatabaseError;
use super::recordings::ProcessId;
use crate::service::model::{FilmJob, FilmState, Id, Media, StoreName};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

/// A film job as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFilm {
    pub job: FilmJob,
    /// What makes it.
    pub process: Option<ProcessId>,
    /// Its recording is in a store only.
    pub remote: Option<RemoteFilm>,
}

/// What belongs to a film of a recording that is in a store only: it is brought to whoever makes the film, and the film is sent there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteFilm {
    /// The recording's place below the store's address.
    pub place: String,
    pub store: StoreName,
    /// With several machines: the worker that makes it, and its session; none: nobody yet, or this machine.
    #[serde(default)]
    pub worker: Option<(String, String)>,
    /// What was made and is in the store; more than the film, perhaps.
    #[serde(default)]
    pub media: Vec<Media>,
}

/// Inserts a job.
pub fn insert(connection: &Connection, job: &FilmJob, remote: Option<&RemoteFilm>) -> Result<(), DatabaseError> {
    let remote = remote.map(serde_json::to_string).transpose()?;
    connection
        .prepare_cached("INSERT INTO films (id, recording, open, document, remote) VALUES (?1, ?2, 1, ?3, ?4)")?
        .execute(params![job.id.as_str(), job.recording.as_str(), serde_json::to_string(job)?, remote])?;
    Ok(())
}

/// Forgets a job.
pub fn delete(connection: &Connection, id: &Id) -> Result<(), DatabaseError> {
    connection.execute("DELETE FROM films WHERE id = ?1", [id.as_str()])?;
    Ok(())
}

/// All jobs whose recordings are in a store only, the oldest first; `open`: those that have not ended.
pub fn remote(connection: &Connection, open: bool) -> Result<Vec<StoredFilm>, DatabaseError> {
    let sql =
        "SELECT document, process, remote FROM films WHERE remote IS NOT NULL AND (open OR NOT ?1) ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([open], texts)?;
    rows.map(|row| parse(row?)).collect()
}

/// The job of that id.
pub fn get(connection: &Connection, id: &Id) -> Result<Option<StoredFilm>, DatabaseError> {
    let sql = "SELECT document, process, remote FROM films WHERE id = ?1";
    let row = connection.prepare_cached(sql)?.query_row([id.as_str()], texts).optional()?;
    row.map(parse).transpose()
}

/// The jobs of a recording, the oldest first.
pub fn of(connection: &Connection, recording: &Id) -> Result<Vec<FilmJob>, DatabaseError> {
    let sql = "SELECT document, process, remote FROM films WHERE recording = ?1 ORDER BY position";
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
    let sql = "SELECT document, process, remote FROM films
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
    let remote = stored.remote.as_ref().map(serde_json::to_string).transpose()?;
    let (is_open, document) = (stored.job.state == FilmState::Open, serde_json::to_string(&stored.job)?);
    connection
        .prepare_cached("UPDATE films SET open = ?2, document = ?3, process = ?4, remote = ?5 WHERE id = ?1")?
        .execute(params![id.as_str(), is_open, document, process, remote])?;
    Ok(Some(value))
}

/// A row: the document, the process, what belongs to a remote one.
type Texts = (String, Option<String>, Option<String>);

fn texts(row: &Row<'_>) -> rusqlite::Result<Texts> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn parse((document, process, remote): Texts) -> Result<StoredFilm, DatabaseError> {
    let process = process.map(|text| serde_json::from_str(&text)).transpose()?;
    let remote = remote.map(|text| serde_json::from_str(&text)).transpose()?;
    Ok(StoredFilm { job: serde_json::from_str(&document)?, process, remote })
}

//! Checks in the database.

use super::connection::{DatabaseError, documents};
use super::recordings::ProcessId;
use crate::service::model::{Check, CheckState, Id};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A check as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCheck {
    pub check: Check,
    /// What runs it.
    pub process: Option<ProcessId>,
}

/// Inserts a check.
pub fn insert(connection: &Connection, check: &Check) -> Result<(), DatabaseError> {
    connection
        .prepare_cached("INSERT INTO checks (id, project, open, document) VALUES (?1, ?2, 1, ?3)")?
        .execute(params![check.id.as_str(), check.project, serde_json::to_string(check)?])?;
    Ok(())
}

/// The check of that id.
pub fn get(connection: &Connection, id: &Id) -> Result<Option<StoredCheck>, DatabaseError> {
    let sql = "SELECT document, process FROM checks WHERE id = ?1";
    let row = connection.prepare_cached(sql)?.query_row([id.as_str()], texts).optional()?;
    let parse = |(document, process): (String, Option<String>)| {
        let process = process.map(|text| serde_json::from_str(&text)).transpose()?;
        Ok(StoredCheck { check: serde_json::from_str(&document)?, process })
    };
    row.map(parse).transpose()
}

/// Changes a check. None: there is no such check.
pub fn update<T>(
    connection: &Connection,
    id: &Id,
    change: impl FnOnce(&mut StoredCheck) -> T,
) -> Result<Option<T>, DatabaseError> {
    let Some(mut stored) = get(connection, id)? else { return Ok(None) };
    let value = change(&mut stored);
    let process = stored.process.map(|process| serde_json::to_string(&process)).transpose()?;
    let open = stored.check.state == CheckState::Open;
    connection
        .prepare_cached("UPDATE checks SET open = ?2, document = ?3, process = ?4 WHERE id = ?1")?
        .execute(params![id.as_str(), open, serde_json::to_string(&stored.check)?, process])?;
    Ok(Some(value))
}

/// Checks, the newest first, with their positions: of one project, or all.
pub fn list(
    connection: &Connection,
    project: Option<&str>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, Check)>, DatabaseError> {
    let sql = "SELECT position, document FROM checks
               WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR position < ?2) ORDER BY position DESC LIMIT ?3";
    documents(connection, sql, params![project, before, limit])
}

/// The checks that have not ended, the oldest first, and whether each runs.
pub fn open(connection: &Connection) -> Result<Vec<(Id, bool)>, DatabaseError> {
    let sql = "SELECT id, process IS NOT NULL FROM checks WHERE open ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    rows.map(|row| {
        let (id, has_begun) = row?;
        Ok((serde_json::from_value(id.into())?, has_begun))
    })
    .collect()
}

/// How many of a project have not ended.
pub fn count_open(connection: &Connection, project: &str) -> Result<u32, DatabaseError> {
    let sql = "SELECT count(*) FROM checks WHERE project = ?1 AND open";
    Ok(connection.prepare_cached(sql)?.query_row([project], |row| row.get(0))?)
}

/// Forgets a check.
pub fn delete(connection: &Connection, id: &Id) -> Result<bool, DatabaseError> {
    Ok(connection.execute("DELETE FROM checks WHERE id = ?1", [id.as_str()])? > 0)
}

fn texts(row: &Row<'_>) -> rusqlite::Result<(String, Option<String>)> {
    Ok((row.get(0)?, row.get(1)?))
}

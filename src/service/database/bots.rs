//! Bots in the database.

use super::connection::{DatabaseError, documents};
use super::recordings::ProcessId;
use crate::service::model::{Bot, BotRequest, BotState, Id};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

/// A bot as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredBot {
    pub bot: Bot,
    /// The request with its secrets.
    pub request: BotRequest,
    pub runtime: BotRuntime,
}

/// What the service has to know of a bot to find it again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BotRuntime {
    pub process: Option<ProcessId>,
    /// How often in a row it ended soon after its start.
    pub failures: u32,
}

/// A bot that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenBot {
    pub id: Id,
    /// Whether it has room on this machine already.
    pub has_begun: bool,
    pub encodes: bool,
}

/// Inserts a bot.
pub fn insert(connection: &Connection, stored: &StoredBot) -> Result<(), DatabaseError> {
    let StoredBot { bot, request, runtime } = stored;
    connection
        .prepare_cached(
            "INSERT INTO bots (id, project, state, open, encodes, document, secrets, runtime)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            bot.id.as_str(),
            bot.project,
            bot.state.word(),
            !bot.state.is_final(),
            request.encodes(),
            serde_json::to_string(bot)?,
            serde_json::to_string(request)?,
            serde_json::to_string(runtime)?,
        ])?;
    Ok(())
}

/// The bot of that id.
pub fn get(connection: &Connection, id: &Id) -> Result<Option<StoredBot>, DatabaseError> {
    let sql = "SELECT document, secrets, runtime FROM bots WHERE id = ?1";
    let row = connection.prepare_cached(sql)?.query_row([id.as_str()], texts).optional()?;
    let parse = |(document, request, runtime): (String, String, String)| {
        Ok(StoredBot {
            bot: serde_json::from_str(&document)?,
            request: serde_json::from_str(&request)?,
            runtime: serde_json::from_str(&runtime)?,
        })
    };
    row.map(parse).transpose()
}

/// Changes a bot. None: there is no such bot.
pub fn update<T>(
    connection: &Connection,
    id: &Id,
    change: impl FnOnce(&mut StoredBot) -> T,
) -> Result<Option<T>, DatabaseError> {
    let Some(mut stored) = get(connection, id)? else { return Ok(None) };
    let value = change(&mut stored);
    connection
        .prepare_cached("UPDATE bots SET state = ?2, open = ?3, document = ?4, runtime = ?5 WHERE id = ?1")?
        .execute(params![
            id.as_str(),
            stored.bot.state.word(),
            !stored.bot.state.is_final(),
            serde_json::to_string(&stored.bot)?,
            serde_json::to_string(&stored.runtime)?,
        ])?;
    Ok(Some(value))
}

/// Bots, the newest first, with their positions: of one project, or all; in these states, or any.
pub fn list(
    connection: &Connection,
    project: Option<&str>,
    states: &[BotState],
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, Bot)>, DatabaseError> {
    let words: Vec<_> = states.iter().map(|state| state.word()).collect();
    let words = if words.is_empty() { None } else { Some(serde_json::to_string(&words)?) };
    let sql = "SELECT position, document FROM bots
               WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR position < ?2)
                 AND (?3 IS NULL OR state IN (SELECT value FROM json_each(?3)))
               ORDER BY position DESC LIMIT ?4";
    documents(connection, sql, params![project, before, words, limit])
}

/// The bots that have not ended, the oldest first.
pub fn open(connection: &Connection) -> Result<Vec<OpenBot>, DatabaseError> {
    let mut statement =
        connection.prepare_cached("SELECT id, state <> 'queued', encodes FROM bots WHERE open ORDER BY position")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?;
    rows.map(|row| {
        let (id, has_begun, encodes) = row?;
        Ok(OpenBot { id: serde_json::from_value(id.into())?, has_begun, encodes })
    })
    .collect()
}

/// How many of a project have not ended.
pub fn count_open(connection: &Connection, project: &str) -> Result<u32, DatabaseError> {
    let sql = "SELECT count(*) FROM bots WHERE project = ?1 AND open";
    Ok(connection.prepare_cached(sql)?.query_row([project], |row| row.get(0))?)
}

/// Forgets a bot.
pub fn delete(connection: &Connection, id: &Id) -> Result<bool, DatabaseError> {
    Ok(connection.execute("DELETE FROM bots WHERE id = ?1", [id.as_str()])? > 0)
}

fn texts(row: &Row<'_>) -> rusqlite::Result<(String, String, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

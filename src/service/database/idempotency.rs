//! Requests that were made before under the same key.

use super::connection::DatabaseError;
use crate::service::model::Id;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// How long a key is remembered, in milliseconds: a day.
const KEPT_MS: i64 = 24 * 3600 * 1000;

/// What is known of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Earlier {
    /// Nothing.
    None,
    /// The same request was made, and this came of it.
    Same(Id),
    /// Another request was made with this key.
    Other,
}

/// Looks the key up. `digest`: of the request's body.
pub fn find(
    connection: &Connection,
    project: &str,
    key: &str,
    digest: &str,
    now: Timestamp,
) -> Result<Earlier, DatabaseError> {
    let sql = "SELECT digest, recording FROM idempotency WHERE project = ?1 AND key = ?2 AND created_ms > ?3";
    let known: Option<(String, String)> = connection
        .prepare_cached(sql)?
        .query_row(params![project, key, now.as_millisecond() - KEPT_MS], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match known {
        None => Earlier::None,
        Some((known, recording)) if known == digest => Earlier::Same(serde_json::from_value(recording.into())?),
        Some(_) => Earlier::Other,
    })
}

/// Remembers what came of a request, and forgets what is older than a day.
pub fn remember(
    connection: &Connection,
    project: &str,
    key: &str,
    digest: &str,
    recording: &Id,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let now = now.as_millisecond();
    connection.prepare_cached("DELETE FROM idempotency WHERE created_ms <= ?1")?.execute([now - KEPT_MS])?;
    connection
        .prepare_cached(
            "INSERT INTO idempotency (project, key, digest, recording, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![project, key, digest, recording.as_str(), now])?;
    Ok(())
}

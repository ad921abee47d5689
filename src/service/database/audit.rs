//! The audit log: read here, written beside what it tells of.

use super::connection::DatabaseError;
use crate::recording::utc_ms;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;
use utoipa::ToSchema;

/// What somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditEntry {
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub at: Timestamp,
    pub project: String,
    /// Who: the id of a key or a token, of the schedule, or absent for the service itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// That key's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    #[schema(example = "recording.stop")]
    pub action: String,
    /// The id of what it was done to.
    pub object: String,
    /// More of it: the path of a file that was downloaded.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Which entries to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub project: Option<String>,
    pub key: Option<String>,
    pub action: Option<String>,
    pub object: Option<String>,
    pub since: Option<Timestamp>,
    /// Only those before this position.
    pub before: Option<i64>,
}

/// Entries, the newest first, with their positions.
pub fn list(
    connection: &Connection,
    filter: &AuditFilter,
    limit: u32,
) -> Result<Vec<(i64, AuditEntry)>, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT position, at_ms, audit.project, key, keys.name, action, object, detail
         FROM audit LEFT JOIN keys ON keys.id = audit.key
         WHERE (?1 IS NULL OR audit.project = ?1) AND (?2 IS NULL OR key = ?2) AND (?3 IS NULL OR action = ?3)
           AND (?4 IS NULL OR object = ?4) AND (?5 IS NULL OR at_ms >= ?5) AND (?6 IS NULL OR position < ?6)
         ORDER BY position DESC LIMIT ?7",
    )?;
    let values = params![
        filter.project,
        filter.key,
        filter.action,
        filter.object,
        filter.since.map(Timestamp::as_millisecond),
        filter.before,
        limit
    ];
    let rows = statement.query_map(values, |row| {
        let entry = AuditEntry {
            at: Timestamp::from_millisecond(row.get(1)?).unwrap_or_default(),
            project: row.get(2)?,
            key: row.get(3)?,
            key_name: row.get(4)?,
            action: row.get(5)?,
            object: row.get(6)?,
            detail: row.get(7)?,
        };
        Ok((row.get(0)?, entry))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

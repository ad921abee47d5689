//! Who did what: reading the audit log. It is written together with what it tells of (`keys::audit`), and never changed.

use super::connection::DatabaseError;
use crate::recording::utc_ms;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;
use utoipa::ToSchema;

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub at: Timestamp,
    pub project: String,
    /// The key that it was done with; absent: the service did it by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// That key's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    /// `recording.create`, `key.revoke` …
    #[schema(example = "recording.create")]
    pub action: String,
    /// The id of what it was done to.
    pub object: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What was done before this position, the newest first, with its positions. `object`: only what was done to it.
pub fn list(
    connection: &Connection,
    object: Option<&str>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, AuditEntry)>, DatabaseError> {
    let sql = "SELECT position, at_ms, audit.project, key, keys.name, action, object, detail
               FROM audit LEFT JOIN keys ON keys.id = audit.key
               WHERE position < ?1 AND (?2 IS NULL OR object = ?2) ORDER BY position DESC LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![before.unwrap_or(i64::MAX), object, limit], |row| {
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

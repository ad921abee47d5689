//! API keys and the audit log in the database. Keys are kept as digests only.

use super::connection::DatabaseError;
use crate::recording::utc_ms;
use crate::service::model::Id;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    #[serde(rename = "recordings:read")]
    RecordingsRead,
    #[serde(rename = "recordings:write")]
    RecordingsWrite,
    /// Webhooks and deliveries of the project.
    #[serde(rename = "webhooks")]
    Webhooks,
    /// Bots of the project.
    #[serde(rename = "bots")]
    Bots,
    /// Checks of the project.
    #[serde(rename = "checks")]
    Checks,
    /// Everything, in all projects.
    #[serde(rename = "admin")]
    Admin,
}

/// A key, without the key itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    pub id: Id,
    pub name: String,
    pub project: String,
    pub scopes: Vec<Scope>,
    /// Requests a minute; the service's default if absent, 0 any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<u32>,
    #[schema(value_type = String, format = DateTime)]
    #[serde(with = "utc_ms")]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(with = "utc_ms::option")]
    pub revoked_at: Option<Timestamp>,
}

/// Whether a project may be called that.
pub fn is_project(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Inserts a key by its digest.
pub fn insert(connection: &Connection, key: &ApiKey, digest: &str) -> Result<(), DatabaseError> {
    let scopes = serde_json::to_string(&key.scopes)?;
    connection.execute(
        "INSERT INTO keys (id, name, digest, project, scopes, created_ms, rate_limit) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![key.id.as_str(), key.name, digest, key.project, scopes, key.created_at.as_millisecond(), key.rate_limit],
    )?;
    Ok(())
}

/// The key of that digest, if it is not revoked.
pub fn by_digest(connection: &Connection, digest: &str) -> Result<Option<ApiKey>, DatabaseError> {
    let sql = "SELECT id, name, project, scopes, created_ms, revoked_ms, rate_limit FROM keys WHERE digest = ?1 AND revoked_ms IS NULL";
    let row = connection.prepare_cached(sql)?.query_row([digest], columns).optional()?;
    row.map(parse).transpose()
}

/// Begins a session of the dashboard for a key, and forgets those that are over.
pub fn begin_session(
    connection: &Connection,
    digest: &str,
    key: &Id,
    now: Timestamp,
    length: Duration,
) -> Result<(), DatabaseError> {
    connection.execute("DELETE FROM sessions WHERE expires_ms <= ?1", [now.as_millisecond()])?;
    let expires_ms = now.as_millisecond().saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX));
    let sql = "INSERT INTO sessions (digest, key, expires_ms) VALUES (?1, ?2, ?3)";
    connection.execute(sql, params![digest, key.as_str(), expires_ms])?;
    Ok(())
}

/// The key of a session, if neither is over.
pub fn by_session(connection: &Connection, digest: &str, now: Timestamp) -> Result<Option<ApiKey>, DatabaseError> {
    let sql = "SELECT keys.id, name, project, scopes, created_ms, revoked_ms, rate_limit FROM keys JOIN sessions ON sessions.key = keys.id
               WHERE sessions.digest = ?1 AND expires_ms > ?2 AND revoked_ms IS NULL";
    let row = connection.prepare_cached(sql)?.query_row(params![digest, now.as_millisecond()], columns).optional()?;
    row.map(parse).transpose()
}

/// Ends a session.
pub fn end_session(connection: &Connection, digest: &str) -> Result<(), DatabaseError> {
    connection.execute("DELETE FROM sessions WHERE digest = ?1", [digest])?;
    Ok(())
}

/// All keys, the oldest first.
pub fn list(connection: &Connection) -> Result<Vec<ApiKey>, DatabaseError> {
    let sql = "SELECT id, name, project, scopes, created_ms, revoked_ms, rate_limit FROM keys ORDER BY created_ms, id";
    connection.prepare_cached(sql)?.query_map([], columns)?.map(|row| parse(row?)).collect()
}

/// Revokes a key; returns whether there was one.
pub fn revoke(connection: &Connection, id: &Id, now: Timestamp) -> Result<bool, DatabaseError> {
    let sql = "UPDATE keys SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL";
    Ok(connection.execute(sql, params![id.as_str(), now.as_millisecond()])? > 0)
}

/// Whether there is any key that may do everything.
pub fn has_admin(connection: &Connection) -> Result<bool, DatabaseError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM keys, json_each(scopes) WHERE revoked_ms IS NULL AND value = 'admin')";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Notes who did what. `key`: the id of the key, none for the service itself.
pub fn audit(
    connection: &Connection,
    project: &str,
    key: Option<&Id>,
    action: &str,
    object: &str,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    audit_detail(connection, project, key, action, object, "", now)
}

/// The same with more of it: the path of a file, say.
pub fn audit_detail(
    connection: &Connection,
    project: &str,
    key: Option<&Id>,
    action: &str,
    object: &str,
    detail: &str,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO audit (at_ms, project, key, action, object, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let key = key.map(Id::as_str);
    connection.prepare_cached(sql)?.execute(params![now.as_millisecond(), project, key, action, object, detail])?;
    Ok(())
}

type Columns = (String, String, String, String, i64, Option<i64>, Option<u32>);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
}

fn parse((id, name, project, scopes, created_ms, revoked_ms, rate_limit): Columns) -> Result<ApiKey, DatabaseError> {
    let time = |ms| Timestamp::from_millisecond(ms).unwrap_or_default();
    Ok(ApiKey {
        id: serde_json::from_value(id.into())?,
        name,
        project,
        scopes: serde_json::from_str(&scopes)?,
        rate_limit,
        created_at: time(created_ms),
        revoked_at: revoked_ms.map(time),
    })
}

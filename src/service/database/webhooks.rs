//! Webhooks and their secrets in the database.

use super::connection::DatabaseError;
use super::deliveries;
use crate::service::model::{EventType, Id, Secrets, Webhook};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Webhooks of a project at most.
pub const MOST: u32 = 100;

/// A webhook as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWebhook {
    pub webhook: Webhook,
    pub secrets: Secrets,
}

/// What became of a webhook that was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Done,
    /// The project has one with this URL.
    Exists,
    /// The project has [`MOST`] of them.
    TooMany,
}

/// Endpoints of a project that want an event: id and URL.
pub(super) fn wanting(
    connection: &Connection,
    project: &str,
    kind: EventType,
) -> Result<Vec<(Option<Id>, String)>, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, url FROM endpoints WHERE project = ?1 AND NOT disabled
         AND (json_array_length(kinds) = 0 OR EXISTS (SELECT 1 FROM json_each(kinds) WHERE value = ?2))",
    )?;
    let rows = statement.query_map(params![project, kind.word()], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    rows.map(|row| {
        let (id, url) = row?;
        Ok((Some(serde_json::from_value(id.into())?), url))
    })
    .collect()
}

/// Inserts a webhook.
pub fn insert(connection: &Connection, stored: &StoredWebhook) -> Result<Written, DatabaseError> {
    let StoredWebhook { webhook, secrets } = stored;
    if url_is_taken(connection, webhook)? {
        return Ok(Written::Exists);
    }
    let sql = "SELECT count(*) FROM endpoints WHERE project = ?1";
    let known: u32 = connection.query_row(sql, [&webhook.project], |row| row.get(0))?;
    if known >= MOST {
        return Ok(Written::TooMany);
    }
    connection.execute(
        "INSERT INTO endpoints (id, project, url, secrets, kinds, description, created_ms, disabled, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            webhook.id.as_str(),
            webhook.project,
            webhook.url,
            serde_json::to_string(secrets)?,
            serde_json::to_string(&webhook.events)?,
            webhook.description,
            webhook.created_at.as_millisecond(),
            webhook.disabled,
            webhook.disabled_reason,
        ],
    )?;
    Ok(Written::Done)
}

/// Writes what of a webhook can change. One that is disabled has nothing to send any more: what was pending is dead.
pub fn update(connection: &Connection, stored: &StoredWebhook, now: Timestamp) -> Result<Written, DatabaseError> {
    let StoredWebhook { webhook, secrets } = stored;
    if url_is_taken(connection, webhook)? {
        return Ok(Written::Exists);
    }
    connection.execute(
        "UPDATE endpoints SET url = ?2, secrets = ?3, kinds = ?4, description = ?5, disabled = ?6, reason = ?7
         WHERE id = ?1",
        params![
            webhook.id.as_str(),
            webhook.url,
            serde_json::to_string(secrets)?,
            serde_json::to_string(&webhook.events)?,
            webhook.description,
            webhook.disabled,
            webhook.disabled_reason,
        ],
    )?;
    if webhook.disabled {
        deliveries::give_up(connection, &webhook.id, "the webhook is disabled", now)?;
    }
    Ok(Written::Done)
}

/// Disables a webhook, with why; what was on its way to it is dead.
pub fn disable(connection: &Connection, id: &Id, why: &str, now: Timestamp) -> Result<(), DatabaseError> {
    let sql = "UPDATE endpoints SET disabled = 1, reason = ?2 WHERE id = ?1";
    connection.execute(sql, params![id.as_str(), why])?;
    deliveries::give_up(connection, id, why, now)
}

fn url_is_taken(connection: &Connection, webhook: &Webhook) -> Result<bool, DatabaseError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM endpoints WHERE project = ?1 AND url = ?2 AND id <> ?3)";
    let values = params![webhook.project, webhook.url, webhook.id.as_str()];
    Ok(connection.query_row(sql, values, |row| row.get(0))?)
}

/// The webhook of that id.
pub fn get(connection: &Connection, id: &Id, now: Timestamp) -> Result<Option<StoredWebhook>, DatabaseError> {
    let sql = "SELECT id, project, url, secrets, kinds, description, created_ms, disabled, reason FROM endpoints
               WHERE id = ?1";
    let row = connection.prepare_cached(sql)?.query_row([id.as_str()], columns).optional()?;
    row.map(|row| parse(row, now)).transpose()
}

/// The webhooks of a project, or all; the oldest first.
pub fn list(connection: &Connection, project: Option<&str>, now: Timestamp) -> Result<Vec<Webhook>, DatabaseError> {
    let sql = "SELECT id, project, url, secrets, kinds, description, created_ms, disabled, reason FROM endpoints
               WHERE ?1 IS NULL OR project = ?1 ORDER BY created_ms, id";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map([project], columns)?.map(|row| Ok(parse(row?, now)?.webhook)).collect()
}

/// Forgets a webhook. Its deliveries stay for the record; those that were pending are dead.
pub fn delete(connection: &Connection, id: &Id, now: Timestamp) -> Result<bool, DatabaseError> {
    deliveries::give_up(connection, id, "the webhook was deleted", now)?;
    Ok(connection.execute("DELETE FROM endpoints WHERE id = ?1", [id.as_str()])? > 0)
}

/// The secrets that deliveries to the own `webhook_url` of a project's recordings are signed with; `fresh` where there are none yet.
pub fn project_secrets(connection: &Connection, project: &str, fresh: String) -> Result<Secrets, DatabaseError> {
    let sql = "SELECT secrets FROM project_secrets WHERE project = ?1";
    let known: Option<String> = connection.query_row(sql, [project], |row| row.get(0)).optional()?;
    if let Some(known) = known {
        return Ok(serde_json::from_str(&known)?);
    }
    let secrets = Secrets::new(fresh);
    write_project_secrets(connection, project, &secrets)?;
    Ok(secrets)
}

/// Replaces them.
pub fn write_project_secrets(connection: &Connection, project: &str, secrets: &Secrets) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO project_secrets (project, secrets) VALUES (?1, ?2)
               ON CONFLICT (project) DO UPDATE SET secrets = excluded.secrets";
    connection.execute(sql, params![project, serde_json::to_string(secrets)?])?;
    Ok(())
}

type Columns = (String, String, String, String, String, String, i64, bool, Option<String>);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
    ))
}

fn parse(columns: Columns, now: Timestamp) -> Result<StoredWebhook, DatabaseError> {
    let (id, project, url, secrets, kinds, description, created_ms, disabled, disabled_reason) = columns;
    let secrets: Secrets = serde_json::from_str(&secrets)?;
    let webhook = Webhook {
        id: serde_json::from_value(id.into())?,
        project,
        url,
        events: serde_json::from_str(&kinds)?,
        description,
        disabled,
        disabled_reason,
        created_at: Timestamp::from_millisecond(created_ms).unwrap_or_default(),
        rotating_until: secrets.rotating_until(now),
    };
    Ok(StoredWebhook { webhook, secrets })
}

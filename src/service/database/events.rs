//! Events in the database, and the deliveries that come with them.

use super::connection::DatabaseError;
use super::deliveries::{self, NewDelivery};
use super::webhooks;
use crate::service::model::{Event, EventDraft, EventType, Id, Recording, Webhook};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde_json::json;

/// The version of a delivery's body.
pub const API_VERSION: &str = "2026-11-01";

/// Appends events of a recording, with a delivery of each to every endpoint that wants it.
pub fn append(
    connection: &Connection,
    recording: &Recording,
    now: Timestamp,
    drafts: Vec<EventDraft>,
) -> Result<(), DatabaseError> {
    if drafts.is_empty() {
        return Ok(());
    }
    let last = "SELECT coalesce(max(sequence), 0) FROM events WHERE recording = ?1";
    let mut sequence: i64 = connection.prepare_cached(last)?.query_row([recording.id.as_str()], |row| row.get(0))?;
    for EventDraft { kind, data } in drafts {
        sequence += 1;
        let id = Id::new(Id::EVENT);
        connection
            .prepare_cached(
                "INSERT INTO events (id, recording, project, sequence, kind, at_ms, data)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                id.as_str(),
                recording.id.as_str(),
                recording.project,
                sequence,
                kind.word(),
                now.as_millisecond(),
                data.to_string()
            ])?;
        deliver(connection, recording, &id, sequence, kind, now, &data)?;
    }
    Ok(())
}

/// Notes the deliveries of an event.
fn deliver(
    connection: &Connection,
    recording: &Recording,
    event: &Id,
    sequence: i64,
    kind: EventType,
    now: Timestamp,
    data: &serde_json::Value,
) -> Result<(), DatabaseError> {
    let mut targets = webhooks::wanting(connection, &recording.project, kind)?;
    if let Some(own) = &recording.request.webhook_url {
        targets.push((None, own.clone()));
    }
    if targets.is_empty() {
        return Ok(());
    }
    let body = json!({
        "id": event, "type": kind, "created_at": format!("{now:.3}"), "api_version": API_VERSION,
        "sequence": sequence, "recording": recording, "data": data,
    })
    .to_string();
    for (webhook, url) in &targets {
        let draft = NewDelivery {
            event,
            kind,
            webhook: webhook.as_ref(),
            recording: Some(&recording.id),
            project: &recording.project,
            url,
            body: &body,
        };
        deliveries::enqueue(connection, &draft, now)?;
    }
    Ok(())
}

/// Empties what events of a recording say that `is_theirs`, and deliveries of them. The events themselves stay: clients count them.
pub fn empty(
    connection: &Connection,
    recording: &Id,
    is_theirs: impl Fn(&serde_json::Value) -> bool,
) -> Result<(), DatabaseError> {
    let mut statement = connection.prepare_cached("SELECT id, data FROM events WHERE recording = ?1")?;
    let rows =
        statement.query_map([recording.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    for row in rows.collect::<Result<Vec<_>, _>>()? {
        let (id, data) = row;
        if !is_theirs(&serde_json::from_str(&data)?) {
            continue;
        }
        connection.prepare_cached("UPDATE events SET data = '{}' WHERE id = ?1")?.execute([&id])?;
        let sql = "UPDATE deliveries SET body = json_set(body, '$.data', json('{}')) WHERE event = ?1";
        connection.prepare_cached(sql)?.execute([&id])?;
    }
    // Names of files and warnings.
    let sql = "UPDATE deliveries SET body = json_remove(body, '$.recording.outcome') WHERE recording = ?1";
    connection.execute(sql, [recording.as_str()])?;
    Ok(())
}

/// Notes the delivery of a ping to an endpoint, which may be disabled; returns its id.
pub fn ping(connection: &Connection, webhook: &Webhook, now: Timestamp) -> Result<Id, DatabaseError> {
    let event = Id::new(Id::EVENT);
    let body = json!({
        "id": event, "type": EventType::Ping, "created_at": format!("{now:.3}"), "api_version": API_VERSION,
        "data": { "webhook": webhook.id },
    })
    .to_string();
    let draft = NewDelivery {
        event: &event,
        kind: EventType::Ping,
        webhook: Some(&webhook.id),
        recording: None,
        project: &webhook.project,
        url: &webhook.url,
        body: &body,
    };
    deliveries::enqueue(connection, &draft, now)
}

/// Events after a position, the oldest first: of one recording, or of all of a project.
pub fn after(
    connection: &Connection,
    project: Option<&str>,
    recording: Option<&Id>,
    position: i64,
    limit: u32,
) -> Result<Vec<Event>, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT position, id, recording, sequence, kind, at_ms, data FROM events
         WHERE position > ?1 AND (?2 IS NULL OR project = ?2) AND (?3 IS NULL OR recording = ?3)
         ORDER BY position LIMIT ?4",
    )?;
    let rows = statement.query_map(params![position, project, recording.map(Id::as_str), limit], |row| {
        let texts: (String, String, String, String) = (row.get(1)?, row.get(2)?, row.get(4)?, row.get(6)?);
        Ok((row.get::<_, i64>(0)?, texts, row.get::<_, i64>(3)?, row.get::<_, i64>(5)?))
    })?;
    rows.map(|row| {
        let (position, (id, recording, kind, data), sequence, at_ms) = row?;
        Ok(Event {
            id: serde_json::from_value(id.into())?,
            position,
            recording: serde_json::from_value(recording.into())?,
            sequence,
            kind: serde_json::from_value(kind.into())?,
            at: Timestamp::from_millisecond(at_ms).unwrap_or_default(),
            data: serde_json::from_str(&data)?,
        })
    })
    .collect()
}

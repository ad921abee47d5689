//! The outbox: events on their way to endpoints. At most one delivery per recording and target is pending; later ones wait for it, so
//! that order is kept.

use super::connection::DatabaseError;
use crate::service::model::{Delivery, DeliveryState, EventType, Id, Secrets};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use serde::Serialize;
use utoipa::ToSchema;

/// Bytes of a problem that are kept.
const LONGEST_PROBLEM: usize = 500;
/// Rows that are removed in one write.
const CLEANED: u32 = 1000;

/// A delivery to be made.
pub(super) struct NewDelivery<'a> {
    pub event: &'a Id,
    pub kind: EventType,
    /// None: the recording's own `webhook_url`.
    pub webhook: Option<&'a Id>,
    /// None: a ping.
    pub recording: Option<&'a Id>,
    pub project: &'a str,
    pub url: &'a str,
    pub body: &'a str,
}

/// A delivery that is to be sent now.
#[derive(Debug, Clone)]
pub struct Due {
    pub position: i64,
    pub event: Id,
    pub kind: EventType,
    pub webhook: Option<Id>,
    /// The endpoint, or the scheme, host and port of the URL: what shares a limit.
    pub target: String,
    pub project: String,
    pub url: String,
    pub body: String,
    /// How often it was sent already, and when first.
    pub attempts: u32,
    pub first: Option<Timestamp>,
    /// None: the project has none yet.
    pub secrets: Option<Secrets>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub at: Timestamp,
    pub status: Option<u16>,
    /// None: it was delivered.
    pub problem: Option<String>,
    /// When to try again; none: never.
    pub next: Option<Timestamp>,
}

/// Figures over all deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Figures {
    /// Deliveries that arrived, since the database was made.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Deliveries that were given up.
    pub dead: u64,
    /// Deliveries on their way now.
    pub undone: u64,
    /// Age of the oldest of these, in milliseconds.
    pub lag_ms: u64,
}

/// Inserts a delivery; it waits if another of the same recording and target is on its way. Returns its id.
pub(super) fn enqueue(connection: &Connection, draft: &NewDelivery, now: Timestamp) -> Result<Id, DatabaseError> {
    let id = Id::new(Id::DELIVERY);
    let origin = || url::Url::parse(draft.url).map_or_else(|_| draft.url.to_owned(), |url| origin(&url));
    let target = draft.webhook.map_or_else(origin, |webhook| webhook.to_string());
    connection
        .prepare_cached(
            "INSERT INTO deliveries (id, event, endpoint, target, recording, project, url, kind, body, created_ms, next_ms, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, iif(
                EXISTS (SELECT 1 FROM deliveries WHERE recording = ?5 AND target = ?4 AND state = 'pending'),
                'waiting', 'pending'))",
        )?
        .execute(params![
            id.as_str(),
            draft.event.as_str(),
            draft.webhook.map(Id::as_str),
            target,
            draft.recording.map_or("", Id::as_str),
            draft.project,
            draft.url,
            draft.kind.word(),
            draft.body,
            now.as_millisecond()
        ])?;
    Ok(id)
}

fn origin(url: &url::Url) -> String {
    url.origin().ascii_serialization()
}

/// What is due: at most so many in all and for each target, the longest due first.
pub fn due(connection: &Connection, now: Timestamp, per_target: u32, limit: u32) -> Result<Vec<Due>, DatabaseError> {
    let sql = "SELECT d.position, d.event, d.kind, d.endpoint, d.target, d.project, coalesce(e.url, d.url), d.body,
                      d.attempts, d.first_ms, coalesce(e.secrets, s.secrets)
               FROM (SELECT position, next_ms, row_number() OVER (PARTITION BY target ORDER BY next_ms, position) AS rank
                     FROM deliveries WHERE state = 'pending' AND next_ms <= ?1) AS ranked
               JOIN deliveries d ON d.position = ranked.position
               LEFT JOIN endpoints e ON e.id = d.endpoint
               LEFT JOIN project_secrets s ON d.endpoint IS NULL AND s.project = d.project
               WHERE rank <= ?2 ORDER BY ranked.next_ms, d.position LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![now.as_millisecond(), per_target, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let secrets: Option<String> = row.get(10)?;
        found.push(Due {
            position: row.get(0)?,
            event: word(row, 1)?,
            kind: word(row, 2)?,
            webhook: optional(row, 3)?,
            target: row.get(4)?,
            project: row.get(5)?,
            url: row.get(6)?,
            body: row.get(7)?,
            attempts: row.get(8)?,
            first: time(row.get(9)?),
            secrets: secrets.map(|text| serde_json::from_str(&text)).transpose()?,
        });
    }
    Ok(found)
}

/// When the next delivery is due that is not due yet.
pub fn next_due(connection: &Connection, now: Timestamp) -> Result<Option<Timestamp>, DatabaseError> {
    let sql = "SELECT min(next_ms) FROM deliveries WHERE state = 'pending' AND next_ms > ?1";
    let next: Option<i64> = connection.prepare_cached(sql)?.query_row([now.as_millisecond()], |row| row.get(0))?;
    Ok(time(next))
}

/// Notes an attempt. The next of the same recording and target becomes due when this one is done.
pub fn note(connection: &Connection, position: i64, attempt: &Attempt, now: Timestamp) -> Result<(), DatabaseError> {
    let (state, result) = match (&attempt.problem, attempt.next) {
        (None, _) => (DeliveryState::Delivered, "delivered"),
        (Some(_), Some(_)) => (DeliveryState::Pending, "failed"),
        (Some(_), None) => (DeliveryState::Dead, "failed"),
    };
    count(connection, result, 1)?;
    // What was given up meanwhile stays dead, unless it has arrived.
    let changed = connection
        .prepare_cached(
            "UPDATE deliveries SET state = ?2, attempts = attempts + 1, first_ms = coalesce(first_ms, ?3),
                    next_ms = coalesce(?4, next_ms), done_ms = ?5, status = ?6, problem = ?7
             WHERE position = ?1 AND (state = 'pending' OR ?2 = 'delivered')",
        )?
        .execute(params![
            position,
            state.word(),
            attempt.at.as_millisecond(),
            attempt.next.map(Timestamp::as_millisecond),
            (state != DeliveryState::Pending).then(|| now.as_millisecond()),
            attempt.status,
            attempt.problem.as_deref().map(shortened),
        ])?;
    if changed == 0 {
        return Ok(());
    }
    if state == DeliveryState::Dead {
        count(connection, "dead", 1)?;
    }
    connection
        .prepare_cached(
            "UPDATE deliveries SET state = 'pending', next_ms = ?2 WHERE position = (
                SELECT min(w.position) FROM deliveries d
                JOIN deliveries w ON w.recording = d.recording AND w.target = d.target AND w.state = 'waiting'
                WHERE d.position = ?1 AND NOT EXISTS (SELECT 1 FROM deliveries p
                    WHERE p.recording = d.recording AND p.target = d.target AND p.state = 'pending'))",
        )?
        .execute(params![position, now.as_millisecond()])?;
    Ok(())
}

/// Gives up everything that is on its way to a webhook.
pub(super) fn give_up(connection: &Connection, webhook: &Id, why: &str, now: Timestamp) -> Result<(), DatabaseError> {
    let sql = "UPDATE deliveries SET state = 'dead', done_ms = ?2, problem = ?3
               WHERE endpoint = ?1 AND state IN ('pending', 'waiting')";
    let given_up = connection.execute(sql, params![webhook.as_str(), now.as_millisecond(), why])?;
    count(connection, "dead", given_up)
}

/// Gives up everything that is on its way to where this delivery went.
pub fn give_up_like(connection: &Connection, position: i64, why: &str, now: Timestamp) -> Result<(), DatabaseError> {
    let sql = "UPDATE deliveries SET state = 'dead', done_ms = ?2, problem = ?3
               WHERE state IN ('pending', 'waiting')
               AND (recording, target) = (SELECT recording, target FROM deliveries WHERE position = ?1)";
    let given_up = connection.execute(sql, params![position, now.as_millisecond(), why])?;
    count(connection, "dead", given_up)
}

/// Sends what was delivered or given up again, from the first attempt on; returns whether it was.
pub fn redeliver(connection: &Connection, id: &Id, now: Timestamp) -> Result<bool, DatabaseError> {
    let sql = "WHERE id = ?2 AND state IN ('delivered', 'dead')";
    Ok(begin_again(connection, sql, id, now)? > 0)
}

/// Sends everything again that was given up for a webhook; returns how many.
pub fn redeliver_dead(connection: &Connection, webhook: &Id, now: Timestamp) -> Result<usize, DatabaseError> {
    begin_again(connection, "WHERE endpoint = ?2 AND state = 'dead'", webhook, now)
}

fn begin_again(connection: &Connection, which: &str, id: &Id, now: Timestamp) -> Result<usize, DatabaseError> {
    let sql = format!(
        "UPDATE deliveries SET state = 'waiting', attempts = 0, first_ms = NULL, next_ms = ?1, done_ms = NULL {which}"
    );
    let changed = connection.execute(&sql, params![now.as_millisecond(), id.as_str()])?;
    // The first of each recording and target goes, unless another is on its way.
    connection.execute(
        "UPDATE deliveries SET state = 'pending' WHERE position IN (
            SELECT min(w.position) FROM deliveries w WHERE (w.endpoint = ?1 OR w.id = ?1) AND w.state = 'waiting'
            AND NOT EXISTS (SELECT 1 FROM deliveries p
                WHERE p.recording = w.recording AND p.target = w.target AND p.state = 'pending')
            GROUP BY w.recording, w.target)",
        [id.as_str()],
    )?;
    Ok(changed)
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub project: Option<String>,
    pub states: Vec<DeliveryState>,
    pub recording: Option<String>,
    pub webhook: Option<String>,
    /// Only those before this position.
    pub before: Option<i64>,
}

const COLUMNS: &str = "position, id, event, kind, endpoint, recording, project, url, state, attempts, status, problem,
    created_ms, next_ms, done_ms";

/// Deliveries, the newest first, with their positions.
pub fn list(connection: &Connection, filter: &Filter, limit: u32) -> Result<Vec<(i64, Delivery)>, DatabaseError> {
    let words: Vec<_> = filter.states.iter().map(|state| state.word()).collect();
    let states = (!words.is_empty()).then(|| serde_json::to_string(&words)).transpose()?;
    let clauses: [(&str, Option<Box<dyn ToSql>>); 5] = [
        ("project = ?", filter.project.clone().map(boxed)),
        ("recording = ?", filter.recording.clone().map(boxed)),
        ("endpoint = ?", filter.webhook.clone().map(boxed)),
        ("position < ?", filter.before.map(boxed)),
        ("state IN (SELECT value FROM json_each(?))", states.map(boxed)),
    ];
    let mut sql = format!("SELECT {COLUMNS} FROM deliveries WHERE 1");
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    for (clause, value) in clauses {
        if let Some(value) = value {
            sql = format!("{sql} AND {clause}");
            values.push(value);
        }
    }
    sql.push_str(" ORDER BY position DESC LIMIT ?");
    values.push(Box::new(limit));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, parse(row)?));
    }
    Ok(found)
}

fn boxed(value: impl ToSql + 'static) -> Box<dyn ToSql> {
    Box::new(value)
}

/// The delivery of that id, with its body.
pub fn get(connection: &Connection, id: &Id) -> Result<Option<(Delivery, String)>, DatabaseError> {
    let sql = format!("SELECT {COLUMNS}, body FROM deliveries WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([id.as_str()], |row| Ok((parse(row), row.get::<_, String>(15)?))).optional()?;
    found.map(|(delivery, body)| Ok((delivery?, body))).transpose()
}

/// Removes some of what was delivered or died before these times; returns how many.
pub fn clean(
    connection: &Connection,
    delivered_before: Timestamp,
    dead_before: Timestamp,
) -> Result<usize, DatabaseError> {
    let sql = "DELETE FROM deliveries WHERE position IN (
                   SELECT position FROM deliveries WHERE state = ?1 AND done_ms < ?2 LIMIT ?3)";
    let delivered = connection.execute(sql, params!["delivered", delivered_before.as_millisecond(), CLEANED])?;
    let dead = connection.execute(sql, params!["dead", dead_before.as_millisecond(), CLEANED])?;
    Ok(delivered + dead)
}

/// Totals and lag: what metrics show.
pub fn figures(connection: &Connection, now: Timestamp) -> Result<Figures, DatabaseError> {
    let total = |result: &str| -> rusqlite::Result<i64> {
        let sql = "SELECT coalesce((SELECT total FROM delivery_totals WHERE result = ?1), 0)";
        connection.prepare_cached(sql)?.query_row([result], |row| row.get(0))
    };
    let positive = |number: i64| u64::try_from(number).unwrap_or(0);
    let sql = "SELECT count(*), min(created_ms) FROM deliveries WHERE done_ms IS NULL";
    let (undone, oldest): (i64, Option<i64>) =
        connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let lag = time(oldest).map_or(SignedDuration::ZERO, |oldest| now.duration_since(oldest));
    Ok(Figures {
        delivered: positive(total("delivered")?),
        failed: positive(total("failed")?),
        dead: positive(total("dead")?),
        undone: positive(undone),
        lag_ms: u64::try_from(lag.as_millis()).unwrap_or(0),
    })
}

fn count(connection: &Connection, result: &str, number: usize) -> Result<(), DatabaseError> {
    if number > 0 {
        let sql = "INSERT INTO delivery_totals (result, total) VALUES (?1, ?2)
                   ON CONFLICT (result) DO UPDATE SET total = total + excluded.total";
        connection.prepare_cached(sql)?.execute(params![result, i64::try_from(number).unwrap_or(i64::MAX)])?;
    }
    Ok(())
}

fn shortened(problem: &str) -> &str {
    &problem[..problem.floor_char_boundary(LONGEST_PROBLEM)]
}

fn time(ms: Option<i64>) -> Option<Timestamp> {
    ms.and_then(|ms| Timestamp::from_millisecond(ms).ok())
}

/// A column that is a word of the model.
fn word<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, DatabaseError> {
    Ok(serde_json::from_value(row.get::<_, String>(column)?.into())?)
}

/// The same where it may be null or empty.
fn optional<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<Option<T>, DatabaseError> {
    let text: Option<String> = row.get(column)?;
    let text = text.filter(|text| !text.is_empty());
    Ok(text.map(|text| serde_json::from_value(text.into())).transpose()?)
}

fn parse(row: &Row<'_>) -> Result<Delivery, DatabaseError> {
    let state: DeliveryState = word(row, 8)?;
    Ok(Delivery {
        id: word(row, 1)?,
        event: word(row, 2)?,
        kind: word(row, 3)?,
        webhook: optional(row, 4)?,
        recording: optional(row, 5)?,
        project: row.get(6)?,
        url: row.get(7)?,
        state,
        attempts: row.get(9)?,
        status: row.get(10)?,
        problem: row.get(11)?,
        created_at: time(Some(row.get(12)?)).unwrap_or_default(),
        next_attempt_at: time(Some(row.get(13)?)).filter(|_| state == DeliveryState::Pending),
        done_at: time(row.get(14)?),
    })
}

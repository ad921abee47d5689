//! How far each file of a recording is on its way to a store.

use super::connection::DatabaseError;
use crate::service::model::{Id, StoreName};
use rusqlite::{Connection, params};
use std::collections::HashMap;

/// A file on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its path in the recording.
    pub path: String,
    pub bytes: u64,
    /// When it was last written, in nanoseconds of Unix time.
    pub modified_ns: i64,
    /// SHA-256 in hex of what is, or will be, in the store.
    pub sha256: String,
    /// It is in the store, and that was checked.
    pub verified: bool,
    /// The store's name for an upload in parts that is not complete.
    pub multipart: Option<String>,
    /// What the store said of each part it has.
    pub parts: Vec<String>,
    /// The entity tag of what we last verified.
    pub etag: Option<String>,
}

/// All files of a recording that are, or should be, in a store, by path.
pub fn of(connection: &Connection, recording: &Id, store: StoreName) -> Result<HashMap<String, Upload>, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "SELECT path, bytes, modified_ns, sha256, verified, multipart, parts, etag FROM uploads
         WHERE recording = ?1 AND store = ?2",
    )?;
    let rows = statement.query_map(params![recording.as_str(), store.word()], |row| {
        let upload = Upload {
            path: row.get(0)?,
            bytes: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
            modified_ns: row.get(2)?,
            sha256: row.get(3)?,
            verified: row.get(4)?,
            multipart: row.get(5)?,
            parts: Vec::new(),
            etag: row.get(7)?,
        };
        Ok((upload, row.get::<_, String>(6)?))
    })?;
    rows.map(|row| {
        let (upload, parts) = row?;
        let upload = Upload { parts: serde_json::from_str(&parts)?, ..upload };
        Ok((upload.path.clone(), upload))
    })
    .collect()
}

/// Notes how far a file is.
pub fn put(connection: &Connection, recording: &Id, store: StoreName, upload: &Upload) -> Result<(), DatabaseError> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO uploads
             (recording, store, path, bytes, modified_ns, sha256, verified, multipart, parts, etag)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            recording.as_str(),
            store.word(),
            upload.path,
            i64::try_from(upload.bytes).unwrap_or(i64::MAX),
            upload.modified_ns,
            upload.sha256,
            upload.verified,
            upload.multipart,
            serde_json::to_string(&upload.parts)?,
            upload.etag,
        ])?;
    Ok(())
}

/// Forgets all files of a recording in a store.
pub fn forget(connection: &Connection, recording: &Id, store: StoreName) -> Result<(), DatabaseError> {
    connection
        .execute("DELETE FROM uploads WHERE recording = ?1 AND store = ?2", [recording.as_str(), store.word()])?;
    Ok(())
}

/// Forgets one file of a recording in a store.
pub fn forget_file(connection: &Connection, recording: &Id, store: StoreName, path: &str) -> Result<(), DatabaseError> {
    let sql = "DELETE FROM uploads WHERE recording = ?1 AND store = ?2 AND path = ?3";
    connection.execute(sql, [recording.as_str(), store.word(), path])?;
    Ok(())
}

/// Takes nothing for verified any more: the next upload compares all of it with the stores.
pub fn doubt(connection: &Connection, recording: &Id) -> Result<(), DatabaseError> {
    connection.execute("UPDATE uploads SET verified = 0 WHERE recording = ?1", [recording.as_str()])?;
    Ok(())
}

/// Recordings that are to be looked at now, the most overdue first.
pub fn due(connection: &Connection, now_ms: i64, limit: u32) -> Result<Vec<Id>, DatabaseError> {
    let sql = "SELECT recording FROM sweeps WHERE due_ms <= ?1 ORDER BY due_ms LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![now_ms, limit], |row| row.get::<_, String>(0))?;
    rows.map(|id| Ok(serde_json::from_value(id?.into())?)).collect()
}

/// Recordings that are here and whole in a store, the oldest first; none that are held.
pub fn both_here_and_there(connection: &Connection, limit: u32) -> Result<Vec<Id>, DatabaseError> {
    let sql = "SELECT id FROM recordings WHERE json_extract(document, '$.storage.state') = 'stored'
               AND json_extract(document, '$.storage.local') AND NOT json_extract(document, '$.legal_hold')
               AND NOT EXISTS (SELECT 1 FROM films WHERE films.recording = recordings.id AND open)
               ORDER BY position LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([limit], |row| row.get::<_, String>(0))?;
    rows.map(|id| Ok(serde_json::from_value(id?.into())?)).collect()
}

/// Notes when a recording is to be looked at; none: when it changes.
pub fn look_at(connection: &Connection, recording: &Id, at_ms: Option<i64>) -> Result<(), DatabaseError> {
    match at_ms {
        Some(at_ms) => connection
            .prepare_cached("INSERT OR REPLACE INTO sweeps (recording, due_ms) VALUES (?1, ?2)")?
            .execute(params![recording.as_str(), at_ms])?,
        None => connection.execute("DELETE FROM sweeps WHERE recording = ?1", [recording.as_str()])?,
    };
    Ok(())
}

/// Has all recordings looked at soon, those that are overdue already before them: how long media is kept has changed.
pub fn look_at_all(connection: &Connection, now_ms: i64) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO sweeps (recording, due_ms) SELECT id, ?1 FROM recordings WHERE true
               ON CONFLICT (recording) DO UPDATE SET due_ms = min(due_ms, excluded.due_ms)";
    connection.execute(sql, [now_ms])?;
    Ok(())
}

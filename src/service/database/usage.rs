//! How much media there is, by project and by where it is.

use super::connection::DatabaseError;
use rusqlite::{Connection, params};
use serde::Serialize;
use utoipa::ToSchema;

/// Recordings of one project that are kept the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    pub project: String,
    /// How far their copy in a store is: `uploading`, `stored`, `failed`, `deleted`; absent where none was to be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::service::model::StorageState>)]
    pub state: Option<String>,
    /// Which store that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::service::model::StoreName>)]
    pub store: Option<String>,
    /// Whether their media is on the service's own disk.
    pub local: bool,
    pub recordings: u64,
    /// Bytes of their media.
    pub bytes: u64,
    /// Bytes of it that are in the store.
    pub stored_bytes: u64,
}

/// The media of all recordings that have ended and were not deleted, of one project or of all.
pub fn usage(connection: &Connection, project: Option<&str>) -> Result<Vec<Usage>, DatabaseError> {
    let sql = "SELECT project, document ->> '$.storage.state', document ->> '$.storage.store',
                      coalesce(document ->> '$.storage.local', state != 'expired') AS local,
                      count(*), sum(coalesce(document ->> '$.outcome.bytes', 0)), sum(coalesce(document ->> '$.storage.bytes', 0))
               FROM recordings WHERE document ->> '$.outcome' IS NOT NULL AND (?1 IS NULL OR project = ?1)
               GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![project], |row| {
        let count = |at| row.get::<_, i64>(at).map(|count| u64::try_from(count).unwrap_or(0));
        Ok(Usage {
            project: row.get(0)?,
            state: row.get(1)?,
            store: row.get(2)?,
            local: row.get(3)?,
            recordings: count(4)?,
            bytes: count(5)?,
            stored_bytes: count(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

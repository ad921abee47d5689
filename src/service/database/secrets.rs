//! What the service signs with itself, made when it is first needed.

use super::connection::DatabaseError;
use rusqlite::Connection;

/// The secret of that name; `new` if there is none yet.
pub fn get_or_insert(connection: &Connection, name: &str, new: &str) -> Result<String, DatabaseError> {
    connection.execute("INSERT OR IGNORE INTO secrets (name, value) VALUES (?1, ?2)", [name, new])?;
    Ok(connection.query_row("SELECT value FROM secrets WHERE name = ?1", [name], |row| row.get(0))?)
}

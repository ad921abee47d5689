//! The tables, and how a file of an earlier version is brought up to date.

use crate::error::{Error, Result};
use rusqlite::Connection;
use std::path::Path;

/// One step for each version: the file's `user_version` says how many it has seen. Steps that were released never change.
const STEPS: &[&str] = &[
    "
    CREATE TABLE recordings (
        position    INTEGER PRIMARY KEY AUTOINCREMENT,
        id          TEXT NOT NULL UNIQUE,
        project     TEXT NOT NULL,
        state       TEXT NOT NULL,
        room        TEXT NOT NULL,
        external_id TEXT,
        created_ms  INTEGER NOT NULL,
        start_ms    INTEGER,
        document    TEXT NOT NULL,   -- the recording as the API gives it out
        secrets     TEXT NOT NULL,   -- the request with its secrets
        runtime     TEXT             -- process and timeline position of the recorder
    );
    CREATE INDEX recordings_by_state ON recordings (state, position);
    CREATE INDEX recordings_by_project ON recordings (project, position);
    CREATE INDEX recordings_by_room ON recordings (room, position);
    CREATE INDEX recordings_by_external_id ON recordings (external_id) WHERE external_id IS NOT NULL;

    CREATE TABLE ended (
        state    TEXT NOT NULL,
        sub_code TEXT NOT NULL,
        count    INTEGER NOT NULL,
        PRIMARY KEY (state, sub_code)
    );

    CREATE TABLE events (
        position  INTEGER PRIMARY KEY AUTOINCREMENT,
        id        TEXT NOT NULL UNIQUE,
        recording TEXT NOT NULL,
        project   TEXT NOT NULL,
        sequence  INTEGER NOT NULL,
        kind      TEXT NOT NULL,
        at_ms     INTEGER NOT NULL,
        data      TEXT NOT NULL,
        UNIQUE (recording, sequence)
    );

    CREATE TABLE films (
        position  INTEGER PRIMARY KEY AUTOINCREMENT,
        id        TEXT NOT NULL UNIQUE,
        recording TEXT NOT NULL,
        open      INTEGER NOT NULL,
        document  TEXT NOT NULL,     -- the job as the API gives it out
        process   TEXT
    );
    CREATE INDEX films_of ON films (recording, position);
    CREATE INDEX films_open ON films (open) WHERE open;

    CREATE TABLE endpoints (
        id          TEXT PRIMARY KEY,
        project     TEXT NOT NULL,
        url         TEXT NOT NULL,
        secrets     TEXT NOT NULL,   -- JSON: one, or two while rotating
        kinds       TEXT NOT NULL,   -- JSON: event types; empty means all
        description TEXT NOT NULL,
        created_ms  INTEGER NOT NULL,
        disabled    INTEGER NOT NULL DEFAULT 0,
        reason      TEXT,            -- why the service disabled it
        UNIQUE (project, url)
    );

    CREATE TABLE project_secrets (   -- what deliveries to a recording's own webhook_url are signed with
        project TEXT PRIMARY KEY,
        secrets TEXT NOT NULL
    );

    CREATE TABLE deliveries (
        position   INTEGER PRIMARY KEY AUTOINCREMENT,
        id         TEXT NOT NULL UNIQUE,
        event      TEXT NOT NULL,
        endpoint   TEXT,             -- none: the recording's own webhook_url
        target     TEXT NOT NULL,    -- the endpoint, or the scheme, host and port of the URL
        recording  TEXT NOT NULL,    -- empty: a ping
        project    TEXT NOT NULL,
        url        TEXT NOT NULL,
        kind       TEXT NOT NULL,
        body       TEXT NOT NULL,
        state      TEXT NOT NULL,    -- pending (at most one per recording and target), waiting for that one, delivered, dead
        attempts   INTEGER NOT NULL DEFAULT 0,
        created_ms INTEGER NOT NULL,
        first_ms   INTEGER,          -- the first attempt since it was made or redelivered
        next_ms    INTEGER NOT NULL,
        done_ms    INTEGER,
        status     INTEGER,
        problem    TEXT
    );
    CREATE INDEX deliveries_due ON deliveries (state, next_ms);
    CREATE INDEX deliveries_in_order ON deliveries (recording, target, state, position);
    CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint, state);
    CREATE INDEX deliveries_by_project ON deliveries (project, position);
    CREATE INDEX deliveries_done ON deliveries (state, done_ms);
    CREATE INDEX deliveries_undone ON deliveries (created_ms) WHERE done_ms IS NULL;

    CREATE TABLE delivery_totals (
        result TEXT PRIMARY KEY,
        total  INTEGER NOT NULL
    );

    CREATE TABLE idempotency (
        project    TEXT NOT NULL,
        key        TEXT NOT NULL,
        digest     TEXT NOT NULL,
        recording  TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        PRIMARY KEY (project, key)
    );

    CREATE TABLE keys (
        id         TEXT PRIMARY KEY,
        name       TEXT NOT NULL,
        digest     TEXT NOT NULL UNIQUE,
        project    TEXT NOT NULL,
        scopes     TEXT NOT NULL,    -- JSON
        created_ms INTEGER NOT NULL,
        used_ms    INTEGER,
        revoked_ms INTEGER
    );

    CREATE TABLE sessions (
        digest     TEXT PRIMARY KEY,
        key        TEXT NOT NULL,
        expires_ms INTEGER NOT NULL
    );

    CREATE TABLE audit (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms    INTEGER NOT NULL,
        project  TEXT NOT NULL,
        key      TEXT,
        action   TEXT NOT NULL,
        object   TEXT NOT NULL,
        detail   TEXT NOT NULL DEFAULT ''
    );
",
    "
    CREATE TABLE uploads (
        recording   TEXT NOT NULL,
        store       TEXT NOT NULL,    -- store, backup_store
        path        TEXT NOT NULL,
        bytes       INTEGER NOT NULL,
        modified_ns INTEGER NOT NULL,
        sha256      TEXT NOT NULL,
        verified    INTEGER NOT NULL,
        multipart   TEXT,             -- an upload in parts that is not complete
        parts       TEXT NOT NULL,    -- JSON: what the store said of each part
        etag        TEXT,
        PRIMARY KEY (recording, store, path)
    ) WITHOUT ROWID;

    CREATE TABLE sweeps (             -- when a recording that has ended is to be looked at
        recording TEXT PRIMARY KEY,
        due_ms    INTEGER NOT NULL
    );
    CREATE INDEX sweeps_due ON sweeps (due_ms);
    INSERT INTO sweeps SELECT id, 0 FROM recordings;
",
    "
    CREATE TABLE schedules (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id       TEXT NOT NULL UNIQUE,
        project  TEXT NOT NULL,
        next_ms  INTEGER,             -- the first time that is not done; none: disabled, or no more
        document TEXT NOT NULL,       -- the schedule as the API gives it out
        secrets  TEXT NOT NULL        -- the request with its secrets
    );
    CREATE INDEX schedules_by_project ON schedules (project, position);
    CREATE INDEX schedules_due ON schedules (next_ms) WHERE next_ms IS NOT NULL;
",
    "
    CREATE TABLE bots (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id       TEXT NOT NULL UNIQUE,
        project  TEXT NOT NULL,
        state    TEXT NOT NULL,
        open     INTEGER NOT NULL,
        encodes  INTEGER NOT NULL,
        document TEXT NOT NULL,       -- the bot as the API gives it out
        secrets  TEXT NOT NULL,       -- the request with its secrets
        runtime  TEXT NOT NULL        -- its process, and how often it failed
    );
    CREATE INDEX bots_by_project ON bots (project, position);
    CREATE INDEX bots_open ON bots (open) WHERE open;
",
    "
    ALTER TABLE keys ADD COLUMN rate_limit INTEGER;   -- requests a minute
    CREATE INDEX audit_by_object ON audit (object, position);

    CREATE TABLE checks (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id       TEXT NOT NULL UNIQUE,
        project  TEXT NOT NULL,
        open     INTEGER NOT NULL,
        document TEXT NOT NULL,       -- the check as the API gives it out
        process  TEXT
    );
    CREATE INDEX checks_open ON checks (open) WHERE open;

    CREATE TABLE secrets (            -- what the service signs with
        name  TEXT PRIMARY KEY,
        value TEXT NOT NULL
    );
",
    "
    ALTER TABLE films ADD COLUMN remote TEXT;   -- JSON: its recording is in a store only; who makes it
",
];

/// Brings the file to the present version.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let failed = |e: rusqlite::Error| Error::machine(format!("{}: {e}", path.display())).because(e);
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > STEPS.len() {
        return Err(Error::user(format!(
            "{}: was written by a newer roombot (version {version} of its tables, this one knows {}): use that one",
            path.display(),
            STEPS.len()
        )));
    }
    for (index, step) in STEPS.iter().enumerate().skip(version) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(step).map_err(failed)?;
        transaction.pragma_update(None, "user_version", (index + 1) as i64).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

//! The file, its one writing thread, and the connections that read.

use super::schema;
use crate::error::{Error, Result};
use rusqlite::{Connection, OpenFlags, Params, TransactionBehavior};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Writes that may wait; the next ones wait for a place.
const QUEUE: usize = 1024;
/// Writes in one commit.
const BATCH: usize = 256;
/// Connections that read side by side.
const READERS: usize = 4;

/// Runs within a savepoint of the batch's transaction.
type Write = Box<dyn FnOnce(&Connection) -> Finished + Send>;

/// A write that has run and is not committed yet.
struct Finished {
    /// Whether its changes stay.
    keep: bool,
    /// Answers whoever waits, once it is known whether the commit succeeded.
    answer: Box<dyn FnOnce(Result<(), Arc<rusqlite::Error>>) + Send>,
}

/// The service's database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    shared: Arc<Inner>,
}

struct Inner {
    writes: Mutex<Option<SyncSender<Write>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    limit: tokio::sync::Semaphore,
    changed: watch::Sender<u64>,
}

/// What a write or read ends with when it fails.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("what the database holds cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the database's disk failed: {0}")]
    Commit(Arc<rusqlite::Error>),
    #[error("the database is closed")]
    Closed,
}

impl From<DatabaseError> for Error {
    fn from(e: DatabaseError) -> Error {
        Error::machine(e.to_string()).because(e)
    }
}

impl Database {
    /// Opens or makes the database in this file.
    ///
    /// # Errors
    /// The machine's: the disk. The user's: a file of a newer version, or none of ours.
    pub fn open(path: &Path) -> Result<Database> {
        let failed = |e: rusqlite::Error| Error::machine(format!("{}: {e}", path.display())).because(e);
        let mut connection = Connection::open(path).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        schema::migrate(&mut connection, path)?;
        let (writes, queue) = sync_channel(QUEUE);
        let (changed, _) = watch::channel(0);
        let notify = changed.clone();
        let writer = std::thread::Builder::new()
            .name("database".into())
            .spawn(move || write_batches(connection, &queue, &notify))
            .map_err(|e| Error::machine("cannot start a thread").because(e))?;
        let shared = Inner {
            writes: Mutex::new(Some(writes)),
            writer: Mutex::new(Some(writer)),
            path: path.to_owned(),
            readers: Mutex::new(Vec::new()),
            limit: tokio::sync::Semaphore::new(READERS),
            changed,
        };
        Ok(Database { shared: Arc::new(shared) })
    }

    /// Runs `write` in a transaction and waits until it is on the disk. What it did is undone if it fails.
    ///
    /// # Errors
    /// Its own, or the disk's.
    pub async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (answer, answered) = oneshot::channel();
        let write: Write = Box::new(move |connection| {
            let result = write(connection);
            let keep = result.is_ok();
            let answer = Box::new(move |committed: Result<(), Arc<rusqlite::Error>>| {
                let result = match committed {
                    Err(e) if keep => Err(DatabaseError::Commit(e)),
                    _ => result,
                };
                // Nobody waits where the request was given up.
                let _ = answer.send(result);
            });
            Finished { keep, answer }
        });
        let writes = self.shared.writes.lock().map_or(None, |writes| writes.clone()).ok_or(DatabaseError::Closed)?;
        let mut write = write;
        loop {
            write = match writes.try_send(write) {
                Ok(()) => break,
                Err(std::sync::mpsc::TrySendError::Full(write)) => write,
                Err(std::sync::mpsc::TrySendError::Disconnected(_)) => return Err(DatabaseError::Closed),
            };
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        answered.await.map_err(|_| DatabaseError::Closed)?
    }

    /// Runs `read` on a connection that only reads, on a thread that may block.
    ///
    /// # Errors
    /// Its own.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let shared = self.shared.clone();
        let _permit = self.shared.limit.acquire().await.map_err(|_| DatabaseError::Closed)?;
        let task = tokio::task::spawn_blocking(move || {
            let idle = shared.readers.lock().map_or(None, |mut readers| readers.pop());
            let connection = match idle {
                Some(connection) => connection,
                None => {
                    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                    let connection = Connection::open_with_flags(&shared.path, flags)?;
                    configure(&connection)?;
                    connection
                }
            };
            let result = read(&connection);
            if let Ok(mut readers) = shared.readers.lock() {
                readers.push(connection);
            }
            result
        });
        task.await.map_err(|_| DatabaseError::Closed)?
    }

    /// Changes with every commit that changed something.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Waits for the last commit and closes the file. Blocks.
    pub fn close(&self) {
        if let Ok(mut writes) = self.shared.writes.lock() {
            writes.take();
        }
        let writer = self.shared.writer.lock().map_or(None, |mut writer| writer.take());
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

/// The writing thread: takes what waits, runs each in a savepoint, commits once, answers all. Ends when nobody can write any more.
fn write_batches(mut connection: Connection, queue: &Receiver<Write>, changed: &watch::Sender<u64>) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(BATCH - 1));
        let mut answers = Vec::with_capacity(batch.len());
        let committed = commit(&mut connection, batch, &mut answers).map_err(Arc::new);
        let kept = answers.iter().any(|finished| finished.keep);
        if committed.is_ok() && kept {
            changed.send_modify(|commits| *commits += 1);
        }
        for finished in answers {
            (finished.answer)(committed.clone());
        }
    }
}

/// Runs the writes in one transaction. Those that could not run are dropped, and whoever waits for them is told by that.
fn commit(connection: &mut Connection, batch: Vec<Write>, answers: &mut Vec<Finished>) -> rusqlite::Result<()> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for write in batch {
        let mut savepoint = transaction.savepoint()?;
        let finished = write(&savepoint);
        if finished.keep {
            savepoint.commit()?;
        } else {
            savepoint.rollback()?;
            savepoint.commit()?;
        }
        answers.push(finished);
    }
    transaction.commit()
}

/// What every connection needs.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // Every commit is on the disk before it is answered.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// What `sql` selects: positions, and the documents at them.
pub(super) fn documents<T: DeserializeOwned>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> std::result::Result<Vec<(i64, T)>, DatabaseError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(parameters, |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (position, document): (i64, String) = row?;
        Ok((position, serde_json::from_str(&document)?))
    })
    .collect()
}

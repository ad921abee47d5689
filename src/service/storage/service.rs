//! Both stores of the service: sends recordings to the first, to the second where the first fails for long; reads and deletes where they are.

use super::counters::{Counters, Totals};
use super::error::StorageError;
use super::folder::Sent;
use super::layout::location;
use super::settings::StoreConfig;
use super::target::Target;
use super::transfer::Transfer;
use crate::error::Result;
use crate::service::database::uploads;
use crate::service::database::{Database, DatabaseError};
use crate::service::model::{Id, Recording, StoreName};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::path::Path;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

/// Recordings that are sent side by side.
const SIDE_BY_SIDE: usize = 4;
/// Pauses between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A recording that is whole in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub store: StoreName,
    pub url: String,
    pub files: u32,
    pub bytes: u64,
}

/// The stores of the service.
pub struct StorageService {
    targets: Vec<Target>,
    /// How long a store may fail without progress.
    patience: Duration,
    permits: Semaphore,
    counters: Counters,
}

impl StorageService {
    /// Opens the stores. Asks nothing of the network.
    ///
    /// # Errors
    /// The user's: an address or an option that cannot be used.
    pub fn open(main: &StoreConfig, backup: Option<&StoreConfig>, patience: Duration) -> Result<StorageService> {
        let mut targets = vec![Target::open(StoreName::Main, main)?];
        if let Some(backup) = backup {
            targets.push(Target::open(StoreName::Backup, backup)?);
        }
        Ok(StorageService::of(targets, patience))
    }

    pub(super) fn of(targets: Vec<Target>, patience: Duration) -> StorageService {
        StorageService { targets, patience, permits: Semaphore::new(SIDE_BY_SIDE), counters: Counters::default() }
    }

    /// The store of that name, if it is configured.
    pub fn target(&self, name: StoreName) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }

    /// All that are configured, the first one first.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// What was sent since the start.
    pub fn totals(&self) -> Totals {
        self.counters.totals()
    }

    /// Sends a recording to the first store that takes all of it. May be dropped at any time and begun again.
    ///
    /// # Errors
    /// Why none did, for people. All of it is still in `folder`.
    pub async fn upload(
        &self,
        database: &Database,
        recording: &Recording,
        folder: &Path,
    ) -> std::result::Result<Stored, String> {
        let Ok(_permit) = self.permits.acquire().await else { return Err("the service ends".to_owned()) };
        let begun = Instant::now();
        let mut problems = Vec::new();
        let place = recording.storage.as_ref().map_or_else(|| location(recording), |storage| storage.path.clone());
        for target in &self.targets {
            let transfer =
                Transfer { target, database, recording: &recording.id, location: &place, counters: &self.counters };
            match self.persist(&transfer, folder).await {
                Ok(Sent { files, bytes }) => {
                    self.counters.stored(begun.elapsed());
                    return Ok(Stored { store: target.name, url: target.address_of(&place), files, bytes });
                }
                Err(e) => {
                    tracing::error!(recording_id = %recording.id, store = target.name.word(), "cannot be stored: {e}");
                    problems.push(format!("{}: {e}", target.name.word()));
                }
            }
        }
        Err(problems.join("; "))
    }

    /// Tries again and again, until there was no progress for too long.
    async fn persist(&self, transfer: &Transfer<'_>, folder: &Path) -> std::result::Result<Sent, StorageError> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_jitter()
            .without_max_times();
        let (mut pause, mut since, mut progress) = (pauses.build(), Instant::now(), self.counters.steps());
        loop {
            let error = match transfer.send_folder(folder).await {
                Ok(sent) => return Ok(sent),
                Err(e) => e,
            };
            self.counters.failed();
            // Other recordings' progress counts too: the store works.
            let now = self.counters.steps();
            if now != progress && !matches!(error, StorageError::Corrupt(_)) {
                (pause, since, progress) = (pauses.build(), Instant::now(), now);
            }
            let next = pause.next().unwrap_or(LONGEST_PAUSE);
            if error.is_final() || since.elapsed() + next > self.patience {
                return Err(error);
            }
            tracing::warn!(recording_id = %transfer.recording, store = transfer.target.name.word(), "not stored yet: {error}");
            sleep(next).await;
        }
    }

    /// Deletes a recording in every store that may have something of it.
    ///
    /// # Errors
    /// The store's; or it is not configured any more.
    pub async fn delete(&self, database: &Database, recording: &Recording) -> std::result::Result<(), String> {
        let Some(storage) = &recording.storage else { return Ok(()) };
        for name in [StoreName::Main, StoreName::Backup] {
            let sent = of(database, &recording.id, name).await.map_err(|e| e.to_string())?;
            // With several machines a worker has sent it.
            let is_there = storage.store == name && storage.bytes > 0;
            if sent.is_empty() && !is_there {
                continue;
            }
            let Some(target) = self.target(name) else {
                return Err(format!("{}: is not configured, and has media of this recording", name.word()));
            };
            let unfinished: Vec<_> =
                sent.into_iter().filter_map(|upload| Some((upload.path, upload.multipart?))).collect();
            let failed = |e: StorageError| format!("{}: {e}", name.word());
            target.delete(&storage.path, &unfinished).await.map_err(failed)?;
            let id = recording.id.clone();
            let forgotten = database.write(move |connection| uploads::forget(connection, &id, name)).await;
            forgotten.map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

async fn of(database: &Database, id: &Id, name: StoreName) -> std::result::Result<Vec<uploads::Upload>, DatabaseError> {
    let id = id.clone();
    let found = database.read(move |connection| uploads::of(connection, &id, name)).await?;
    Ok(found.into_values().collect())
}

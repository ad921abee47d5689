//! Both stores of the service: sends recordings to the first, to the second where the first fails for long; reads and deletes where they are.

use super::counters::{Counters, Totals};
use super::error::StorageError;
use super::fetch::Fetched;
use super::files::LocalFile;
use super::folder::Sent;
use super::layout::location;
use super::live::LiveSent;
use super::settings::StoreConfig;
use super::target::Target;
use super::transfer::Transfer;
use crate::error::Result;
use crate::recording::folder::MANIFEST;
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
/// Recordings whose packs are sent side by side: each is 8 MiB in memory, twice for a moment.
const PACKS_SIDE_BY_SIDE: usize = 4;
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
    /// How often what recorders write is sent.
    live_every: Option<Duration>,
    live_permits: Semaphore,
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
        StorageService {
            targets,
            patience,
            permits: Semaphore::new(SIDE_BY_SIDE),
            live_every: None,
            live_permits: Semaphore::new(PACKS_SIDE_BY_SIDE),
            counters: Counters::default(),
        }
    }

    /// The same, sending what recorders write so often. Never where that is none.
    pub fn with_live(self, every: Option<Duration>) -> StorageService {
        StorageService { live_every: every, ..self }
    }

    /// How often what recorders write is to be sent.
    pub fn live_every(&self) -> Option<Duration> {
        self.live_every
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
            let transfer = Transfer {
                target,
                database,
                recording: &recording.id,
                location: &place,
                counters: &self.counters,
                only_there: recording.storage.as_ref().is_some_and(|storage| !storage.local),
            };
            match self.persist(&transfer, folder).await {
                Ok(Sent { files, bytes }) => {
                    self.counters.stored(begun.elapsed());
                    return Ok(Stored { store: target.name, url: target.address_of(&place), files, bytes });
                }
                Err(e) => {
                    tracing::error!(store = target.name.word(), "cannot be stored: {e}");
                    problems.push(format!("{}: {e}", target.name.word()));
                }
            }
        }
        Err(problems.join("; "))
    }

    /// Adds files of a folder to a recording that is whole in a store, at its place there. May be dropped at any time and begun again.
    ///
    /// # Errors
    /// The store's; or it is not configured any more.
    pub async fn add(
        &self,
        database: &Database,
        recording: &Id,
        (name, place): (StoreName, &str),
        (folder, files): (&Path, &[LocalFile]),
    ) -> std::result::Result<(), String> {
        let Some(target) = self.target(name) else { return Err(format!("{} is not configured", name.word())) };
        let transfer =
            Transfer { target, database, recording, location: place, counters: &self.counters, only_there: false };
        transfer.add_files(folder, files).await.map_err(|e| format!("{}: {e}", name.word()))
    }

    /// Sends what is new in the folder of a recording that grows, to the first store. How far that is stands in the file `progress`.
    ///
    /// # Errors
    /// The store's or the disk's. The next call goes on where this one was.
    pub async fn send_live(
        &self,
        recording: &Recording,
        folder: &Path,
        progress: &Path,
    ) -> std::result::Result<LiveSent, StorageError> {
        let (Ok(_permit), Some(main)) = (self.live_permits.acquire().await, self.targets.first()) else {
            return Ok(LiveSent::default());
        };
        let sent = main.send_live(&location(recording), folder, progress).await;
        match &sent {
            Ok(sent) => self.counters.packed(u64::from(sent.packs), sent.bytes),
            Err(_) => self.counters.not_packed(),
        }
        sent
    }

    /// Deletes what was sent of a recording while it was made: the whole of it is in a store. False: it is still there.
    pub async fn forget_live(&self, recording: &Recording) -> bool {
        let Some(main) = self.targets.first() else { return true };
        let place = location(recording);
        let deleted = main.delete_packs(&place).await;
        if let Err(e) = &deleted {
            tracing::warn!("{}: what was sent while it was recorded stays there: {e}", main.address_of(&place));
        }
        deleted.is_ok()
    }

    /// Rebuilds the recording at `place` (see [`location`]) in the folder `into`, which must not exist, or be empty: whole where a store has
    /// all of it, else up to the last part that was sent while it was recorded. Then `recover` finishes it, or a recorder goes on in it.
    /// The folder appears in one step. None: no store has anything of it. `place` is empty where the store's address is the recording's.
    ///
    /// # Errors
    /// Why it could not be, for people.
    pub async fn fetch(&self, place: &str, into: &Path) -> std::result::Result<Option<Fetched>, String> {
        let (mut order, mut problems) = (Vec::new(), Vec::new());
        for target in &self.targets {
            match target.size(place, MANIFEST).await {
                // A whole one goes before one that was cut short.
                Ok(Some(_)) => order.insert(0, target),
                Ok(None) => order.push(target),
                Err(e) => problems.push(format!("{}: {e}", target.name.word())),
            }
        }
        for target in order {
            match target.fetch(place, into).await {
                Ok(Some(fetched)) => return Ok(Some(fetched)),
                Ok(None) => {}
                Err(e) => problems.push(format!("{}: {e}", target.name.word())),
            }
        }
        if problems.is_empty() { Ok(None) } else { Err(problems.join("; ")) }
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
            tracing::warn!(store = transfer.target.name.word(), "not stored yet: {error}");
            sleep(next).await;
        }
    }

    /// Deletes a recording in every store that may have something of it. `has_packs`: something was sent while it was made.
    ///
    /// # Errors
    /// The store's; or it is not configured any more.
    pub async fn delete(
        &self,
        database: &Database,
        recording: &Recording,
        has_packs: bool,
    ) -> std::result::Result<(), String> {
        if let Some(main) = self.targets.first().filter(|_| has_packs) {
            let deleted = main.delete_packs(&location(recording)).await;
            deleted.map_err(|e| format!("{}: {e}", main.name.word()))?;
        }
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

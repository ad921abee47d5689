//! A file that is being received: appended, hashed as it is written, renamed at the end. Never seeks where a sender says.

use super::disk::{MAX_NAME_ATTEMPTS, exists, refusal, rename_new};
use super::partial::OpenFile;
use super::shared::Shared;
use crate::transfer::Refusal;
use crate::transfer::message::{Digest, Reason};
use rustix::fs::fsync;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::io::{self, Seek, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// After this many bytes the free space is checked and the file is synced, so that at most twice as much waits in memory: gigabytes written
/// at once would block everybody else who writes.
const CHECK_EVERY: u64 = 32 << 20;

/// An incomplete file, open for appending. Dropped before [`Part::keep`], it stays on the disk and can be resumed for an hour.
#[derive(Debug)]
pub struct Part {
    shared: Arc<Shared>,
    /// Absent once the file is kept.
    open: Option<OpenFile>,
    /// Bytes since the last check.
    unchecked: u64,
    /// The sync of what was written before that.
    syncing: Option<JoinHandle<io::Result<()>>>,
}

/// A file that is complete, verified and on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// `OWNER/NAME`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Digest,
    /// It is shared with everybody and to be offered on.
    pub offered_on: bool,
}

/// Why a part could not be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Size or hash differ from what the sender says.
    Mismatch,
    /// The disk failed: the refusal for the sender.
    Refused(Refusal),
}

impl Part {
    pub(super) fn open(shared: Arc<Shared>, open: OpenFile) -> Self {
        Self { shared, open: Some(open), unchecked: 0, syncing: None }
    }

    /// Bytes that are written and hashed.
    pub fn written(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.partial.written)
    }

    /// Whose file it is: another's than the sender's if they go on with what somebody shared.
    pub fn owner(&self) -> &str {
        self.open.as_ref().map_or("", |open| &open.partial.owner)
    }

    /// Its path below the store's folder: `OWNER/NAME.part`.
    pub fn path(&self) -> String {
        let path = |OpenFile { partial, .. }: &OpenFile| format!("{}/{}", partial.owner, partial.part_name());
        self.open.as_ref().map(path).unwrap_or_default()
    }

    /// Appends bytes. Must not be called again after an error.
    ///
    /// # Errors
    /// The refusal for the sender: the disk is full or broken, or there are more bytes than were offered.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let Some(OpenFile { partial, file, .. }) = &mut self.open else { return Err(already_kept()) };
        let length = bytes.len() as u64;
        if partial.written.saturating_add(length) > partial.offer.size {
            return Err(Refusal::new(Reason::Flood, "more bytes than were offered"));
        }
        if let Err(e) = file.write_all(bytes) {
            // Some of the bytes may be written: back to what the hash covers.
            let _ = file.set_len(partial.written).and_then(|()| file.seek(io::SeekFrom::Start(partial.written)));
            return Err(refusal(&e));
        }
        partial.hash.update(bytes);
        partial.written += length;
        self.shared.quota().written(&partial.owner, &partial.offer, partial.written);
        self.unchecked += length;
        if self.unchecked >= CHECK_EVERY {
            self.unchecked = 0;
            self.shared.check_space(0)?;
            self.sync().map_err(|e| refusal(&e))?;
        }
        Ok(())
    }

    /// Starts to sync what is written; waits for the sync before.
    fn sync(&mut self) -> io::Result<()> {
        if let Some(Ok(synced)) = self.syncing.take().map(JoinHandle::join) {
            synced?;
        }
        if let Some(open) = &self.open {
            let file = open.file.try_clone()?;
            let thread = std::thread::Builder::new().name("file-sync".into());
            self.syncing = Some(thread.spawn(move || file.sync_data())?);
        }
        Ok(())
    }

    /// Deletes what was written.
    ///
    /// # Errors
    /// The refusal for the sender: the disk failed.
    pub fn restart(&mut self) -> Result<(), Refusal> {
        let Some(OpenFile { partial, file, .. }) = &mut self.open else { return Err(already_kept()) };
        file.set_len(0).and_then(|()| file.rewind()).map_err(|e| refusal(&e))?;
        (partial.hash, partial.written) = (Sha256::new(), 0);
        Ok(())
    }

    /// Verifies the file, syncs it and renames it. `expected`: the hash of the sender, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] where size or hash are wrong; the part can be restarted then.
    pub fn keep(&mut self, expected: Option<Digest>) -> Result<StoredFile, StoreError> {
        let open = self.open.as_ref().ok_or_else(|| StoreError::Refused(already_kept()))?;
        let partial = &open.partial;
        let sha256 = Digest(partial.hash.clone().finalize().into());
        if partial.written != partial.offer.size || expected.is_some_and(|expected| expected != sha256) {
            return Err(StoreError::Mismatch);
        }
        let broken = |e: io::Error| StoreError::Refused(refusal(&e));
        open.file.sync_all().map_err(broken)?;
        let name = self.rename(open).map_err(broken)?;
        fsync(&open.folder).map_err(|e| broken(e.into()))?;
        let path = format!("{}/{name}", partial.owner);
        let mut kept = StoredFile { path, size: partial.written, sha256, offered_on: false };
        if let Some(OpenFile { partial, .. }) = self.open.take() {
            let mut quota = self.shared.quota();
            quota.end(&partial.owner, &partial.offer, partial.written);
            kept.offered_on = quota.keep(&partial.owner, &partial.offer, self.shared.limits.share);
        }
        Ok(kept)
    }

    /// Renames the part to its name, or to a free one if somebody else has used it meanwhile.
    fn rename(&self, OpenFile { partial, folder, .. }: &OpenFile) -> io::Result<String> {
        let mut name = partial.name.clone();
        for _ in 0..MAX_NAME_ATTEMPTS {
            match rename_new(folder, &partial.part_name(), &name) {
                Err(Errno::EXIST) => {
                    name = self.shared.quota().name(&partial.owner, &partial.name, |name| exists(folder, name));
                }
                renamed => return Ok(renamed.map(|()| name)?),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let Some(OpenFile { partial, .. }) = self.open.take() else { return };
        let (owner, offer) = (partial.owner.clone(), partial.offer.clone());
        let mut quota = self.shared.quota();
        quota.end(&owner, &offer, partial.written);
        quota.interrupt(&owner, &offer, partial, Instant::now());
    }
}

fn already_kept() -> Refusal {
    Refusal::new(Reason::Broken, "the file is complete already")
}

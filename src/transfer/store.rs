//! Where received files are stored: one folder for each participant below one folder handle. It never follows a link, never overwrites and
//! never trusts a size. A file gets its name only once it is complete, verified and on the disk; before that it is `NAME.part`.
//!
//! Everything here blocks: it belongs on a thread that may wait for a disk.

mod disk;
mod limits;
mod part;
mod partial;
mod quota;
mod shared;

pub use limits::{Limits, RESUME_WITHIN, ShareLimits};
pub use part::{Part, StoreError, StoredFile};

use super::Refusal;
use super::message::{Offer, Reason};
use super::names::{PART, safe_file_name};
use super::protocol::MAX_WINDOW;
use disk::{FileIdentity, MAX_NAME_ATTEMPTS, create_file, exists, open_again};
use partial::{OpenFile, PartialFile};
use rustix::io::Errno;
use shared::Shared;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Bytes that all senders together may be ahead of the disk.
const ALL_WINDOWS: u64 = 32 << 20;
/// Bytes that each sender may be ahead at least.
const MIN_WINDOW: u64 = 128 << 10;

/// The folder for received files, with the quota of each sender.
#[derive(Debug)]
pub struct FileStore {
    shared: Arc<Shared>,
    /// New files are not accepted.
    closed: AtomicBool,
}

impl FileStore {
    /// A store in the folder `name` below `parent`. Nothing is created before the first file.
    pub fn new(parent: OwnedFd, name: &str, limits: Limits) -> Arc<Self> {
        Arc::new(Self { shared: Arc::new(Shared::new(parent, name, limits)), closed: AtomicBool::new(false) })
    }

    /// From now on new files are not accepted, or accepted again. Those that are on the way go on.
    pub fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::Relaxed);
    }

    /// What the store accepts.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Bytes that each sender may now be ahead of the disk.
    pub fn window(&self) -> u64 {
        let active = u64::from(self.shared.quota().active().max(1));
        (ALL_WINDOWS / active).clamp(MIN_WINDOW, MAX_WINDOW)
    }

    /// Decides about an offer of `owner` (a safe folder name), and opens its part: a new one, or the one that was interrupted.
    ///
    /// # Errors
    /// The refusal for the sender.
    pub fn admit(&self, owner: &str, offer: &Offer, now: Instant) -> Result<Part, Refusal> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Refusal::new(Reason::Unwanted, "files are not taken now: the recorder is paused"));
        }
        if !offer.is_valid() {
            return Err(Refusal::new(Reason::BadOffer, "a field is out of range"));
        }
        let shared = &self.shared;
        let admitted = shared.quota().admit(owner, offer, &shared.limits, now)?;
        let outstanding = shared.quota().outstanding();
        let space = shared.check_space(outstanding);
        match admitted {
            Some(partial) => self.resume(partial, space),
            None => space.and_then(|()| self.create(owner, offer)).inspect_err(|_| {
                shared.quota().cancel(owner, offer);
            }),
        }
    }

    /// Goes on with an interrupted file; one that was removed meanwhile begins anew. Without space or a disk it stays interrupted.
    fn resume(&self, partial: PartialFile, space: Result<(), Refusal>) -> Result<Part, Refusal> {
        let opened = space.and_then(|()| {
            let folder = self.shared.folder(&partial.owner).map_err(|e| disk::refusal(&e))?;
            let file = open_again(&folder, &partial.part_name(), partial.identity, partial.written);
            Ok(file.map_err(|e| disk::refusal(&e))?.map(|file| (folder, file)))
        });
        let (owner, offer) = (partial.owner.clone(), partial.offer.clone());
        match opened {
            Ok(Some((folder, file))) => Ok(Part::open(self.shared.clone(), OpenFile { partial, folder, file })),
            Ok(None) => {
                self.shared.quota().written(&owner, &offer, 0);
                self.create(&owner, &offer).inspect_err(|_| self.shared.quota().cancel(&owner, &offer))
            }
            Err(refusal) => {
                let mut quota = self.shared.quota();
                quota.end(&owner, &offer, partial.written);
                quota.interrupt(&owner, &offer, partial, Instant::now());
                Err(refusal)
            }
        }
    }

    /// Whether the shared file that `owner` offers is complete already, whoever it came from; and then whether it is offered on.
    pub fn present(&self, owner: &str, offer: &Offer) -> Option<bool> {
        self.shared.quota().present(owner, offer)
    }

    /// A complete file of `bytes` was removed from the store: its sender may send as much again.
    pub fn release(&self, owner: &str, bytes: u64) {
        self.shared.quota().release(owner, bytes);
    }

    fn create(&self, owner: &str, offer: &Offer) -> Result<Part, Refusal> {
        let broken = |e: io::Error| disk::refusal(&e);
        let folder = self.shared.folder(owner).map_err(broken)?;
        let wanted = safe_file_name(&offer.name);
        for _ in 0..MAX_NAME_ATTEMPTS {
            let is_used = |name: &str| [name, &format!("{name}{PART}")].iter().any(|name| exists(&folder, name));
            let name = self.shared.quota().name(owner, &wanted, is_used);
            match create_file(&folder, &format!("{name}{PART}")) {
                Err(Errno::EXIST) => continue,
                file => {
                    let file = file.map_err(|e| broken(e.into()))?;
                    let identity = FileIdentity::of(&file).map_err(broken)?;
                    let partial = PartialFile::new(owner, offer, name, identity);
                    return Ok(Part::open(self.shared.clone(), OpenFile { partial, folder, file }));
                }
            }
        }
        Err(Refusal::new(Reason::Broken, "no name is free"))
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

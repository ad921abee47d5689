//! Where received files go: one folder a participant below one folder handle. It never follows a link, never overwrites and never
//! trusts a size; a name belongs to a file only once the file is whole, verified and on the disk.
//!
//! While it is incomplete a file is called `NAME.part`. Everything here blocks: it belongs on a thread that may wait for a disk.

mod ledger;
mod part;

pub use part::{Fault, Kept, Part};

use super::Refusal;
use super::message::{Offer, Reason};
use super::names::{PART, safe_file_name};
use ledger::Ledger;
use part::Asleep;
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a file that stopped in the middle can go on.
pub const RESUME_WITHIN: Duration = Duration::from_secs(3600);
/// What all senders together may be ahead of the disk by, in bytes.
const WINDOWS: u64 = 32 << 20;
/// The least that one sender may be ahead.
const NARROWEST_WINDOW: u64 = 128 << 10;
/// Only its owner may write a received file, and nobody may run it.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
/// How often a name is looked for that nobody else takes first.
const MOST_RACES: u32 = 100;

/// How much is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file: u64,
    /// Files of one participant, incomplete ones counted.
    pub files: u32,
    /// Bytes of all files; one participant may fill half of it.
    pub total: u64,
    /// Files that come at once from one participant, and from all.
    pub at_once: u32,
    pub at_once_in_all: u32,
    /// How long nothing may come.
    pub idle: Duration,
    /// Bytes of the disk that stay free, so that others of us can go on writing.
    pub reserve: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file: 2 << 30,
            files: 1000,
            total: 20 << 30,
            at_once: 16,
            at_once_in_all: 64,
            idle: Duration::from_secs(60),
            reserve: 1 << 30,
        }
    }
}

/// The folder for received files, and the account of what is in it.
#[derive(Debug)]
pub struct Vault {
    /// The folder above, and the name of the vault's own in it, which is made when the first file comes.
    above: OwnedFd,
    name: String,
    limits: Limits,
    ledger: Mutex<Ledger>,
}

impl Vault {
    /// A vault in the folder `name` below `above`. Nothing is made before the first file comes.
    pub fn new(above: OwnedFd, name: &str, limits: Limits) -> Arc<Self> {
        Arc::new(Self { above, name: name.to_owned(), ledger: Mutex::default(), limits })
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How far ahead of the disk each sender may be now, in bytes.
    pub fn window(&self) -> u64 {
        let live = u64::from(self.ledger().live().max(1));
        (WINDOWS / live).clamp(NARROWEST_WINDOW, super::protocol::WIDEST_WINDOW)
    }

    /// Decides about an offer of `owner` (a safe folder name), and opens its part: a new one, or the one that it stopped in.
    ///
    /// # Errors
    /// The refusal that the sender is to hear.
    pub fn admit(self: &Arc<Self>, owner: &str, offer: &Offer, now: Instant) -> Result<Part, Refusal> {
        if !offer.is_valid() {
            return Err(Refusal::new(Reason::BadOffer, "a field is out of range"));
        }
        let admitted = self.ledger().admit(owner, offer, &self.limits, now)?;
        let outstanding = self.ledger().outstanding();
        let space = self.check_space(outstanding);
        match admitted {
            Some(part) => {
                // Dropped again where there is no space, it goes on sleeping.
                let part = Part::awake(self.clone(), part);
                space.map(|()| part)
            }
            None => space.and_then(|()| self.create(owner, offer)).inspect_err(|_| {
                self.ledger().dismiss(owner, offer);
            }),
        }
    }

    /// A file of so many bytes was taken out again by whose vault it is: its sender may send as much anew.
    pub fn release(&self, owner: &str, bytes: u64) {
        self.ledger().release(owner, bytes);
    }

    /// The disk has room for `bytes` more and the reserve.
    fn check_space(&self, bytes: u64) -> Result<(), Refusal> {
        let free =
            rustix::fs::fstatvfs(&self.above).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        if free >= bytes.saturating_add(self.limits.reserve) {
            return Ok(());
        }
        Err(Refusal::new(Reason::NoSpace, "the disk is too full"))
    }

    fn create(self: &Arc<Self>, owner: &str, offer: &Offer) -> Result<Part, Refusal> {
        let broken = |e: io::Error| part::refusal(&e);
        let folder = self.folder(owner).map_err(broken)?;
        let wanted = safe_file_name(&offer.name);
        for _ in 0..MOST_RACES {
            let is_there = |name: &str| [name, &format!("{name}{PART}")].iter().any(|name| exists(&folder, name));
            let name = self.ledger().name(owner, &wanted, is_there);
            match new_file(&folder, &format!("{name}{PART}")) {
                Err(Errno::EXIST) => continue,
                file => {
                    let file = file.map_err(|e| broken(e.into()))?;
                    return Ok(Part::awake(self.clone(), Asleep::new(owner, offer, folder, name, file)));
                }
            }
        }
        Err(Refusal::new(Reason::Broken, "no name is free"))
    }

    /// The owner's folder, made when needed.
    fn folder(&self, owner: &str) -> io::Result<Arc<OwnedFd>> {
        if let Some(folder) = self.ledger().folder(owner) {
            return Ok(folder);
        }
        let files = made(&self.above, &self.name)?;
        let folder = Arc::new(made(&files, owner)?);
        self.ledger().set_folder(owner, folder.clone());
        Ok(folder)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a sub-folder that is made when it is not there; no link.
fn made(above: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    if !plain {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not a folder name: {name:?}")));
    }
    match mkdirat(above, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(above, name, flags, Mode::empty())?)
}

fn new_file(folder: &OwnedFd, name: &str) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, FILE_MODE).map(File::from)
}

fn exists(folder: impl AsFd, name: &str) -> bool {
    !matches!(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;

//! What all files of a store share: the folder, the limits and the quota. Receives nothing itself.

use super::disk::open_subfolder;
use super::limits::Limits;
use super::quota::Quota;
use crate::transfer::Refusal;
use crate::transfer::message::Reason;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The state of a store.
#[derive(Debug)]
pub(super) struct Shared {
    parent: OwnedFd,
    /// The store's folder in `parent`, created with the first file.
    name: String,
    pub limits: Limits,
    quota: Mutex<Quota>,
}

impl Shared {
    pub fn new(parent: OwnedFd, name: &str, limits: Limits) -> Shared {
        Shared { parent, name: name.to_owned(), limits, quota: Mutex::default() }
    }

    pub fn quota(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the disk has space for `bytes` more and the reserve.
    pub fn check_space(&self, bytes: u64) -> Result<(), Refusal> {
        let free =
            rustix::fs::fstatvfs(&self.parent).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        if free >= bytes.saturating_add(self.limits.reserve) {
            return Ok(());
        }
        Err(Refusal::new(Reason::NoSpace, "the disk is too full"))
    }

    /// Opens the owner's folder, created if necessary.
    pub fn folder(&self, owner: &str) -> io::Result<OwnedFd> {
        let files = open_subfolder(&self.parent, &self.name)?;
        open_subfolder(&files, owner)
    }
}

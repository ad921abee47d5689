//! One file that is being received: appended, hashed as it is written, and given its name at the end. It never seeks on a
//! sender's word.

use super::{MOST_RACES, Vault, exists};
use crate::transfer::Refusal;
use crate::transfer::message::{Digest, Offer, Reason};
use crate::transfer::names::PART;
use rustix::fs::{AtFlags, RenameFlags, fsync, linkat, renameat_with, unlinkat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// After so many bytes the disk is asked for its free space, and told to write: a file is never more than twice this ahead of
/// it. Gigabytes that wait in memory would hold up everybody else who writes, when they go out at once.
const LOOK_EVERY: u64 = 32 << 20;

/// A part that is open for appending. Dropped before it is kept, it stays on the disk, and can go on for an hour.
#[derive(Debug)]
pub struct Part {
    vault: Arc<Vault>,
    /// Absent once it is over.
    body: Option<Asleep>,
    /// Bytes since the last look.
    unlooked: u64,
    /// Brings what was written before that to the disk.
    syncing: Option<JoinHandle<io::Result<()>>>,
}

/// The part itself, whether somebody writes to it or not.
#[derive(Debug)]
pub(super) struct Asleep {
    owner: String,
    offer: Offer,
    folder: Arc<OwnedFd>,
    /// Without `.part`.
    name: String,
    file: File,
    hash: Sha256,
    written: u64,
}

/// A file that is whole, verified and on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// `OWNER/NAME`.
    pub path: String,
    pub size: u64,
    pub sha256: Digest,
}

/// Why a part is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Size or hash are not what the sender says.
    Mismatch,
    Refused(Refusal),
}

impl Asleep {
    pub fn new(owner: &str, offer: &Offer, folder: Arc<OwnedFd>, name: String, file: File) -> Self {
        let (owner, offer) = (owner.to_owned(), offer.clone());
        Self { owner, offer, folder, name, file, hash: Sha256::new(), written: 0 }
    }
    pub fn written(&self) -> u64 {
        self.written
    }
    fn part(&self) -> String {
        format!("{}{PART}", self.name)
    }
}

impl Part {
    pub(super) fn awake(vault: Arc<Vault>, body: Asleep) -> Self {
        Self { vault, body: Some(body), unlooked: 0, syncing: None }
    }

    /// Bytes that are written and hashed.
    pub fn written(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.written)
    }

    /// Where it is now: `OWNER/NAME.part`.
    pub fn path(&self) -> String {
        self.body.as_ref().map(|body| format!("{}/{}", body.owner, body.part())).unwrap_or_default()
    }

    /// Appends bytes. After an error it must not be appended to again.
    ///
    /// # Errors
    /// What the sender is to hear: the disk is full or broken, or more came than was offered.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let Some(body) = &mut self.body else { return Err(over()) };
        let length = bytes.len() as u64;
        if body.written.saturating_add(length) > body.offer.size {
            return Err(Refusal::new(Reason::Flood, "more bytes than were offered"));
        }
        if let Err(e) = body.file.write_all(bytes) {
            // Part of it may be written: the hash decides what there is.
            let _ = body.file.set_len(body.written).and_then(|()| body.file.seek(io::SeekFrom::Start(body.written)));
            return Err(refusal(&e));
        }
        body.hash.update(bytes);
        body.written += length;
        self.vault.ledger().written(&body.owner, &body.offer, body.written);
        self.unlooked += length;
        if self.unlooked >= LOOK_EVERY {
            self.unlooked = 0;
            self.vault.check_space(0)?;
            self.sync().map_err(|e| refusal(&e))?;
        }
        Ok(())
    }

    /// Begins to bring what is written to the disk; waits for the time before.
    fn sync(&mut self) -> io::Result<()> {
        if let Some(Ok(synced)) = self.syncing.take().map(JoinHandle::join) {
            synced?;
        }
        if let Some(body) = &self.body {
            let file = body.file.try_clone()?;
            let thread = std::thread::Builder::new().name("file-sync".into());
            self.syncing = Some(thread.spawn(move || file.sync_data())?);
        }
        Ok(())
    }

    /// Throws away what was written.
    ///
    /// # Errors
    /// The disk's.
    pub fn restart(&mut self) -> Result<(), Refusal> {
        let Some(body) = &mut self.body else { return Err(over()) };
        body.file.set_len(0).and_then(|()| body.file.rewind()).map_err(|e| refusal(&e))?;
        (body.hash, body.written) = (Sha256::new(), 0);
        Ok(())
    }

    /// Verifies the file, brings it to the disk and gives it its name. `expected`: what the sender says, if they say anything.
    ///
    /// # Errors
    /// [`Fault::Mismatch`] where it is not what the sender meant; the part can be restarted then.
    pub fn keep(&mut self, expected: Option<Digest>) -> Result<Kept, Fault> {
        let body = self.body.as_ref().ok_or_else(|| Fault::Refused(over()))?;
        let sha256 = Digest(body.hash.clone().finalize().into());
        if body.written != body.offer.size || expected.is_some_and(|expected| expected != sha256) {
            return Err(Fault::Mismatch);
        }
        let broken = |e: io::Error| Fault::Refused(refusal(&e));
        body.file.sync_all().map_err(broken)?;
        let name = self.named(body).map_err(broken)?;
        fsync(&body.folder).map_err(|e| broken(e.into()))?;
        let kept = Kept { path: format!("{}/{name}", body.owner), size: body.written, sha256 };
        if let Some(body) = self.body.take() {
            self.vault.ledger().leave(&body.owner, &body.offer, body.written);
        }
        Ok(kept)
    }

    /// Renames the part to its name, or to the next where somebody has taken it meanwhile.
    fn named(&self, body: &Asleep) -> io::Result<String> {
        let mut name = body.name.clone();
        for _ in 0..MOST_RACES {
            match rename_new(&body.folder, &body.part(), &name) {
                Err(Errno::EXIST) => {
                    name = self.vault.ledger().name(&body.owner, &body.name, |name| exists(&body.folder, name));
                }
                renamed => return Ok(renamed.map(|()| name)?),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        let (owner, offer) = (body.owner.clone(), body.offer.clone());
        let mut ledger = self.vault.ledger();
        ledger.leave(&owner, &offer, body.written);
        ledger.sleep(&owner, &offer, body, Instant::now());
    }
}

/// Renames, and never over anything.
fn rename_new(folder: &OwnedFd, from: &str, to: &str) -> Result<(), Errno> {
    match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // A file system that cannot: a second name, and the first one away.
        Err(Errno::INVAL | Errno::NOSYS) => {
            linkat(folder, from, folder, to, AtFlags::empty())?;
            unlinkat(folder, from, AtFlags::empty())
        }
        renamed => renamed,
    }
}

pub(super) fn refusal(error: &io::Error) -> Refusal {
    tracing::warn!("a file cannot be received: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::new(Reason::NoSpace, "the disk is full"),
        _ => Refusal::new(Reason::Broken, "the receiver cannot write"),
    }
}

fn over() -> Refusal {
    Refusal::new(Reason::Broken, "it is over")
}

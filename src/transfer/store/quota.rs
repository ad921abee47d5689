//! How much each participant has sent, which files are being received, and which can be resumed. Values only; opens nothing.

use super::limits::{Limits, RESUME_WITHIN, ShareLimits};
use super::partial::PartialFile;
use crate::transfer::Refusal;
use crate::transfer::message::{Digest, Offer, Reason};
use crate::transfer::names::UsedNames;
use std::collections::HashMap;
use std::time::Instant;

/// Complete shared files that are remembered, so that they are not received again.
const MAX_KEPT: usize = 10_000;

/// Identifies a file across connections: owner and file.
type Key = (String, FileId);

/// What offers of the same file have in common. A shared file is named by its hash as well: with another one it is another file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FileId {
    id: String,
    /// Empty for shared files.
    name: String,
    size: u64,
    shared: Option<Digest>,
}

#[derive(Debug, Default)]
pub(super) struct Quota {
    owners: HashMap<String, Owner>,
    /// Files that are being received.
    active: HashMap<Key, Active>,
    /// Files that were interrupted, and when.
    interrupted: HashMap<Key, (Instant, PartialFile)>,
    /// Shared files that are complete, and whether they are offered on.
    kept: HashMap<Key, bool>,
    /// Files and bytes that are offered on.
    offered_on: (u32, u64),
    /// Bytes on the disk, and those that files being received may still get.
    total: u64,
}

#[derive(Debug, Default)]
struct Owner {
    names: UsedNames,
    files: u32,
    total: u64,
    active: u32,
}

#[derive(Debug)]
struct Active {
    size: u64,
    written: u64,
}

fn key(owner: &str, offer: &Offer) -> Key {
    let shared = offer.shared_hash();
    let name = if shared.is_some() { String::new() } else { offer.name.clone() };
    (owner.to_owned(), FileId { id: offer.id.clone(), name, size: offer.size, shared })
}

/// Finds the file of an offer: its owner's, or whosever it is that somebody offers on; then the one of the highest `rank`.
fn find<'a, V>(
    files: &'a HashMap<Key, V>,
    owner: &str,
    offer: &Offer,
    rank: impl Fn(&V) -> u64,
) -> Option<(&'a Key, &'a V)> {
    let key = key(owner, offer);
    if !offer.is_offered_on() {
        return files.get_key_value(&key);
    }
    files.iter().filter(|((_, file), _)| *file == key.1).max_by_key(|(_, value)| rank(value))
}

impl Quota {
    /// How many files are being received.
    pub fn active(&self) -> u32 {
        u32::try_from(self.active.len()).unwrap_or(u32::MAX)
    }

    /// Bytes that the files being received may still get.
    pub fn outstanding(&self) -> u64 {
        self.active.values().map(|file| file.size.saturating_sub(file.written)).sum()
    }

    /// Registers an offer. Returns the interrupted file that it resumes, if there is one.
    ///
    /// # Errors
    /// The limit that it breaks.
    pub fn admit(
        &mut self,
        owner: &str,
        offer: &Offer,
        limits: &Limits,
        now: Instant,
    ) -> Result<Option<PartialFile>, Refusal> {
        self.interrupted.retain(|_, (since, _)| now.saturating_duration_since(*since) < RESUME_WITHIN);
        if find(&self.active, owner, offer, |active| active.written).is_some() {
            return Err(Refusal::new(Reason::Busy, "the file is being received on another channel"));
        }
        let interrupted = find(&self.interrupted, owner, offer, |(_, partial)| partial.written);
        // What was begun stays its first owner's, and counts as theirs.
        let key = interrupted.map_or_else(|| key(owner, offer), |(key, _)| key.clone());
        let owner = key.0.as_str();
        let interrupted = interrupted.map(|(_, partial)| partial);
        let written = interrupted.map_or(0, |(_, partial)| partial.written);
        let is_new = interrupted.is_none();
        let account = self.owners.entry(owner.to_owned()).or_default();
        let more = offer.size.saturating_sub(written);
        let refuse = |reason, text: String| Err(Refusal::new(reason, text));
        if offer.size > limits.file {
            return refuse(Reason::TooLarge, format!("a file may have at most {} bytes", limits.file));
        }
        if account.total.saturating_add(more) > limits.total / 2 || self.total.saturating_add(more) > limits.total {
            return refuse(Reason::TooLarge, "the limit for all files is reached".to_owned());
        }
        if is_new && account.files >= limits.files {
            return refuse(Reason::TooMany, format!("at most {} files may be sent", limits.files));
        }
        if account.active >= limits.at_once || self.active.len() >= limits.at_once_in_all as usize {
            return refuse(Reason::TooMany, "too many files at once".to_owned());
        }
        account.files += u32::from(is_new);
        account.active += 1;
        account.total += more;
        self.total += more;
        let admitted = self.interrupted.remove(&key).map(|(_, part)| part);
        self.active.insert(key, Active { size: offer.size, written });
        Ok(admitted)
    }

    /// An admitted file could not be opened: undoes the admission.
    pub fn cancel(&mut self, owner: &str, offer: &Offer) {
        self.end(owner, offer, 0);
        if let Some(account) = self.owners.get_mut(owner) {
            account.files = account.files.saturating_sub(1);
        }
    }

    /// `written` bytes of a file are on the disk.
    pub fn written(&mut self, owner: &str, offer: &Offer, written: u64) {
        if let Some(active) = self.active.get_mut(&key(owner, offer)) {
            active.written = written;
        }
    }

    /// A file is no longer being received; `on_disk` bytes of it stay.
    pub fn end(&mut self, owner: &str, offer: &Offer, on_disk: u64) {
        let Some(active) = self.active.remove(&key(owner, offer)) else { return };
        let freed = active.size.saturating_sub(on_disk);
        self.total = self.total.saturating_sub(freed);
        if let Some(account) = self.owners.get_mut(owner) {
            account.active = account.active.saturating_sub(1);
            account.total = account.total.saturating_sub(freed);
        }
    }

    /// A file is complete. Returns whether it is to be offered on: only what its sharer has sent, within the limits.
    pub fn keep(&mut self, owner: &str, offer: &Offer, limits: Option<ShareLimits>) -> bool {
        if offer.shared_hash().is_none() {
            return false;
        }
        let (files, bytes) = (self.offered_on.0.saturating_add(1), self.offered_on.1.saturating_add(offer.size));
        let fits = offer.from.is_none() && limits.is_some_and(|most| files <= most.files && bytes <= most.bytes);
        if fits {
            self.offered_on = (files, bytes);
        }
        if self.kept.len() < MAX_KEPT {
            self.kept.insert(key(owner, offer), fits);
        }
        fits
    }

    /// Whether the file of an offer is complete already, and then whether it is offered on.
    pub fn present(&self, owner: &str, offer: &Offer) -> Option<bool> {
        offer.shared_hash()?;
        find(&self.kept, owner, offer, |offered_on| u64::from(*offered_on)).map(|(_, offered_on)| *offered_on)
    }

    /// A complete file was removed from the store.
    pub fn release(&mut self, owner: &str, bytes: u64) {
        self.total = self.total.saturating_sub(bytes);
        if let Some(account) = self.owners.get_mut(owner) {
            account.files = account.files.saturating_sub(1);
            account.total = account.total.saturating_sub(bytes);
        }
    }

    /// A file was interrupted and can be resumed.
    pub fn interrupt(&mut self, owner: &str, offer: &Offer, partial: PartialFile, now: Instant) {
        self.interrupted.insert(key(owner, offer), (now, partial));
    }

    /// A free name based on `wanted`, reserved from now on.
    pub fn name(&mut self, owner: &str, wanted: &str, is_used: impl FnMut(&str) -> bool) -> String {
        self.owners.entry(owner.to_owned()).or_default().names.reserve(wanted, is_used)
    }
}

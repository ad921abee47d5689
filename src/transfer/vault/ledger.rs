//! Who has sent how much, what comes now, and what may go on: the vault's account. Values only; it opens nothing.

use super::part::Asleep;
use super::{Limits, RESUME_WITHIN};
use crate::transfer::Refusal;
use crate::transfer::message::{Offer, Reason};
use crate::transfer::names::Taken;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

/// What names a file across connections: owner, id, offered name, size.
type Key = (String, String, String, u64);

#[derive(Debug, Default)]
pub(super) struct Ledger {
    owners: HashMap<String, Owner>,
    /// What comes now.
    live: HashMap<Key, Live>,
    asleep: HashMap<Key, (Instant, Asleep)>,
    /// Bytes on the disk and bytes that were promised to those who come.
    total: u64,
}

#[derive(Debug, Default)]
struct Owner {
    folder: Option<Arc<OwnedFd>>,
    names: Taken,
    files: u32,
    total: u64,
    live: u32,
}

#[derive(Debug)]
struct Live {
    size: u64,
    written: u64,
}

fn key(owner: &str, offer: &Offer) -> Key {
    (owner.to_owned(), offer.id.clone(), offer.name.clone(), offer.size)
}

impl Ledger {
    /// How many files come now.
    pub fn live(&self) -> u32 {
        u32::try_from(self.live.len()).unwrap_or(u32::MAX)
    }

    /// Bytes that those who come may still write.
    pub fn outstanding(&self) -> u64 {
        self.live.values().map(|live| live.size.saturating_sub(live.written)).sum()
    }

    /// Enters an offer, with what there is of it from before; or says which limit it breaks.
    pub fn admit(
        &mut self,
        owner: &str,
        offer: &Offer,
        limits: &Limits,
        now: Instant,
    ) -> Result<Option<Asleep>, Refusal> {
        self.asleep.retain(|_, (since, _)| now.saturating_duration_since(*since) < RESUME_WITHIN);
        let key = key(owner, offer);
        if self.live.contains_key(&key) {
            return Err(Refusal::new(Reason::Busy, "it is being received on another channel"));
        }
        let asleep = self.asleep.get(&key);
        let written = asleep.map_or(0, |(_, part)| part.written());
        let is_new = asleep.is_none();
        let account = self.owners.entry(owner.to_owned()).or_default();
        let more = offer.size.saturating_sub(written);
        let refuse = |reason, text: String| Err(Refusal::new(reason, text));
        if offer.size > limits.file {
            return refuse(Reason::TooLarge, format!("a file may have {} bytes", limits.file));
        }
        if account.total.saturating_add(more) > limits.total / 2 || self.total.saturating_add(more) > limits.total {
            return refuse(Reason::TooLarge, "it is more than may be sent in all".to_owned());
        }
        if is_new && account.files >= limits.files {
            return refuse(Reason::TooMany, format!("{} files may be sent", limits.files));
        }
        if account.live >= limits.at_once || self.live.len() >= limits.at_once_in_all as usize {
            return refuse(Reason::TooMany, "too many files at once".to_owned());
        }
        account.files += u32::from(is_new);
        account.live += 1;
        account.total += more;
        self.total += more;
        let admitted = self.asleep.remove(&key).map(|(_, part)| part);
        self.live.insert(key, Live { size: offer.size, written });
        Ok(admitted)
    }

    /// A file that was entered could not be opened: as if it had not been.
    pub fn dismiss(&mut self, owner: &str, offer: &Offer) {
        self.leave(owner, offer, 0);
        if let Some(account) = self.owners.get_mut(owner) {
            account.files = account.files.saturating_sub(1);
        }
    }

    /// So much of it is written.
    pub fn written(&mut self, owner: &str, offer: &Offer, written: u64) {
        if let Some(live) = self.live.get_mut(&key(owner, offer)) {
            live.written = written;
        }
    }

    /// It comes no longer; `on_disk` bytes of it stay.
    pub fn leave(&mut self, owner: &str, offer: &Offer, on_disk: u64) {
        let Some(live) = self.live.remove(&key(owner, offer)) else { return };
        let freed = live.size.saturating_sub(on_disk);
        self.total = self.total.saturating_sub(freed);
        if let Some(account) = self.owners.get_mut(owner) {
            account.live = account.live.saturating_sub(1);
            account.total = account.total.saturating_sub(freed);
        }
    }

    /// A whole file is no longer here.
    pub fn release(&mut self, owner: &str, bytes: u64) {
        self.total = self.total.saturating_sub(bytes);
        if let Some(account) = self.owners.get_mut(owner) {
            account.files = account.files.saturating_sub(1);
            account.total = account.total.saturating_sub(bytes);
        }
    }

    /// It stopped in the middle and may go on.
    pub fn sleep(&mut self, owner: &str, offer: &Offer, part: Asleep, now: Instant) {
        self.asleep.insert(key(owner, offer), (now, part));
    }

    pub fn folder(&self, owner: &str) -> Option<Arc<OwnedFd>> {
        self.owners.get(owner)?.folder.clone()
    }

    pub fn set_folder(&mut self, owner: &str, folder: Arc<OwnedFd>) {
        self.owners.entry(owner.to_owned()).or_default().folder.get_or_insert(folder);
    }

    /// A free name like the one that is wanted; it is taken from now on.
    pub fn name(&mut self, owner: &str, wanted: &str, is_there: impl FnMut(&str) -> bool) -> String {
        self.owners.entry(owner.to_owned()).or_default().names.take(wanted, is_there)
    }
}

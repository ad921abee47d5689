//! The master keys that somebody else's key derivation was seen to use, until whoever wants to open packets takes them. It asks for nothing:
//! it is told.

use crate::rtc::srtp::{MasterKey, Profile};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keys that wait, more than any handshake makes.
const MAX_WAITING: usize = 8;

/// The keys of one connection.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    seen: Mutex<Vec<Seen>>,
    /// A pair may wait: looked at for each packet.
    complete: AtomicBool,
}

#[derive(Debug)]
struct Seen {
    master: MasterKey,
    is_aead: Option<bool>,
}

/// The keys of both directions, in the order in which they were used first.
#[derive(Debug)]
pub(crate) struct KeyPair {
    /// What we seal with, as far as the order tells.
    pub first: MasterKey,
    /// What they seal with.
    pub second: MasterKey,
    is_aead: bool,
}

impl KeyPair {
    /// The profiles that these keys may be of, the likelier one first.
    pub fn profiles(&self) -> impl Iterator<Item = Profile> + use<> {
        let all: &[Profile] = match self.is_aead {
            true => &[Profile::Gcm128, Profile::Gcm256],
            false => &[Profile::AesCm80, Profile::AesCm32],
        };
        let fit = all.iter().copied().filter(|profile| self.first.fits(*profile) && self.second.fits(*profile));
        fit.collect::<Vec<_>>().into_iter()
    }
}

impl Keyring {
    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block is about to be encrypted under a key. The first one under a master key derives the session key of RTP: it is the master
    /// salt, with nothing changed by the label 0 (RFC 3711 4.3.1).
    pub fn on_block(&self, key: &[u8], block: &[u8]) {
        let mut seen = self.lock();
        if seen.iter().any(|seen| seen.master.is(key)) {
            return;
        }
        let Some(master) = block.get(..14).and_then(|salt| MasterKey::new(key, salt)) else { return };
        if seen.len() == MAX_WAITING {
            seen.remove(0);
        }
        seen.push(Seen { master, is_aead: None });
    }

    /// A cipher was made: it is of the newest master key.
    pub fn on_cipher(&self, is_aead: bool) {
        let mut seen = self.lock();
        if let Some(newest) = seen.last_mut() {
            newest.is_aead.get_or_insert(is_aead);
        }
        let complete = seen.iter().filter(|seen| seen.is_aead.is_some()).count() >= 2;
        self.complete.store(complete, Ordering::Release);
    }

    /// Whether [`Keyring::take`] has something.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Takes the newest two keys, if both are known to the end; older ones are forgotten.
    pub fn take(&self) -> Option<KeyPair> {
        let mut seen = self.lock();
        let known: Vec<bool> = seen.iter().rev().take(2).map_while(|seen| seen.is_aead).collect();
        let [is_aead, other] = known[..] else { return None };
        if is_aead != other {
            return None;
        }
        self.complete.store(false, Ordering::Release);
        let (second, first) = (seen.pop()?.master, seen.pop()?.master);
        seen.clear();
        Some(KeyPair { first, second, is_aead })
    }
}

//! An incomplete file: what is known of it while it waits to be resumed, and its handles while it is being received. Writes nothing.

use super::disk::FileIdentity;
use crate::transfer::message::Offer;
use crate::transfer::names::PART;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::os::fd::OwnedFd;

/// An incomplete file. It holds no descriptor: a sender may leave thousands of them.
#[derive(Debug)]
pub(super) struct PartialFile {
    pub owner: String,
    pub offer: Offer,
    /// Without `.part`.
    pub name: String,
    /// The file on the disk that is meant.
    pub identity: FileIdentity,
    /// Of what is written.
    pub hash: Sha256,
    /// Bytes.
    pub written: u64,
}

/// An incomplete file that is being received.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub partial: PartialFile,
    /// The owner's.
    pub folder: OwnedFd,
    pub file: File,
}

impl PartialFile {
    pub fn new(owner: &str, offer: &Offer, name: String, identity: FileIdentity) -> Self {
        let (owner, offer) = (owner.to_owned(), offer.clone());
        Self { owner, offer, name, identity, hash: Sha256::new(), written: 0 }
    }

    /// The file's name while it is incomplete.
    pub fn part_name(&self) -> String {
        format!("{}{PART}", self.name)
    }
}

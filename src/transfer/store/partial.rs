//! An incomplete file on the disk, whether it is being received or waits to be resumed. Writes nothing.

use crate::transfer::message::Offer;
use crate::transfer::names::PART;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// An incomplete file.
#[derive(Debug)]
pub(super) struct PartialFile {
    pub owner: String,
    pub offer: Offer,
    pub folder: Arc<OwnedFd>,
    /// Without `.part`.
    pub name: String,
    pub file: File,
    /// Of what is written.
    pub hash: Sha256,
    /// Bytes.
    pub written: u64,
}

impl PartialFile {
    pub fn new(owner: &str, offer: &Offer, folder: Arc<OwnedFd>, name: String, file: File) -> Self {
        let (owner, offer) = (owner.to_owned(), offer.clone());
        Self { owner, offer, folder, name, file, hash: Sha256::new(), written: 0 }
    }

    /// The file's name while it is incomplete.
    pub fn part_name(&self) -> String {
        format!("{}{PART}", self.name)
    }
}

//! What the offers of one file to everybody have in common. Sends nothing.

use crate::transfer::message::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::path::Path;
use tokio::task::spawn_blocking;

/// A file that everybody in the room is offered: it is the same file in all offers, and who has it may offer it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFile {
    /// Not guessable.
    pub id: String,
    /// Of the whole file.
    pub sha256: Digest,
    /// Who shared it, by name, where it is somebody else's file that is offered on.
    pub from: Option<String>,
}

impl SharedFile {
    /// A file of ours: reads it to its end.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn of(path: &Path) -> io::Result<SharedFile> {
        let path = path.to_owned();
        let hash = spawn_blocking(move || {
            let mut hash = Sha256::new();
            io::copy(&mut File::open(path)?, &mut hash).map(|_| Digest(hash.finalize().into()))
        });
        Ok(SharedFile { id: SharedFile::new_id(), sha256: hash.await??, from: None })
    }

    /// An id for a file.
    pub(super) fn new_id() -> String {
        format!("{:032x}", rand::random::<u128>())
    }
}

//! Reads a file that is sent, a little ahead of its channel, on a thread that may wait for the disk. It hashes what it reads.

use crate::transfer::message::Digest;
use bytes::BytesMut;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// The longest chunk, in bytes. Longer ones gain nothing and hold up other channels.
pub(crate) const LONGEST_CHUNK: usize = 64 << 10;
/// Blocks of about that length that are read ahead.
const AHEAD: usize = 8;

/// The file as chunks, and its hash.
pub(crate) struct FileReader {
    chunks: mpsc::Receiver<std::io::Result<Piece>>,
    rest: BytesMut,
}

enum Piece {
    Bytes(BytesMut),
    Hash(Digest),
}

impl FileReader {
    /// Reads from `offset` on; what lies before is hashed only.
    pub fn start(path: PathBuf, size: u64, offset: u64, chunk: usize) -> Self {
        let (pieces, chunks) = mpsc::channel(AHEAD);
        // Gathered, so that small chunks do not each cost a change of threads.
        let block = (LONGEST_CHUNK / chunk.max(1)).max(1) * chunk;
        spawn_blocking(move || {
            if let Err(e) = read(&path, size, offset, block, &pieces) {
                let _ = pieces.blocking_send(Err(e));
            }
        });
        Self { chunks, rest: BytesMut::new() }
    }

    async fn piece(&mut self) -> Result<Piece, String> {
        match self.chunks.recv().await {
            Some(piece) => piece.map_err(|e| e.to_string()),
            None => Err("it cannot be read".to_owned()),
        }
    }

    /// The next bytes, at most `most`.
    pub async fn next(&mut self, most: usize) -> Result<BytesMut, String> {
        if self.rest.is_empty() {
            match self.piece().await? {
                Piece::Bytes(bytes) => self.rest = bytes,
                Piece::Hash(_) => return Err("it has become shorter".to_owned()),
            }
        }
        Ok(self.rest.split_to(most.min(self.rest.len())))
    }

    /// The hash of the whole file, at its end.
    pub async fn digest(&mut self) -> Result<Digest, String> {
        match self.piece().await? {
            Piece::Hash(digest) => Ok(digest),
            Piece::Bytes(_) => Err("it has become longer".to_owned()),
        }
    }
}

fn read(
    path: &Path,
    size: u64,
    offset: u64,
    block: usize,
    pieces: &mpsc::Sender<std::io::Result<Piece>>,
) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < size {
        let end = if at < offset { offset } else { size };
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(block);
        let mut bytes = BytesMut::zeroed(length);
        file.read_exact(&mut bytes)?;
        hash.update(&bytes);
        at += length as u64;
        if at > offset && pieces.blocking_send(Ok(Piece::Bytes(bytes))).is_err() {
            return Ok(());
        }
    }
    let _ = pieces.blocking_send(Ok(Piece::Hash(Digest(hash.finalize().into()))));
    Ok(())
}

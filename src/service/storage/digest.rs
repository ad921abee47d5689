//! What a file's contents are known by: SHA-256, and the entity tag that S3 makes of them (MD5, or MD5 of the parts' MD5s).

use bytes::Bytes;
use md5::{Digest as _, Md5};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes that are sent in one request: S3 wants parts of 5 MiB at least.
pub(super) const PART: u64 = 8 << 20;
/// Parts of a file; S3 allows 10,000.
const MOST_PARTS: u64 = 9_000;

/// Contents that can be read at any place.
#[derive(Debug, Clone)]
pub(super) enum Source {
    File(Arc<File>),
    Bytes(Bytes),
}

/// What contents are known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests {
    /// SHA-256 in hex.
    pub sha256: String,
    /// The entity tag that a store makes of it that uses MD5.
    pub etag: String,
}

impl Source {
    /// Reads `length` bytes from `offset` on.
    pub(super) async fn read(&self, offset: u64, length: u64) -> io::Result<Bytes> {
        let wrong = |_| io::Error::other("too long for this machine");
        let length = usize::try_from(length).map_err(wrong)?;
        match self {
            Source::Bytes(bytes) => {
                let from = usize::try_from(offset).map_err(wrong)?;
                let range = from..from.saturating_add(length);
                if range.end > bytes.len() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes.slice(range)) }
            }
            Source::File(file) => {
                let file = file.clone();
                let read = move || {
                    let mut buffer = vec![0; length];
                    file.read_exact_at(&mut buffer, offset).map(|()| Bytes::from(buffer))
                };
                tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
            }
        }
    }

    /// The digests of contents that are sent in parts of this size.
    pub(super) async fn digests(&self, bytes: u64, part: u64) -> io::Result<Digests> {
        let (mut whole, mut parts, mut offset) = (Sha256::new(), Vec::new(), 0);
        while offset < bytes {
            let data = self.read(offset, part.min(bytes - offset)).await?;
            offset += data.len() as u64;
            let hash = move || {
                whole.update(&data);
                let md5: [u8; 16] = Md5::digest(&data).into();
                (whole, md5)
            };
            let (state, md5) = tokio::task::spawn_blocking(hash).await.map_err(io::Error::other)?;
            whole = state;
            parts.push(md5);
        }
        let etag = match &parts[..] {
            [] => hex(&Md5::digest([])),
            [one] if bytes <= part => hex(one),
            parts => format!("{}-{}", hex(&Md5::digest(parts.concat())), parts.len()),
        };
        Ok(Digests { sha256: hex(&whole.finalize()), etag })
    }
}

/// The size of the parts of a file.
pub(super) fn part_size(bytes: u64) -> u64 {
    PART.max(bytes.div_ceil(MOST_PARTS).next_multiple_of(1 << 20))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn digests_are_those_of_the_standards() {
        let source = Source::Bytes(Bytes::from_static(b"abc"));
        let whole = source.digests(3, PART).await.unwrap();
        assert_eq!(whole.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(whole.etag, "900150983cd24fb0d6963f7d28e17f72");
        let parts = source.digests(3, 2).await.unwrap();
        let of_parts: [[u8; 16]; 2] = [Md5::digest(b"ab").into(), Md5::digest(b"c").into()];
        let of_parts = of_parts.concat();
        assert_eq!((parts.sha256, parts.etag), (whole.sha256, format!("{}-2", hex(&Md5::digest(of_parts)))));
        let none = Source::Bytes(Bytes::new()).digests(0, PART).await.unwrap();
        assert_eq!(none.etag, "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn no_file_has_too_many_parts() {
        for bytes in [0, PART, 12 << 20, 90 << 30, 5 << 40] {
            let part = part_size(bytes);
            assert!(part >= PART && bytes.div_ceil(part) <= 10_000, "{bytes}");
        }
    }
}

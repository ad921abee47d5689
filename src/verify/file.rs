//! What a file is, beside what is in it: its size, its hash and its rate, so that a report says what it is of.

use crate::transfer::message::Digest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A file that was judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fact {
    /// Its name, without the folder.
    pub file: String,
    pub bytes: u64,
    /// Hexadecimal.
    pub sha256: String,
    /// Of all that is in it, over its length.
    pub kilobits_per_second: Option<f64>,
}

/// Looks at a file whose media last so many seconds. None where it cannot be read, which is told elsewhere.
pub fn fact(path: &Path, seconds: f64) -> Option<Fact> {
    let mut file = File::open(path).ok()?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let count = file.read(&mut buffer).ok()?;
        if count == 0 {
            break;
        }
        hash.update(buffer.get(..count)?);
        bytes += count as u64;
    }
    let sha256 = Digest(hash.finalize().into()).to_string();
    let kilobits_per_second = (seconds > 0.0).then(|| bytes as f64 * 8.0 / 1000.0 / seconds);
    let file = path.file_name()?.to_string_lossy().into_owned();
    Some(Fact { file, bytes, sha256, kilobits_per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let fact = fact(&path, 2.0).unwrap();
        // FIPS 180-2, B.1.
        assert_eq!(fact.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((fact.bytes, fact.kilobits_per_second, fact.file.as_str()), (3, Some(0.012), "abc"));
        assert_eq!(super::fact(&folder.path().join("none"), 1.0), None);
    }
}

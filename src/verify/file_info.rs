//! Name, size, hash and bitrate of a media file, to identify it in a report.

use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A media file of a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileInfo {
    /// File name without the folder.
    pub file: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// Size divided by the duration of the media; none if the duration is 0.
    pub kilobits_per_second: Option<f64>,
}

/// Hashes a file with media of this duration (seconds). None if it cannot be read; the caller reports that.
pub fn file_info(path: &Path, seconds: f64) -> Option<FileInfo> {
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
    let sha256 = format!("{:x}", hash.finalize());
    let kilobits_per_second = (seconds > 0.0).then(|| bytes as f64 * 8.0 / 1000.0 / seconds);
    let file = path.file_name()?.to_string_lossy().into_owned();
    Some(FileInfo { file, bytes, sha256, kilobits_per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_size_and_bitrate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let info = file_info(&path, 2.0).unwrap();
        // FIPS 180-2, B.1.
        assert_eq!(info.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((info.bytes, info.kilobits_per_second, info.file.as_str()), (3, Some(0.012), "abc"));
        assert_eq!(super::file_info(&folder.path().join("none"), 1.0), None);
    }
}

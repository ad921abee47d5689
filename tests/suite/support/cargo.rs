//! Files to send, with content that no other file has, and what is known of what was received.

use roombot::record::capture::Summary;
use roombot::recording::manifest::{FileEntry, FileState};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file of `size` bytes that look random and follow from `seed`.
pub fn file(folder: &Path, name: &str, size: usize, seed: u64) -> PathBuf {
    let path = folder.join(name);
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    let mut left = size;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        let length = left.min(8);
        out.write_all(&bytes[..length]).expect("written");
        left -= length;
    }
    out.flush().expect("written");
    path
}

/// The SHA-256 of bytes, in hex.
pub fn hash(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of a file, in hex.
pub fn sha256(path: &Path) -> String {
    let mut hash = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path).expect("a file"), &mut hash).expect("read");
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The entry of a received file, checked against the disk and the original.
pub fn received<'a>(summary: &'a Summary, file: &str, original: &Path) -> &'a FileEntry {
    let entry = summary.manifest.files.iter().find(|entry| entry.file == file);
    let entry = entry.unwrap_or_else(|| panic!("{file} is not among {:#?}", summary.manifest.files));
    assert_eq!(entry.state, FileState::Received, "{entry:?}");
    let size = std::fs::metadata(original).expect("the original").len();
    assert_eq!((entry.size, entry.bytes), (size, size));
    let hash = sha256(original);
    assert_eq!(entry.sha256.as_ref(), Some(&hash), "{entry:?}");
    assert_eq!(sha256(&summary.folder.join(file)), hash, "{file}");
    entry
}

/// Everything below a folder, as sorted relative paths.
pub fn below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type().expect("a type").is_dir() {
            true => found.extend(below(&entry.path()).into_iter().map(|path| format!("{name}/{path}"))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

/// The only recording in a folder.
pub fn only(out: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(out).expect("the folder").map(|entry| entry.expect("an entry").path());
    let found = entries.next().expect("a recording");
    assert_eq!(entries.next(), None);
    found
}

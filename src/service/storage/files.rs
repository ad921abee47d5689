//! The files of a recording's folder that belong into a store. Every one of them: what cannot be looked at is an error, not an omission.

use super::error::StorageError;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Folders within folders; a recording has fewer.
const DEEPEST: usize = 16;

/// A file of a recording's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Its path in the recording.
    pub path: String,
    pub bytes: u64,
    /// When it was last written, in nanoseconds of Unix time.
    pub modified_ns: i64,
    /// Which file it is on its disk: another one, where it was replaced.
    pub inode: u64,
}

/// Lists the files in order of their paths; hidden and unfinished (`.part`) ones, links and sockets are no media. Blocks.
///
/// # Errors
/// A folder cannot be read, or a name is not UTF-8.
pub fn walk(folder: &Path) -> Result<Vec<LocalFile>, StorageError> {
    let mut files = Vec::new();
    enter(folder, "", 0, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn enter(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<LocalFile>) -> Result<(), StorageError> {
    let unread = |path: &str| {
        let path = path.to_owned();
        move |error: std::io::Error| StorageError::Local { path, error }
    };
    for entry in std::fs::read_dir(folder).map_err(unread(prefix))? {
        let entry = entry.map_err(unread(prefix))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(StorageError::Name(format!("{prefix}{}", name.to_string_lossy())));
        };
        if name.starts_with('.') || name.ends_with(".part") {
            continue;
        }
        let path = format!("{prefix}{name}");
        let metadata = entry.metadata().map_err(unread(&path))?;
        if metadata.is_dir() {
            if depth >= DEEPEST {
                return Err(StorageError::Name(path));
            }
            enter(&entry.path(), &format!("{path}/"), depth + 1, files)?;
        } else if metadata.is_file() {
            let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let modified_ns = modified.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0);
            files.push(LocalFile { path, bytes: metadata.len(), modified_ns, inode: metadata.ino() });
        }
    }
    Ok(())
}

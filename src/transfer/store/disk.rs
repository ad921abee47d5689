//! Folders and files below a folder handle: never follows a link, never overwrites. Blocks.

use crate::transfer::Refusal;
use crate::transfer::message::Reason;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, linkat, mkdirat, openat, renameat_with, statat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::io::Seek;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// Only its owner may write a received file, and nobody may execute it.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
/// Attempts to find a file name that nobody else takes at the same time.
pub(super) const MAX_NAME_ATTEMPTS: u32 = 100;

/// Opens a sub-folder, which is created if necessary; not through a link.
pub(super) fn open_subfolder(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    if !plain {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not a folder name: {name:?}")));
    }
    match mkdirat(parent, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// Creates a file that must not exist.
pub(super) fn create_file(folder: &OwnedFd, name: &str) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, FILE_MODE).map(File::from)
}

/// Which file it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub fn of(file: &File) -> io::Result<FileIdentity> {
        let metadata = file.metadata()?;
        Ok(FileIdentity { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// Opens a file to append after its first `written` bytes; what lies behind them is cut off. None if it is another file by now, or is gone,
/// or has fewer bytes.
pub(super) fn open_again(
    folder: &OwnedFd,
    name: &str,
    identity: FileIdentity,
    written: u64,
) -> io::Result<Option<File>> {
    // Whatever has taken the name, a pipe for one, must not block us.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match openat(folder, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() < written || FileIdentity::of(&file)? != identity {
        return Ok(None);
    }
    file.set_len(written)?;
    file.seek(io::SeekFrom::Start(written))?;
    Ok(Some(file))
}

pub(super) fn exists(folder: impl AsFd, name: &str) -> bool {
    !matches!(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
}

/// Renames without replacing another file.
pub(super) fn rename_new(folder: &OwnedFd, from: &str, to: &str) -> Result<(), Errno> {
    match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // A file system without that flag: a second name, then the first one is removed.
        Err(Errno::INVAL | Errno::NOSYS) => {
            linkat(folder, from, folder, to, AtFlags::empty())?;
            unlinkat(folder, from, AtFlags::empty())
        }
        renamed => renamed,
    }
}

/// The refusal that a sender gets after an error of our disk.
pub(super) fn refusal(error: &io::Error) -> Refusal {
    tracing::warn!("a file cannot be received: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::new(Reason::NoSpace, "the disk is full"),
        _ => Refusal::new(Reason::Broken, "the receiver cannot write"),
    }
}

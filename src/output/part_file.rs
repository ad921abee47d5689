//! A file that is written as `.part` and gets its name when it is complete. No existing file is changed.

use crate::error::{Error, Result, write_failed};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The highest number that a name gets because others are taken.
const MAX_NUMBER: u32 = 1000;

/// A file that is being written. Dropped before it is published, it leaves nothing.
#[derive(Debug)]
pub struct PartFile {
    wanted: PathBuf,
    part: PathBuf,
    done: bool,
    // An exclusive `flock` on the `.part` file: a process is writing it.
    _lock: File,
}

impl PartFile {
    /// Begins `wanted`. A `.part` file that no process has locked is overwritten.
    ///
    /// # Errors
    /// The user's: no such folder, no permission, no file name.
    pub fn create(wanted: &Path) -> Result<PartFile> {
        if wanted.file_name().is_none() || wanted.is_dir() {
            return Err(Error::user(format!("{} is not a file name", wanted.display())));
        }
        for number in 1..=MAX_NUMBER {
            let mut part = numbered(wanted, number).into_os_string();
            part.push(".part");
            let part = PathBuf::from(part);
            let open = OpenOptions::new().write(true).create(true).truncate(false).custom_flags(NOFOLLOW).open(&part);
            let lock = open.map_err(|e| write_failed(&part, e))?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(PartFile { wanted: wanted.to_owned(), part, done: false, _lock: lock }),
                Err(Errno::WOULDBLOCK) => continue,
                Err(e) => return Err(write_failed(&part, e.into())),
            }
        }
        Err(Error::user(format!("too many files are being written as {}", wanted.display())))
    }

    /// The file to write.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// A temporary file beside it; it is removed with this value.
    pub fn scratch(&self) -> PathBuf {
        self.part.with_extension("part.media")
    }

    /// The name under which a film can be watched while it grows: `film.live.mp4` beside `film.mp4.part`. A file that an interrupted
    /// process has left stays, and the next one gets a number.
    ///
    /// # Errors
    /// The user's: there are too many of them.
    pub fn live_name(&self) -> Result<PathBuf> {
        let film = self.part.with_extension("");
        let mut names = (1..=MAX_NUMBER).map(|number| numbered(&film, number).with_extension("live.mp4"));
        let free = names.find(|name| !name.exists());
        free.ok_or_else(|| Error::user(format!("there are too many files called {}", self.wanted.display())))
    }

    /// Writes the whole file at once, and publishes it.
    ///
    /// # Errors
    /// As [`PartFile::publish`].
    pub fn write(self, bytes: &[u8]) -> Result<PathBuf> {
        std::fs::write(&self.part, bytes).map_err(|e| write_failed(&self.part, e))?;
        self.publish()
    }

    /// Syncs the file and renames it to the wanted name, or to a numbered one where that is taken. Returns the name.
    ///
    /// # Errors
    /// The machine's, of the disk.
    pub fn publish(mut self) -> Result<PathBuf> {
        File::open(&self.part).and_then(|file| file.sync_all()).map_err(|e| write_failed(&self.part, e))?;
        for number in 1..=MAX_NUMBER {
            let name = numbered(&self.wanted, number);
            match renameat_with(CWD, &self.part, CWD, &name, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.done = true;
                    return Ok(name);
                }
                Err(Errno::EXIST) => continue,
                Err(e) => return Err(write_failed(&name, e.into())),
            }
        }
        Err(Error::user(format!("there are too many files called {}", self.wanted.display())))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // No other process uses them: the lock is held.
        let _ = std::fs::remove_file(self.scratch());
        if !self.done {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// Symbolic links are not followed.
const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

/// `film.mp4`, `film-2.mp4`, and so on.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten_and_what_is_left_undone_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let film = dir.path().join("film.mp4");
        std::fs::write(&film, "the first").unwrap();
        let (second, third) = (PartFile::create(&film).unwrap(), PartFile::create(&film).unwrap());
        assert_ne!(second.part(), third.part());
        std::fs::write(second.part(), "the second").unwrap();
        assert_eq!(second.publish().unwrap(), dir.path().join("film-2.mp4"));
        drop(third);
        let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["film-2.mp4", "film.mp4"]);
        assert_eq!(std::fs::read(&film).unwrap(), b"the first");
    }

    #[test]
    fn a_bad_place_is_the_users_to_change() {
        for path in ["/nowhere/at/all/film.mp4", "/", "/tmp"] {
            assert!(matches!(PartFile::create(Path::new(path)).unwrap_err(), crate::error::Error::User(_)), "{path}");
        }
    }
}

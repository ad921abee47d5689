//! A recording's folder: made once, locked while it is recorded, every file in it created new. It never follows a link and never overwrites.

use crate::error::{Error, Result, io_failed};
use crate::recording::names::safe_name;
use crate::recording::timeline::TimelineWriter;
use jiff::Timestamp;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fsync, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The timeline's file name. An exclusive `flock` on it says that the recording is being written; it dies with the process.
pub const TIMELINE: &str = "timeline.jsonl";
/// The manifest's file name.
pub const MANIFEST: &str = "manifest.json";

/// How many recordings of one room may begin in the same second.
const MOST_NUMBERS: u32 = 1000;

/// A sub-folder of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sub {
    /// Track files.
    Tracks,
    /// What was sent over data channels.
    Files,
    /// Pictures made of the recording.
    Stills,
}

impl Sub {
    /// The sub-folder's name.
    pub fn word(self) -> &'static str {
        match self {
            Sub::Tracks => "tracks",
            Sub::Files => "files",
            Sub::Stills => "stills",
        }
    }
}

/// A recording folder that this process holds the lock of. It can be shared between threads.
#[derive(Debug)]
pub struct RecordingFolder {
    path: PathBuf,
    root: OwnedFd,
    /// Open for appending; carries the lock.
    timeline: File,
}

impl RecordingFolder {
    /// Makes `<room>-<UTC start>` (`standup-20261122T140500Z`) in `parent`, which is made too if only its last part is missing.
    ///
    /// Errors blame the user for a parent that cannot be written to, the machine for a full or broken disk.
    pub fn create(parent: &Path, room: &str, start: Timestamp) -> Result<Self> {
        match std::fs::create_dir(parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(parent_fault(parent, error)),
            _ => {}
        }
        let above = open_dir(rustix::fs::CWD, parent, false).map_err(|e| parent_fault(parent, e))?;
        let base = format!("{}-{}", safe_name(room, "room"), start.strftime("%Y%m%dT%H%M%SZ"));
        for number in 1..=MOST_NUMBERS {
            let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            match mkdirat(&above, &name, Mode::from_raw_mode(0o777)) {
                Err(Errno::EXIST) => continue,
                made => made.map_err(|e| parent_fault(parent, e.into()))?,
            }
            let path = parent.join(&name);
            let root =
                open_dir(&above, Path::new(&name), true).map_err(|e| io_failed("open the recording folder", e))?;
            let timeline = new_file(&root, TIMELINE, OFlags::APPEND).map_err(|e| parent_fault(parent, e))?;
            // Whoever else holds it only looks ([`RecordingFolder::is_live`]), and lets go at once.
            flock(&timeline, FlockOperation::LockExclusive)
                .map_err(|e| io_failed("lock the recording folder", e.into()))?;
            return Ok(Self { path, root, timeline });
        }
        Err(Error::user(format!("{}: too many recordings called {base}", parent.display())))
    }

    /// Takes over an existing recording whose recorder is gone; `None` while somebody holds its lock.
    pub fn claim(path: &Path) -> Result<Option<Self>> {
        let root =
            open_dir(rustix::fs::CWD, path, true).map_err(|e| io_failed(&format!("open {}", path.display()), e))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | SAFE;
        let timeline =
            openat(&root, TIMELINE, flags, FILE_MODE).map_err(|e| io_failed("open the timeline", e.into()))?;
        match flock(&timeline, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), root, timeline: timeline.into() })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(io_failed("lock the recording folder", error.into())),
        }
    }

    /// True while a process records into `path`.
    pub fn is_live(path: &Path) -> bool {
        let file = openat(rustix::fs::CWD, path.join(TIMELINE), OFlags::RDONLY | SAFE, Mode::empty());
        file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle of the folder itself.
    pub fn handle(&self) -> Result<OwnedFd> {
        self.root.try_clone().map_err(|e| io_failed("open the recording folder", e))
    }

    /// The writer of this recording's timeline.
    pub fn timeline(&self) -> Result<TimelineWriter> {
        let file = self.timeline.try_clone().map_err(|e| io_failed("open the timeline", e))?;
        TimelineWriter::new(file)
    }

    /// Creates a file that must not be there yet, in a sub-folder that is made when needed.
    pub fn create_file(&self, sub: Sub, name: &str) -> Result<File> {
        let doing = || format!("create {}/{name}", sub.word());
        new_file(&self.sub(sub)?, checked(name)?, OFlags::empty()).map_err(|e| io_failed(&doing(), e))
    }

    /// Opens a file of a sub-folder for reading; not a link, not a device.
    pub fn open_file(&self, sub: Sub, name: &str) -> Result<File> {
        let file = openat(self.sub(sub)?, checked(name)?, OFlags::RDONLY | SAFE, Mode::empty());
        file.map(File::from).map_err(|e| io_failed(&format!("open {}/{name}", sub.word()), e.into()))
    }

    /// Puts the finished successor `from` in the place of `to`, both in `sub`, and makes that last. The only way a file is replaced.
    pub(crate) fn replace(&self, sub: Sub, from: &str, to: &str) -> Result<()> {
        let dir = self.sub(sub)?;
        renameat(&dir, checked(from)?, &dir, checked(to)?)
            .and_then(|()| fsync(&dir))
            .map_err(|e| io_failed(&format!("replace {}/{to}", sub.word()), e.into()))
    }

    /// Removes an unfinished successor, if it is there.
    pub(crate) fn discard(&self, sub: Sub, part: &str) {
        if let (Ok(dir), true) = (self.sub(sub), part.ends_with(PART)) {
            let _ = unlinkat(dir, part, AtFlags::empty());
        }
    }

    /// Writes a whole file beside the old one, syncs it, renames it over the old one, syncs the folder. A reader sees the one or the other.
    /// Waits for the disk: not for the capture thread. One writer at a time for a name.
    pub fn write_atomically(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let part = format!(".{}{PART}", checked(name)?);
        let write = || -> io::Result<()> {
            match unlinkat(&self.root, &part, AtFlags::empty()) {
                Err(Errno::NOENT) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
            let mut file = new_file(&self.root, &part, OFlags::empty())?;
            file.write_all(bytes)?;
            file.sync_all()?;
            renameat(&self.root, &part, &self.root, name)?;
            Ok(fsync(&self.root)?)
        };
        write().map_err(|error| {
            let _ = unlinkat(&self.root, &part, AtFlags::empty());
            io_failed(&format!("write {name}"), error)
        })
    }

    /// Makes the names of the track files last. Waits for the disk.
    pub fn sync_names(&self) -> Result<()> {
        fsync(self.sub(Sub::Tracks)?).map_err(|e| io_failed("sync the recording folder", e.into()))
    }

    fn sub(&self, sub: Sub) -> Result<OwnedFd> {
        let made = mkdirat(&self.root, sub.word(), Mode::from_raw_mode(0o777));
        if let Err(error) = made
            && error != Errno::EXIST
        {
            return Err(io_failed(&format!("create {}", sub.word()), error.into()));
        }
        open_dir(&self.root, Path::new(sub.word()), true).map_err(|e| io_failed(&format!("open {}", sub.word()), e))
    }
}

/// What marks a file as an unfinished successor of another.
pub(crate) const PART: &str = ".part";

/// No link at the end of the path, no inheritance by child processes, no waiting at a FIFO.
const SAFE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);

fn open_dir<Fd: std::os::fd::AsFd>(at: Fd, path: &Path, only_real: bool) -> io::Result<OwnedFd> {
    let link = if only_real { OFlags::NOFOLLOW } else { OFlags::empty() };
    Ok(openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | link, Mode::empty())?)
}

fn new_file(dir: &OwnedFd, name: &str, more: OFlags) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | SAFE | more;
    Ok(openat(dir, name, flags, FILE_MODE)?.into())
}

/// A name is one plain part of a path; anything else is a defect of the caller, who has [`safe_name`].
fn checked(name: &str) -> Result<&str> {
    let plain = !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if plain { Ok(name) } else { Err(Error::us(format!("not a file name: {name:?}"))) }
}

/// The same for the folder that recordings go into, where the user can choose another.
fn parent_fault(parent: &Path, error: io::Error) -> Error {
    use io::ErrorKind::*;
    let parent = parent.display();
    let said = match error.kind() {
        NotFound => {
            Error::user(format!("{parent}: the folder above it does not exist; make it, or choose another with --out"))
        }
        PermissionDenied => {
            Error::user(format!("{parent}: no permission to write there; choose another folder with --out"))
        }
        ReadOnlyFilesystem => {
            Error::user(format!("{parent}: is on a read-only file system; choose another folder with --out"))
        }
        NotADirectory => Error::user(format!("{parent}: is not a folder; choose another with --out")),
        StorageFull | QuotaExceeded => Error::machine(format!("{parent}: the disk is full")),
        _ => Error::machine(format!("{parent}: cannot make a recording there: {error}")),
    };
    said.because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Blame;
    use std::os::unix::fs::symlink;

    fn start() -> Timestamp {
        "2026-11-22T14:05:00Z".parse().unwrap()
    }
    fn create(dir: &Path) -> RecordingFolder {
        RecordingFolder::create(dir, "Stand/up!", start()).unwrap()
    }
    fn name(folder: &RecordingFolder) -> &str {
        folder.path().file_name().unwrap().to_str().unwrap()
    }

    #[test]
    fn a_recording_is_named_by_room_and_time_and_numbered() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("recordings");
        let (first, second) = (create(&parent), create(&parent));
        assert_eq!(name(&first), "stand-up-20261122T140500Z");
        assert_eq!(name(&second), "stand-up-20261122T140500Z-2");
    }

    #[test]
    fn a_parent_that_cannot_be_is_the_users_to_change() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        for (parent, says) in [("a/b", "does not exist"), ("file", "is not a folder"), ("file/x", "is not a folder")] {
            let error = RecordingFolder::create(&dir.path().join(parent), "r", start()).unwrap_err();
            assert_eq!(error.blame(), Blame::User, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        // Nobody can make a folder in /proc, root included.
        assert!(RecordingFolder::create(Path::new("/proc"), "r", start()).is_err());
        assert_eq!(parent_fault(Path::new("x"), io::ErrorKind::StorageFull.into()).blame(), Blame::Machine);
        assert_eq!(parent_fault(Path::new("x"), io::ErrorKind::ReadOnlyFilesystem.into()).blame(), Blame::User);
    }

    #[test]
    fn the_lock_lives_as_long_as_the_recording_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let folder = create(dir.path());
        let path = folder.path().to_owned();
        assert!(RecordingFolder::is_live(&path));
        assert!(RecordingFolder::claim(&path).unwrap().is_none());
        drop(folder);
        assert!(!RecordingFolder::is_live(&path));
        let claimed = RecordingFolder::claim(&path).unwrap().unwrap();
        assert!(RecordingFolder::is_live(&path));
        drop(claimed);
        assert!(!RecordingFolder::is_live(dir.path()), "a folder without a timeline");
    }

    #[test]
    fn nothing_is_overwritten_and_no_link_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let folder = create(dir.path());
        folder.create_file(Sub::Tracks, "a.webm").unwrap();
        assert!(folder.create_file(Sub::Tracks, "a.webm").is_err());
        symlink(outside.join("new"), folder.path().join("tracks/b.webm")).unwrap();
        assert!(folder.create_file(Sub::Tracks, "b.webm").is_err());
        assert!(folder.open_file(Sub::Tracks, "b.webm").is_err());
        symlink(&outside, folder.path().join("files")).unwrap();
        assert!(folder.create_file(Sub::Files, "c").is_err());
        for bad in ["", ".", "..", "../x", "a/b", "/x", ".hidden", "a\0b"] {
            assert_eq!(folder.create_file(Sub::Tracks, bad).unwrap_err().blame(), Blame::Us, "{bad:?}");
        }
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn a_document_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let folder = create(dir.path());
        // What a kill in the middle of an earlier attempt left behind.
        std::fs::write(folder.path().join(".manifest.json.part"), "half").unwrap();
        for text in ["first", "second, longer", "3"] {
            folder.write_atomically("manifest.json", text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(folder.path().join("manifest.json")).unwrap(), text);
        }
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["manifest.json", "timeline.jsonl"]);
    }
}

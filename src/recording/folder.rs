//! A recording's folder: created once, locked while it is recorded, every file in it created new. It never follows a link and
//! never overwrites a file.

mod exact;

use crate::error::{Error, Result, io_failed};
use crate::recording::names::safe_name;
use crate::recording::timeline::TimelineWriter;
use crate::room::end::DISK_FULL;
use jiff::Timestamp;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fsync, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The timeline's file name. While a recording is written, its process holds an exclusive `flock` on it; the lock ends with the process.
pub const TIMELINE: &str = "timeline.jsonl";
/// The manifest's file name.
pub const MANIFEST: &str = "manifest.json";

/// How many recordings of one room may begin in the same second.
const MOST_NUMBERS: u32 = 1000;

/// A sub-folder of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subfolder {
    /// Track files.
    Tracks,
    /// Files that were sent over data channels.
    Files,
    /// Still pictures of the film.
    Stills,
}

impl Subfolder {
    /// The sub-folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Subfolder::Tracks => "tracks",
            Subfolder::Files => "files",
            Subfolder::Stills => "stills",
        }
    }
}

/// A recording folder that this process has locked. It can be shared between threads.
#[derive(Debug)]
pub struct RecordingFolder {
    path: PathBuf,
    root: OwnedFd,
    /// Open for appending; carries the lock.
    timeline: File,
}

impl RecordingFolder {
    /// Creates `<room>-<UTC start>` (`standup-20261122T140500Z`) in `parent`, which is created too if only its last part is missing.
    ///
    /// # Errors
    /// The user's: `parent` cannot be written to. The machine's: a full or broken disk.
    pub fn create(parent: &Path, room: &str, start: Timestamp) -> Result<Self> {
        match std::fs::create_dir(parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(parent_error(parent, error)),
            _ => {}
        }
        let above = open_dir(rustix::fs::CWD, parent, false).map_err(|e| parent_error(parent, e))?;
        let base = format!("{}-{}", safe_name(room, "room"), start.strftime("%Y%m%dT%H%M%SZ"));
        for number in 1..=MOST_NUMBERS {
            let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            match mkdirat(&above, &name, Mode::from_raw_mode(0o777)) {
                Err(Errno::EXIST) => continue,
                made => made.map_err(|e| parent_error(parent, e.into()))?,
            }
            let path = parent.join(&name);
            let root =
                open_dir(&above, Path::new(&name), true).map_err(|e| io_failed("open the recording folder", e))?;
            let timeline = new_file(&root, TIMELINE, OFlags::APPEND).map_err(|e| parent_error(parent, e))?;
            // Another process holds it only for the moment of [`RecordingFolder::is_live`].
            flock(&timeline, FlockOperation::LockExclusive)
                .map_err(|e| io_failed("lock the recording folder", e.into()))?;
            return Ok(Self { path, root, timeline });
        }
        Err(Error::user(format!("{}: too many recordings called {base}", parent.display())))
    }

    /// Locks an existing recording whose recorder has ended; `None` while another process holds its lock.
    ///
    /// # Errors
    /// The folder or its timeline cannot be opened.
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
    ///
    /// # Errors
    /// The process has too many open files.
    pub fn handle(&self) -> Result<OwnedFd> {
        self.root.try_clone().map_err(|e| io_failed("open the recording folder", e))
    }

    /// Puts a small hidden file there, in place of one of that name: it is no part of the recording.
    pub(crate) fn put_hidden(&self, name: &str, text: &str) -> io::Result<()> {
        match unlinkat(&self.root, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        new_file(&self.root, name, OFlags::empty())?.write_all(text.as_bytes())
    }

    /// A writer of this recording's timeline.
    ///
    /// # Errors
    /// The timeline cannot be read.
    pub fn timeline(&self) -> Result<TimelineWriter> {
        let file = self.timeline.try_clone().map_err(|e| io_failed("open the timeline", e))?;
        TimelineWriter::new(file)
    }

    /// Creates a file that must not exist yet, in a sub-folder that is created when needed.
    ///
    /// # Errors
    /// The file exists, the disk is full, or `name` is not one plain part of a path.
    pub fn create_file(&self, sub: Subfolder, name: &str) -> Result<File> {
        let doing = || format!("create {}/{name}", sub.name());
        new_file(&self.sub(sub)?, checked(name)?, OFlags::empty()).map_err(|e| io_failed(&doing(), e))
    }

    /// Opens a file of a sub-folder for reading; never a link or a device.
    ///
    /// # Errors
    /// There is no such file.
    pub fn open_file(&self, sub: Subfolder, name: &str) -> Result<File> {
        let file = openat(self.sub(sub)?, checked(name)?, OFlags::RDONLY | SAFE, Mode::empty());
        file.map(File::from).map_err(|e| io_failed(&format!("open {}/{name}", sub.name()), e.into()))
    }

    /// Replaces `to` by its finished copy `from`, both in `sub`, and syncs the folder. No other way replaces a file.
    pub(crate) fn replace(&self, sub: Subfolder, from: &str, to: &str) -> Result<()> {
        let dir = self.sub(sub)?;
        renameat(&dir, checked(from)?, &dir, checked(to)?)
            .and_then(|()| fsync(&dir))
            .map_err(|e| io_failed(&format!("replace {}/{to}", sub.name()), e.into()))
    }

    /// Removes an unfinished copy, if there is one.
    pub(crate) fn discard(&self, sub: Subfolder, part: &str) {
        if let (Ok(dir), true) = (self.sub(sub), part.ends_with(PART)) {
            let _ = unlinkat(dir, part, AtFlags::empty());
        }
    }

    /// Writes a whole file beside the old one, syncs it, renames it over the old one, syncs the folder. A reader sees either one.
    /// Waits for the disk, so never call it on the capture thread. One writer at a time for a name.
    ///
    /// # Errors
    /// The disk's; the old file is unchanged.
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

    /// Syncs the folder of the track files. Waits for the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync_names(&self) -> Result<()> {
        fsync(self.sub(Subfolder::Tracks)?).map_err(|e| io_failed("sync the recording folder", e.into()))
    }

    fn sub(&self, sub: Subfolder) -> Result<OwnedFd> {
        let made = mkdirat(&self.root, sub.name(), Mode::from_raw_mode(0o777));
        if let Err(error) = made
            && error != Errno::EXIST
        {
            return Err(io_failed(&format!("create {}", sub.name()), error.into()));
        }
        open_dir(&self.root, Path::new(sub.name()), true).map_err(|e| io_failed(&format!("open {}", sub.name()), e))
    }
}

/// The extension of an unfinished copy that will replace a file.
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

/// `name`, if it is one plain part of a path; anything else is a bug of the caller, who should use [`safe_name`].
fn checked(name: &str) -> Result<&str> {
    let plain = !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if plain { Ok(name) } else { Err(Error::internal(format!("not a file name: {name:?}"))) }
}

/// The error for the folder that recordings are created in, which the user can choose.
fn parent_error(parent: &Path, error: io::Error) -> Error {
    use io::ErrorKind::*;
    let parent = parent.display();
    let said = match error.kind() {
        NotFound => {
            Error::user(format!("{parent}: its parent folder does not exist; create it, or choose another with --out"))
        }
        PermissionDenied => {
            Error::user(format!("{parent}: no permission to write there; choose another folder with --out"))
        }
        ReadOnlyFilesystem => {
            Error::user(format!("{parent}: is on a read-only file system; choose another folder with --out"))
        }
        NotADirectory => Error::user(format!("{parent}: is not a folder; choose another with --out")),
        StorageFull | QuotaExceeded => Error::machine(format!("{parent}: the disk is full")).coded(DISK_FULL),
        _ => Error::machine(format!("{parent}: cannot create a recording there: {error}")),
    };
    said.because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
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
            assert!(matches!(error, crate::error::Error::User(_)), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        // Nobody can make a folder in /proc, root included.
        assert!(RecordingFolder::create(Path::new("/proc"), "r", start()).is_err());
        assert!(matches!(
            parent_error(Path::new("x"), io::ErrorKind::StorageFull.into()),
            crate::error::Error::Machine(_)
        ));
        assert!(matches!(
            parent_error(Path::new("x"), io::ErrorKind::ReadOnlyFilesystem.into()),
            crate::error::Error::User(_)
        ));
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
        folder.create_file(Subfolder::Tracks, "a.webm").unwrap();
        assert!(folder.create_file(Subfolder::Tracks, "a.webm").is_err());
        symlink(outside.join("new"), folder.path().join("tracks/b.webm")).unwrap();
        assert!(folder.create_file(Subfolder::Tracks, "b.webm").is_err());
        assert!(folder.open_file(Subfolder::Tracks, "b.webm").is_err());
        symlink(&outside, folder.path().join("files")).unwrap();
        assert!(folder.create_file(Subfolder::Files, "c").is_err());
        for bad in ["", ".", "..", "../x", "a/b", "/x", ".hidden", "a\0b"] {
            assert!(
                matches!(folder.create_file(Subfolder::Tracks, bad).unwrap_err(), crate::error::Error::Internal(_)),
                "{bad:?}"
            );
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

//! Where a recording goes: a folder that is made for it, or one that is named, which may have a recording already.

use crate::error::{Error, Result};
use crate::recording::folder::RecordingFolder;
use crate::recording::manifest::Manifest;
use crate::recording::recover::Recovery;
use crate::recording::resume::{HeldFolder, NewPart};
use jiff::Timestamp;
use std::path::{Path, PathBuf};

/// Where a recording goes, and what its manifest says of the room.
#[derive(Debug, Clone)]
pub struct Destination {
    pub place: Place,
    pub room: String,
    /// The room's address, without a token.
    pub url: String,
}

/// The folder of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder is made in this one, named by room and time.
    In(PathBuf),
    /// This one. What it has of the room's recording is continued.
    Exactly(PathBuf),
}

/// A destination that can be written to.
#[derive(Debug)]
pub struct Prepared {
    destination: Destination,
    held: Option<HeldFolder>,
}

impl Destination {
    /// Tries the folder before a room is joined, so that nobody sees a recorder that cannot record; locks and recovers what it has. Waits
    /// for the disk.
    ///
    /// # Errors
    /// The user's: the folder.
    pub fn prepare(self) -> Result<Prepared> {
        let held = match &self.place {
            Place::In(parent) => {
                check_writable(parent)?;
                None
            }
            Place::Exactly(path) => Some(HeldFolder::open(path, &self.room)?),
        };
        Ok(Prepared { destination: self, held })
    }
}

impl Prepared {
    /// What was recovered before the recording is continued.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.held.as_ref()?.recovery.as_ref()
    }

    /// The folder of the recording that is continued.
    pub fn continued(&self) -> Option<&Path> {
        self.held.as_ref().filter(|held| held.is_continued())?.path()
    }

    /// The recording begins now.
    pub(super) fn begin(self, now: Timestamp) -> Result<NewPart> {
        let Destination { place, room, url } = self.destination;
        match (place, self.held) {
            (_, Some(held)) => {
                let now = held.now().unwrap_or(now);
                held.begin(&room, &url, now)
            }
            (Place::In(parent), None) => {
                let folder = RecordingFolder::create(&parent, &room, now)?;
                Ok(NewPart { folder, manifest: Manifest::new(&room, &url, now), chats: 0, previous: None })
            }
            (Place::Exactly(_), None) => Err(Error::internal("the folder is not locked")),
        }
    }
}

/// Makes the folder for recordings, or says why there can be none.
fn check_writable(parent: &Path) -> Result<()> {
    use rustix::fs::{Access, access};
    let cannot =
        |e: std::io::Error| Error::user(format!("{}: recordings cannot be written there: {e}", parent.display()));
    std::fs::create_dir_all(parent).map_err(cannot)?;
    access(parent, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| cannot(e.into()))
}

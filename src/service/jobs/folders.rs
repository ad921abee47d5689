//! Where the service keeps its files.

use super::disk::DiskMarks;
use crate::error::{Error, Result};
use crate::service::model::Id;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The folders below the service's data folder.
#[derive(Debug, Clone)]
pub struct Folders {
    data: PathBuf,
    marks: Arc<Mutex<DiskMarks>>,
}

impl Folders {
    /// Makes what is missing of them, for the service's user alone.
    ///
    /// # Errors
    /// The user's: the folder cannot be written.
    pub fn create(data: &Path) -> Result<Folders> {
        use std::os::unix::fs::DirBuilderExt;
        let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
        for folder in [data.clone(), data.join("recordings"), data.join("run"), data.join("logs")] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|e| {
                Error::user(format!("{}: the service's data cannot be written there: {e}", folder.display())).because(e)
            })?;
        }
        Ok(Folders { data, marks: Arc::default() })
    }

    /// How much of the disk must be free from now on.
    pub fn set_marks(&self, marks: DiskMarks) {
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner) = marks;
    }

    fn marks(&self) -> DiskMarks {
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Free bytes for recordings, if the disk tells.
    pub fn free(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(self.recordings()).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
    /// Whether a recording may begin.
    pub fn has_room(&self) -> bool {
        self.marks().has_room(self.free())
    }
    /// Whether what a store has is to be deleted here.
    pub fn is_short(&self) -> bool {
        self.marks().is_short(self.free())
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.data.join("service.db")
    }
    /// Held for as long as a service runs here.
    pub fn lock(&self) -> PathBuf {
        self.data.join("service.lock")
    }
    /// Where the session of a worker is remembered.
    pub fn session(&self) -> PathBuf {
        self.run().join("session")
    }
    /// How far a worker has told what happened.
    pub fn reported(&self) -> PathBuf {
        self.data.join("reported")
    }
    /// What belongs to running processes.
    pub fn run(&self) -> PathBuf {
        self.data.join("run")
    }
    /// The parent of all recordings.
    pub fn recordings(&self) -> PathBuf {
        self.data.join("recordings")
    }
    /// The recording's own folder.
    pub fn recording(&self, id: &Id) -> PathBuf {
        self.recordings().join(id.as_str())
    }
    /// The socket on which its recorder takes commands.
    pub fn control(&self, id: &Id) -> PathBuf {
        self.data.join("run").join(format!("{id}.sock"))
    }
    /// The last words of its recorder.
    pub fn result(&self, id: &Id) -> PathBuf {
        self.data.join("run").join(format!("{id}.result.json"))
    }
    /// The last words of the program that makes an output.
    pub fn output_result(&self, id: &Id, output: &str) -> PathBuf {
        self.data.join("run").join(format!("{id}.{output}.json"))
    }
    /// The files of a check.
    pub fn check(&self, id: &Id) -> PathBuf {
        self.data.join("checks").join(id.as_str())
    }
    /// Where a film is made of a recording that is in a store only.
    pub fn film(&self, id: &Id) -> PathBuf {
        self.data.join("films").join(id.as_str())
    }
    /// How far what its recorder writes is in the store.
    pub fn live(&self, id: &Id) -> PathBuf {
        self.data.join("run").join(format!("{id}.live.json"))
    }
    /// What its processes said.
    pub fn log(&self, id: &Id) -> PathBuf {
        self.data.join("logs").join(format!("{id}.log"))
    }
}

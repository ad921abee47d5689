//! A folder that the user names, in place of one that is made for each recording.

use super::{RecordingFolder, TIMELINE};
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, unlinkat};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the lock is waited for: a look whether the recording goes on holds it for a moment, and so does a killed process until
/// it is gone.
const PATIENCE: Duration = Duration::from_secs(2);

impl RecordingFolder {
    /// Locks a folder, which is made with those above it if it is not there. True beside it if it was made. Whatever is in it stays.
    ///
    /// # Errors
    /// The user's: it cannot be written to, or another process holds it.
    pub fn at(path: &Path) -> Result<(RecordingFolder, bool)> {
        let made = !path.exists();
        std::fs::create_dir_all(path)
            .map_err(|e| Error::user(format!("{}: cannot be a recording's folder: {e}", path.display())).because(e))?;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(folder) = RecordingFolder::claim(path)? {
                return Ok((folder, made));
            }
            if Instant::now() >= until {
                return Err(Error::user(format!("{}: another process records into it", path.display())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Gives the folder up again in which nothing was recorded: its timeline goes if it is empty.
    pub(crate) fn abandon(self) {
        if self.timeline.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = unlinkat(&self.root, TIMELINE, AtFlags::empty());
        }
    }
}

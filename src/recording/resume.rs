//! Recording into a given folder: new, or continued after its recorder was gone. What was left behind is recovered first.

use crate::error::{Error, Result};
use crate::recording::boot;
use crate::recording::folder::{MANIFEST, RecordingFolder, TIMELINE};
use crate::recording::manifest::{Manifest, Status};
use crate::recording::parts::Part;
use crate::recording::recover::{Recovery, recover_held};
use crate::recording::timeline::{Event, TimelineReader};
use crate::room::end::{CRASHED, EndReason};
use jiff::Timestamp;
use std::path::{Path, PathBuf};

/// A recording's folder, locked before its room is joined. Dropped unused it leaves nothing that was not there before.
#[derive(Debug)]
pub struct HeldFolder {
    folder: Option<RecordingFolder>,
    /// The folder is new: to be removed if it is not used.
    made: bool,
    before: Option<Before>,
    /// What was recovered.
    pub recovery: Option<Recovery>,
}

/// What a recording has that is continued.
#[derive(Debug)]
pub struct Before {
    /// As it was left.
    pub manifest: Manifest,
    /// Chat messages so far.
    pub chats: u64,
    /// The last time in manifest and timeline.
    last_ms: u64,
}

/// A part of a recording that begins.
#[derive(Debug)]
pub struct NewPart {
    /// Its folder.
    pub folder: RecordingFolder,
    /// With the new part, and the status of a recording that is being made.
    pub manifest: Manifest,
    /// Chat messages so far.
    pub chats: u64,
    /// The part before it, if there is one.
    pub previous: Option<Part>,
}

impl HeldFolder {
    /// Locks a folder, which is made if it is not there, and recovers what is in it. Waits for the disk.
    ///
    /// # Errors
    /// The user's: it cannot be written to, another process records into it, or it has a recording of another room.
    pub fn open(path: &Path, room: &str) -> Result<HeldFolder> {
        let (folder, made) = RecordingFolder::at(path)?;
        let mut held = HeldFolder { folder: Some(folder), made, before: None, recovery: None };
        if path.join(MANIFEST).exists() {
            let folder = held.folder.as_ref().ok_or_else(|| Error::internal("the folder is gone"))?;
            let known = Manifest::load(path)?;
            if known.room != room {
                let (path, known) = (path.display(), known.room.escape_debug().to_string());
                return Err(Error::user(format!(
                    "{path}: has a recording of another room, {known}; choose another folder"
                )));
            }
            held.recovery = recover_held(folder)?;
            held.before = Some(Before::load(path)?);
        }
        Ok(held)
    }

    /// Where it is.
    pub fn path(&self) -> Option<&Path> {
        self.folder.as_ref().map(RecordingFolder::path)
    }

    /// Whether it has a recording.
    pub fn is_continued(&self) -> bool {
        self.before.is_some()
    }

    /// The wall clock as the recording has it, if it was last recorded on this machine since its boot.
    pub fn now(&self) -> Option<Timestamp> {
        let before = self.before.as_ref()?;
        boot::session_ms(self.path()?).map(|session_ms| before.manifest.time_of(session_ms))
    }

    /// Begins to record now: the next part of the recording, or the first.
    ///
    /// # Errors
    /// A defect of ours.
    pub fn begin(mut self, room: &str, url: &str, now: Timestamp) -> Result<NewPart> {
        let folder = self.folder.take().ok_or_else(|| Error::internal("the folder was used twice"))?;
        let Some(before) = self.before.take() else {
            boot::note(&folder, 0);
            let manifest = Manifest::new(room, url, now);
            return Ok(NewPart { folder, manifest, chats: 0, previous: None });
        };
        let start_ms = before.resume_ms(now);
        boot::note(&folder, start_ms);
        let Before { mut manifest, chats, .. } = before;
        if manifest.parts.is_empty() {
            // Of an older version.
            manifest.parts.push(Part::new(0));
        }
        let is_cut = matches!(manifest.status, Status::Recording | Status::Recovered);
        let (why, code) = if is_cut { ("cut short", CRASHED) } else { ("stopped", EndReason::Stopped.code()) };
        manifest.end_part(manifest.duration_ms, why, code);
        let previous = manifest.parts.last().cloned();
        // Who paused a recorder does not want it to record because it crashed.
        if let Some((part, pause)) = previous.as_ref().zip(manifest.pauses.last_mut())
            && part.has_crashed()
            && pause.end_ms == part.end_ms
        {
            pause.end_ms = None;
        }
        manifest.parts.push(Part::new(start_ms));
        manifest.reasons.clear();
        (manifest.status, manifest.ended, manifest.duration_ms) = (Status::Recording, None, start_ms);
        Ok(NewPart { folder, manifest, chats, previous })
    }
}

impl Drop for HeldFolder {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        if self.before.is_none() {
            let path: PathBuf = folder.path().to_owned();
            folder.abandon();
            if self.made {
                // Not empty: somebody else has put something there.
                let _ = std::fs::remove_dir(path);
            }
        }
    }
}

impl Before {
    fn load(path: &Path) -> Result<Before> {
        let manifest = Manifest::load(path)?;
        let (mut chats, mut last_ms) = (0, manifest.duration_ms);
        for entry in TimelineReader::open(&path.join(TIMELINE))? {
            chats += u64::from(matches!(entry.event, Event::Chat { .. }));
            last_ms = last_ms.max(entry.t_ms);
        }
        Ok(Before { manifest, chats, last_ms })
    }

    /// The session time of `now`: by the wall clock, but a clock that was put back does not bring a time back that was used.
    fn resume_ms(&self, now: Timestamp) -> u64 {
        let passed = now.duration_since(self.manifest.started).as_millis();
        u64::try_from(passed).unwrap_or(0).max(self.last_ms.saturating_add(1))
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;

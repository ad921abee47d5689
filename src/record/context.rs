//! What all streams of a recording share, and how its manifest ends.

use super::disk::{Disk, Done};
use super::log::RecordingLog;
use super::reception::Reception;
use crate::error::Result;
use crate::recording::account::DISK;
use crate::recording::folder::RecordingFolder;
use crate::recording::manifest::{Manifest, Status};
use crate::recording::subtitles;
use crate::recording::track::Unfinished;
use crate::room::clock::SessionTime;
use crate::room::end::EndReason;
use std::sync::Arc;
use std::time::Instant;

/// What all streams of a recording share.
pub(super) struct RecordingContext {
    pub folder: Arc<RecordingFolder>,
    pub log: RecordingLog,
    pub disk: Disk,
    /// The last disk error.
    pub disk_error: Option<String>,
    pub pause: PauseState,
    pub reception: Reception,
}

/// Whether anything is to be recorded.
#[derive(Debug, Clone, Copy)]
pub(super) enum PauseState {
    /// Everything is recorded since then.
    Recording(Instant),
    Paused,
}

impl PauseState {
    /// Whether what began to arrive at that time came while nothing was to be recorded.
    pub fn covers(self, first: Instant) -> bool {
        match self {
            PauseState::Recording(since) => first < since,
            PauseState::Paused => true,
        }
    }
}

impl RecordingContext {
    /// Nothing is to be recorded now.
    pub fn is_paused(&self) -> bool {
        matches!(self.pause, PauseState::Paused)
    }

    /// Pauses or resumes, and says so. False if it is so already.
    pub fn set_paused(&mut self, paused: bool, now: Instant) -> bool {
        if self.is_paused() == paused {
            return false;
        }
        self.pause = if paused { PauseState::Paused } else { PauseState::Recording(now) };
        let at = self.log.session(now);
        self.log.pause(paused, at);
        true
    }

    /// Warns of what the disk complains about, once for as long as it says the same.
    pub fn on_disk_error(&mut self, message: String) {
        if self.disk_error.as_ref() != Some(&message) {
            let at = self.log.session(Instant::now());
            self.log.warn(at, message.clone());
            self.disk_error = Some(message);
        }
    }
    /// The disk thread is through with a job.
    pub fn done(&mut self, done: Done) {
        let at = self.log.session(Instant::now());
        match done {
            Done::Finished { index, result: Ok(summary) } => {
                let entry = &mut self.log.manifest.tracks[index];
                entry.finished = true;
                entry.frames = summary.frames;
                entry.key_frames = summary.key_frames;
                entry.bytes = summary.payload_bytes;
            }
            Done::Finished { index, result: Err(Unfinished { error, frames, packets }) } => {
                let entry = &mut self.log.manifest.tracks[index];
                let packets = packets.min(entry.in_frames);
                entry.in_frames -= packets;
                if packets > 0 {
                    *entry.dropped.entry(DISK.to_owned()).or_default() += packets;
                }
                entry.frames = entry.frames.saturating_sub(frames);
                entry.unwritten_frames += frames;
                let message = format!("{}: {error}", entry.file);
                self.log.warn(at, message);
            }
            Done::Saved(Err(e)) => {
                self.disk_error = Some(e.to_string());
                self.log.warn(at, e.to_string());
            }
            Done::Saved(Ok(())) => {}
        }
    }

    /// Every stream has ended: waits for the disk, and says in the manifest what was lost.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(&mut self, at: SessionTime, reason: &EndReason) -> Result<Manifest> {
        self.log.close(at, reason);
        for done in self.disk.close() {
            self.done(done);
        }
        subtitles::save(&self.log.manifest, &self.folder)?;
        let is_complete = self.log.manifest.judge();
        for loss in self.log.manifest.reasons.clone() {
            self.log.warn_once(at, loss.text);
        }
        let manifest = &mut self.log.manifest;
        // A track that the disk did not let us finish is left for the next start to recover.
        if manifest.tracks.iter().all(|track| track.finished) {
            manifest.status = if is_complete { Status::Complete } else { Status::Partial };
        }
        // By the session's clock, as everything before: the machine's may have been set since.
        manifest.ended = Some(manifest.time_of(at.as_ms()));
        manifest.save(&self.folder)?;
        Ok(manifest.clone())
    }
}

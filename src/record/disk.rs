//! The disk's own thread: whatever waits for the disk happens here, so that capture never does.

use crate::error::Result;
use crate::recording::folder::RecordingFolder;
use crate::recording::manifest::Manifest;
use crate::recording::track::{TrackFile, TrackSummary, Unfinished};
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

enum Job {
    Sync(Arc<File>),
    Save(Box<Manifest>),
    Finish { index: usize, file: Box<TrackFile> },
}

/// What a job came to.
pub(super) enum Done {
    /// The track at this index of the manifest was finished, or could not be.
    Finished {
        index: usize,
        result: std::result::Result<TrackSummary, Unfinished>,
    },
    Saved(Result<()>),
}

/// A thread with a queue of jobs. The queue is short by construction: its users send a handful of jobs every few seconds.
pub(super) struct Disk {
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    saving: bool,
}

impl Disk {
    pub fn start(folder: Arc<RecordingFolder>) -> std::io::Result<Disk> {
        let (jobs, job_rx) = channel();
        let (done_tx, done) = channel();
        let thread = std::thread::Builder::new().name("disk".into()).spawn(move || work(&folder, &job_rx, &done_tx))?;
        Ok(Disk { jobs: Some(jobs), done, thread: Some(thread), saving: false })
    }

    /// Pushes a file's data to the disk.
    pub fn sync(&self, file: Arc<File>) {
        self.send(Job::Sync(file));
    }
    /// Writes the manifest, unless the last one is still being written.
    pub fn save(&mut self, manifest: &Manifest) {
        if !std::mem::replace(&mut self.saving, true) {
            self.send(Job::Save(Box::new(manifest.clone())));
        }
    }
    /// Ends a track file: index, duration, fsync.
    pub fn finish(&self, index: usize, file: TrackFile) {
        self.send(Job::Finish { index, file: Box::new(file) });
    }
    /// What has been done since the last call.
    pub fn done(&mut self) -> Vec<Done> {
        let done: Vec<Done> = self.done.try_iter().collect();
        self.saving &= !done.iter().any(|d| matches!(d, Done::Saved(_)));
        done
    }
    /// Waits for every job; later ones are not taken.
    pub fn close(&mut self) -> Vec<Done> {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the disk thread panicked");
        }
        self.done.try_iter().collect()
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }
}

fn work(folder: &RecordingFolder, jobs: &Receiver<Job>, done: &Sender<Done>) {
    for job in jobs {
        match job {
            Job::Sync(file) => {
                if let Err(e) = file.sync_data() {
                    tracing::warn!("a track file could not be synced: {e}");
                }
            }
            Job::Save(manifest) => {
                let _ = done.send(Done::Saved(manifest.save(folder)));
            }
            Job::Finish { index, file } => {
                let _ = done.send(Done::Finished { index, result: file.finish() });
            }
        }
    }
}

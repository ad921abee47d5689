//! Writes one file on threads that may wait for the disk, while its channel is read on. One write at a time; the next gathers meanwhile.

use crate::transfer::Refusal;
use crate::transfer::message::{Digest, Reason};
use crate::transfer::store::{Part, StoreError, StoredFile};
use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes that gather before a sender without credits has to wait.
const MAX_GATHERED: usize = 1 << 20;

/// What has been done.
pub(crate) enum Done {
    /// Everything up to this position is written.
    Written(u64),
    Restarted,
    Kept(StoredFile),
    Mismatch,
    Failed(Refusal),
}

enum Job {
    Append(Vec<u8>),
    Restart,
    Keep(Option<Digest>),
}

/// A part and the thread that writes it.
pub(crate) struct PartWriter {
    path: String,
    /// None while `running` owns it.
    part: Option<Part>,
    running: Option<JoinHandle<(Part, Done)>>,
    /// Written next.
    gathered: Vec<u8>,
    /// Done after that.
    then: Option<Job>,
    /// A write has failed: nothing more is written.
    failed: bool,
}

impl PartWriter {
    pub fn new(part: Part) -> Self {
        Self { path: part.path(), part: Some(part), running: None, gathered: Vec::new(), then: None, failed: false }
    }

    /// Where the part is: `OWNER/NAME.part`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Something is being done: [`PartWriter::done`] will return.
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }
    /// Whether a sender without flow control must be held back.
    pub fn is_full(&self) -> bool {
        self.gathered.len() >= MAX_GATHERED
    }

    /// Appends. What gathers is bounded by the credits that the sender has, or by [`PartWriter::is_full`].
    pub fn write(&mut self, data: &Bytes) {
        if !self.failed {
            self.gathered.extend_from_slice(data);
            self.go_on();
        }
    }
    /// Verifies and keeps the file, after everything is written.
    pub fn keep(&mut self, expected: Option<Digest>) {
        self.then = Some(Job::Keep(expected));
        self.go_on();
    }
    /// Begins again, after everything is written.
    pub fn restart(&mut self) {
        self.then = Some(Job::Restart);
        self.go_on();
    }

    fn go_on(&mut self) {
        if self.running.is_some() || self.failed {
            return;
        }
        let job = match self.gathered.is_empty() {
            true => self.then.take(),
            false => Some(Job::Append(std::mem::take(&mut self.gathered))),
        };
        if let Some(job) = job
            && let Some(part) = self.part.take()
        {
            self.running = Some(spawn_blocking(move || work(part, job)));
        }
    }

    /// Waits for the running job; for ever if there is none. Cancel safe.
    pub async fn done(&mut self) -> Done {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let outcome = running.await;
        self.running = None;
        let done = match outcome {
            Ok((part, done)) => {
                self.part = Some(part);
                done
            }
            Err(_) => Done::Failed(Refusal::new(Reason::Broken, "the receiver has a defect")),
        };
        match done {
            Done::Failed(_) => self.failed = true,
            _ => self.go_on(),
        }
        done
    }

    /// Writes what is buffered and closes the part; returns how much of it is written.
    pub async fn close(mut self) -> u64 {
        self.then = None;
        while self.is_busy() {
            self.done().await;
        }
        self.part.as_ref().map_or(0, Part::written)
    }
}

fn work(mut part: Part, job: Job) -> (Part, Done) {
    let done = match job {
        Job::Append(bytes) => part.append(&bytes).map(|()| Done::Written(part.written())),
        Job::Restart => part.restart().map(|()| Done::Restarted),
        Job::Keep(expected) => match part.keep(expected) {
            Ok(kept) => Ok(Done::Kept(kept)),
            Err(StoreError::Mismatch) => Ok(Done::Mismatch),
            Err(StoreError::Refused(refusal)) => Err(refusal),
        },
    };
    (part, done.unwrap_or_else(Done::Failed))
}

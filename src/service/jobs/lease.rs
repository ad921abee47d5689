//! What a worker may do, where several machines record: which recordings it has, and until when its recorders may be in their rooms.
//! Told by whoever talks to the other machines; jobs and recorders go by it.

use crate::record::lease::{LeaseFile, now};
use crate::service::model::Id;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// How often it is looked whether a lease is held again.
const LOOK: Duration = Duration::from_millis(50);

/// A worker's lease.
pub struct Lease {
    /// Where the lease's files are.
    folder: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    file: LeaseFile,
    /// In time since the machine's boot.
    until: Duration,
    jobs: HashSet<Id>,
}

impl Lease {
    /// One that holds nothing yet; its files will be in `folder`.
    pub fn new(folder: &Path) -> Lease {
        let inner =
            Inner { file: LeaseFile::at(folder.join("none.lease")), until: Duration::ZERO, jobs: HashSet::new() };
        Lease { folder: folder.to_owned(), inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another session begins: what the one before had is not ours any more, and its recorders leave. The same session changes nothing.
    pub fn begin(&self, session: &str) {
        let file = LeaseFile::at(self.path_of(session));
        let mut inner = self.lock();
        if inner.file.path() != file.path() {
            let _ = std::fs::remove_file(inner.file.path());
            *inner = Inner { file, until: Duration::ZERO, jobs: HashSet::new() };
        }
    }

    /// Recorders may be in their rooms until this time since the machine's boot.
    ///
    /// # Errors
    /// The disk's; the time before counts then.
    pub fn extend(&self, until: Duration) -> std::io::Result<()> {
        let mut inner = self.lock();
        inner.file.write(until)?;
        inner.until = until;
        Ok(())
    }

    /// Whether recorders may be in their rooms.
    fn is_held(&self) -> bool {
        now() < self.lock().until
    }

    /// Waits until they may.
    pub(super) async fn held(&self) {
        while !self.is_held() {
            sleep(LOOK).await;
        }
    }

    /// The file that a recorder of this recording goes by, if it may be in its room. Session, time and recording are asked in one: the lease
    /// of a session that has just begun says nothing of what the one before had.
    pub(super) fn grant(&self, id: &Id) -> Option<PathBuf> {
        let inner = self.lock();
        (now() < inner.until && inner.jobs.contains(id)).then(|| inner.file.path().to_owned())
    }

    /// Waits until this recording may be another machine's.
    pub(super) async fn over(&self, id: &Id) {
        while self.grant(id).is_some() {
            sleep(LOOK).await;
        }
    }

    /// The recordings that are this worker's now, as long as this session is held.
    pub fn set_jobs(&self, session: &str, jobs: HashSet<Id>) {
        let path = self.path_of(session);
        let mut inner = self.lock();
        if inner.file.path() == path {
            inner.jobs = jobs;
        }
    }

    fn path_of(&self, session: &str) -> PathBuf {
        self.folder.join(format!("{session}.lease"))
    }

    /// Whether a recording is.
    pub fn allows(&self, id: &Id) -> bool {
        self.lock().jobs.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_session_has_nothing_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let (lease, id) = (Lease::new(folder.path()), Id::new(Id::RECORDING));
        assert!(!lease.is_held() && !lease.allows(&id));
        lease.begin("a");
        lease.set_jobs("a", [id.clone()].into());
        assert_eq!(lease.grant(&id), None, "nothing is held yet");
        lease.extend(now() + Duration::from_secs(60)).unwrap();
        let first = LeaseFile::at(lease.grant(&id).unwrap());
        lease.begin("a");
        assert!(lease.is_held() && lease.allows(&id) && first.holds(now()));
        lease.begin("b");
        assert!(!lease.is_held() && !lease.allows(&id) && !first.holds(now()), "its recorders leave");
        lease.extend(now() + Duration::from_secs(60)).unwrap();
        assert!(lease.is_held() && !first.holds(now()));
        assert_eq!(lease.grant(&id), None, "what the session before had may be another machine's");
        lease.set_jobs("a", [id.clone()].into());
        assert!(!lease.allows(&id), "a list that was read before comes late");
        lease.set_jobs("b", [id.clone()].into());
        assert_ne!(lease.grant(&id).as_deref(), Some(first.path()));
        assert!(lease.grant(&id).is_some());
    }
}

//! What the service does about recordings: starts, watches and restarts one process for each, and takes what is left of it from stage to
//! stage until it has ended.
//!
//! Everything is level-triggered: the database says what is wanted and how far it came, and every stage can be begun again at any
//! point, so a service that was killed goes on where it was. Recorders outlive the service and are found again.

mod bot_command;
mod bots;
mod capacity;
mod checks;
mod compose;
mod control;
mod deletion;
mod disk;
mod dispatcher;
mod ending;
mod film_end;
mod film_of_recording;
mod films;
mod folders;
mod lease;
mod live;
mod outcome;
mod outputs;
mod process;
mod purge;
mod recorder;
mod remote_films;
mod retention;
mod schedules;
mod sweeper;
mod timeline;
mod upload;

pub use bot_command::arguments as bot_arguments;
pub use capacity::{Capacity, Quota};
pub use control::LiveStatus;
pub use deletion::delete_media;
pub use disk::{Bytes, DiskMarks};
pub use dispatcher::Dispatcher;
pub use film_end::end_film;
pub use folders::Folders;
pub use lease::Lease;
pub use remote_films::forget as forget_film;
pub use retention::Retention;
pub use schedules::run_schedules;
pub use sweeper::Sweeper;
pub use upload::{again as upload_again, wanted as upload_wanted};

use crate::service::database::Database;
use crate::service::database::recordings::StoredRecording;
use crate::service::model::Id;
use crate::service::storage::StorageService;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// How the recorder of a recording stands, as it says itself.
///
/// # Errors
/// It does not answer.
pub async fn live_status(folders: &Folders, id: &Id) -> std::io::Result<LiveStatus> {
    control::command(&folders.control(id), "status").await.map(|mut answer| answer["status"].take())
}

/// Kills the processes of a recording that is not this machine's any more: films at once. A recorder has left its room by itself, and has had
/// its time to finish its files.
pub fn end_processes(stored: &StoredRecording) {
    let process = stored.runtime.process.and_then(|id| process::Process::adopt(id, stored.recording.id.as_str()));
    if let Some(process) = process {
        process.signal(rustix::process::Signal::KILL);
    }
}

/// Sends a bot a command over its control socket: a JSON object as in docs/control.md. Returns the answer.
///
/// # Errors
/// It does not answer, or says why it cannot.
pub async fn tell_bot(folders: &Folders, id: &Id, request: serde_json::Value) -> std::io::Result<serde_json::Value> {
    control::request(&folders.control(id), request).await
}

/// What a machine does among others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    /// Everything: there are no others.
    #[default]
    Alone,
    /// Gives out what is to be recorded.
    ApiNode,
    /// Records.
    Worker,
}

/// What every job needs.
#[derive(Clone)]
pub struct JobContext {
    pub database: Database,
    pub folders: Arc<Folders>,
    /// Where recordings go when they are finished, if a store is configured.
    pub storage: Option<Arc<StorageService>>,
    /// The folder of what bots may send.
    pub media: Option<PathBuf>,
    /// How many recordings of a project may run at once.
    pub quota: watch::Receiver<Quota>,
    /// The program that records: this one.
    pub program: PathBuf,
    pub part: Part,
    /// With several machines: which recordings this one has, and for how long. None: all of them, for ever.
    pub lease: Option<Arc<Lease>>,
    /// True when the service is about to end: jobs leave their processes running and return.
    pub leaving: watch::Receiver<bool>,
}

impl JobContext {
    /// Whether this machine may work on a recording.
    fn may_run(&self, id: &Id) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.allows(id))
    }

    /// Whether no other machine may do what this one does with a recording.
    fn is_leased(&self, id: &Id) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.grant(id).is_some())
    }

    /// Waits until another machine may do what this one does with a recording.
    async fn lease_over(&self, id: &Id) {
        match &self.lease {
            Some(lease) => lease.over(id).await,
            None => std::future::pending().await,
        }
    }

    /// Waits until the recording's recorder may be in its room. None: the job is to return.
    async fn leased(&self, id: &Id) -> Option<Permit> {
        let Some(lease) = &self.lease else { return Some(Permit { lease: None }) };
        let mut leaving = self.leaving.clone();
        tokio::select! {
            () = lease.held() => lease.grant(id).map(|file| Permit { lease: Some(file) }),
            _ = leaving.wait_for(|leaving| *leaving) => None,
        }
    }
}

/// A recorder may be started.
struct Permit {
    /// What it goes by, with several machines.
    lease: Option<PathBuf>,
}

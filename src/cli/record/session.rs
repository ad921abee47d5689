//! What a run of `record` is told while it runs, by keys and by the control socket, and where it stands. It waits for nobody.

use crate::record::Controls;
use crate::record::control::Report;
use crate::record::status::Status;
use crate::room::end::EndReason;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A run of `record`, from its start to its end.
#[derive(Default)]
pub(super) struct Session {
    state: Mutex<Inner>,
    stop: watch::Sender<Option<EndReason>>,
}

#[derive(Default)]
struct Inner {
    recorder: Option<Attached>,
    is_stopping: bool,
    /// Said before the room was joined.
    paused: Option<bool>,
    duration: Option<Duration>,
}

/// A recorder that has joined.
struct Attached {
    controls: Controls,
    status: watch::Receiver<Status>,
    folder: PathBuf,
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The room was joined: what was said before is done now.
    pub fn attach(&self, controls: Controls, status: watch::Receiver<Status>, folder: PathBuf) {
        let mut inner = self.lock();
        inner.paused.into_iter().for_each(|paused| controls.pause(paused));
        inner.duration.into_iter().for_each(|length| controls.set_duration(length));
        inner.recorder = Some(Attached { controls, status, folder });
    }

    pub fn pause(&self, paused: bool) {
        let mut inner = self.lock();
        inner.paused = Some(paused);
        inner.recorder.iter().for_each(|recorder| recorder.controls.pause(paused));
    }

    /// Pauses where it records, and the other way round.
    pub fn toggle_pause(&self) {
        let paused = self.lock().recorder.as_ref().map(|recorder| recorder.status.borrow().paused);
        paused.into_iter().for_each(|paused| self.pause(!paused));
    }

    pub fn set_duration(&self, length: Duration) {
        let mut inner = self.lock();
        inner.duration = Some(length);
        inner.recorder.iter().for_each(|recorder| recorder.controls.set_duration(length));
    }

    /// Ends it; the first reason counts.
    pub fn stop(&self, reason: EndReason) {
        self.stop.send_if_modified(|stop| {
            let is_first = stop.is_none();
            *stop = stop.take().or(Some(reason));
            is_first
        });
    }

    /// Completes when it is to end; says why.
    pub async fn stopped(&self) -> EndReason {
        let mut stop = self.stop.subscribe();
        match stop.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(EndReason::Stopped),
            Err(_) => std::future::pending().await,
        }
    }

    /// It ends now.
    pub fn ending(&self) {
        self.lock().is_stopping = true;
    }

    /// Where it stands.
    pub fn report(&self) -> Report {
        let inner = self.lock();
        match &inner.recorder {
            None => Report::default(),
            Some(recorder) => Report::of(&recorder.status.borrow(), Some(recorder.folder.clone()), inner.is_stopping),
        }
    }
}

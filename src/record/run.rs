//! A session that records: joins the room, hands what happens there to the recorder, and its wishes back to the room.

use crate::client::FileDestination;
use crate::client::{Client, ClientConfig, IncomingFiles, RoomObserver};
use crate::error::{Error, Result};
use crate::record::capture::{CaptureThread, Pauser, Summary};
use crate::record::destination::Destination;
use crate::record::limits::Limits;
use crate::record::reception::Reception;
use crate::record::sharing::Sharing;
use crate::record::status::Status;
use crate::recording::folder::Subfolder;
use crate::recording::recover::Recovery;
use crate::room::end::{EndReason, TOKEN_WRONG};
use crate::room::participant::ParticipantId;
use crate::rtc::{Impairment, Wake};
use crate::signal::{JoinAs, Signaller};
use crate::transfer::store::{FileStore, Limits as FileLimits};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long files that were still coming may take to be written as far as they came.
const FILES_TIMEOUT: Duration = Duration::from_secs(10);

/// What to record, and as whom.
pub struct RecordConfig {
    pub destination: Destination,
    pub how: JoinAs,
    pub wake: Wake,
    /// Use no path but those over TURN servers.
    pub relay_only: bool,
    /// An emulated network (loss, delay, reordering by a seed), as scenarios ask for. None: the real one.
    pub impairment: Option<Impairment>,
    /// How much of files that people send is taken, and offered on. None: no files.
    pub files: Option<FileLimits>,
    /// How long to keep trying while the room cannot be reached or is full. None: once.
    pub join_for: Option<Duration>,
    /// How much is received, and what is done to it.
    pub reception: Reception,
    /// Looks at what comes while it is recorded. None: nothing is decoded.
    pub observer: Option<Arc<dyn RoomObserver>>,
}

/// A room that is being recorded.
pub struct Recording {
    session: Client,
    recorder: CaptureThread,
    /// Carries to the recorder what happens; ends when nothing can happen any more.
    events_task: JoinHandle<()>,
    started: Instant,
    recovery: Option<Recovery>,
    files: Option<Arc<FileStore>>,
    /// How long it is to last.
    longest: watch::Sender<Option<Duration>>,
}

impl Recording {
    /// Joins the room and starts to record it. The folder that recordings go to is tried first, so that nobody sees a recorder
    /// that cannot record.
    pub async fn start(room: &dyn Signaller, config: RecordConfig) -> Result<Recording> {
        let destination = config.destination;
        let destination = tokio::task::spawn_blocking(move || destination.prepare())
            .await
            .map_err(|e| Error::internal("the folder could not be prepared").because(e))??;
        let recovery = destination.recovery().cloned();
        let (key_frame_requests, mut requested) = mpsc::unbounded_channel();
        let give_up = config.join_for.map(|patience| Instant::now() + patience);
        let mut delays = join_delays();
        let (session, mut events, vault) = loop {
            let (observer, events) = mpsc::channel(1024);
            let (vault, files) = IncomingFiles::later();
            let session_config = ClientConfig {
                files: config.files.is_some().then_some(files),
                wake: config.wake,
                relay_only: config.relay_only,
                inbox_bytes: Some(config.reception.inbox_bytes),
                impairment: config.impairment.clone(),
                observer: Some(observer),
                ..ClientConfig::default()
            };
            let error = match Client::join(room, config.how.clone(), session_config).await {
                Ok(session) => break (session, events, vault),
                Err(error) => error,
            };
            let delay = delays.next().unwrap_or_default();
            if !may_succeed_later(&error) || give_up.is_none_or(|give_up| Instant::now() + delay > give_up) {
                return Err(error);
            }
            tracing::info!("not joined yet: {error}");
            tokio::time::sleep(delay).await;
        };
        let recorder = match CaptureThread::start(destination, config.reception, key_frame_requests) {
            Ok(recorder) => recorder,
            Err(e) => {
                session.leave().await;
                return Err(e);
            }
        };
        let (mut sharing, mut files) = (None, None);
        if let Some(limits) = config.files {
            let folder = recorder.folder().join(Subfolder::Files.name());
            sharing = limits.share.map(|_| Sharing::new(session.handle(), folder));
            let store = recorder.vault(limits)?;
            store.close(recorder.status().borrow().paused);
            files = Some(store.clone());
            vault.send_replace(Some(FileDestination { vault: store, owners: Some(recorder.keys()) }));
        }
        let (sender, observer) = (recorder.events(), config.observer);
        let events_task = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Some(observer) = &observer {
                    observer.on_event(&event);
                }
                if let Some(sharing) = &mut sharing {
                    sharing.on_event(&event);
                }
                sender.send(event);
            }
        });
        let key_frame_requester = session.key_frame_requester();
        tokio::spawn(async move {
            while let Some((id, ssrc)) = requested.recv().await {
                key_frame_requester.request_key_frame(&id, ssrc);
            }
        });
        Ok(Recording {
            session,
            recorder,
            events_task,
            started: Instant::now(),
            recovery,
            files,
            longest: watch::Sender::default(),
        })
    }

    /// How the recording stands; changes about once a second.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.recorder.status()
    }
    /// The recorder's id in the room.
    pub fn me(&self) -> &ParticipantId {
        self.session.me()
    }
    /// The zero of session time.
    pub fn zero(&self) -> std::time::Instant {
        self.recorder.started()
    }
    /// What was recovered of the recording that is continued.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.recovery.as_ref()
    }
    /// The recording's folder.
    pub fn folder(&self) -> &Path {
        self.recorder.folder()
    }

    /// Pauses it, and changes how long it lasts, from elsewhere.
    pub fn controls(&self) -> Controls {
        Controls { recorder: self.recorder.pauser(), files: self.files.clone(), longest: self.longest.clone() }
    }

    /// Waits until a limit is reached, `stop` completes or the room ends; says why.
    pub async fn until(&mut self, limits: Limits, stop: impl Future<Output = ()>) -> EndReason {
        if limits.duration.is_some() {
            self.longest.send_if_modified(|longest| {
                let is_new = longest.is_none();
                *longest = longest.or(limits.duration);
                is_new
            });
        }
        let reached = limits.reached(self.started, self.longest.subscribe(), self.recorder.status());
        tokio::select! {
            () = stop => EndReason::Stopped,
            reason = reached => reason,
            reason = self.session.ended() => reason,
        }
    }

    /// Leaves the room and finishes the recording: waits until everything is on the disk.
    pub async fn finish(self, reason: EndReason) -> Result<Summary> {
        self.session.leave().await;
        // What is to be said of files that were still coming.
        let _ = tokio::time::timeout(FILES_TIMEOUT, self.events_task).await;
        let (recorder, reason) = (self.recorder, reason);
        tokio::task::spawn_blocking(move || recorder.finish(reason))
            .await
            .map_err(|e| Error::internal("the recording could not be finished").because(e))?
    }
}

/// 500 ms, doubled with each attempt up to 5 s, without an end.
fn join_delays() -> impl Iterator<Item = Duration> {
    let doubled = |delay: &Duration| Some((*delay * 2).min(Duration::from_secs(5)));
    std::iter::successors(Some(Duration::from_millis(500)), doubled)
}

/// Whether the room may let us in later: it cannot be reached, or is full.
fn may_succeed_later(error: &Error) -> bool {
    matches!(error, Error::Room(_)) && error.code() != Some(TOKEN_WRONG)
}

/// Pauses a recording, and changes how long it lasts. It may outlive the recording, and does nothing then.
#[derive(Clone)]
pub struct Controls {
    recorder: Pauser,
    files: Option<Arc<FileStore>>,
    longest: watch::Sender<Option<Duration>>,
}

impl Controls {
    /// Pauses or resumes: what arrives while it is paused is not recorded, neither media nor chat, and no new files are accepted.
    pub fn pause(&self, paused: bool) {
        self.files.iter().for_each(|files| files.close(paused));
        self.recorder.pause(paused);
    }

    /// The recording ends this long after its process began to record.
    pub fn set_duration(&self, longest: Duration) {
        self.longest.send_replace(Some(longest));
    }
}

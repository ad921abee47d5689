//! A session that records: joins the room, hands what happens there to the recorder, and its wishes back to the room.

use crate::client::FileDestination;
use crate::client::{Client, ClientConfig, IncomingFiles, RoomObserver};
use crate::error::{Error, Result};
use crate::record::capture::{CaptureThread, Destination, Summary};
use crate::record::sharing::Sharing;
use crate::record::status::Status;
use crate::recording::folder::Subfolder;
use crate::room::end::EndReason;
use crate::room::participant::ParticipantId;
use crate::rtc::{Impairment, Wake};
use crate::signal::{JoinAs, Signaller};
use crate::transfer::store::Limits as FileLimits;
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
    /// Looks at what comes while it is recorded. None: nothing is decoded.
    pub observer: Option<Arc<dyn RoomObserver>>,
}

/// When a recording ends by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// After this long.
    pub duration: Option<Duration>,
    /// When nobody but recorders has been in the room for this long, after somebody was.
    pub until_empty: Option<Duration>,
}

/// A room that is being recorded.
pub struct Recording {
    session: Client,
    recorder: CaptureThread,
    /// Carries to the recorder what happens; ends when nothing can happen any more.
    events_task: JoinHandle<()>,
    started: Instant,
}

impl Recording {
    /// Joins the room and starts to record it. The folder that recordings go to is tried first, so that nobody sees a recorder
    /// that cannot record.
    pub async fn start(room: &dyn Signaller, config: RecordConfig) -> Result<Recording> {
        writable(&config.destination.parent)?;
        let (observer, mut events) = mpsc::channel(1024);
        let (key_frame_requests, mut requested) = mpsc::unbounded_channel();
        let (destination, files) = IncomingFiles::later();
        let session_config = ClientConfig {
            files: config.files.is_some().then_some(files),
            wake: config.wake,
            relay_only: config.relay_only,
            impairment: config.impairment,
            observer: Some(observer),
            ..ClientConfig::default()
        };
        let session = Client::join(room, config.how, session_config).await?;
        let recorder = match CaptureThread::start(config.destination, key_frame_requests) {
            Ok(recorder) => recorder,
            Err(e) => {
                session.leave().await;
                return Err(e);
            }
        };
        let mut sharing = None;
        if let Some(limits) = config.files {
            let folder = recorder.folder().join(Subfolder::Files.name());
            sharing = limits.share.map(|_| Sharing::new(session.handle(), folder));
            let files = FileDestination { vault: recorder.vault(limits)?, owners: Some(recorder.keys()) };
            destination.send_replace(Some(files));
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
        Ok(Recording { session, recorder, events_task, started: Instant::now() })
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
    /// The recording's folder.
    pub fn folder(&self) -> &Path {
        self.recorder.folder()
    }

    /// Waits until a limit is reached, `stop` completes or the room ends; says why.
    pub async fn until(&mut self, limits: Limits, stop: impl Future<Output = ()>) -> EndReason {
        let mut status = self.recorder.status();
        let end = limits.duration.map(|d| self.started + d);
        let empty = async {
            let Some(patience) = limits.until_empty else { return std::future::pending().await };
            loop {
                if status.wait_for(|s| !s.empty).await.is_err() || status.wait_for(|s| s.empty).await.is_err() {
                    return std::future::pending().await;
                }
                if tokio::time::timeout(patience, status.wait_for(|s| !s.empty)).await.is_err() {
                    return;
                }
            }
        };
        let clock = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => EndReason::Stopped,
            () = clock => EndReason::TimeUp,
            () = empty => EndReason::RoomEmpty,
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

/// Makes the folder for recordings, or says why there can be none.
fn writable(parent: &Path) -> Result<()> {
    use rustix::fs::{Access, access};
    let cannot =
        |e: std::io::Error| Error::user(format!("{}: recordings cannot be written there: {e}", parent.display()));
    std::fs::create_dir_all(parent).map_err(cannot)?;
    access(parent, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| cannot(e.into()))
}

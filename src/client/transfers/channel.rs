//! What the tasks of data channels share: where files go, rate limits, and reports to the client's observer.

use crate::client::event::RoomEvent;
use crate::room::participant::ParticipantId;
use crate::rtc::DataChannel;
use crate::transfer::store::FileStore;
use crate::transfer::text_rate::{Allowed, MAX_TEXT, TextRateLimit};
use crate::transfer::{FileReport, FileStatus};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How long to wait for the name of a participant's folder.
const OWNER_TIMEOUT: Duration = Duration::from_secs(5);
/// Refused files of one participant that are reported one by one; further ones are only counted.
const MAX_REFUSALS: u32 = 100;

/// Where received files are stored.
#[derive(Clone)]
pub struct FileDestination {
    pub vault: Arc<FileStore>,
    /// Folder names of participants; absent: their ids.
    pub owners: Option<watch::Receiver<HashMap<ParticipantId, String>>>,
}

/// Accepts files that participants send, once their destination is known.
#[derive(Clone)]
pub struct IncomingFiles(watch::Receiver<Option<FileDestination>>);

impl IncomingFiles {
    /// Takes files into a vault, in a folder for each id.
    pub fn into(vault: Arc<FileStore>) -> Self {
        Self(watch::channel(Some(FileDestination { vault, owners: None })).1)
    }
    /// Accepts files once a destination is sent; offers wait a few seconds for it.
    pub fn later() -> (watch::Sender<Option<FileDestination>>, Self) {
        let (sender, desk) = watch::channel(None);
        (sender, Self(desk))
    }
}

/// Shared state of all channel tasks of a client.
pub(crate) struct Transfers {
    pub files: Option<IncomingFiles>,
    pub observer: Option<mpsc::Sender<RoomEvent>>,
    pub peers: Mutex<HashMap<ParticipantId, Arc<PeerTransfers>>>,
}

/// Shared state of one participant's channels.
#[derive(Default)]
pub(crate) struct PeerTransfers {
    pub texts: TextRateLimit,
    pub refused: Mutex<u32>,
    /// Files in the tutorial framing that are being received.
    pub classic: Mutex<u32>,
}

impl Transfers {
    pub fn peer(&self, id: &ParticipantId) -> Arc<PeerTransfers> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.entry(id.clone()).or_default().clone()
    }

    /// Where a participant's files go, and the name of their folder.
    pub async fn desk(&self, id: &ParticipantId) -> Option<(Arc<FileStore>, String)> {
        let mut files = self.files.clone()?.0;
        let found = async {
            let desk = files.wait_for(Option::is_some).await.ok()?.clone()?;
            let Some(mut owners) = desk.owners else { return Some((desk.vault, id.to_string())) };
            let owners = owners.wait_for(|owners| owners.contains_key(id)).await.ok()?;
            owners.get(id).cloned().map(|owner| (desk.vault, owner))
        };
        tokio::time::timeout(OWNER_TIMEOUT, found).await.ok()?
    }

    pub async fn tell(&self, event: RoomEvent) {
        if let Some(observer) = &self.observer {
            let _ = observer.send(event).await;
        }
    }
}

/// Reads one channel of one participant.
pub(crate) struct Reader {
    pub transfers: Arc<Transfers>,
    pub id: ParticipantId,
    pub peer: Arc<PeerTransfers>,
    pub channel: DataChannel,
}

impl Reader {
    /// A chat message was received.
    pub async fn chat(&self, text: String) {
        if text.len() > MAX_TEXT {
            return;
        }
        let event = match self.peer.texts.take(Instant::now()) {
            Allowed::Yes => RoomEvent::Chat { id: self.id.clone(), text },
            Allowed::FirstRefused => {
                let text = "texts come too fast; some are left out".to_owned();
                RoomEvent::Warning { id: self.id.clone(), text }
            }
            Allowed::No => return,
        };
        self.transfers.tell(event).await;
    }

    /// Reports the state of a received file; refusals beyond the limit are not reported.
    pub async fn report(&self, report: FileReport) {
        if let FileStatus::Refused { path: None, .. } = report.status {
            let mut refused = self.peer.refused.lock().unwrap_or_else(PoisonError::into_inner);
            *refused = refused.saturating_add(1);
            if *refused > MAX_REFUSALS {
                return;
            }
        }
        self.transfers.tell(RoomEvent::File { id: self.id.clone(), report }).await;
    }
}

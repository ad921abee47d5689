//! What the connections of a bot share, and what they want done in the room.

use crate::bot::status::StatusBoard;
use crate::media::Library;
use crate::room::media::Codec;
use crate::room::participant::{ParticipantId, TrackLabel};
use crate::rtc::{BandwidthEstimate, OutboundTrack};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Bits a second of a path that are reserved for audio and reports.
const FOR_SOUND: u64 = 60_000;

/// What a bot wants done in its room.
pub enum BotAction {
    /// Send this track to the participant, or to everybody.
    Publish(Option<ParticipantId>, OutboundTrack),
    Unpublish(TrackLabel),
    /// Label the track as muted, or no longer.
    Mute(TrackLabel, bool),
    KeyFrame(ParticipantId, u32),
    Say(ParticipantId, String),
    Warn(String),
}

/// What all connections share.
pub(crate) struct Shared {
    pub library: Library,
    pub codec: Option<Codec>,
    pub to_all: bool,
    /// The zero of session time.
    pub start: Instant,
    /// As many wait as its owner allows (policy Block).
    actions: mpsc::Sender<BotAction>,
    pub status: StatusBoard,
    paths: Mutex<HashMap<ParticipantId, Receiving>>,
}

/// The path to one participant.
struct Receiving {
    path: watch::Receiver<BandwidthEstimate>,
    /// Video tracks returned for their own.
    pictures: usize,
}

impl Shared {
    /// Shared state of a bot whose actions go to `actions`.
    pub fn new(library: Library, codec: Option<Codec>, to_all: bool, actions: mpsc::Sender<BotAction>) -> Shared {
        let (status, paths) = (StatusBoard::default(), Mutex::default());
        Shared { library, codec, to_all, start: Instant::now(), actions, status, paths }
    }

    /// A path to this participant is known.
    pub fn add_path(&self, id: &ParticipantId, path: watch::Receiver<BandwidthEstimate>) {
        self.paths().insert(id.clone(), Receiving { path, pictures: 0 });
    }

    /// There is no path to this participant any more.
    pub fn remove_path(&self, id: &ParticipantId) {
        self.paths().remove(id);
    }

    /// Bits a second for one picture that is made of this participant's tracks, and the round trip to them.
    pub fn budget(&self, id: &ParticipantId) -> (u64, Option<Duration>) {
        let paths = self.paths();
        let share = |receiving: &Receiving, pictures: usize| {
            receiving.path.borrow().bitrate().saturating_sub(FOR_SOUND) / pictures.max(1) as u64
        };
        let own = paths.get(id);
        let round_trip = own.and_then(|own| own.path.borrow().round_trip);
        let budget = if self.to_all {
            // The slowest receiver decides for all: there is one encoder a track.
            let pictures = paths.values().map(|receiving| receiving.pictures).sum();
            paths.values().map(|receiving| share(receiving, pictures)).min()
        } else {
            own.map(|own| share(own, own.pictures))
        };
        (budget.unwrap_or(0), round_trip)
    }

    pub async fn act(&self, action: BotAction) {
        let _ = self.actions.send(action).await;
    }

    /// So many pictures are made of this participant's tracks.
    pub fn shows(&self, id: &ParticipantId, pictures: usize) {
        if let Some(receiving) = self.paths().get_mut(id) {
            receiving.pictures = pictures;
        }
    }

    fn paths(&self) -> MutexGuard<'_, HashMap<ParticipantId, Receiving>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

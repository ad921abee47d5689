//! How every track that is given back stands, for whoever watches. Values behind one short lock.

use crate::room::media::{Codec, Source};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tracks that have ended and are still told of; older ones are forgotten.
const ENDED: usize = 256;

/// One track that is given back, or was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackStatus {
    /// Whose track it is.
    pub name: String,
    pub source: Source,
    /// The codec that comes, and the one that goes back.
    pub codec: Codec,
    pub back: Codec,
    /// Nothing goes back at present: switched off, or nothing to decode yet.
    pub idle: bool,
    /// Size of the pictures that go back.
    pub size: Option<(u32, u32)>,
    /// Bits a second that the encoder is held to.
    pub bitrate: u64,
    /// Since it began.
    pub frames_in: u64,
    pub frames_out: u64,
    pub frames_skipped: u64,
    /// Frames out, over the last second.
    pub fps: u32,
    /// Key frames that were sent.
    pub key_frames: u64,
    /// From a frame's first packet to its leaving, in ms: what half of all frames, and 95 in a hundred, did not exceed.
    pub delay_p50_ms: Option<u64>,
    pub delay_p95_ms: Option<u64>,
    /// The parts of it, on average, in ms; each with its waiting.
    pub decode_ms: f64,
    pub filter_ms: f64,
    pub encode_ms: f64,
}

/// The tracks of a room.
#[derive(Debug, Default)]
pub struct StatusBoard(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By participant's id and SSRC.
    tracks: BTreeMap<(String, u32), TrackStatus>,
    ended: Vec<TrackStatus>,
}

impl StatusBoard {
    pub(crate) fn set(&self, id: &str, ssrc: u32, status: TrackStatus) {
        self.lock().tracks.insert((id.to_owned(), ssrc), status);
    }

    /// A track has ended; it is told of all the same.
    pub(crate) fn end(&self, id: &str, ssrc: u32) {
        let state = &mut *self.lock();
        if let Some(status) = state.tracks.remove(&(id.to_owned(), ssrc)) {
            if state.ended.len() == ENDED {
                state.ended.remove(0);
            }
            state.ended.push(TrackStatus { idle: true, fps: 0, ..status });
        }
    }

    /// The tracks that there are now.
    pub fn tracks(&self) -> Vec<TrackStatus> {
        self.lock().tracks.values().cloned().collect()
    }

    /// Those that have ended, and those that there are.
    pub fn all(&self) -> Vec<TrackStatus> {
        let state = self.lock();
        state.ended.iter().chain(state.tracks.values()).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

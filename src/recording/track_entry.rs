//! A track file as the manifest lists it. Values only.

use crate::room::clock::ClockSummary;
use crate::room::media::{Codec, MediaKind, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Packets that were dropped, by reason: the words of [`crate::rtc::subscriber::DropReason`], and those of [`crate::recording::account`].
pub type Dropped = BTreeMap<String, u64>;

/// A time range in session milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its start.
    pub start_ms: u64,
    /// Its end; absent while it goes on.
    #[serde(default)]
    pub end_ms: Option<u64>,
}

/// One track file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackEntry {
    /// The name in `tracks/`.
    pub file: String,
    /// A participant's key.
    pub participant: String,
    /// What it shows or sounds like: camera, microphone, screen or its sound.
    pub source: Source,
    /// Audio or video.
    pub kind: MediaKind,
    /// The codec of all frames.
    pub codec: Codec,
    /// Bytes of media in the file, without the container's.
    pub bytes: u64,
    /// Frames in the file.
    pub frames: u64,
    /// Key frames in the file.
    pub key_frames: u64,
    /// The unwrapped RTP time of the file's time 0. With `clock` it gives the file's session time.
    pub first_rtp: Option<i64>,
    /// The unwrapped RTP time of the last frame.
    pub last_rtp: Option<i64>,
    /// RTP ticks a second.
    pub clock_rate: u32,
    /// Where the first frame begins, in session milliseconds.
    pub start_ms: u64,
    /// Where the last frame ends, in session milliseconds. A screen that does not change sends nothing, so this is not the track's end.
    pub end_ms: u64,
    /// When the track ended, in session milliseconds: it was taken away (unshared), or its participant or their connection was gone.
    /// Absent while it goes on, and in recordings of versions that did not note it.
    #[serde(default)]
    pub ended_ms: Option<u64>,
    /// RTP time to session time; absent before the first packet.
    #[serde(default)]
    pub clock: Option<ClockSummary>,
    /// The uncertainty of `start_ms`, in milliseconds.
    #[serde(default)]
    pub sync_error_ms: Option<f64>,
    /// Where media is missing.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// Video: the picture sizes, each with its start.
    #[serde(default)]
    pub resolutions: Vec<Resolution>,
    /// RTP packets received, without duplicates.
    #[serde(default)]
    pub packets: u64,
    /// RTP packets that were never received.
    #[serde(default)]
    pub lost: u64,
    /// RTP packets that were received by retransmission.
    #[serde(default)]
    pub repaired: u64,
    /// RTP packets that were received again.
    #[serde(default)]
    pub duplicates: u64,
    /// The packets' SSRC (RFC 3550).
    #[serde(default)]
    pub ssrc: u32,
    /// When the first packet arrived that this file's first frame waited for, in session milliseconds.
    #[serde(default)]
    pub first_packet_ms: Option<u64>,
    /// RTP packets that arrived, of every sort: `in_frames` and all of `dropped`.
    #[serde(default)]
    pub arrived: u64,
    /// Packets of the frames in the file.
    #[serde(default)]
    pub in_frames: u64,
    /// Packets that are in no frame of the file, by reason.
    #[serde(default)]
    pub dropped: Dropped,
    /// Frames that could not be written.
    #[serde(default)]
    pub unwritten_frames: u64,
    /// When the sender was muted.
    #[serde(default)]
    pub mutes: Vec<Span>,
    /// The file has its duration and index.
    pub finished: bool,
}

/// Media that is missing in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its start in session milliseconds.
    pub start_ms: u64,
    /// Its end in session milliseconds.
    pub end_ms: u64,
    /// `loss`, `mute`, `key-frame-wait`, `disk`, `jump`, …
    pub cause: String,
}

/// A picture size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// From when, in session milliseconds.
    pub at_ms: u64,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

impl TrackEntry {
    /// The entry of a track that begins at `start_ms`, without frames.
    pub fn new(file: &str, participant: &str, source: Source, codec: Codec, start_ms: u64) -> Self {
        Self {
            file: file.into(),
            participant: participant.into(),
            source,
            kind: codec.kind(),
            codec,
            bytes: 0,
            frames: 0,
            key_frames: 0,
            first_rtp: None,
            last_rtp: None,
            clock_rate: codec.clock_rate(),
            start_ms,
            end_ms: start_ms,
            ended_ms: None,
            clock: None,
            sync_error_ms: None,
            gaps: Vec::new(),
            resolutions: Vec::new(),
            packets: 0,
            lost: 0,
            repaired: 0,
            duplicates: 0,
            ssrc: 0,
            first_packet_ms: None,
            arrived: 0,
            in_frames: 0,
            dropped: Dropped::new(),
            unwritten_frames: 0,
            mutes: Vec::new(),
            finished: false,
        }
    }

    /// Where the track ends: what its last frame shows is there until then. Without a known end, the end of its last frame.
    pub fn until_ms(&self) -> u64 {
        self.ended_ms.unwrap_or(0).max(self.end_ms)
    }

    /// Session seconds per second of the file: 1 but for the drift of the sender's clock.
    pub fn stretch(&self) -> f64 {
        let ticks = self.clock.as_ref().map_or(0.0, |clock| clock.first.rate);
        let stretch = f64::from(self.clock_rate) / ticks;
        if (0.9..1.1).contains(&stretch) { stretch } else { 1.0 }
    }
}

impl Span {
    /// The end, or `now_ms` where there is none; never before the start.
    pub fn until(&self, now_ms: u64) -> u64 {
        self.end_ms.unwrap_or(now_ms).max(self.start_ms)
    }
}

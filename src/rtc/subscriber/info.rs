//! What a consumer is told of a stream. Values only.

use crate::room::media::{RemoteTrack, Source};

/// What a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// As the connection announced it.
    pub track: RemoteTrack,
    /// What it shows, by its label or, without one, by its kind.
    pub source: Source,
    /// The participant said what the stream is, and will say when it is gone.
    pub labelled: bool,
}

/// What will not come any more between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// RTP time of the last frame before it.
    pub from: i64,
    /// RTP time of the frame after it.
    pub to: i64,
    /// Packets that were lost for good.
    pub lost_packets: u32,
    /// Frames of which something came and that were thrown away (frames lost without a trace are not counted).
    pub dropped_frames: u32,
}

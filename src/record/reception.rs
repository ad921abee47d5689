//! How much of what participants send is received, and what is done to it before it is recorded. Values only.

use crate::rtc::Inbox;
use crate::rtc::media::depacketize::AssemblerConfig;
use crate::rtc::subscriber::{EarlyLimits, FrameTransform, StreamInfo, SubscriberConfig};
use std::sync::Arc;
use std::time::Instant;

/// Makes the transform (decryption) of a stream: given the participant's key in the manifest and what is known of the stream. None: its
/// frames are recorded as they come.
pub type Transforms = Arc<dyn Fn(&str, &StreamInfo) -> Option<Box<dyn FrameTransform>> + Send + Sync>;

/// Limits of what is received. What is beyond them is dropped, counted and a loss of the recording.
#[derive(Clone)]
pub struct Reception {
    /// Bytes of packets of one connection that may wait for the recorder's thread.
    pub inbox_bytes: usize,
    /// Streams of one connection.
    pub streams: usize,
    /// Packets of one stream that wait until it is known what the stream is.
    pub early_packets: usize,
    /// Bytes of a frame.
    pub frame_bytes: usize,
    /// Track files of the recording.
    pub track_files: usize,
    /// What frames pass before they are recorded.
    pub transforms: Option<Transforms>,
}

impl Default for Reception {
    /// 16 MiB, 256 streams, 1,024 packets, 8 MiB, 10,000 files.
    fn default() -> Self {
        Reception {
            inbox_bytes: Inbox::MAX_BYTES,
            streams: 256,
            early_packets: EarlyLimits::default().packets,
            frame_bytes: AssemblerConfig::default().max_bytes,
            track_files: 10_000,
            transforms: None,
        }
    }
}

impl Reception {
    pub(super) fn subscriber(&self, zero: Instant) -> SubscriberConfig {
        SubscriberConfig {
            max_streams: self.streams,
            max_frame_bytes: self.frame_bytes,
            early: EarlyLimits { packets: self.early_packets, ..EarlyLimits::default() },
            ..SubscriberConfig::recording(zero)
        }
    }
}

impl std::fmt::Debug for Reception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Reception { inbox_bytes, streams, early_packets, frame_bytes, track_files, transforms } = self;
        f.debug_struct("Reception")
            .field("inbox_bytes", inbox_bytes)
            .field("streams", streams)
            .field("early_packets", early_packets)
            .field("frame_bytes", frame_bytes)
            .field("track_files", track_files)
            .field("transforms", &transforms.is_some())
            .finish()
    }
}

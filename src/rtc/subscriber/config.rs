//! How a subscriber receives: limits and patience. Values only.

use crate::rtc::feedback::KeyFrameTiming;
use crate::rtc::media::depacketize::AssemblerConfig;
use std::time::{Duration, Instant};

/// How the streams of a connection are received.
#[derive(Debug, Clone)]
pub struct SubscriberConfig {
    /// The zero of session time.
    pub zero: Instant,
    /// How long a hole in the sequence waits for its retransmission.
    pub hold: Duration,
    /// How long a stream waits for the participant to say what it is; after that it counts as a camera or a microphone.
    pub label_wait: Duration,
    /// How long a stream that was taken away may still deliver what is under way.
    pub linger: Duration,
    /// Streams of one connection that are received.
    pub max_streams: usize,
    /// Bytes of a frame; larger ones are dropped.
    pub max_frame_bytes: usize,
    /// SSRCs that belong to no stream and whose packets are accounted for one by one; all further ones share an account.
    pub max_accounts: usize,
    /// What is kept of streams that have not begun.
    pub early: EarlyLimits,
    /// When senders are asked for key frames.
    pub key_frames: KeyFrameTiming,
    /// Whether a video stream needs a key frame from its beginning, before assembly says so.
    pub key_frame_at_begin: bool,
}

/// What is kept of streams that have not begun.
#[derive(Debug, Clone, Copy)]
pub struct EarlyLimits {
    /// Streams.
    pub streams: usize,
    /// Packets of each.
    pub packets: usize,
    /// How long, since the stream's first packet.
    pub age: Duration,
}

impl Default for EarlyLimits {
    /// 32 streams, 1,024 packets of each, 3 s.
    fn default() -> Self {
        EarlyLimits { streams: 32, packets: 1024, age: Duration::from_secs(3) }
    }
}

impl SubscriberConfig {
    /// The patience of a recorder: whoever records waits longer for a repair than whoever must answer in real time.
    pub fn recording(zero: Instant) -> SubscriberConfig {
        SubscriberConfig {
            zero,
            hold: Duration::from_millis(400),
            label_wait: Duration::from_millis(500),
            linger: Duration::from_millis(200),
            max_streams: 256,
            max_frame_bytes: AssemblerConfig::default().max_bytes,
            max_accounts: 512,
            early: EarlyLimits::default(),
            key_frames: KeyFrameTiming { retry: Duration::from_secs(1), interval: Some(Duration::from_secs(4)) },
            key_frame_at_begin: false,
        }
    }

    /// The patience of whoever passes media on in real time: what comes too late for a call is lost.
    pub fn live(zero: Instant, hold: Duration) -> SubscriberConfig {
        SubscriberConfig {
            hold,
            linger: Duration::ZERO,
            key_frames: KeyFrameTiming { retry: Duration::from_millis(500), interval: None },
            ..SubscriberConfig::recording(zero)
        }
    }

    /// How frames are assembled.
    pub(super) fn assembler(&self) -> AssemblerConfig {
        AssemblerConfig { hold: self.hold, max_bytes: self.max_frame_bytes, ..AssemblerConfig::default() }
    }
}

//! What a live watch observed: decoded frames with stamps, and the senders' clocks. Values only.

use crate::room::clock::TrackClock;
use crate::verify::stamp::code::FrameStamp;
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

/// A stamped frame at the moment it was decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodedFrame {
    /// Its stamp.
    pub stamp: FrameStamp,
    /// Unwrapped RTP timestamp.
    pub rtp_time: i64,
    /// When it was decoded, monotonic clock.
    pub decoded: Instant,
    /// When it was decoded, wall clock.
    pub wall: SystemTime,
}

/// What was observed of one stream between two restarts of its sender.
#[derive(Debug)]
pub struct ObservedStream {
    /// In order of decoding.
    pub frames: Vec<DecodedFrame>,
    /// From RTP time to the sender's clock.
    pub clock: TrackClock,
    /// Source address of the sender reports; none without any.
    pub from: Option<IpAddr>,
}

/// Everything observed so far.
#[derive(Debug, Default)]
pub(super) struct Observations {
    pub streams: Vec<ObservedStream>,
    /// Failures of this machine.
    pub trouble: Vec<String>,
}

//! Buffers with timestamps.

use super::runtime::Gst;
use gstreamer as gst;
use std::time::Duration;

/// A buffer of `data` with a timestamp and a duration.
pub(super) fn timed_buffer(gst: Gst, data: Vec<u8>, at: Duration, duration: Duration) -> gst::Buffer {
    timed(gst.buffer(data), at, duration)
}

/// `buffer` with a timestamp and a duration.
pub(super) fn timed(mut buffer: gst::Buffer, at: Duration, duration: Duration) -> gst::Buffer {
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::try_from(at).ok());
        buffer.set_duration(gst::ClockTime::try_from(duration).ok());
    }
    buffer
}

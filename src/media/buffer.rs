//! Buffers with their times.

use gstreamer as gst;
use std::time::Duration;

/// A buffer of `data`, due at `at` for `duration`.
pub(super) fn from_bytes(data: Vec<u8>, at: Duration, duration: Duration) -> gst::Buffer {
    timed(gst::Buffer::from_mut_slice(data), at, duration)
}

/// `buffer`, due at `at` for `duration`.
pub(super) fn timed(mut buffer: gst::Buffer, at: Duration, duration: Duration) -> gst::Buffer {
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::try_from(at).ok());
        buffer.set_duration(gst::ClockTime::try_from(duration).ok());
    }
    buffer
}

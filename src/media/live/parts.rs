//! What the pipelines of live tracks have in common.

use crate::error::{Error, Result};
use crate::media::runtime::Gst;
use gstreamer as gst;
use gstreamer::prelude::*;

/// The largest picture that is decoded, in pixels: peers choose the size, but the memory is ours.
pub(super) const MAX_PIXELS: u64 = 4096 * 2304;

/// What happened to a frame that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushResult {
    /// It will be decoded.
    Accepted,
    /// Dropped: the decoder is behind, or has had no key frame. Request a key frame from the sender.
    NeedKeyFrame,
    /// Dropped: the picture has more than 4096x2304 pixels.
    TooLarge,
}

/// The error that an element has reported.
pub(super) fn poll_error(bus: &gst::Bus) -> Result<()> {
    let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) else { return Ok(()) };
    let gst::MessageView::Error(error) = message.view() else { return Ok(()) };
    let element = message.src().map_or_else(|| "?".into(), |e| e.name());
    let detail = error.debug().map_or_else(String::new, |d| d.to_string());
    Err(Error::machine(format!("a live track: {element}: {}", error.error().message())).because(detail))
}

/// A queue that keeps only the newest frame (policy DropOldest).
pub(super) fn latest_frame_queue() -> Result<gst::Element> {
    let queue = Gst::init()?.element("queue")?;
    queue.set_property_from_str("leaky", "downstream");
    queue.set_property("max-size-buffers", 1_u32);
    queue.set_property("max-size-bytes", 0_u32);
    queue.set_property("max-size-time", 0_u64);
    queue.set_property("silent", true);
    Ok(queue)
}

/// The pad `name` of an element.
pub(super) fn pad(element: Option<&gst::Element>, name: &str) -> Result<gst::Pad> {
    element.and_then(|e| e.static_pad(name)).ok_or_else(|| defect("has an element without its pads"))
}

/// A defect of the pipeline of a live track.
pub(super) fn defect(what: &str) -> Error {
    Error::internal(format!("a live track {what}"))
}

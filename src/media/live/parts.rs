//! What the pipelines of live tracks have in common.

use crate::error::{Error, Result};
use crate::media::packages;
use gstreamer as gst;
use gstreamer::prelude::*;

/// Pictures of more pixels than this are not decoded: somebody else chose their size, but the memory is ours.
pub(super) const MAX_PIXELS: u64 = 4096 * 2304;

/// What became of a frame that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushResult {
    /// It will be decoded.
    Accepted,
    /// Thrown away: the decoder is behind, or has nothing to begin with. Only a key frame helps; ask the sender for one.
    NeedKeyFrame,
    /// Thrown away: the picture is larger than 4096x2304.
    TooLarge,
}

/// What an element has said that went wrong.
pub(super) fn failure(bus: &gst::Bus) -> Result<()> {
    let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) else { return Ok(()) };
    let gst::MessageView::Error(error) = message.view() else { return Ok(()) };
    let element = message.src().map_or_else(|| "?".into(), |e| e.name());
    let detail = error.debug().map_or_else(String::new, |d| d.to_string());
    Err(Error::machine(format!("a live track: {element}: {}", error.error().message())).because(detail))
}

/// A queue that keeps the newest picture only (policy DropOldest).
pub(super) fn newest_only() -> Result<gst::Element> {
    let queue = element("queue")?;
    queue.set_property_from_str("leaky", "downstream");
    queue.set_property("max-size-buffers", 1_u32);
    queue.set_property("max-size-bytes", 0_u32);
    queue.set_property("max-size-time", 0_u64);
    queue.set_property("silent", true);
    Ok(queue)
}

pub(super) fn element(name: &str) -> Result<gst::Element> {
    gst::ElementFactory::make(name).build().map_err(|e| Error::user(packages::missing(name)).because(e))
}

pub(super) fn pad(element: Option<&gst::Element>, name: &str) -> Result<gst::Pad> {
    element.and_then(|e| e.static_pad(name)).ok_or_else(|| strange("has an element without its pads"))
}

pub(super) fn strange(what: &str) -> Error {
    Error::us(format!("a live track {what}"))
}

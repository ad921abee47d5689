//! Runs Rust code on the buffers that flow through an `identity` element, in a pad probe. It has no queue; a panic of the code becomes an
//! error of the pipeline.

use super::api::{FrameFilter, SampleFilter};
use crate::error::{Error, Result};
use crate::media::runtime::Gst;
use gst_video::{VideoFrameExt, VideoFrameRef, VideoInfo};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use image::RgbaImage;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Changes the buffers of a stream.
pub(in crate::media) trait Transform: Send {
    /// The buffer that replaces `buffer`, and its caps if they differ from `caps`.
    fn transform(&mut self, buffer: gst::Buffer, caps: &gst::Caps) -> Result<(gst::Buffer, Option<gst::Caps>)>;
}

/// Applies `transform` to what flows through `element`, an `identity`.
///
/// # Errors
/// The user's: the element is no `identity`.
pub(in crate::media) fn attach(element: &gst::Element, transform: Box<dyn Transform>) -> Result<()> {
    let pads = element.static_pad("sink").zip(element.static_pad("src"));
    let gst = Gst::init()?;
    let (sink, src) =
        pads.ok_or_else(|| Error::user(format!("`{}` runs code and must be an identity", element.name())))?;
    let (sink, transform) = (sink.downgrade(), Mutex::new(Some(transform)));
    src.add_probe(gst::PadProbeType::BUFFER, move |src, info| {
        let Some(gst::PadProbeData::Buffer(buffer)) = info.data.take() else { return gst::PadProbeReturn::Ok };
        // Only the streaming thread takes this lock, so it never waits.
        let mut transform = transform.lock().unwrap_or_else(PoisonError::into_inner);
        match sink.upgrade().and_then(|sink| sink.current_caps()).map(|caps| run(&mut transform, buffer, &caps)) {
            Some(Ok((buffer, caps))) => {
                if src.current_caps() != Some(caps.clone()) {
                    src.push_event(gst.caps_event(&caps));
                }
                info.data = Some(gst::PadProbeData::Buffer(buffer));
                gst::PadProbeReturn::Ok
            }
            failed => {
                // No error here means that it failed before, and was reported then.
                if let (Some(Err(Some(e))), Some(element)) = (failed, src.parent_element()) {
                    gst::element_error!(element, gst::StreamError::Failed, ("{e}"));
                }
                // The buffer is dropped; the element upstream gets an error for it.
                info.flow_res = Err(gst::FlowError::Error);
                gst::PadProbeReturn::Handled
            }
        }
    });
    Ok(())
}

/// Runs the code on one buffer. Code that has failed is not run again.
fn run(
    transform: &mut Option<Box<dyn Transform>>,
    buffer: gst::Buffer,
    caps: &gst::Caps,
) -> Result<(gst::Buffer, gst::Caps), Option<Error>> {
    let Some(mut running) = transform.take() else { return Err(None) };
    let result = catch_unwind(AssertUnwindSafe(move || (running.transform(buffer, caps), running)));
    let (result, running) = result.map_err(|_| Error::internal("the code of a filter panicked"))?;
    let (buffer, new) = result?;
    *transform = Some(running);
    Ok((buffer, new.unwrap_or_else(|| caps.clone())))
}

/// Applies a video filter.
pub(in crate::media) struct FrameTransform(pub Box<dyn FrameFilter>);

impl Transform for FrameTransform {
    fn transform(&mut self, buffer: gst::Buffer, caps: &gst::Caps) -> Result<(gst::Buffer, Option<gst::Caps>)> {
        let mut image = rgba_image(&buffer, &VideoInfo::from_caps(caps).map_err(|e| unexpected().because(e))?)?;
        let size = image.dimensions();
        self.0.apply(&mut image, pts(&buffer));
        let caps = (image.dimensions() != size).then(|| resized(caps, image.dimensions()));
        Ok((like(&buffer, image.into_raw())?, caps))
    }
}

/// Applies an audio filter.
pub(in crate::media) struct SampleTransform(pub Box<dyn SampleFilter>);

impl Transform for SampleTransform {
    fn transform(&mut self, buffer: gst::Buffer, _: &gst::Caps) -> Result<(gst::Buffer, Option<gst::Caps>)> {
        let data = buffer.map_readable().map_err(|e| unexpected().because(e))?;
        let (samples, _) = data.as_chunks::<4>();
        let mut samples: Vec<f32> = samples.iter().map(|s| f32::from_le_bytes(*s)).collect();
        self.0.apply(&mut samples, pts(&buffer));
        drop(data);
        Ok((like(&buffer, samples.iter().flat_map(|s| s.to_le_bytes()).collect())?, None))
    }
}

/// The time of a buffer on its stream.
pub(super) fn pts(buffer: &gst::Buffer) -> Duration {
    buffer.pts().unwrap_or_default().into()
}

/// The pixels of an RGBA buffer.
pub(in crate::media) fn rgba_image(buffer: &gst::Buffer, info: &VideoInfo) -> Result<RgbaImage> {
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).map_err(|e| unexpected().because(e))?;
    let stride = frame.plane_stride().first().and_then(|s| usize::try_from(*s).ok()).filter(|s| *s > 0);
    let (stride, data) = stride.zip(frame.plane_data(0).ok()).ok_or_else(unexpected)?;
    let row = info.width() as usize * 4;
    let mut pixels = Vec::with_capacity(row * info.height() as usize);
    for line in data.chunks(stride).take(info.height() as usize) {
        pixels.extend_from_slice(line.get(..row).ok_or_else(unexpected)?);
    }
    RgbaImage::from_raw(info.width(), info.height(), pixels).ok_or_else(unexpected)
}

/// A buffer of `data` with the timestamps and flags of another one.
fn like(buffer: &gst::Buffer, data: Vec<u8>) -> Result<gst::Buffer> {
    let mut new = Gst::init()?.buffer(data);
    let flags = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS;
    let copied = new.get_mut().map(|new| buffer.copy_into(new, flags, ..));
    copied.ok_or_else(unexpected)?.map_err(|e| unexpected().because(e))?;
    Ok(new)
}

fn resized(caps: &gst::Caps, (width, height): (u32, u32)) -> gst::Caps {
    let mut caps = caps.copy();
    let side = |side| i32::try_from(side).unwrap_or(i32::MAX);
    caps.make_mut().set("width", side(width));
    caps.make_mut().set("height", side(height));
    caps
}

/// A buffer does not have the format that was negotiated; not expected.
pub(super) fn unexpected() -> Error {
    Error::internal("a filter got a buffer in another format than it negotiated")
}

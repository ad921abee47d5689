//! Starts GStreamer, and makes its objects.
//!
//! GStreamer's Rust bindings panic when an object is made before `gstreamer::init`. So that no path can forget it, objects are made
//! by methods of [`Gst`], which only [`Gst::init`] gives out; `tests/suite/house.rs` forbids the bindings' own constructors everywhere else,
//! and `clippy.toml` says so earlier for the usual ones.

#![allow(clippy::disallowed_methods)]

use super::packages;
use crate::error::{Error, Result};
use gstreamer as gst;
use gstreamer::prelude::{GstBinExt, PluginFeatureExtManual};
use gstreamer_app::app_sink::AppSinkBuilder;
use gstreamer_app::app_src::AppSrcBuilder;
use gstreamer_app::{AppSink, AppSrc};
use gstreamer_video::{
    UpstreamForceKeyUnitEvent, VideoColorimetry, VideoConverterConfig, VideoFormat, VideoInfo, VideoInfoBuilder,
};
use gstreamer_video::{VideoOverlayComposition, VideoOverlayFormatFlags, VideoOverlayRectangle};
use std::sync::OnceLock;

/// Decoders of video with an alpha channel. Chromium's MediaRecorder flags every video as having one but writes none, and these
/// decoders fail on that, so they are never chosen.
const ALPHA_DECODERS: [&str; 2] = ["vp8alphadecodebin", "vp9alphadecodebin"];

/// Proof that GStreamer has been started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gst(());

impl Gst {
    /// Starts GStreamer once for the process; cheap when repeated.
    ///
    /// # Errors
    /// The machine's: GStreamer is broken or its registry cannot be read.
    pub fn init() -> Result<Gst> {
        static STARTED: OnceLock<Gst> = OnceLock::new();
        if let Some(started) = STARTED.get() {
            return Ok(*started);
        }
        let broken = "GStreamer does not start; is libgstreamer1.0-0 installed completely?";
        gstreamer::init().map_err(|e| Error::machine(broken).because(e))?;
        for decoder in ALPHA_DECODERS.iter().filter_map(|name| gst::ElementFactory::find(name)) {
            decoder.set_rank(gst::Rank::NONE);
        }
        Ok(*STARTED.get_or_init(|| Gst(())))
    }

    /// Caps of the media type `name`.
    pub fn caps(self, name: &str) -> gst::caps::Builder<gst::caps::NoFeature> {
        gst::Caps::builder(name)
    }

    /// A writable buffer that owns `bytes`.
    pub fn buffer(self, bytes: Vec<u8>) -> gst::Buffer {
        gst::Buffer::from_mut_slice(bytes)
    }

    /// A buffer that shares `bytes`.
    pub fn shared_buffer(self, bytes: bytes::Bytes) -> gst::Buffer {
        gst::Buffer::from_slice(bytes)
    }

    /// A buffer of `size` bytes, not cleared.
    ///
    /// # Errors
    /// The machine's: no memory.
    pub fn uninitialised_buffer(self, size: usize) -> Result<gst::Buffer> {
        gst::Buffer::with_size(size).map_err(|e| Error::machine("no memory for a picture").because(e))
    }

    /// An element.
    ///
    /// # Errors
    /// The user's: the package of the element is missing.
    pub fn element(self, factory: &str) -> Result<gst::Element> {
        let made = gst::ElementFactory::make(factory).build();
        made.map_err(|e| Error::user(packages::missing(factory)).because(e))
    }

    /// True if an element of that name is installed.
    pub fn has_element(self, factory: &str) -> bool {
        gst::ElementFactory::find(factory).is_some()
    }

    /// Parses `description` (launch syntax) into `context`. Loose ends become pads of the bin if `ghost` is set.
    pub fn parse(
        self,
        description: &str,
        ghost: bool,
        context: &mut gst::ParseContext,
    ) -> Result<gst::Element, gst::glib::Error> {
        gst::parse::bin_from_description_full(description, ghost, Some(context), gst::ParseFlags::FATAL_ERRORS)
    }

    /// What a parser has to say about its errors.
    pub fn parse_context(self) -> gst::ParseContext {
        gst::ParseContext::new()
    }

    /// A bin around one element.
    ///
    /// # Errors
    /// The element is in another bin already.
    pub fn bin_of(self, element: &gst::Element) -> Result<gst::Bin, gst::glib::BoolError> {
        let bin = gst::Bin::new();
        bin.add(element).map(|()| bin)
    }

    /// An empty pipeline.
    pub fn pipeline(self) -> gst::Pipeline {
        gst::Pipeline::new()
    }

    /// A source that this program pushes into.
    pub fn app_src<'a>(self) -> AppSrcBuilder<'a> {
        AppSrc::builder()
    }

    /// A sink that this program pulls from. It neither waits for the clock nor holds up the start of its pipeline.
    pub fn app_sink<'a>(self) -> AppSinkBuilder<'a> {
        AppSink::builder().sync(false).async_(false)
    }

    /// The memory layout of a picture.
    pub fn video_info<'a>(self, format: VideoFormat, (width, height): (u32, u32)) -> VideoInfoBuilder<'a> {
        VideoInfo::builder(format, width, height)
    }

    /// A buffer with its caps.
    pub fn sample(self, buffer: &gst::Buffer, caps: &gst::Caps) -> gst::Sample {
        gst::Sample::builder().buffer(buffer).caps(caps).build()
    }

    /// A pad of a bin that is `target`, a free pad of an element in it.
    ///
    /// # Errors
    /// The pad is in use.
    pub fn ghost_pad(self, target: &gst::Pad, name: Option<&str>) -> Result<gst::GhostPad, gst::glib::BoolError> {
        Ok(gst::GhostPad::builder_with_target(target)?.name_if_some(name).build())
    }

    /// An empty table of contents.
    pub fn contents(self) -> gst::Toc {
        gst::Toc::new(gst::TocScope::Global)
    }

    /// An entry of a table of contents.
    pub fn contents_entry(self, kind: gst::TocEntryType, name: &str) -> gst::TocEntry {
        gst::TocEntry::new(kind, name)
    }

    /// An empty list of tags.
    pub fn tags(self) -> gst::TagList {
        gst::TagList::new()
    }

    /// A date as a tag; `None` if `text` is not ISO 8601.
    pub fn date_time(self, text: &str) -> Option<gst::DateTime> {
        gst::DateTime::from_iso8601_string(text).ok()
    }

    /// A request to an encoder that its next frame is a key frame.
    pub fn key_frame_request(self) -> gst::Event {
        UpstreamForceKeyUnitEvent::builder().all_headers(true).build()
    }

    /// A colour space by its name in GStreamer.
    ///
    /// # Errors
    /// There is no such name.
    pub fn colorimetry(self, name: &str) -> Result<VideoColorimetry, gst::glib::BoolError> {
        name.parse()
    }

    /// A new format of the stream.
    pub fn caps_event(self, caps: &gst::Caps) -> gst::Event {
        gst::event::Caps::new(caps)
    }

    /// The pixels of `buffer` (which has the meta data of a video frame) at a place over a picture.
    ///
    /// # Errors
    /// They have a format that cannot be blended.
    pub fn overlay(
        self,
        buffer: &gst::Buffer,
        (x, y): (i32, i32),
        (width, height): (u32, u32),
    ) -> Result<VideoOverlayComposition, gst::glib::BoolError> {
        let flags = VideoOverlayFormatFlags::empty();
        VideoOverlayComposition::new([&VideoOverlayRectangle::new_raw(buffer, x, y, width, height, flags)])
    }

    /// How a converter scales.
    pub fn converter_config(self) -> VideoConverterConfig {
        VideoConverterConfig::new()
    }

    /// A stop of the stream for all sinks of a pipeline.
    pub fn end_of_stream(self) -> gst::Event {
        gst::event::Eos::new()
    }
}

//! Starts GStreamer. Every entry of this room that makes objects of GStreamer comes through here first.

use crate::error::{Error, Result};
use gstreamer::prelude::PluginFeatureExtManual;
use std::sync::Once;

/// Decoders of video with an alpha channel. Chromium's MediaRecorder flags every video as having one but writes none, and these
/// decoders fail on that, so they are never chosen.
const ALPHA_DECODERS: [&str; 2] = ["vp8alphadecodebin", "vp9alphadecodebin"];

/// Starts GStreamer once for the process; cheap when repeated.
///
/// # Errors
/// The machine's: GStreamer is broken or its registry cannot be read.
pub(super) fn init() -> Result<()> {
    gstreamer::init().map_err(|e| {
        Error::machine("GStreamer does not start; is libgstreamer1.0-0 installed completely?").because(e)
    })?;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for decoder in ALPHA_DECODERS.iter().filter_map(|name| gstreamer::ElementFactory::find(name)) {
            decoder.set_rank(gstreamer::Rank::NONE);
        }
    });
    Ok(())
}

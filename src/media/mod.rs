//! GStreamer: pipeline templates, running pipelines, media files as encoded frames. The only room that names GStreamer;
//! it never touches the network, and no type of GStreamer leaves it except through [`Pipeline`].
//!
//! The path packet -> file of a recording does not pass through here: it decodes nothing and needs no pipeline.

mod apply;
mod canvas;
mod copies;
mod decoder;
mod demux;
mod drawn;
mod encoder;
mod filter;
mod kept;
mod library;
mod live;
mod loudness;
mod packages;
mod picture;
mod pipeline;
mod playback;
mod playthrough;
mod scale;
mod slides;
mod source;
mod stamp;
mod template;
#[cfg(test)]
mod testing;
mod transcode;
mod writer;

pub use apply::{check_filter, check_template, filter_frames, filter_samples, frame_cost, sound_cost};
pub use canvas::Canvas;
pub use decoder::{Decoded, Decoder, Encoded};
pub use drawn::Drawing;
pub use encoder::Encoder;
pub use filter::{Filter, FrameFilter, SampleFilter};
pub use kept::Kept;
pub use library::Library;
pub use live::{Fed, LiveConfig, LiveCounts, LivePicture, LivePictures, LiveTrack, Shape};
pub use picture::Picture;
pub use pipeline::{Phase, Pipeline};
pub use playback::{Content, Piece, Playback};
pub use playthrough::Playthrough;
pub use source::{Encoding, MediaSource, Origin, SourceFrame, Track};
pub use stamp::Stamp;
pub use template::{Param, ParamKind, Template, Value};
pub use writer::{Chapter, FileWriter, caption, count_pictures};

use crate::error::{Error, Result};
use gstreamer::prelude::PluginFeatureExtManual;
use std::path::Path;
use std::sync::Once;

/// Decoders of pictures that can be seen through, which nobody here wants. Chromium's MediaRecorder says of every picture that it can be,
/// and then gives no transparency, at which these fail.
const ALPHA: [&str; 2] = ["vp8alphadecodebin", "vp9alphadecodebin"];

/// Starts GStreamer once for the process; cheap when repeated.
///
/// # Errors
/// The machine's: GStreamer is broken or its registry cannot be read.
pub fn init() -> Result<()> {
    gstreamer::init()
        .map_err(|e| Error::machine("GStreamer does not start; is libgstreamer1.0-0 installed in whole?").because(e))?;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for decoder in ALPHA.iter().filter_map(|name| gstreamer::ElementFactory::find(name)) {
            decoder.set_rank(gstreamer::Rank::NONE);
        }
    });
    Ok(())
}

/// A path as GStreamer takes it.
fn path_text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::user(format!("{} is not a plain name", path.display())))
}

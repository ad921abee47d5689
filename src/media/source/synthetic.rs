//! Video and audio that a caller generates, whenever the encoder asks for more: a source without an end.

use super::reader::FrameReader;
use super::transcode::Encoding;
use crate::error::Result;
use crate::media::runtime::Gst;
use crate::media::{Library, Pipeline, Value};
use crate::room::media::MediaKind;
use gstreamer as gst;
use gstreamer_app::AppSrcCallbacks;
use std::fmt;
use std::sync::Arc;

/// Samples of a block of audio: 20 ms.
const BLOCK: u64 = 960;
const RATE: u64 = 48_000;
const SECOND: u64 = 1_000_000_000;

/// Functions that generate video or audio. Numbers count from 0.
#[derive(Clone)]
pub enum Synthetic {
    /// Video.
    Pictures {
        /// Width and height in pixels.
        size: (u32, u32),
        /// Frames per second.
        fps: u32,
        /// The bytes of a frame in I420, by its number.
        draw: Arc<dyn Fn(u32) -> Vec<u8> + Send + Sync>,
    },
    /// Audio: as many samples as asked for, mono, 48 kHz, by the number of the first.
    Sound(Arc<dyn Fn(u64, usize) -> Vec<i16> + Send + Sync>),
}

impl fmt::Debug for Synthetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Synthetic::Pictures { size, fps, .. } => write!(f, "Pictures({size:?} at {fps})"),
            Synthetic::Sound(_) => f.write_str("Sound"),
        }
    }
}

impl Synthetic {
    /// Block or frame number `n`: its bytes, and its start and end in ns.
    fn generate(&self, n: u64) -> (Vec<u8>, u64, u64) {
        match self {
            Synthetic::Pictures { fps, draw, .. } => {
                let at = |n: u64| n * SECOND / u64::from(*fps).max(1);
                (draw(u32::try_from(n).unwrap_or(u32::MAX)), at(n), at(n + 1))
            }
            Synthetic::Sound(play) => {
                let at = |n: u64| n * BLOCK * SECOND / RATE;
                let samples = play(n * BLOCK, BLOCK as usize);
                (samples.into_iter().flat_map(i16::to_le_bytes).collect(), at(n), at(n + 1))
            }
        }
    }
}

/// Encodes what `synthetic` generates.
///
/// # Errors
/// The user's: an encoder's package is missing.
pub(super) fn open(library: &Library, synthetic: &Synthetic, encoding: &Encoding) -> Result<FrameReader> {
    let whole = |number: u32| Value::Int(number.into());
    let (name, kind, values) = match synthetic {
        Synthetic::Pictures { size, fps, .. } => (
            "source/drawn",
            MediaKind::Video,
            vec![("width", whole(size.0)), ("height", whole(size.1)), ("fps", whole(*fps))],
        ),
        Synthetic::Sound(_) => ("source/played", MediaKind::Audio, vec![]),
    };
    let template = library.get(name)?;
    let gst = Gst::init()?;
    let (synthetic, mut next) = (synthetic.clone(), 0);
    FrameReader::generated(library, &template, &values, kind, encoding, |pipeline: &Pipeline| {
        let callbacks = AppSrcCallbacks::builder().need_data(move |source, _| {
            let (bytes, from, until) = synthetic.generate(next);
            next += 1;
            let mut buffer = gst.buffer(bytes);
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(gst::ClockTime::from_nseconds(from));
                buffer.set_duration(gst::ClockTime::from_nseconds(until - from));
            }
            // Refused only by a pipeline that is being stopped.
            let _ = source.push_buffer(buffer);
        });
        pipeline.app_src("made")?.set_callbacks(callbacks.build());
        Ok(())
    })
}

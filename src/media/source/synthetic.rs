//! Pictures and sound that the program makes itself, one piece whenever the encoder asks for it: a source without an end. It knows not
//! what they show.

use super::reader::FrameReader;
use super::transcode::Encoding;
use crate::error::Result;
use crate::media::{Library, Pipeline, Value};
use crate::room::media::MediaKind;
use gstreamer as gst;
use gstreamer_app::AppSrcCallbacks;
use std::fmt;
use std::sync::Arc;

/// Samples of a piece of sound, 20 ms at [`RATE`] a second.
const PIECE: u64 = 960;
const RATE: u64 = 48_000;
const SECOND: u64 = 1_000_000_000;

/// What is made. Numbers count from 0.
#[derive(Clone)]
pub enum Synthetic {
    /// I420 of a picture by its number.
    Pictures { size: (u32, u32), fps: u32, draw: Arc<dyn Fn(u32) -> Vec<u8> + Send + Sync> },
    /// So many samples of one channel at 48,000 Hz, by the number of the first.
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
    /// Piece number `n`: its bytes, when it begins and when it ends, ns.
    fn piece(&self, n: u64) -> (Vec<u8>, u64, u64) {
        match self {
            Synthetic::Pictures { fps, draw, .. } => {
                let at = |n: u64| n * SECOND / u64::from(*fps).max(1);
                (draw(u32::try_from(n).unwrap_or(u32::MAX)), at(n), at(n + 1))
            }
            Synthetic::Sound(play) => {
                let at = |n: u64| n * PIECE * SECOND / RATE;
                let samples = play(n * PIECE, PIECE as usize);
                (samples.into_iter().flat_map(i16::to_le_bytes).collect(), at(n), at(n + 1))
            }
        }
    }
}

/// What `drawing` makes, encoded.
///
/// # Errors
/// The user's: an encoder's package is missing.
pub(super) fn open(library: &Library, drawing: &Synthetic, encoding: &Encoding) -> Result<FrameReader> {
    let whole = |number: u32| Value::Int(number.into());
    let (name, kind, values) = match drawing {
        Synthetic::Pictures { size, fps, .. } => (
            "source/drawn",
            MediaKind::Video,
            vec![("width", whole(size.0)), ("height", whole(size.1)), ("fps", whole(*fps))],
        ),
        Synthetic::Sound(_) => ("source/played", MediaKind::Audio, vec![]),
    };
    let template = library.get(name)?;
    let (drawing, mut next) = (drawing.clone(), 0);
    FrameReader::generated(library, &template, &values, kind, encoding, |pipeline: &Pipeline| {
        let callbacks = AppSrcCallbacks::builder().need_data(move |source, _| {
            let (bytes, from, until) = drawing.piece(next);
            next += 1;
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(gst::ClockTime::from_nseconds(from));
                buffer.set_duration(gst::ClockTime::from_nseconds(until - from));
            }
            // Refused only by a pipeline that is on its way down.
            let _ = source.push_buffer(buffer);
        });
        pipeline.app_src("made")?.set_callbacks(callbacks.build());
        Ok(())
    })
}

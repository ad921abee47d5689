//! What all destinations of a film have in common. It opens nothing itself.

use crate::container::Chapter;
use crate::error::Result;
use std::path::PathBuf;

/// A destination of a film.
///
/// The encoder's pipeline muxes, and its last elements write the bytes: `filesink` and `hlssink2` today, `rtmp2sink`, `srtsink` and
/// `whipclientsink` are elements of the same kind. So a sink tells these elements where to write, and completes what they wrote.
pub trait Sink: Send {
    /// The properties of the pipeline's elements that make them write here.
    ///
    /// # Errors
    /// The user's: an address that cannot be used.
    fn targets(&self) -> Result<Vec<Target>>;

    /// Completes what the pipeline has written. Called once, after the pipeline has ended without an error; a sink that is dropped
    /// before has to remove what nobody can use. Returns the file that a player opens.
    ///
    /// # Errors
    /// The machine's, of the disk or the network; ours where the film is not what was encoded.
    fn complete(self: Box<Self>, film: &EncodedFilm) -> Result<PathBuf>;
}

/// A text property of a pipeline's element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The element's name in the pipeline.
    pub element: &'static str,
    /// The property's name.
    pub property: &'static str,
    /// Its value: a path or a URL.
    pub value: String,
}

/// What the encoder has made.
#[derive(Debug, Clone, Copy)]
pub struct EncodedFilm<'a> {
    /// Frames that were encoded; `None` without video.
    pub video_frames: Option<u64>,
    /// The chapters, in order.
    pub chapters: &'a [Chapter],
}

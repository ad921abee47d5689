//! What a source is opened from.

use super::synthetic::Synthetic;
use crate::media::{Template, Value};
use crate::room::media::MediaKind;
use std::path::PathBuf;
use std::time::Duration;

/// Where frames come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A media file or an animated image. Tracks whose codec receivers support are sent without re-encoding.
    File(PathBuf),
    /// A slide show; a single animated image moves.
    Slides {
        /// Image files (PNG, JPEG, WebP, GIF).
        images: Vec<PathBuf>,
        /// How long each is shown.
        each: Duration,
    },
    /// An animated image (GIF, APNG, WebP).
    Animation(PathBuf),
    /// A generator template (`source/pattern`, `source/tone`), without an end.
    Generated {
        /// The template; its last element is called `out`.
        template: Template,
        /// Its parameters.
        values: Vec<(String, Value)>,
        /// What it outputs.
        kind: MediaKind,
    },
    /// Media that the caller generates, without an end.
    Synthetic(Synthetic),
}

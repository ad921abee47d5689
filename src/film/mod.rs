//! A recording as one film: scenes over time, rendering, mixing, stills, chapters, subtitles. It reads a recording's tracks and
//! manifest and never changes them; except for [`follow`], it runs as fast as the machine allows and asks no clock.
//!
//! ```text
//! manifest, timeline -> scene plan -> layout -> scene renderer (pictures of each track, names, cards) \
//!                           tracks -> track decoders, mixer -------------------------------------------> encoder -> output
//! ```
#![deny(missing_docs)]

mod captions;
mod compose;
mod encoder_output;
mod follow;
mod format;
mod job;
pub mod layout;
mod loudness;
mod paint;
mod participant_files;
mod scene_plan;
mod scene_renderer;
mod snapshot;
mod sound;
mod speech;
mod stills;
mod summary;
mod text;
mod tile_renderer;
mod track_decoder;
mod track_pictures;
mod transition;

pub use compose::compose;
pub use follow::follow;
pub use format::{Container, FilmCodec, Format, Quality};
pub use job::{Job, Progress, RATES, VideoOptions};
pub use loudness::R128;
pub use participant_files::{ParticipantFile, ParticipantFiles, export_participants};
pub use scene_renderer::SceneOptions;
pub use stills::{Slide, Stills};
pub use summary::Summary;

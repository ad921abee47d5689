//! Sources of encoded frames for a room: media files, slide shows, animated images, test video and audio, and what callers generate.

mod animation;
mod media_source;
mod origin;
mod reader;
mod slides;
mod synthetic;
mod transcode;
#[cfg(test)]
mod upright_tests;

pub use media_source::{MediaSource, SourceFrame};
pub use origin::Origin;
pub use reader::Track;
pub use synthetic::Synthetic;
pub use transcode::Encoding;

//! Sources of encoded frames for a room: media files, slide shows, test video and audio, and what callers generate.

mod media_source;
mod origin;
mod reader;
mod slides;
mod synthetic;
mod transcode;

pub use media_source::{MediaSource, SourceFrame};
pub use origin::Origin;
pub use reader::Track;
pub use synthetic::Synthetic;
pub use transcode::Encoding;

//! Live tracks: frames of a room are decoded as they arrive, to be filtered and sent back, or to be measured.

mod input;
mod live_decoder;
mod parts;
mod scale;
mod track_filter;
mod tracker;

pub use live_decoder::{LiveDecoder, LivePicture};
pub use parts::PushResult;
pub use scale::VideoScale;
pub use track_filter::{TrackFilter, TrackFilterConfig};

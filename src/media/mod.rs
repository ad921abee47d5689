//! GStreamer: pipeline templates, running pipelines, media files as encoded frames. The only room that names GStreamer;
//! it never touches the network, and no type of GStreamer leaves it.
//!
//! The path packet -> file of a recording does not pass through here: it decodes nothing and needs no pipeline.

mod audio_level;
mod bin;
mod buffer;
mod cache;
mod caption;
mod decoder;
mod encoded_frame;
mod encoder;
mod file_decoder;
mod filter;
mod geometry;
mod library;
mod live;
mod offline;
mod packages;
mod picture;
mod pipeline;
mod runtime;
mod source;
mod template;
#[cfg(test)]
mod testing;
mod track_reader;
mod transform;
mod writer;

pub use cache::Cache;
pub use caption::caption;
pub use decoder::{Decoded, Decoder, TrackFormat};
pub use encoder::Encoder;
pub use file_decoder::{Content, FileDecoder, Piece};
pub use filter::Filter;
pub use geometry::{Rect, Size};
pub use image::RgbaImage;
pub use library::Library;
pub use live::{LiveDecoder, LivePicture, PushResult, TrackFilter, TrackFilterConfig, TrackFilterCounts, VideoScale};
pub use offline::{check_filter, check_template, filter_frames, filter_samples, frame_cost, sound_cost};
pub use picture::{Canvas, Overlay, Picture};
pub use pipeline::{Phase, Pipeline};
pub use source::{Encoding, MediaSource, Origin, SourceFrame, Synthetic, Track};
pub use template::{Param, ParamKind, Template, Value};
pub use track_reader::TrackReader;
pub use transform::{FrameFilter, SampleFilter};
pub use writer::{FileWriter, count_pictures};

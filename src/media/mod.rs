//! Everything that uses GStreamer: pipeline templates, filters, decoders, encoders, media files as encoded frames. No other room names
//! GStreamer, and none of its types leaves this room. It never touches the network.
//!
//! The path from packet to file of a recording does not pass through here: it decodes nothing and needs no pipeline.

#![deny(missing_docs)]

mod audio_level;
mod bin;
mod buffer;
mod cache;
mod caption;
mod decoder;
mod encoded_frame;
mod encoder;
#[cfg(test)]
mod entry_tests;
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

pub use caption::caption;
pub use filter::Filter;
pub use geometry::{Rect, Size};
pub use image::RgbaImage;
pub use library::Library;
pub use offline::{check_filter, check_template, filter_frames, filter_samples, frame_cost, sound_cost};
pub use picture::Picture;
pub use pipeline::{Phase, Pipeline};
pub use source::{Encoding, MediaSource, Origin, SourceFrame, Synthetic, Track};
pub use template::{Param, ParamKind, Template, Value};
pub use track_reader::TrackReader;
pub use transform::{FrameFilter, SampleFilter};
pub use writer::FileWriter;

pub(crate) use cache::Cache;
pub use decoder::{Decoded, Decoder, TrackFormat};
pub(crate) use encoder::Encoder;
pub(crate) use file_decoder::{DecodedData, FileDecoder};
pub(crate) use live::{LiveDecoder, LivePicture, PushResult, TrackFilter, TrackFilterConfig, VideoScale};
pub(crate) use picture::{Canvas, Overlay};
pub(crate) use writer::count_pictures;

//! Codec inspection: what is known of a frame without decoding it: sizes, key frames, decoder configuration. Pure.

pub(crate) mod av1;
mod av1_sequence;
pub(crate) mod bits;
pub(crate) mod h264;
mod h264_sets;
pub(crate) mod inspected;
pub(crate) mod inspector;
mod parts;
pub(crate) mod vp8;
pub(crate) mod vp9;

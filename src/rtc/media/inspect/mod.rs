//! Codec inspection: what is known of a frame without decoding it: sizes, key frames, decoder configuration. Pure.

pub(crate) mod av1_sequence;
pub(crate) mod bits;
pub(crate) mod h264_sets;

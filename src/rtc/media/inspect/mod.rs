//! What a frame says of itself without being decoded: sizes, key frames, decoder configuration. Pure.

pub(crate) mod av1_sequence;
pub(crate) mod bits;
pub(crate) mod h264_sets;

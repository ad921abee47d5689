//! What can be known of a frame without decoding it.

use bytes::Bytes;

/// The bytes do not follow the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What a whole frame says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inspected {
    /// Decoding can start here.
    pub key: bool,
    /// Width and height in pixels: of each key frame, and where they change.
    pub size: Option<(u32, u32)>,
    /// Decoder configuration: H.264 `avcC`, AV1 `av1C`.
    pub config: Option<Bytes>,
    /// It would be a key frame, if the parameter sets were known that it needs.
    pub lacks_config: bool,
}

impl Inspected {
    /// A key frame of this size, of a codec whose decoders need no configuration.
    pub fn key(size: (u32, u32)) -> Inspected {
        Inspected { key: true, size: Some(size), ..Inspected::default() }
    }
}

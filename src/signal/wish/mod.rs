//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): one description to and fro over HTTP. What both ends share; it opens no connection.

pub mod fragment;
pub mod link;

/// The media type of session descriptions.
pub const SDP: &str = "application/sdp";
/// The media type of what a PATCH carries.
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// Bytes of a description or fragment that are read.
pub const MOST_BYTES: usize = 64 * 1024;

//! The bodies of WHIP and WHEP requests.

/// The media type of session descriptions.
pub const SDP: &str = "application/sdp";
/// The media type of ICE fragments in a PATCH (RFC 8840, 9).
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// Bytes of a description or fragment at most.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

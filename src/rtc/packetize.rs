//! From encoded frames to RTP payloads.

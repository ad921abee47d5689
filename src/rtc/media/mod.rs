//! RTP payloads to encoded frames and back, and what can be known of a frame without decoding it. Pure.

pub mod depacketize;
pub(crate) mod inspect;
pub mod packet_counts;
pub mod packetize;

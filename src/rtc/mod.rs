//! One WebRTC connection to one participant. The only room that names the `webrtc` and `rtc` crates; no type of theirs
//! leaves it, so nobody outside can notice which driver moves the packets.

pub mod packetize;
pub mod receive;
mod send;

pub use send::{OutboundTrack, Subscription};

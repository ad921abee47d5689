//! From encoded frames to RTP payloads.
use crate::room::media::{Codec, Frame, RtpPacket};
pub struct Packetizer;
impl Packetizer {
    pub fn new(_: Codec, _: u32) -> Self {
        Packetizer
    }
    pub fn packetize(&mut self, _: &Frame, _: std::time::Instant) -> Vec<RtpPacket> {
        Vec::new()
    }
}

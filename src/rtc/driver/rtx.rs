//! An interceptor that turns retransmissions (RFC 4588) back into the packets they repeat. It sits before the NACK generator, so that the
//! generator sees the hole filled and stops asking (the library unwraps them only behind the chain).

use crate::rtc::driver::packet_queues::PacketQueues;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::HashMap;
use std::time::Instant;

/// Unwraps retransmissions.
#[derive(Default)]
pub(crate) struct RtxUnwrapper {
    queues: PacketQueues,
    /// SSRC of a retransmission stream -> SSRC and payload type of the stream it repairs.
    primaries: HashMap<u32, (u32, u8)>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RtxUnwrapper {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut tagged.message.packet
            && let Some(&(ssrc, payload_type)) = self.primaries.get(&packet.header.ssrc)
        {
            // The payload is the original sequence number and the original payload; a probe has neither.
            if packet.payload.len() < 2 {
                return Ok(());
            }
            let original = packet.payload.split_to(2);
            packet.header.sequence_number = u16::from_be_bytes([original[0], original[1]]);
            packet.header.ssrc = ssrc;
            packet.header.payload_type = payload_type;
        }
        self.queues.read.push_back(tagged);
        Ok(())
    }
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.queues.read.pop_front()
    }
    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.queues.write.push_back(tagged);
        Ok(())
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.queues.write.pop_front()
    }
}

impl Interceptor for RtxUnwrapper {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(rtx) = info.ssrc_rtx {
            self.primaries.insert(rtx, (info.ssrc, info.payload_type));
        }
    }
    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(rtx) = info.ssrc_rtx {
            self.primaries.remove(&rtx);
        }
    }
}

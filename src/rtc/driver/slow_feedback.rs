//! An interceptor that sends what the lane has to say where media comes the library's way: it is the same feedback, sealed by the library. It
//! decides nothing.

use crate::rtc::driver::packet_queues::PacketQueues;
use crate::rtc::lane::Lane;
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::sync::Arc;
use std::time::Instant;

/// Asks the lane, and sends.
pub(crate) struct SlowFeedback {
    queues: PacketQueues,
    lane: Arc<Lane>,
}

impl SlowFeedback {
    pub(crate) fn new(lane: Arc<Lane>) -> SlowFeedback {
        SlowFeedback { queues: PacketQueues::default(), lane }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for SlowFeedback {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
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
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        for compound in self.lane.slow_feedback(now) {
            let packets = rtc::rtcp::packet::unmarshal(&mut &compound[..])?;
            let message = AttributedPacket::new(Packet::Rtcp(packets));
            self.queues.write.push_back(TaggedPacket { now, transport: Default::default(), message });
        }
        Ok(())
    }
    fn poll_timeout(&mut self) -> Option<Instant> {
        self.lane.slow_deadline()
    }
}

impl Interceptor for SlowFeedback {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

//! The two queues that the library's contract of an interceptor asks for.

use rtc::interceptor::TaggedPacket;
use std::collections::VecDeque;

/// Packets between `handle_*` and `poll_*`.
#[derive(Default)]
pub(crate) struct PacketQueues {
    /// Inbound.
    pub read: VecDeque<TaggedPacket>,
    /// Outbound.
    pub write: VecDeque<TaggedPacket>,
}

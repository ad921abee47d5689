//! A link of the interceptor chain that keeps what it knows of a stream. The library describes its receivers anew with each negotiation (another
//! track, an ICE restart), and then binds streams that are bound: the NACK generator forgets by that which packets it waits for, and what
//! was lost around the negotiation is never asked for.

use rtc::interceptor::{Interceptor, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::HashSet;
use std::time::Instant;

/// `inner`, which hears only once of each inbound stream until that is gone.
pub(crate) struct Steady<I> {
    inner: I,
    /// SSRCs, and whether repairs can be asked for.
    bound: HashSet<(u32, bool)>,
}

impl<I> Steady<I> {
    pub(crate) fn new(inner: I) -> Steady<I> {
        Steady { inner, bound: HashSet::new() }
    }
}

impl<I: Interceptor> Protocol<TaggedPacket, TaggedPacket, ()> for Steady<I> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.inner.handle_read(tagged)
    }
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inner.poll_read()
    }
    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.inner.handle_write(tagged)
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.inner.poll_write()
    }
    fn handle_event(&mut self, event: ()) -> Result<(), Error> {
        self.inner.handle_event(event)
    }
    fn poll_event(&mut self) -> Option<()> {
        self.inner.poll_event()
    }
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.inner.handle_timeout(now)
    }
    fn poll_timeout(&mut self) -> Option<Instant> {
        self.inner.poll_timeout()
    }
    fn close(&mut self) -> Result<(), Error> {
        self.inner.close()
    }
}

impl<I: Interceptor> Interceptor for Steady<I> {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.inner.bind_local_stream(info);
    }
    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.inner.unbind_local_stream(info);
    }
    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        let repairs = info.rtcp_feedback.iter().any(|feedback| feedback.typ == "nack" && feedback.parameter.is_empty());
        if self.bound.insert((info.ssrc, repairs)) {
            self.inner.bind_remote_stream(info);
        }
    }
    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.bound.retain(|(ssrc, _)| *ssrc != info.ssrc);
        self.inner.unbind_remote_stream(info);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::interceptor::{AttributedPacket, NackGeneratorBuilder, Packet, RTCPFeedback};
    use std::time::Duration;

    /// How many requests come for packet 3 of 1, 2 and 4, where the stream is bound again before 4.
    fn asked(mut chain: impl Interceptor) -> usize {
        let feedback = RTCPFeedback { typ: "nack".into(), parameter: String::new() };
        let info = StreamInfo { ssrc: 7, rtcp_feedback: vec![feedback], ..Default::default() };
        let now = Instant::now();
        for sequence_number in [1, 2, 4] {
            if sequence_number != 2 {
                chain.bind_remote_stream(&info);
            }
            let header = rtc::rtp::header::Header { version: 2, ssrc: 7, sequence_number, ..Default::default() };
            let packet = rtc::rtp::Packet { header, ..Default::default() };
            let message = AttributedPacket::new(Packet::Rtp(packet));
            chain.handle_read(TaggedPacket { now, transport: Default::default(), message }).unwrap();
        }
        chain.handle_timeout(now + Duration::from_secs(1)).unwrap();
        std::iter::from_fn(|| chain.poll_write()).count()
    }

    #[test]
    fn what_is_missing_around_a_negotiation_is_asked_for() {
        // Without this link it is not: where that changes, the link can go.
        assert_eq!(asked(NackGeneratorBuilder::new().build()), 0);
        assert_eq!(asked(Steady::new(NackGeneratorBuilder::new().build())), 1);
    }

    #[test]
    fn a_stream_that_was_gone_begins_anew() {
        let mut chain = Steady::new(NackGeneratorBuilder::new().build());
        let info = StreamInfo { ssrc: 7, ..Default::default() };
        chain.bind_remote_stream(&info);
        chain.unbind_remote_stream(&info);
        assert!(chain.bound.is_empty());
    }
}

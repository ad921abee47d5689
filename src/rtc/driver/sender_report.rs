//! When what we send was taken: sender reports say that instead of when it left. The library's reports take the moment of sending,
//! which is later by all that decoding, filtering and encoding cost, and differently for sound and picture.

use crate::rtc::driver::tap::PacketQueues;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Of each SSRC of ours: the newest frame's RTP timestamp, when it was taken, and the clock rate in Hz.
#[derive(Debug, Default)]
pub(crate) struct SenderReportRewriter(Mutex<HashMap<u32, (u32, Instant, u32)>>);

impl SenderReportRewriter {
    pub(crate) fn note(&self, ssrc: u32, timestamp: u32, at: Instant, clock_rate: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ssrc, (timestamp, at, clock_rate));
    }
    pub(crate) fn forget(&self, ssrc: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ssrc);
    }
    /// The RTP timestamp of what is taken at `now` (RFC 3550, 6.4.1).
    fn timestamp(&self, ssrc: u32, now: Instant) -> Option<u32> {
        let (timestamp, at, rate) = *self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&ssrc)?;
        let ticks = |span: std::time::Duration| (span.as_nanos() * u128::from(rate) / 1_000_000_000) as u32;
        // What is taken ahead of its time (a file that is read in advance) lies in the future.
        Some(match now.checked_duration_since(at) {
            Some(since) => timestamp.wrapping_add(ticks(since)),
            None => timestamp.wrapping_sub(ticks(at.saturating_duration_since(now))),
        })
    }
}

/// Corrects outgoing sender reports.
pub(crate) struct Corrector {
    taken: Arc<SenderReportRewriter>,
    belt: PacketQueues,
}

impl Corrector {
    pub(crate) fn new(taken: Arc<SenderReportRewriter>) -> Corrector {
        Corrector { taken, belt: PacketQueues::default() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Corrector {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.belt.read.push_back(tagged);
        Ok(())
    }
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.belt.read.pop_front()
    }
    fn handle_write(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        let now = tagged.now;
        if let Packet::Rtcp(packets) = &mut tagged.message.packet {
            for packet in packets {
                let Some(report) = packet.as_any().downcast_ref::<SenderReport>() else { continue };
                if let Some(rtp_time) = self.taken.timestamp(report.ssrc, now) {
                    *packet = Box::new(SenderReport { rtp_time, ..report.clone() });
                }
            }
        }
        self.belt.write.push_back(tagged);
        Ok(())
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.belt.write.pop_front()
    }
}

impl Interceptor for Corrector {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_report_tells_when_it_was_taken() {
        let (taken, now) = (SenderReportRewriter::default(), Instant::now() + Duration::from_secs(10));
        taken.note(7, u32::MAX, now - Duration::from_millis(100), 90_000);
        assert_eq!(taken.timestamp(7, now), Some(8999));
        taken.note(7, 5000, now + Duration::from_millis(10), 90_000);
        assert_eq!(taken.timestamp(7, now), Some(4100));
        taken.forget(7);
        assert_eq!(taken.timestamp(7, now), None);
    }
}

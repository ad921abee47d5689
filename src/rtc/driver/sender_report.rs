//! An interceptor that makes outgoing sender reports say when media was captured. The library's reports take the moment of sending, which
//! is later by all that decoding, filtering and encoding cost, and differently for audio and video.

use crate::rtc::driver::packet_queues::PacketQueues;
use crate::rtc::feedback::sender_report::CaptureTime;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The capture time of the newest frame of each SSRC of ours.
#[derive(Debug, Default)]
pub(crate) struct CaptureTimes(Mutex<HashMap<u32, CaptureTime>>);

impl CaptureTimes {
    pub(crate) fn insert(&self, ssrc: u32, captured: CaptureTime) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ssrc, captured);
    }
    pub(crate) fn remove(&self, ssrc: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ssrc);
    }
    fn timestamp_at(&self, ssrc: u32, now: Instant) -> Option<u32> {
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&ssrc)?.timestamp_at(now))
    }
}

/// Rewrites the RTP timestamp of outgoing sender reports.
pub(crate) struct SenderReportRewriter {
    capture_times: Arc<CaptureTimes>,
    queues: PacketQueues,
}

impl SenderReportRewriter {
    pub(crate) fn new(capture_times: Arc<CaptureTimes>) -> SenderReportRewriter {
        SenderReportRewriter { capture_times, queues: PacketQueues::default() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for SenderReportRewriter {
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
    fn handle_write(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        let now = tagged.now;
        if let Packet::Rtcp(packets) = &mut tagged.message.packet {
            for packet in packets {
                let Some(report) = packet.as_any().downcast_ref::<SenderReport>() else { continue };
                if let Some(rtp_time) = self.capture_times.timestamp_at(report.ssrc, now) {
                    *packet = Box::new(SenderReport { rtp_time, ..report.clone() });
                }
            }
        }
        self.queues.write.push_back(tagged);
        Ok(())
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.queues.write.pop_front()
    }
}

impl Interceptor for SenderReportRewriter {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::interceptor::AttributedPacket;
    use std::time::Duration;

    #[test]
    fn a_report_says_when_media_was_captured() {
        let (times, now) = (Arc::new(CaptureTimes::default()), Instant::now() + Duration::from_secs(10));
        let mut rewriter = SenderReportRewriter::new(times.clone());
        let mut reported = |now| {
            let report = SenderReport { ssrc: 7, rtp_time: 1, ..Default::default() };
            let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(report)]));
            rewriter.handle_write(TaggedPacket { now, transport: Default::default(), message }).unwrap();
            let Packet::Rtcp(packets) = rewriter.poll_write().expect("a packet").message.packet else { panic!("RTCP") };
            packets[0].as_any().downcast_ref::<SenderReport>().expect("a report").rtp_time
        };
        times.insert(7, CaptureTime { timestamp: 1000, at: now - Duration::from_millis(100), clock_rate: 90_000 });
        assert_eq!(reported(now), 10_000);
        times.remove(7);
        assert_eq!(reported(now), 1, "as the library wrote it");
    }
}

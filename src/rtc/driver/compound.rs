//! An interceptor that makes key-frame requests compound: a receiver report of the stream goes before each (RFC 3550, 6.1).
//! Alone they may travel only where both sides said `rtcp-rsize` (RFC 5506), and Janus, which does not, finds the stream of a subscriber
//! by that report: it drops every request without one, and with them all pictures whose first key frame we were too late for.
//! Report and request have an SSRC of ours from the first one on: Janus takes an SSRC of 0 for the first stream that it ever sent us, and
//! a request for another one then has no effect.

use crate::rtc::driver::packet_queues::PacketQueues;
use crate::rtc::feedback::receiver_report::{LastReports, RepeatedBlock};
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::time::Instant;

/// Puts a report before each request.
#[derive(Default)]
pub(crate) struct CompoundKeyFrameRequests {
    queues: PacketQueues,
    reports: LastReports,
}

/// Any but 0.
fn random_ssrc() -> u32 {
    rand::random_range(1..u32::MAX)
}

impl CompoundKeyFrameRequests {
    /// Remembers the library's reports.
    fn on_report(&mut self, report: &ReceiverReport) {
        for block in &report.reports {
            let ReceptionReport { ssrc, total_lost, last_sequence_number, jitter, .. } = *block;
            self.reports.on_report(report.ssrc, RepeatedBlock { ssrc, total_lost, last_sequence_number, jitter });
        }
    }

    fn report_on(&mut self, ssrc: u32) -> ReceiverReport {
        self.reports.add(ssrc, random_ssrc());
        let (own_ssrc, block) = self.reports.repeat(ssrc).unwrap_or_default();
        let RepeatedBlock { ssrc, total_lost, last_sequence_number, jitter } = block;
        let block = ReceptionReport { ssrc, total_lost, last_sequence_number, jitter, ..Default::default() };
        ReceiverReport { ssrc: own_ssrc, reports: vec![block], ..Default::default() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for CompoundKeyFrameRequests {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &tagged.message.packet {
            self.reports.on_packet(packet.header.ssrc, packet.header.sequence_number);
        }
        self.queues.read.push_back(tagged);
        Ok(())
    }
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.queues.read.pop_front()
    }
    fn handle_write(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &mut tagged.message.packet {
            packets
                .iter()
                .filter_map(|packet| packet.as_any().downcast_ref())
                .for_each(|report| self.on_report(report));
            let request = packets.first().and_then(|first| first.as_any().downcast_ref::<PictureLossIndication>());
            if let Some(media_ssrc) = request.map(|request| request.media_ssrc) {
                let report = self.report_on(media_ssrc);
                packets[0] = Box::new(PictureLossIndication { sender_ssrc: report.ssrc, media_ssrc });
                packets.insert(0, Box::new(report));
            }
        }
        self.queues.write.push_back(tagged);
        Ok(())
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.queues.write.pop_front()
    }
}

impl Interceptor for CompoundKeyFrameRequests {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.reports.add(info.ssrc, random_ssrc());
    }
    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.reports.remove(info.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::congestion::BandwidthEstimate;
    use crate::rtc::driver::engine;
    use crate::rtc::driver::engine::ChainEnds;
    use rtc::interceptor::AttributedPacket;
    use std::time::Duration;
    use tokio::sync::{mpsc, watch};

    /// The whole chain, as connections have it.
    fn chain() -> impl Interceptor {
        let mut media = engine::media_engine().unwrap();
        let ends = ChainEnds {
            inbox: Default::default(),
            key_frame_requests: mpsc::unbounded_channel().0,
            codecs: Default::default(),
            capture_times: Default::default(),
            estimate: watch::channel(BandwidthEstimate::UNKNOWN).0,
            shared: Default::default(),
            placed: mpsc::unbounded_channel().0,
        };
        engine::interceptors(&mut media, ends, false).unwrap().build()
    }

    fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
        TaggedPacket { now, transport: Default::default(), message: AttributedPacket::new(packet) }
    }

    fn receive(chain: &mut impl Interceptor, now: Instant, sequence_number: u16) {
        let header =
            rtc::rtp::header::Header { version: 2, ssrc: 7, payload_type: 96, sequence_number, ..Default::default() };
        let packet = rtc::rtp::Packet { header, ..Default::default() };
        chain.handle_read(tagged(now, Packet::Rtp(packet))).unwrap();
        while chain.poll_read().is_some() {}
    }

    /// The reports that go out, and for each whether a request for a key frame follows in the same packet, of the same sender.
    fn sent(chain: &mut impl Interceptor) -> Vec<(ReceiverReport, bool)> {
        let mut found = Vec::new();
        while let Some(tagged) = chain.poll_write() {
            let Packet::Rtcp(packets) = tagged.message.packet else { continue };
            let requests = packets.iter().filter_map(|p| p.as_any().downcast_ref::<PictureLossIndication>());
            let requests: Vec<u32> = requests.map(|request| request.sender_ssrc).collect();
            match packets.first().and_then(|first| first.as_any().downcast_ref::<ReceiverReport>()) {
                Some(report) => found.push((report.clone(), requests == [report.ssrc])),
                None => assert!(requests.is_empty(), "a request is sent alone"),
            }
        }
        found
    }

    fn request(chain: &mut impl Interceptor, now: Instant) -> ReceiverReport {
        let request = PictureLossIndication { sender_ssrc: 0, media_ssrc: 7 };
        chain.handle_write(tagged(now, Packet::Rtcp(vec![Box::new(request)]))).unwrap();
        let sent = sent(chain);
        assert!(matches!(&sent[..], [(_, true)]), "{sent:?}");
        sent[0].0.clone()
    }

    #[test]
    fn a_request_for_a_key_frame_follows_a_report_of_its_stream() {
        let (mut chain, now) = (chain(), Instant::now());
        chain.bind_remote_stream(&StreamInfo { ssrc: 7, clock_rate: 90_000, ..Default::default() });
        receive(&mut chain, now, 500);
        let before = request(&mut chain, now);
        assert_eq!((before.reports[0].ssrc, before.reports[0].last_sequence_number), (7, 500));
        assert_ne!(before.ssrc, 0, "Janus takes it for a report on its first stream");
        assert_eq!(request(&mut chain, now).ssrc, before.ssrc);

        // Once the library has reported, the same is said again; so it is where the stream is described anew.
        receive(&mut chain, now, 501);
        chain.handle_timeout(now + Duration::from_secs(2)).unwrap();
        let reported = sent(&mut chain).into_iter().map(|(report, _)| report).next().expect("a report");
        chain.bind_remote_stream(&StreamInfo { ssrc: 7, clock_rate: 90_000, ..Default::default() });
        receive(&mut chain, now, 502);
        let after = request(&mut chain, now);
        assert_eq!((after.ssrc, after.reports[0].last_sequence_number), (reported.ssrc, 501));
        assert_eq!((after.reports[0].fraction_lost, after.reports[0].last_sender_report), (0, 0));
    }
}

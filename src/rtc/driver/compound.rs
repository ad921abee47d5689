//! A link of the interceptor chain that makes requests for key frames compound: a receiver report of the stream goes before each (RFC 3550, 6.1).
//! Alone they may travel only where both sides said `rtcp-rsize` (RFC 5506), and Janus, which does not, finds the stream of what comes from a mere
//! listener by that report: it drops every request without one, and with them all pictures whose first key frame we were too late for.
//! The report and the request are signed with a name (SSRC) of ours from the first one on: 0 is not nobody's name to Janus, but that of the
//! first stream it ever sent us, and a request for another one that says so has no effect.

use crate::rtc::driver::tap::PacketQueues;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::HashMap;
use std::time::Instant;

/// What was said last of an inbound stream.
struct Said {
    /// Our name (SSRC) in the reports on it: any but 0, until the library reports with its own.
    us: u32,
    block: ReceptionReport,
    /// The library has reported on it; until then only the newest packet is known.
    reported: bool,
}

impl Said {
    fn nothing_of(ssrc: u32) -> Said {
        let block = ReceptionReport { ssrc, ..Default::default() };
        Said { us: rand::random_range(1..u32::MAX), block, reported: false }
    }
}

/// Puts a report before each request.
#[derive(Default)]
pub(crate) struct Compound {
    belt: PacketQueues,
    streams: HashMap<u32, Said>,
}

impl Compound {
    /// Remembers the library's reports.
    fn learn(&mut self, report: &ReceiverReport) {
        for block in &report.reports {
            if let Some(said) = self.streams.get_mut(&block.ssrc) {
                // Said again it is no news: no loss since, and no round trip to be measured by.
                let block = ReceptionReport { fraction_lost: 0, last_sender_report: 0, delay: 0, ..block.clone() };
                *said = Said { us: report.ssrc, block, reported: true };
            }
        }
    }

    fn report_on(&mut self, ssrc: u32) -> ReceiverReport {
        let said = self.streams.entry(ssrc).or_insert_with(|| Said::nothing_of(ssrc));
        ReceiverReport { ssrc: said.us, reports: vec![said.block.clone()], ..Default::default() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Compound {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &tagged.message.packet
            && let Some(said) = self.streams.get_mut(&packet.header.ssrc)
            && !said.reported
        {
            said.block.last_sequence_number = packet.header.sequence_number.into();
        }
        self.belt.read.push_back(tagged);
        Ok(())
    }
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.belt.read.pop_front()
    }
    fn handle_write(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &mut tagged.message.packet {
            packets.iter().filter_map(|packet| packet.as_any().downcast_ref()).for_each(|report| self.learn(report));
            let request = packets.first().and_then(|first| first.as_any().downcast_ref::<PictureLossIndication>());
            if let Some(media_ssrc) = request.map(|request| request.media_ssrc) {
                let report = self.report_on(media_ssrc);
                packets[0] = Box::new(PictureLossIndication { sender_ssrc: report.ssrc, media_ssrc });
                packets.insert(0, Box::new(report));
            }
        }
        self.belt.write.push_back(tagged);
        Ok(())
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.belt.write.pop_front()
    }
}

impl Interceptor for Compound {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.entry(info.ssrc).or_insert_with(|| Said::nothing_of(info.ssrc));
    }
    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.remove(&info.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::congestion::BandwidthEstimate;
    use crate::rtc::driver::engine;
    use crate::rtc::driver::engine::Links;
    use rtc::interceptor::AttributedPacket;
    use std::time::Duration;
    use tokio::sync::{mpsc, watch};

    /// The whole chain, as connections have it.
    fn chain() -> impl Interceptor {
        let mut media = engine::media_engine().unwrap();
        let links = Links {
            inbox: Default::default(),
            key_frames: mpsc::unbounded_channel().0,
            streams: Default::default(),
            taken: Default::default(),
            path: watch::channel(BandwidthEstimate::UNKNOWN).0,
        };
        engine::interceptors(&mut media, links, false).unwrap().build()
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
                None => assert!(requests.is_empty(), "a request goes alone"),
            }
        }
        found
    }

    fn ask(chain: &mut impl Interceptor, now: Instant) -> ReceiverReport {
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
        let before = ask(&mut chain, now);
        assert_eq!((before.reports[0].ssrc, before.reports[0].last_sequence_number), (7, 500));
        assert_ne!(before.ssrc, 0, "Janus takes it for a report on the first stream of all");
        assert_eq!(ask(&mut chain, now).ssrc, before.ssrc);

        // Once the library has reported, the same is said again; so it is where the stream is described anew.
        receive(&mut chain, now, 501);
        chain.handle_timeout(now + Duration::from_secs(2)).unwrap();
        let reported = sent(&mut chain).into_iter().map(|(report, _)| report).next().expect("a report");
        chain.bind_remote_stream(&StreamInfo { ssrc: 7, clock_rate: 90_000, ..Default::default() });
        receive(&mut chain, now, 502);
        let after = ask(&mut chain, now);
        assert_eq!((after.ssrc, after.reports[0].last_sequence_number), (reported.ssrc, 501));
        assert_eq!((after.reports[0].fraction_lost, after.reports[0].last_sender_report), (0, 0));
    }
}

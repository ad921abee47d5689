//! An interceptor for media that goes past the library: it answers what receivers ask for again, learns from their feedback, and makes the
//! sender reports. What the library sends is none of its business.

use crate::rtc::congestion::BandwidthEstimate;
use crate::rtc::driver::bandwidth::Estimator;
use crate::rtc::driver::outbound::Outbound;
use crate::rtc::driver::packet_queues::PacketQueues;
use crate::rtc::egress::streams::Report;
use rtc::interceptor::{
    Acknowledgement, AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket, convert_twcc,
};
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Between two reports of a stream.
const INTERVAL: Duration = Duration::from_secs(1);
/// Seconds from 1900, where NTP counts from, to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// RTCP of media that goes past the library.
pub(crate) struct OutboundReports {
    outbound: Arc<Outbound>,
    /// Of connections that measure.
    estimator: Option<Estimator>,
    queues: PacketQueues,
    next: Option<Instant>,
}

impl OutboundReports {
    pub(crate) fn new(outbound: Arc<Outbound>, estimate: Option<watch::Sender<BandwidthEstimate>>) -> OutboundReports {
        let (queues, next) = Default::default();
        OutboundReports { outbound, estimator: estimate.map(Estimator::new), queues, next }
    }

    fn on_feedback(&mut self, feedback: &TransportLayerCc, now: Instant) {
        let told = |packet: Acknowledgement| (packet.sequence_number, packet.arrived.then_some(packet.arrival));
        let learned = self.outbound.feedback(convert_twcc(feedback).into_iter().map(told));
        if let Some(estimator) = &mut self.estimator {
            estimator.on_feedback(now, &learned);
        }
    }
}

/// `now` of the wall clock, in seconds since 1900, 32.32.
fn ntp(now: Instant) -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = since_1970.saturating_sub(now.elapsed());
    let fraction = (u64::from(at.subsec_nanos()) << 32) / 1_000_000_000;
    (at.as_secs() + NTP_TO_UNIX) << 32 | fraction
}

fn sender_report(report: Report, ntp_time: u64) -> SenderReport {
    SenderReport {
        ssrc: report.ssrc,
        ntp_time,
        rtp_time: report.timestamp,
        packet_count: report.packets,
        octet_count: report.octets,
        ..Default::default()
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for OutboundReports {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &mut tagged.message.packet
            && self.outbound.is_own()
        {
            for packet in packets.iter() {
                if let Some(nack) = packet.as_any().downcast_ref::<TransportLayerNack>() {
                    let missing = nack.nacks.iter().flat_map(|pair| pair.packet_list());
                    self.outbound.repeat(nack.media_ssrc, missing, tagged.now);
                } else if let Some(feedback) = packet.as_any().downcast_ref::<TransportLayerCc>() {
                    self.on_feedback(feedback, tagged.now);
                }
            }
            // The library knows of none of these packets.
            packets.retain(|packet| !packet.as_any().is::<TransportLayerCc>());
            if packets.is_empty() {
                return Ok(());
            }
        }
        self.queues.read.push_back(tagged);
        Ok(())
    }
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.queues.read.pop_front()
    }
    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.next.get_or_insert(tagged.now + INTERVAL);
        self.queues.write.push_back(tagged);
        Ok(())
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.queues.write.pop_front()
    }
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.next.is_none_or(|next| now < next) {
            return Ok(());
        }
        self.next = Some(now + INTERVAL);
        for report in self.outbound.reports(now) {
            let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(sender_report(report, ntp(now)))]));
            self.queues.write.push_back(TaggedPacket { now, transport: Default::default(), message });
        }
        Ok(())
    }
    fn poll_timeout(&mut self) -> Option<Instant> {
        // Nobody else is to be woken for it.
        self.next.filter(|_| self.outbound.is_own())
    }
}

impl Interceptor for OutboundReports {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

//! The last interceptor of the chain: takes all inbound RTP into the [`Inbox`]. The library's own way to the application drops packets
//! when 256 wait, and costs a task switch each. Establishing a stream (`on_track`) happens before the chain, so it still works.
//! It also copies the RTCP that the library keeps to itself: sender reports, key-frame requests and the receiver's bandwidth estimates.

use crate::room::media::{AudioLevel, RtpPacket};
use crate::rtc::congestion::BandwidthEstimate;
use crate::rtc::driver::packet_queues::PacketQueues;
use crate::rtc::inbox::{Inbound, Inbox};
use crate::rtc::payload_types::PayloadTypes;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::goodbye::Goodbye;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// Header extension of the audio level (RFC 6464).
pub(crate) const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// How long receivers may delay a picture before they show it (libwebrtc, `playout-delay`).
pub(crate) const PLAYOUT_DELAY_URI: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// The codecs of inbound streams, by SSRC, as the chain knows them: the library's own track may not know its codec yet when packets
/// overtake the answer that describes them.
#[derive(Debug, Default)]
pub(crate) struct StreamCodecs {
    streams: Mutex<HashMap<u32, (String, u16)>>,
    /// What payload types stand for, whatever the stream.
    pub payload_types: Arc<PayloadTypes>,
}

impl StreamCodecs {
    /// MIME type and channels of a stream.
    pub(crate) fn codec(&self, ssrc: u32) -> Option<(String, u16)> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).get(&ssrc).cloned()
    }
    fn insert(&self, info: &StreamInfo) {
        let codec = (info.mime_type.clone(), info.channels);
        self.payload_types.bound(info.payload_type, &info.mime_type);
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(info.ssrc, codec);
    }
    fn remove(&self, ssrc: u32) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(&ssrc);
    }
}

/// Takes inbound media out of the chain, and copies the reports and requests that concern it.
pub(crate) struct Tap {
    queues: PacketQueues,
    inbox: Arc<Inbox>,
    /// SSRCs of ours for which the peer requests a key frame. Unbounded, but the library has parsed one bounded RTCP packet for
    /// each; the reader coalesces.
    key_frame_requests: mpsc::UnboundedSender<u32>,
    audio_level_ids: HashMap<u32, u8>,
    codecs: Arc<StreamCodecs>,
    estimate: watch::Sender<BandwidthEstimate>,
}

impl Tap {
    pub(crate) fn new(
        inbox: Arc<Inbox>,
        key_frame_requests: mpsc::UnboundedSender<u32>,
        codecs: Arc<StreamCodecs>,
        estimate: watch::Sender<BandwidthEstimate>,
    ) -> Self {
        let (queues, audio_level_ids) = Default::default();
        Self { queues, inbox, key_frame_requests, audio_level_ids, codecs, estimate }
    }

    fn deliver(&self, packet: rtc::rtp::Packet, arrival: Instant) {
        let header = packet.header;
        let audio_level = self
            .audio_level_ids
            .get(&header.ssrc)
            .and_then(|id| header.get_extension(*id))
            .and_then(|bytes| bytes.first().copied())
            .map(|byte| AudioLevel { below_overload: byte & 0x7f, voice: byte & 0x80 != 0 });
        self.inbox.put(Inbound::Rtp(RtpPacket {
            ssrc: header.ssrc,
            payload_type: header.payload_type,
            format: self.codecs.payload_types.format(header.payload_type),
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            audio_level,
            arrival,
            payload: packet.payload,
        }));
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        match tagged.message.packet {
            Packet::Rtp(packet) => self.deliver(packet, tagged.now),
            Packet::Rtcp(ref packets) => {
                for packet in packets {
                    let packet = packet.as_any();
                    if let Some(report) = packet.downcast_ref::<SenderReport>() {
                        self.inbox.put(Inbound::SenderReport {
                            ssrc: report.ssrc,
                            ntp: report.ntp_time,
                            rtp: report.rtp_time,
                            arrival: tagged.now,
                            from: tagged.transport.peer_addr,
                        });
                    } else if let Some(goodbye) = packet.downcast_ref::<Goodbye>() {
                        for ssrc in goodbye.sources.iter().copied() {
                            self.inbox.put(Inbound::Goodbye { ssrc, arrival: tagged.now });
                        }
                    } else if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
                        let _ = self.key_frame_requests.send(pli.media_ssrc);
                    } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
                        for entry in &fir.fir {
                            let _ = self.key_frame_requests.send(entry.ssrc);
                        }
                    } else if let Some(remb) = packet.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
                        self.estimate.send_if_modified(|estimate| estimate.on_remb(remb.bitrate));
                    }
                }
                self.queues.read.push_back(tagged);
            }
            // The library may add kinds of packets; unknown ones are passed on.
            #[allow(unreachable_patterns)]
            _ => self.queues.read.push_back(tagged),
        }
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

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.codecs.insert(info);
        if let Some(extension) = info.rtp_header_extensions.iter().find(|e| e.uri == AUDIO_LEVEL_URI)
            && let Ok(id) = u8::try_from(extension.id)
        {
            self.audio_level_ids.insert(info.ssrc, id);
        }
    }
    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.codecs.remove(info.ssrc);
        self.audio_level_ids.remove(&info.ssrc);
    }
}

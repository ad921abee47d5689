//! Two links of our own in the connection's interceptor chain.
//!
//! [`RtxRepair`] sits before the NACK generator and turns retransmissions back into the packets they repeat, so that the
//! generator sees the hole filled and stops asking (the library unwraps them only behind the chain).
//!
//! [`Tap`] sits at the end and takes all inbound RTP into the [`Inbox`]: the library's own way to the application drops packets
//! when 256 wait, and costs a task switch each. Establishing a stream (`on_track`) happens before the chain, so it still works.
//! The tap also copies the RTCP that the library keeps to itself: sender reports, key-frame requests and the receiver's word on bitrates.

use crate::room::media::{AudioLevel, RtpPacket};
use crate::rtc::congestion::BandwidthEstimate;
use crate::rtc::driver::engine::Links;
use crate::rtc::inbox::{Inbound, Inbox};
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// Header extension of the sound's loudness (RFC 6464).
pub(crate) const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// How long receivers may keep a picture before they show it (libwebrtc, `playout-delay`).
pub(crate) const PLAYOUT_DELAY_URI: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// Two queues, as the contract of an interceptor wants them.
#[derive(Default)]
pub(crate) struct PacketQueues {
    pub read: VecDeque<TaggedPacket>,
    pub write: VecDeque<TaggedPacket>,
}

/// Unwraps retransmissions (RFC 4588) before the NACK generator sees them.
#[derive(Default)]
pub(crate) struct RtxRepair {
    belt: PacketQueues,
    /// SSRC of a retransmission stream -> SSRC and payload type of the stream it repairs.
    primaries: HashMap<u32, (u32, u8)>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RtxRepair {
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
        self.belt.read.push_back(tagged);
        Ok(())
    }
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.belt.read.pop_front()
    }
    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.belt.write.push_back(tagged);
        Ok(())
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.belt.write.pop_front()
    }
}

impl Interceptor for RtxRepair {
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

/// What the chain was told of inbound streams, by SSRC: the library's own track may not know its codec yet when packets overtake
/// the answer that describes them.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<HashMap<u32, (String, u16)>>);

impl Streams {
    /// MIME type and channels of a stream.
    pub(crate) fn codec(&self, ssrc: u32) -> Option<(String, u16)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&ssrc).cloned()
    }
    fn learn(&self, info: &StreamInfo) {
        let codec = (info.mime_type.clone(), info.channels);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(info.ssrc, codec);
    }
    fn forget(&self, ssrc: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ssrc);
    }
}

/// Takes inbound media out of the chain, and copies the reports and requests that concern it.
pub(crate) struct Tap {
    belt: PacketQueues,
    inbox: Arc<Inbox>,
    /// SSRCs of ours for which the peer wants a key frame. Unbounded, but the library has parsed one bounded RTCP packet for
    /// each; the reader coalesces.
    key_frames: mpsc::UnboundedSender<u32>,
    audio_level_ids: HashMap<u32, u8>,
    streams: Arc<Streams>,
    path: watch::Sender<BandwidthEstimate>,
}

impl Tap {
    pub(crate) fn new(links: Links) -> Self {
        let Links { inbox, key_frames, streams, path, .. } = links;
        Self { belt: PacketQueues::default(), inbox, key_frames, audio_level_ids: HashMap::new(), streams, path }
    }

    fn take(&self, packet: rtc::rtp::Packet, arrival: Instant) {
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
            Packet::Rtp(packet) => self.take(packet, tagged.now),
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
                    } else if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
                        let _ = self.key_frames.send(pli.media_ssrc);
                    } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
                        for entry in &fir.fir {
                            let _ = self.key_frames.send(entry.ssrc);
                        }
                    } else if let Some(remb) = packet.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
                        crate::rtc::congestion::estimate::receiver_says(&self.path, remb.bitrate);
                    }
                }
                self.belt.read.push_back(tagged);
            }
            // The library may add kinds of packets; what we do not know goes on.
            #[allow(unreachable_patterns)]
            _ => self.belt.read.push_back(tagged),
        }
        Ok(())
    }
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.belt.read.pop_front()
    }
    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.belt.write.push_back(tagged);
        Ok(())
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.belt.write.pop_front()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.learn(info);
        if let Some(extension) = info.rtp_header_extensions.iter().find(|e| e.uri == AUDIO_LEVEL_URI)
            && let Ok(id) = u8::try_from(extension.id)
        {
            self.audio_level_ids.insert(info.ssrc, id);
        }
    }
    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.forget(info.ssrc);
        self.audio_level_ids.remove(&info.ssrc);
    }
}

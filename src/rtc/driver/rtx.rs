//! An interceptor that turns retransmissions (RFC 4588) back into the packets they repeat. It sits before the NACK generator, so that the
//! generator sees the hole filled and stops asking (the library unwraps them only behind the chain).

use crate::rtc::driver::packet_queues::PacketQueues;
use bytes::Bytes;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp::header::Header;
use rtc::sansio::Protocol;
use rtc::sdp::extmap::{SDES_MID_URI, SDES_REPAIR_RTP_STREAM_ID_URI, SDES_RTP_STREAM_ID_URI};
use rtc::shared::error::Error;
use std::collections::HashMap;
use std::time::Instant;

/// Layers of a connection that are remembered by their names, and their retransmission streams.
const MAX_LAYERS: usize = 256;

/// Unwraps retransmissions.
#[derive(Default)]
pub(crate) struct RtxUnwrapper {
    queues: PacketQueues,
    /// SSRC of a retransmission stream -> SSRC and payload type of the stream it repairs.
    primaries: HashMap<u32, (u32, u8)>,
    layers: Layers,
}

/// Layers (RFC 8853) and their retransmissions find each other by names in their headers (RFC 8852), which senders leave out later.
#[derive(Default)]
struct Layers {
    ids: Option<LayerIds>,
    /// Payload types of the streams that are bound.
    payload_types: HashMap<u32, u8>,
    /// MID and RID -> SSRC.
    ssrcs: HashMap<(Bytes, Bytes), u32>,
}

/// Ids of the header extensions (RFC 8285).
#[derive(Clone, Copy)]
struct LayerIds {
    mid: u8,
    rid: u8,
    repaired: u8,
}

impl LayerIds {
    fn of(info: &StreamInfo) -> Option<LayerIds> {
        let id = |uri: &str| {
            let extension = info.rtp_header_extensions.iter().find(|extension| extension.uri == uri)?;
            u8::try_from(extension.id).ok()
        };
        let (mid, rid) = (id(SDES_MID_URI)?, id(SDES_RTP_STREAM_ID_URI)?);
        Some(LayerIds { mid, rid, repaired: id(SDES_REPAIR_RTP_STREAM_ID_URI)? })
    }
}

impl Layers {
    fn bind(&mut self, info: &StreamInfo) {
        self.ids = LayerIds::of(info).or(self.ids);
        self.payload_types.insert(info.ssrc, info.payload_type);
    }
    fn unbind(&mut self, ssrc: u32) {
        self.payload_types.remove(&ssrc);
        self.ssrcs.retain(|_, layer| *layer != ssrc);
    }
    /// Learns which layer a bound stream is; of another stream, returns which one it repairs if it says so.
    fn look(&mut self, header: &Header) -> Option<(u32, u8)> {
        let ids = self.ids?;
        let mid = header.get_extension(ids.mid)?;
        if self.payload_types.contains_key(&header.ssrc) {
            if let Some(rid) = header.get_extension(ids.rid)
                && self.ssrcs.len() < MAX_LAYERS
            {
                self.ssrcs.insert((mid, rid), header.ssrc);
            }
            return None;
        }
        let ssrc = *self.ssrcs.get(&(mid, header.get_extension(ids.repaired)?))?;
        Some((ssrc, *self.payload_types.get(&ssrc)?))
    }
}

impl RtxUnwrapper {
    /// SSRC and payload type of the stream that this one repairs, if it is a retransmission stream.
    fn primary(&mut self, header: &Header) -> Option<(u32, u8)> {
        if let Some(known) = self.primaries.get(&header.ssrc) {
            return Some(*known);
        }
        let found = header.extension.then(|| self.layers.look(header)).flatten()?;
        if self.primaries.len() < MAX_LAYERS {
            self.primaries.insert(header.ssrc, found);
        }
        Some(found)
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RtxUnwrapper {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut tagged.message.packet
            && let Some((ssrc, payload_type)) = self.primary(&packet.header)
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
}

impl Interceptor for RtxUnwrapper {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.layers.bind(info);
        if let Some(rtx) = info.ssrc_rtx {
            self.primaries.insert(rtx, (info.ssrc, info.payload_type));
        }
    }
    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.layers.unbind(info.ssrc);
        self.primaries.retain(|_, (ssrc, _)| *ssrc != info.ssrc);
    }
}

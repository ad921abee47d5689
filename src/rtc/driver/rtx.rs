//! An interceptor that turns retransmissions (RFC 4588) back into the packets they repeat. It sits before the NACK generator, so that the
//! generator sees the hole filled and stops asking (the library unwraps them only behind the chain).

use crate::rtc::driver::packet_queues::PacketQueues;
use crate::rtc::driver::tap::StreamCodecs;
use crate::rtc::inbox::Inbox;
use crate::rtc::media::packet_counts::DropReason;
use bytes::Bytes;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp::header::Header;
use rtc::sansio::Protocol;
use rtc::sdp::extmap::{SDES_MID_URI, SDES_REPAIR_RTP_STREAM_ID_URI, SDES_RTP_STREAM_ID_URI};
use rtc::shared::error::Error;
use std::collections::HashMap;
use std::sync::Arc;
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
    codecs: Arc<StreamCodecs>,
    /// Probes are counted there.
    inbox: Arc<Inbox>,
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
    /// `codecs` knows what payload types stand for; `inbox` gets the count of probes.
    pub(crate) fn new(codecs: Arc<StreamCodecs>, inbox: Arc<Inbox>) -> Self {
        Self { codecs, inbox, ..Self::default() }
    }

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
                self.inbox.count(ssrc, DropReason::Padding, packet.payload.len(), tagged.now);
                return Ok(());
            }
            let original = packet.payload.split_to(2);
            packet.header.sequence_number = u16::from_be_bytes([original[0], original[1]]);
            packet.header.ssrc = ssrc;
            // The stream may have changed its codec since it was bound.
            let repeated = self.codecs.payload_types.repeated(packet.header.payload_type);
            packet.header.payload_type = repeated.unwrap_or(payload_type);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::inbox::Inbound;
    use rtc::interceptor::{AttributedPacket, RTPHeaderExtension};

    const IDS: [(u16, &str); 3] = [(4, SDES_MID_URI), (5, SDES_RTP_STREAM_ID_URI), (6, SDES_REPAIR_RTP_STREAM_ID_URI)];

    fn packet(ssrc: u32, payload_type: u8, extensions: &[(u8, &'static str)], payload: &'static [u8]) -> TaggedPacket {
        let mut header = Header { version: 2, ssrc, payload_type, sequence_number: 900, ..Default::default() };
        for (id, value) in extensions {
            header.set_extension(*id, Bytes::from_static(value.as_bytes())).unwrap();
        }
        let packet = rtc::rtp::Packet { header, payload: Bytes::from_static(payload) };
        let message = AttributedPacket::new(Packet::Rtp(packet));
        TaggedPacket { now: Instant::now(), transport: Default::default(), message }
    }

    #[test]
    fn retransmissions_of_layers_find_their_layer_by_name_and_stay_known() {
        let mut unwrapper = RtxUnwrapper::default();
        let inbox = unwrapper.inbox.clone();
        let extensions = IDS.map(|(id, uri)| RTPHeaderExtension { id, uri: uri.to_owned() }).to_vec();
        for ssrc in [11, 12] {
            let rtp_header_extensions = extensions.clone();
            unwrapper.bind_remote_stream(&StreamInfo {
                ssrc,
                payload_type: 96,
                rtp_header_extensions,
                ..Default::default()
            });
        }
        let mut passed = |tagged: TaggedPacket| {
            unwrapper.handle_read(tagged).unwrap();
            let Packet::Rtp(packet) = unwrapper.poll_read()?.message.packet else { return None };
            Some((packet.header.ssrc, packet.header.payload_type, packet.header.sequence_number, packet.payload.len()))
        };
        assert_eq!(passed(packet(11, 96, &[(4, "0"), (5, "q")], &[1, 2, 3])), Some((11, 96, 900, 3)));
        assert_eq!(passed(packet(12, 96, &[(4, "0"), (5, "f")], &[1, 2, 3])), Some((12, 96, 900, 3)));
        assert_eq!(passed(packet(22, 97, &[(4, "0"), (6, "f")], &[0, 7, 1])), Some((12, 96, 7, 1)));
        assert_eq!(passed(packet(22, 97, &[], &[0, 8, 1])), Some((12, 96, 8, 1)), "names are left out later");
        assert_eq!(passed(packet(22, 97, &[], &[0])), None, "a probe");
        let mut probes = Vec::new();
        inbox.drain(&mut probes);
        assert!(
            matches!(probes[..], [Inbound::Dropped { ssrc: 12, reason: DropReason::Padding, packets: 1, .. }]),
            "{probes:?}"
        );
        // Of another section, or of nobody.
        assert_eq!(passed(packet(23, 97, &[(4, "1"), (6, "f")], &[0, 7, 1])), Some((23, 97, 900, 3)));
        assert_eq!(passed(packet(24, 97, &[(4, "0")], &[0, 7, 1])), Some((24, 97, 900, 3)));
    }
}

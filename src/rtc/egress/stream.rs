//! One stream of a connection: its packets as they go out, and again where they are asked for.

use crate::room::media::RtpPacket;
use crate::rtc::egress::datagrams::Datagrams;
use crate::rtc::egress::format::{PacketFields, SendFormat};
use crate::rtc::egress::history::History;
use crate::rtc::egress::numbers::Numbers;
use crate::rtc::feedback::sender_report::CaptureTime;
use crate::rtc::srtp::seal::RtpSealer;
use std::sync::Arc;
use std::time::Instant;

/// A sender report (RFC 3550 6.4.1) of one of our streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub ssrc: u32,
    /// The RTP timestamp of what is captured now.
    pub timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

/// A stream, and what repeats it.
pub(super) struct OutboundStream {
    pub format: SendFormat,
    clock_rate: u32,
    sealer: RtpSealer,
    /// The newest sequence number.
    newest: Option<u16>,
    /// Added to the sequence numbers of packets: a track that takes another's place goes on where that one has ended.
    offset: u16,
    /// The track that sends now; they are numbered in the order in which they begin.
    track: u64,
    /// Of retransmissions (RFC 4588), and the next number there.
    repairs: Option<(RtpSealer, u16)>,
    history: History,
    packets: u32,
    octets: u32,
    captured: Option<CaptureTime>,
    header: Vec<u8>,
}

impl OutboundStream {
    pub fn new(sealer: RtpSealer, repairs: Option<RtpSealer>, clock_rate: u32, format: SendFormat) -> OutboundStream {
        OutboundStream {
            format,
            clock_rate,
            sealer,
            newest: None,
            offset: 0,
            track: 0,
            repairs: repairs.map(|sealer| (sealer, 0)),
            history: History::default(),
            packets: 0,
            octets: 0,
            captured: None,
            header: Vec::new(),
        }
    }

    pub fn ssrc(&self) -> u32 {
        self.sealer.ssrc()
    }

    /// The track has ended; another one may take its place.
    pub fn end(&mut self) {
        self.history.clear();
        self.captured = None;
    }

    pub fn write(
        &mut self,
        track: u64,
        packets: &Arc<Vec<RtpPacket>>,
        now: Instant,
        numbers: &mut Numbers,
        out: &mut impl Datagrams,
    ) -> usize {
        if track < self.track {
            return packets.len();
        }
        if let Some(first) = packets.first() {
            let (timestamp, clock_rate) = (first.timestamp, self.clock_rate);
            self.captured = Some(CaptureTime { timestamp, at: first.arrival, clock_rate });
            if track > self.track {
                self.track = track;
                let next = self.newest.map_or(first.sequence, |newest| newest.wrapping_add(1));
                self.offset = next.wrapping_sub(first.sequence);
            }
        }
        let repeats = self.repairs.is_some() && self.format.repair_type.is_some();
        let mut refused = 0;
        for (at, packet) in packets.iter().enumerate() {
            let sequence = packet.sequence.wrapping_add(self.offset);
            let payload_type = self.format.payload_type;
            let number = self.format.number.map(|_| numbers.next());
            let fields = PacketFields { payload_type, sequence, ssrc: self.sealer.ssrc(), number };
            self.header.clear();
            self.format.write_header(&fields, packet, &mut self.header);
            if self.sealer.seal(&self.header, &packet.payload, out.begin()).is_err() {
                out.cancel();
                refused += 1;
                continue;
            }
            out.end();
            if number.is_some() {
                numbers.departed(self.header.len() + packet.payload.len(), now);
            }
            self.newest = Some(sequence);
            self.packets = self.packets.wrapping_add(1);
            self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
            if repeats {
                self.history.insert(sequence, packets, at);
            }
        }
        refused
    }

    pub fn repeat(&mut self, sequence: u16, now: Instant, numbers: &mut Numbers, out: &mut impl Datagrams) {
        let Some(((sealer, next), payload_type)) = self.repairs.as_mut().zip(self.format.repair_type) else { return };
        let Some(packet) = self.history.repeat(sequence, now) else { return };
        let number = self.format.number.map(|_| numbers.next());
        let fields = PacketFields { payload_type, sequence: *next, ssrc: sealer.ssrc(), number };
        self.header.clear();
        self.format.write_header(&fields, &packet, &mut self.header);
        // RFC 4588 4: the original sequence number goes before the payload.
        let payload = [&sequence.to_be_bytes()[..], &packet.payload].concat();
        *next = next.wrapping_add(1);
        if sealer.seal(&self.header, &payload, out.begin()).is_err() {
            return out.cancel();
        }
        out.end();
        if number.is_some() {
            numbers.departed(self.header.len() + payload.len(), now);
        }
    }

    pub fn report(&self, now: Instant) -> Option<Report> {
        let timestamp = self.captured.as_ref()?.timestamp_at(now);
        Some(Report { ssrc: self.ssrc(), timestamp, packets: self.packets, octets: self.octets })
    }
}

//! How the packets of a stream look, as both sides have agreed: payload type and header extensions, and the header that follows from them
//! (RFC 3550 5.1, RFC 8285).

use crate::room::media::RtpPacket;
use bytes::{BufMut, Bytes};

/// What one-byte headers can hold: the greatest number, and the most bytes (RFC 8285 4.2).
const ONE_BYTE: (u8, usize) = (14, 16);
/// Least and most playout delay, 12 bits each, in units of 10 ms.
const NO_DELAY: [u8; 3] = [0; 3];

/// Payload type and header extensions, by their negotiated numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SendFormat {
    pub payload_type: u8,
    /// Of retransmissions; none: they are not negotiated.
    pub repair_type: Option<u8>,
    /// The name of the section. It is in every packet and not only in those before the first report (RFC 9143 15): whoever binds the stream
    /// later, after a negotiation or as another hop, finds it, and it costs three bytes.
    pub mid: Option<(u8, Bytes)>,
    /// RFC 6464.
    pub audio_level: Option<u8>,
    /// Pictures are to be shown as soon as they arrive (libwebrtc, `playout-delay`).
    pub no_playout_delay: Option<u8>,
    /// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions).
    pub number: Option<u8>,
    /// A stream has headers of one form (RFC 8285 4.1.2).
    pub two_byte: bool,
}

/// What a packet is called on a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PacketFields {
    pub payload_type: u8,
    pub sequence: u16,
    pub ssrc: u32,
    /// Transport-wide.
    pub number: Option<u16>,
}

impl SendFormat {
    /// Whether elements with this number and length need two-byte headers.
    pub fn needs_two_bytes(id: u8, length: usize) -> bool {
        id > ONE_BYTE.0 || !(1..=ONE_BYTE.1).contains(&length)
    }

    /// Appends the header of a packet.
    pub fn write_header(&self, fields: &PacketFields, packet: &RtpPacket, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_slice(&[0x80, u8::from(packet.marker) << 7 | fields.payload_type & 0x7f]);
        out.put_u16(fields.sequence);
        out.put_u32(packet.timestamp);
        out.put_u32(fields.ssrc);
        out.put_u32(u32::from(if self.two_byte { 0x1000_u16 } else { 0xbede }) << 16);
        let elements = out.len();
        if let Some((id, level)) = self.audio_level.zip(packet.audio_level) {
            self.element(id, &[level.below_overload & 0x7f | u8::from(level.voice) << 7], out);
        }
        if let Some(id) = self.no_playout_delay {
            self.element(id, &NO_DELAY, out);
        }
        if let Some((id, number)) = self.number.zip(fields.number) {
            self.element(id, &number.to_be_bytes(), out);
        }
        if let Some((id, mid)) = &self.mid {
            self.element(*id, mid, out);
        }
        let length = out.len() - elements;
        if length == 0 {
            out.truncate(elements - 4);
        } else {
            out[start] |= 0x10;
            out.resize(elements + length.next_multiple_of(4), 0);
            // At most four elements of at most 257 bytes.
            let words = (length.div_ceil(4) as u16).to_be_bytes();
            out[elements - 2..elements].copy_from_slice(&words);
        }
    }

    fn element(&self, id: u8, value: &[u8], out: &mut Vec<u8>) {
        let Ok(length) = u8::try_from(value.len()) else { return };
        if self.two_byte {
            out.put_slice(&[id, length]);
        } else if Self::needs_two_bytes(id, value.len()) {
            return;
        } else {
            out.put_u8(id << 4 | (length - 1));
        }
        out.put_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::AudioLevel;
    use crate::rtc::egress::tests::packet;

    fn written(format: &SendFormat) -> Vec<u8> {
        let fields = PacketFields { payload_type: 96, sequence: 7, ssrc: 0x0102_0304, number: Some(513) };
        let level = Some(AudioLevel { below_overload: 30, voice: true });
        let packet = RtpPacket { marker: true, audio_level: level, ..packet(0, 1) };
        let mut out = vec![9];
        format.write_header(&fields, &packet, &mut out);
        out.split_off(1)
    }

    const FIXED: [u8; 12] = [0x90, 0x80 | 96, 0, 7, 0, 0, 0x0b, 0xb8, 1, 2, 3, 4];

    #[test]
    fn only_what_was_negotiated_is_in_the_header() {
        let mut plain = FIXED;
        plain[0] = 0x80;
        assert_eq!(written(&SendFormat::default()), plain);
        let format = SendFormat {
            audio_level: Some(1),
            no_playout_delay: Some(12),
            number: Some(3),
            mid: Some((4, Bytes::from_static(b"0"))),
            ..SendFormat::default()
        };
        let elements = [0xbe, 0xde, 0, 3, 0x10, 30 | 0x80, 0xc2, 0, 0, 0, 0x31, 2, 1, 0x40, b'0', 0];
        assert_eq!(written(&format), [&FIXED[..], &elements].concat());
    }

    #[test]
    fn numbers_and_values_that_are_too_large_take_two_bytes() {
        let format = SendFormat { number: Some(20), two_byte: true, ..SendFormat::default() };
        assert_eq!(written(&format), [&FIXED[..], &[0x10, 0, 0, 1, 20, 2, 2, 1]].concat());
        let long = SendFormat { mid: Some((4, Bytes::from_static(&[b'm'; 17]))), ..SendFormat::default() };
        assert_eq!(written(&long).len(), 12, "it does not fit, and is left out");
        assert!(SendFormat::needs_two_bytes(15, 1) && SendFormat::needs_two_bytes(1, 17));
        assert!(!SendFormat::needs_two_bytes(14, 16));
    }
}

//! The header of an RTP packet (RFC 3550 5.1) and its extensions (RFC 8285), read in place. Pure.

use std::ops::Range;

/// What a header says. The packet is not looked at beyond it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RtpHeader {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub payload_type: u8,
    pub marker: bool,
    /// The payload ends with padding.
    pub padded: bool,
    /// Bytes of the header, extensions included.
    pub len: usize,
    /// Where the extensions are, and whether their headers have one byte (otherwise two).
    extensions: Option<(Range<usize>, bool)>,
}

/// Whether a datagram is RTP or RTCP (RFC 7983).
pub(crate) fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(128..=191))
}

/// Whether it is RTCP then (RFC 5761 4).
pub(crate) fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(192..=223))
}

/// The profile of extensions with headers of one byte; those of two bytes have four bits for the application.
const ONE_BYTE: u16 = 0xbede;
const TWO_BYTE: u16 = 0x1000;

impl RtpHeader {
    /// None where the packet is shorter than its header.
    pub fn parse(packet: &[u8]) -> Option<RtpHeader> {
        let (fixed, _) = packet.split_first_chunk::<12>()?;
        let mut len = 12 + 4 * usize::from(fixed[0] & 0x0f);
        let mut extensions = None;
        if fixed[0] & 0x10 != 0 {
            let (head, _) = packet.get(len..)?.split_first_chunk::<4>()?;
            let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let profile = u16::from_be_bytes([head[0], head[1]]);
            let is_known = profile == ONE_BYTE || profile & 0xfff0 == TWO_BYTE;
            extensions = is_known.then_some((len + 4..len + 4 + 4 * words, profile == ONE_BYTE));
            len += 4 + 4 * words;
        }
        if packet.len() < len {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        Some(RtpHeader {
            ssrc: word(8),
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: word(4),
            payload_type: fixed[1] & 0x7f,
            marker: fixed[1] & 0x80 != 0,
            padded: fixed[0] & 0x20 != 0,
            len,
            extensions,
        })
    }

    /// Calls `each` with the number and value of every extension.
    pub fn each_extension<'a>(&self, packet: &'a [u8], mut each: impl FnMut(u8, &'a [u8])) {
        let Some((range, one_byte)) = &self.extensions else { return };
        let mut rest = packet.get(range.clone()).unwrap_or_default();
        while let [first, tail @ ..] = rest {
            if *first == 0 {
                rest = tail;
                continue;
            }
            let (id, len, tail) = if *one_byte {
                // 15 ends it (RFC 8285 4.2).
                if first >> 4 == 15 {
                    return;
                }
                (first >> 4, usize::from(first & 0x0f) + 1, tail)
            } else {
                let Some((len, tail)) = tail.split_first() else { return };
                (*first, usize::from(*len), tail)
            };
            let Some((value, tail)) = tail.split_at_checked(len) else { return };
            each(id, value);
            rest = tail;
        }
    }

    /// The payload of a packet whose plain text ends at `end`, without its padding.
    pub fn payload(&self, packet: &[u8], end: usize) -> Range<usize> {
        let padding = if self.padded && end > self.len { packet.get(end - 1).copied().unwrap_or(0) } else { 0 };
        self.len..end.saturating_sub(padding.into()).max(self.len)
    }
}

/// The datagram in a TURN server's channel message (RFC 8656 12.4): the channel's number, and where the datagram is.
pub(crate) fn channel_data(datagram: &[u8]) -> Option<(u16, Range<usize>)> {
    let (head, rest) = datagram.split_first_chunk::<4>()?;
    let (channel, len) = (u16::from_be_bytes([head[0], head[1]]), usize::from(u16::from_be_bytes([head[2], head[3]])));
    ((0x4000..=0x4fff).contains(&channel) && len <= rest.len()).then_some((channel, 4..4 + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut found = Vec::new();
        RtpHeader::parse(packet).unwrap().each_extension(packet, |id, value| found.push((id, value.to_vec())));
        found
    }

    #[test]
    fn headers_with_sources_extensions_and_padding_are_read() {
        let mut packet = vec![0xb1, 0x80 | 96, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7, 1, 1, 1, 1];
        packet.extend([0xbe, 0xde, 0, 2, 0x10, 0xaa, 0, 0x31, 1, 2, 0xf0, 0x55]);
        packet.extend([9, 8, 7, 0, 0, 3]);
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!((header.ssrc, header.sequence, header.timestamp), (7, 0x1234, 9));
        assert_eq!((header.payload_type, header.marker, header.len), (96, true, 28));
        assert_eq!(extensions(&packet), [(1, vec![0xaa]), (3, vec![1, 2])], "15 ends it");
        assert_eq!(header.payload(&packet, packet.len()), 28..31);
        assert_eq!(header.payload(&packet, 28), 28..28);
        *packet.last_mut().unwrap() = 200;
        assert_eq!(header.payload(&packet, packet.len()), 28..28, "more padding than there is");
        for len in 0..28 {
            assert_eq!(RtpHeader::parse(&packet[..len]), None);
        }
    }

    #[test]
    fn extensions_of_two_bytes_and_broken_ones_are_read_as_far_as_they_go() {
        let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 9, 0, 0, 0, 7, 0x10, 0, 0, 2, 5, 0, 16, 2, 1, 2, 0, 0];
        assert_eq!(extensions(&packet), [(5, vec![]), (16, vec![1, 2])]);
        packet[19] = 200;
        assert_eq!(extensions(&packet), [(5, vec![])]);
        packet[12] = 0x77;
        assert_eq!(extensions(&packet), []);
    }

    #[test]
    fn channel_messages_of_turn_servers_are_opened() {
        assert_eq!(channel_data(&[0x40, 1, 0, 2, 0x80, 96, 0, 0]), Some((0x4001, 4..6)), "padding of a stream");
        assert_eq!(channel_data(&[0x40, 1, 0, 3, 0x80, 96]), None);
        assert_eq!(channel_data(&[0x50, 1, 0, 2, 0x80, 96]), None);
        assert!(is_media(&[0x80, 96]) && !is_rtcp(&[0x80, 96]) && is_rtcp(&[0x81, 201]) && !is_media(&[20]));
    }
}

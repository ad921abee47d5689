//! How long an Opus packet lasts and how many channels it has, from its first two bytes (RFC 6716, 3.1). Nothing is decoded.

/// The duration of an Opus packet in milliseconds, rounded up; `None` where it is none.
pub(super) fn packet_ms(packet: &[u8]) -> Option<u64> {
    packet_quarter_ms(packet).map(|quarters| quarters.div_ceil(4))
}

/// The duration of an Opus packet in quarters of a millisecond; `None` where it is none.
pub fn packet_quarter_ms(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let quarters = match toc >> 3 {
        config @ 0..12 => [40, 80, 160, 240][usize::from(config & 3)],
        config @ 12..16 => [40, 80][usize::from(config & 1)],
        config => [10, 20, 40, 80][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 63),
    };
    // At most 120 ms in a packet.
    Some(quarters * frames).filter(|quarters| (1..=480).contains(quarters))
}

/// Whether an Opus packet has two channels.
pub(super) fn is_stereo(packet: &[u8]) -> bool {
    packet.first().is_some_and(|toc| toc & 0x04 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_packets_say_how_long_they_are() {
        for (packet, ms) in [
            (&[0xF8, 0xFF, 0xFE][..], Some(20)), // CELT 20 ms, one frame
            (&[0x08], Some(20)),                 // SILK 20 ms
            (&[0x18], Some(60)),                 // SILK 60 ms
            (&[0x78], Some(20)),                 // hybrid 20 ms
            (&[0xE0], Some(3)),                  // CELT 2.5 ms, rounded up
            (&[0xF9], Some(40)),                 // two frames
            (&[0xFB, 3], Some(60)),              // three frames
            (&[0xFB, 63], None),                 // longer than a packet may be
            (&[0xFB], None),
            (&[], None),
        ] {
            assert_eq!(packet_ms(packet), ms, "{packet:02x?}");
        }
    }
}

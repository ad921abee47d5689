//! VP8 frame headers (RFC 6386, 9.1).

use crate::rtc::media::inspect::bits::first_bytes;
use crate::rtc::media::inspect::inspected::{Inspected, Malformed};
use bytes::Bytes;

/// Whether a frame that begins with this byte is a key frame.
pub(crate) fn is_key(first: u8) -> bool {
    first & 1 == 0
}

pub(crate) fn inspect(parts: &[Bytes]) -> Result<Inspected, Malformed> {
    let (header, len) = first_bytes::<10>(parts);
    if len == 0 {
        return Err(Malformed);
    }
    if !is_key(header[0]) {
        return Ok(Inspected::default());
    }
    if len < 10 || header[3..6] != [0x9d, 0x01, 0x2a] {
        return Err(Malformed);
    }
    let side = |at: usize| u32::from(u16::from_le_bytes([header[at], header[at + 1]]) & 0x3fff);
    Ok(Inspected::key((side(6), side(8))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_tells_its_size() {
        let frame = Bytes::from_static(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x41]);
        let inspected = inspect(&[frame.slice(..4), frame.slice(4..)]);
        assert_eq!(inspected, Ok(Inspected::key((640, 480))), "the scaling bits are not part of the size");
        assert_eq!(inspect(&[frame.slice(..9)]), Err(Malformed));
        assert_eq!(inspect(&[]), Err(Malformed));
        assert_eq!(inspect(&[Bytes::from_static(&[0x11, 0])]), Ok(Inspected::default()));
    }
}

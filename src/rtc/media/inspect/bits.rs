//! Reading bits, LEB128 and the first bytes of a frame in parts. Every read is checked; nothing panics.

use bytes::Bytes;

/// Reads bits, most significant first.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
    /// One bit.
    pub fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }
    /// One bit as a truth value.
    pub fn flag(&mut self) -> Option<bool> {
        Some(self.bit()? == 1)
    }
    /// At most 32 bits.
    pub fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count.min(32)).try_fold(0, |value: u32, _| Some(value << 1 | self.bit()?))
    }
    /// Unsigned Exp-Golomb code of at most 32 bits (ITU-T H.264, 9.1); AV1's `uvlc` is the same code.
    pub fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.bits(zeros)?;
        Some(((1u64 << zeros) - 1) as u32 + rest)
    }
    /// Signed Exp-Golomb code.
    pub fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) })
    }
}

/// A LEB128 number of at most 8 bytes and 32 bits (AV1, 4.10.5), and its length in bytes.
pub(crate) fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()? as usize, i + 1));
        }
    }
    None
}

/// The first bytes of a frame, at most `N`, wherever its parts are cut; and how many there are.
pub(crate) fn first_bytes<const N: usize>(parts: &[Bytes]) -> ([u8; N], usize) {
    let mut first = [0; N];
    let mut len = 0;
    for (to, from) in first.iter_mut().zip(parts.iter().flatten()) {
        *to = *from;
        len += 1;
    }
    (first, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes() {
        // 1 | 010 | 011 | 00100 | 1...
        let mut bits = BitReader::new(&[0b1010_0110, 0b0100_1000]);
        assert_eq!([bits.ue(), bits.ue(), bits.ue(), bits.ue()], [Some(0), Some(1), Some(2), Some(3)]);
        let mut bits = BitReader::new(&[0b0100_1100, 0b1000_0000]);
        assert_eq!([bits.se(), bits.se(), bits.se()], [Some(1), Some(-1), Some(2)]);
        assert_eq!(BitReader::new(&[0; 9]).ue(), None);
    }

    #[test]
    fn leb128_is_bounded() {
        assert_eq!(leb128(&[0x05]), Some((5, 1)));
        assert_eq!(leb128(&[0x80, 0x01]), Some((128, 2)));
        assert_eq!(leb128(&[0x80]), None);
        assert_eq!(leb128(&[0xff, 0xff, 0xff, 0xff, 0x7f]), None, "more than 32 bits");
        assert_eq!(leb128(&[0x80; 12]), None);
    }

    #[test]
    fn first_bytes_cross_parts() {
        let parts = [Bytes::from_static(&[1]), Bytes::new(), Bytes::from_static(&[2, 3, 4])];
        assert_eq!(first_bytes::<3>(&parts), ([1, 2, 3], 3));
        assert_eq!(first_bytes::<6>(&parts), ([1, 2, 3, 4, 0, 0], 4));
    }
}

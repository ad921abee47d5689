//! AV1 temporal units (AV1 specification, 5.3): which are key frames, and what their sequence headers say.
//!
//! A key frame is a temporal unit with a sequence header whose first frame header is a shown KEY_FRAME.

use crate::rtc::media::inspect::av1_sequence::SequenceHeader;
use crate::rtc::media::inspect::bits::leb128;
use crate::rtc::media::inspect::inspected::{Inspected, Malformed};
use crate::rtc::media::inspect::parts::PartsReader;
use bytes::Bytes;

/// OBU types and header bits (AV1 specification, 5.3.2 and 6.2.2).
pub(crate) mod obu {
    use bytes::{BufMut, BytesMut};

    pub const SEQUENCE_HEADER: u8 = 1;
    pub const TEMPORAL_DELIMITER: u8 = 2;
    pub const FRAME_HEADER: u8 = 3;
    pub const FRAME: u8 = 6;
    pub const TILE_LIST: u8 = 8;
    pub const PADDING: u8 = 15;
    pub const FORBIDDEN_BIT: u8 = 0x80;
    pub const EXTENSION_BIT: u8 = 0x04;
    pub const SIZE_BIT: u8 = 0x02;

    pub fn kind(header: u8) -> u8 {
        header >> 3 & 0x0f
    }
    /// Types that are neither sent nor stored.
    pub fn is_dropped(kind: u8) -> bool {
        matches!(kind, TEMPORAL_DELIMITER | TILE_LIST | PADDING)
    }
    /// Length of the header without the size field.
    pub fn header_len(header: u8) -> usize {
        if header & EXTENSION_BIT != 0 { 2 } else { 1 }
    }
    /// Appends a LEB128 number in as few bytes as it takes.
    pub fn put_leb128(out: &mut BytesMut, mut value: usize) {
        while value >= 0x80 {
            out.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        out.put_u8(value as u8);
    }
}

/// What the newest sequence header says, kept over temporal units.
#[derive(Default)]
pub(crate) struct Av1 {
    sequence: Option<SequenceHeader>,
}

impl Av1 {
    /// Inspects a temporal unit of OBUs with size fields. None: it has no frame.
    pub fn inspect(&mut self, parts: &[Bytes]) -> Result<Option<Inspected>, Malformed> {
        let mut reader = PartsReader::new(parts);
        // Whether the first frame header is one of a key frame.
        let mut key = None;
        let mut has_sequence = false;
        while reader.left() > 0 {
            let (start, len) = reader.peek::<10>();
            let header = start[0];
            if header & obu::FORBIDDEN_BIT != 0 || header & obu::SIZE_BIT == 0 {
                return Err(Malformed);
            }
            let header_len = obu::header_len(header);
            let sized = start.get(header_len..len).unwrap_or_default();
            let (size, length) = leb128(sized).ok_or(Malformed)?;
            let prefix = reader.take(header_len + length).ok_or(Malformed)?;
            match obu::kind(header) {
                obu::SEQUENCE_HEADER => {
                    let body = reader.take(size).ok_or(Malformed)?;
                    if self.sequence.as_ref().is_none_or(|known| known.bytes != body) {
                        self.sequence = Some(SequenceHeader::parse(body, &prefix).ok_or(Malformed)?);
                    }
                    has_sequence = true;
                    continue;
                }
                obu::FRAME_HEADER | obu::FRAME if key.is_none() => {
                    let still = self.sequence.as_ref().is_some_and(|sequence| sequence.reduced_still);
                    let (first, len) = reader.peek::<1>();
                    // show_existing_frame 0, frame_type KEY_FRAME 00, show_frame 1 (5.9.2).
                    key = Some(still || (len.min(size) > 0 && first[0] >> 4 == 0b0001));
                }
                _ => {}
            }
            reader.skip(size).ok_or(Malformed)?;
        }
        Ok(key.map(|key| match &self.sequence {
            Some(sequence) if key && has_sequence => {
                Inspected { config: Some(sequence.config.clone()), ..Inspected::key(sequence.size) }
            }
            _ => Inspected { lacks_config: key && self.sequence.is_none(), ..Inspected::default() },
        }))
    }
}

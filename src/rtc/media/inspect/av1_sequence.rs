//! AV1 sequence headers: the picture size and the `av1C` record. Nothing else of AV1 is parsed.

use crate::rtc::media::inspect::bits::BitReader;
use bytes::{Bytes, BytesMut};

/// What is needed of a sequence header OBU.
pub(crate) struct SequenceHeader {
    /// The OBU without header and size.
    pub bytes: Bytes,
    /// The largest frame of the sequence; encoders for WebRTC send a new sequence header for a new size.
    pub size: (u32, u32),
    /// Every frame is a key frame, and frame headers do not say so.
    pub reduced_still: bool,
    /// `AV1CodecConfigurationRecord` (AV1 in ISO base media file format, 2.3), with the OBU in it.
    pub config: Bytes,
}

/// The fields that `av1C` repeats.
#[derive(Default)]
struct Fields {
    profile: u32,
    level: u32,
    tier: u32,
    reduced_still: bool,
    size: (u32, u32),
    high_bit_depth: u32,
    twelve_bit: u32,
    monochrome: u32,
    subsampling: (u32, u32),
    chroma_position: u32,
}

impl SequenceHeader {
    /// Parses `body`; `prefix` is the OBU header with the size field, which stands before it in the record.
    pub fn parse(body: Bytes, prefix: &[u8]) -> Option<Self> {
        let fields = read(&mut BitReader::new(&body))?;
        let mut config = BytesMut::with_capacity(4 + prefix.len() + body.len());
        config.extend_from_slice(&[
            0x81,
            (fields.profile << 5 | fields.level) as u8,
            (fields.tier << 7
                | fields.high_bit_depth << 6
                | fields.twelve_bit << 5
                | fields.monochrome << 4
                | fields.subsampling.0 << 3
                | fields.subsampling.1 << 2
                | fields.chroma_position) as u8,
            0,
        ]);
        config.extend_from_slice(prefix);
        config.extend_from_slice(&body);
        Some(Self { bytes: body, size: fields.size, reduced_still: fields.reduced_still, config: config.freeze() })
    }
}

/// `sequence_header_obu()` (AV1 specification, 5.5).
fn read(bits: &mut BitReader) -> Option<Fields> {
    let mut fields = Fields { profile: bits.bits(3)?, ..Fields::default() };
    bits.bit()?; // still_picture
    fields.reduced_still = bits.flag()?;
    if fields.reduced_still {
        fields.level = bits.bits(5)?;
    } else {
        read_operating_points(bits, &mut fields)?;
    }
    let (width_bits, height_bits) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
    fields.size = (bits.bits(width_bits)? + 1, bits.bits(height_bits)? + 1);
    if !fields.reduced_still && bits.flag()? {
        bits.bits(7)?; // lengths of frame ids
    }
    bits.bits(3)?; // 128x128 superblocks, filter intra, intra edge filter
    if !fields.reduced_still {
        skip_tools(bits)?;
    }
    bits.bits(3)?; // superres, cdef, restoration
    read_color(bits, &mut fields)?;
    Some(fields)
}

/// Timing, decoder model and operating points; of these the first one's level and tier are kept.
fn read_operating_points(bits: &mut BitReader, fields: &mut Fields) -> Option<()> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.bits(32)?; // num_units_in_display_tick
        bits.bits(32)?; // time_scale
        if bits.flag()? {
            bits.ue()?; // num_ticks_per_picture_minus_1
        }
        if bits.flag()? {
            delay_bits = Some(bits.bits(5)? + 1);
            bits.bits(32)?; // num_units_in_decoding_tick
            bits.bits(10)?; // lengths of removal and presentation times
        }
    }
    let display_delay = bits.flag()?;
    let points = bits.bits(5)? + 1;
    for point in 0..points {
        bits.bits(12)?; // operating_point_idc
        let level = bits.bits(5)?;
        let tier = if level > 7 { bits.bit()? } else { 0 };
        if point == 0 {
            (fields.level, fields.tier) = (level, tier);
        }
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.bits(delay_bits)?;
            bits.bits(delay_bits)?;
            bits.bit()?; // low_delay_mode_flag
        }
        if display_delay && bits.flag()? {
            bits.bits(4)?;
        }
    }
    Some(())
}

/// The flags from `enable_interintra_compound` to `order_hint_bits`.
fn skip_tools(bits: &mut BitReader) -> Option<()> {
    bits.bits(4)?; // interintra and masked compound, warped motion, dual filter
    let order_hint = bits.flag()?;
    if order_hint {
        bits.bits(2)?; // jnt_comp, ref_frame_mvs
    }
    let screen_content = bits.flag()? || bits.flag()?;
    if screen_content && !bits.flag()? {
        bits.bit()?; // seq_force_integer_mv
    }
    if order_hint {
        bits.bits(3)?; // order_hint_bits_minus_1
    }
    Some(())
}

/// `color_config()` (5.5.2).
fn read_color(bits: &mut BitReader, fields: &mut Fields) -> Option<()> {
    fields.high_bit_depth = bits.bit()?;
    if fields.profile == 2 && fields.high_bit_depth == 1 {
        fields.twelve_bit = bits.bit()?;
    }
    if fields.profile != 1 {
        fields.monochrome = bits.bit()?;
    }
    const SRGB: [u32; 3] = [1, 13, 0];
    let color = if bits.flag()? { [bits.bits(8)?, bits.bits(8)?, bits.bits(8)?] } else { [2; 3] };
    if fields.monochrome == 1 {
        fields.subsampling = (1, 1);
        return Some(());
    }
    if color == SRGB {
        return Some(());
    }
    bits.bit()?; // color_range
    fields.subsampling = match fields.profile {
        0 => (1, 1),
        1 => (0, 0),
        _ if fields.twelve_bit == 1 => match bits.bit()? {
            1 => (1, bits.bit()?),
            _ => (0, 0),
        },
        _ => (1, 0),
    };
    if fields.subsampling == (1, 1) {
        fields.chroma_position = bits.bits(2)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// libaom, realtime, 240x132, profile 0, level 2.0.
    #[test]
    fn a_sequence_header_becomes_a_configuration() {
        let body = Bytes::from_static(&[0, 0, 0, 0x03, 0xbf, 0x7c, 0x19, 0xb5, 0xf2, 0, 0x80]);
        let header = SequenceHeader::parse(body.clone(), &[0x0a, 0x0b]).unwrap();
        assert_eq!(header.size, (240, 132));
        assert_eq!(header.config[..6], [0x81, 0x00, 0x0c, 0x00, 0x0a, 0x0b]);
        assert_eq!(header.config[6..], body);
        for cut in 0..9 {
            assert!(SequenceHeader::parse(body.slice(..cut), &[0x0a, 0x0b]).is_none(), "{cut}");
        }
    }
}

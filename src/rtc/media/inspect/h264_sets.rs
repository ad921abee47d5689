//! H.264 parameter sets: what is remembered of a stream's SPS and PPS, the picture size, the `avcC` record.

use crate::rtc::media::inspect::bits::BitReader;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;

/// Parameter sets are a few dozen bytes; longer ones are refused.
const MAX_SET: usize = 1024;
/// Profiles whose SPS tells chroma format and bit depths (ITU-T H.264, 7.3.2.1.1).
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// The sets of one stream, by their ids: at most 32 SPS and 256 PPS.
#[derive(Default)]
pub(crate) struct ParameterSets {
    sps: BTreeMap<u8, Sps>,
    pps: BTreeMap<u8, Pps>,
    /// The configuration given out last, and for which PPS; none after any set changed.
    cached: Option<(u8, Config)>,
}

struct Pps {
    bytes: Bytes,
    sps: u8,
}

/// What a decoder must know before an IDR picture.
#[derive(Clone)]
pub(crate) struct Config {
    /// `AVCDecoderConfigurationRecord` (ISO 14496-15, 5.3.3.1).
    pub avcc: Bytes,
    /// After cropping.
    pub size: (u32, u32),
}

impl ParameterSets {
    /// Remembers an SPS, its NAL header included.
    pub fn add_sps(&mut self, unit: &[u8]) -> Option<()> {
        if unit.len() > MAX_SET {
            return None;
        }
        let sps = Sps::parse(unit)?;
        if self.sps.get(&sps.id).is_none_or(|known| known.bytes != unit) {
            self.cached = None;
            self.sps.insert(sps.id, sps);
        }
        Some(())
    }

    /// Remembers a PPS, its NAL header included.
    pub fn add_pps(&mut self, unit: &[u8]) -> Option<()> {
        if unit.len() > MAX_SET {
            return None;
        }
        let rbsp = unescaped(unit.get(1..)?);
        let mut bits = BitReader::new(&rbsp);
        let id = u8::try_from(bits.ue()?).ok()?;
        let sps = u8::try_from(bits.ue()?).ok().filter(|id| *id < 32)?;
        if self.pps.get(&id).is_none_or(|known| known.bytes != unit) {
            self.cached = None;
            self.pps.insert(id, Pps { bytes: Bytes::copy_from_slice(unit), sps });
        }
        Some(())
    }

    /// The configuration for pictures that name the PPS `id`, if its sets are known: the SPS and every PPS that refers to it.
    pub fn config(&mut self, id: u8) -> Option<Config> {
        if let Some((cached, config)) = &self.cached
            && *cached == id
        {
            return Some(config.clone());
        }
        let sps = self.sps.get(&self.pps.get(&id)?.sps)?;
        let pps: Vec<&Pps> = self.pps.values().filter(|pps| pps.sps == sps.id).take(255).collect();
        let mut avcc = BytesMut::new();
        avcc.extend_from_slice(&[1, sps.profile, sps.compatibility, sps.level, 0xff, 0xe1]);
        put_set(&mut avcc, &sps.bytes);
        avcc.put_u8(pps.len() as u8);
        for pps in pps {
            put_set(&mut avcc, &pps.bytes);
        }
        if HIGH_PROFILES.contains(&sps.profile) {
            avcc.extend_from_slice(&[0xfc | sps.chroma_format, 0xf8 | sps.luma_depth, 0xf8 | sps.chroma_depth, 0]);
        }
        let config = Config { avcc: avcc.freeze(), size: sps.size };
        self.cached = Some((id, config.clone()));
        Some(config)
    }
}

fn put_set(avcc: &mut BytesMut, set: &[u8]) {
    avcc.put_u16(set.len() as u16); // at most MAX_SET
    avcc.extend_from_slice(set);
}

/// As many bytes of a slice, with its NAL header, tell the PPS that it names.
pub(crate) const SLICE_START: usize = 33;

/// The PPS id that a slice names (7.3.3), from the first bytes of the slice's NAL unit.
pub(crate) fn pps_of_slice(unit: &[u8]) -> Option<u8> {
    let start = unescaped(unit.get(1..unit.len().min(SLICE_START))?);
    let mut bits = BitReader::new(&start);
    bits.ue()?; // first_mb_in_slice
    bits.ue()?; // slice_type
    u8::try_from(bits.ue()?).ok()
}

/// What is needed of a sequence parameter set.
struct Sps {
    bytes: Bytes,
    id: u8,
    profile: u8,
    compatibility: u8,
    level: u8,
    chroma_format: u8,
    /// Bit depths above eight.
    luma_depth: u8,
    chroma_depth: u8,
    size: (u32, u32),
}

impl Sps {
    /// Section 7.3.2.1.1.
    fn parse(unit: &[u8]) -> Option<Self> {
        let rbsp = unescaped(unit.get(1..)?);
        let [profile, compatibility, level] = *rbsp.first_chunk()?;
        let mut bits = BitReader::new(rbsp.get(3..)?);
        let id = small(bits.ue()?, 31)?;
        let (mut chroma_format, mut luma_depth, mut chroma_depth) = (1, 0, 0);
        let mut separate_planes = false;
        if HIGH_PROFILES.contains(&profile) {
            chroma_format = small(bits.ue()?, 3)?;
            separate_planes = chroma_format == 3 && bits.flag()?;
            luma_depth = small(bits.ue()?, 6)?;
            chroma_depth = small(bits.ue()?, 6)?;
            bits.bit()?; // qpprime_y_zero_transform_bypass_flag
            if bits.flag()? {
                for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                    if bits.flag()? {
                        skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        bits.ue()?; // log2_max_frame_num_minus4
        match bits.ue()? {
            0 => _ = bits.ue()?,
            1 => {
                bits.bit()?;
                bits.se()?;
                bits.se()?;
                for _ in 0..small(bits.ue()?, 255)? {
                    bits.se()?;
                }
            }
            _ => {}
        }
        bits.ue()?; // max_num_ref_frames
        bits.bit()?; // gaps_in_frame_num_value_allowed_flag
        let (columns, rows) = (side(bits.ue()?)?, side(bits.ue()?)?);
        let fields = 2 - bits.bit()?;
        if fields == 2 {
            bits.bit()?; // mb_adaptive_frame_field_flag
        }
        bits.bit()?; // direct_8x8_inference_flag
        let crop = if bits.flag()? { [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?] } else { [0; 4] };
        let (unit_x, unit_y) = match chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let cropped = |full: u32, unit: u32, [before, after]: [u32; 2]| {
            full.checked_sub(before.checked_add(after)?.checked_mul(unit)?).filter(|left| *left > 0)
        };
        let size = (
            cropped(columns * 16, if separate_planes { 1 } else { unit_x }, [crop[0], crop[1]])?,
            cropped(rows * 16 * fields, fields * if separate_planes { 1 } else { unit_y }, [crop[2], crop[3]])?,
        );
        let bytes = Bytes::copy_from_slice(unit);
        Some(Self { bytes, id, profile, compatibility, level, chroma_format, luma_depth, chroma_depth, size })
    }
}

fn small(value: u32, most: u8) -> Option<u8> {
    u8::try_from(value).ok().filter(|value| *value <= most)
}

/// Macroblocks along a side, coded minus one: at most 16,384 pixels.
fn side(minus_one: u32) -> Option<u32> {
    (minus_one < 1024).then_some(minus_one + 1)
}

/// Section 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut BitReader, count: u32) -> Option<()> {
    let mut last = 8;
    for _ in 0..count {
        let next = (last + bits.se()?).rem_euclid(256);
        if next == 0 {
            return Some(());
        }
        last = next;
    }
    Some(())
}

/// Without the emulation prevention bytes (7.4.1): 00 00 03 stands for 00 00.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Constrained baseline as Chromium's encoder writes it, 1280x720; high profile by x264, 1920x1080 (cropped from 1088).
    const BASELINE: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdd, 0x00, 0xf0, 0x88, 0x45, 0x38];
    const HIGH: &[u8] = &[
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04,
        0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
    ];

    #[test]
    fn sizes() {
        assert_eq!(Sps::parse(BASELINE).unwrap().size, (1280, 720));
        assert_eq!(Sps::parse(HIGH).unwrap().size, (1920, 1080));
    }

    #[test]
    fn a_configuration_needs_the_sets_that_the_picture_names() {
        let mut sets = ParameterSets::default();
        assert!(sets.config(0).is_none());
        sets.add_sps(HIGH).unwrap();
        assert!(sets.config(0).is_none());
        sets.add_pps(&[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0]).unwrap();
        let config = sets.config(0).unwrap();
        assert_eq!(config.avcc[..8], [1, 0x64, 0x00, 0x28, 0xff, 0xe1, 0, 27]);
        assert_eq!(config.avcc[8 + 27..][..3], [1, 0, 6]);
        assert_eq!(config.avcc[config.avcc.len() - 4..], [0xfd, 0xf8, 0xf8, 0]);
        assert!(sets.config(1).is_none());
        sets.add_sps(BASELINE).unwrap();
        assert_eq!(sets.config(0).unwrap().size, (1280, 720), "a changed set is not answered from memory");
    }

    #[test]
    fn cut_ones_are_refused() {
        for cut in 0..10 {
            assert!(Sps::parse(&BASELINE[..cut]).is_none(), "{cut}");
        }
    }
}

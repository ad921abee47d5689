//! H.264 access units in AVC form (ISO 14496-15): which are key frames, and their parameter sets.
//!
//! A key frame is an access unit with an IDR picture whose parameter sets are known; recovery points (intra refresh) are not taken for one.

use crate::rtc::media::inspect::h264_sets::{ParameterSets, SLICE_START, pps_of_slice};
use crate::rtc::media::inspect::inspected::{Inspected, Malformed};
use crate::rtc::media::inspect::parts::PartsReader;
use bytes::Bytes;

/// NAL unit types (ITU-T H.264, table 7-1; RFC 6184, table 1).
pub(crate) mod nal {
    pub const IDR: u8 = 5;
    pub const SPS: u8 = 7;
    pub const PPS: u8 = 8;
    pub const DELIMITER: u8 = 9;
    pub const END_OF_SEQUENCE: u8 = 10;
    pub const END_OF_STREAM: u8 = 11;
    pub const FILLER: u8 = 12;
    pub const STAP_A: u8 = 24;
    pub const FU_A: u8 = 28;

    /// Types that AVC samples do without.
    pub fn is_dropped(kind: u8) -> bool {
        matches!(kind, DELIMITER | END_OF_SEQUENCE | END_OF_STREAM | FILLER)
    }
}

/// The parameter sets of a stream.
#[derive(Default)]
pub(crate) struct H264 {
    sets: ParameterSets,
}

impl H264 {
    /// Sets of the stream's description; those that do not parse are of no use and change nothing.
    pub fn add_parameter_sets(&mut self, sets: &[Bytes]) {
        for set in sets {
            match set.first().map(|header| header & 0x1f) {
                Some(nal::SPS) => self.sets.add_sps(set),
                Some(nal::PPS) => self.sets.add_pps(set),
                _ => None,
            };
        }
    }

    /// Inspects an access unit of NAL units, each behind its 4-byte length. None: it has no slice.
    pub fn inspect(&mut self, parts: &[Bytes]) -> Result<Option<Inspected>, Malformed> {
        let mut reader = PartsReader::new(parts);
        let mut has_slice = false;
        // The parameter set that the IDR slices name.
        let mut idr = None;
        while reader.left() > 0 {
            let length = reader.take(4).ok_or(Malformed)?;
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            let (start, len) = reader.peek::<SLICE_START>();
            let start = start.get(..len.min(length)).unwrap_or_default();
            let kind = start.first().map_or(0, |header| header & 0x1f);
            match kind {
                nal::SPS => self.sets.add_sps(&reader.take(length).ok_or(Malformed)?).ok_or(Malformed)?,
                nal::PPS => self.sets.add_pps(&reader.take(length).ok_or(Malformed)?).ok_or(Malformed)?,
                _ => {
                    if kind == nal::IDR {
                        idr = Some(pps_of_slice(start).ok_or(Malformed)?);
                    }
                    has_slice |= matches!(kind, 1..=5);
                    reader.skip(length).ok_or(Malformed)?;
                }
            }
        }
        if !has_slice {
            return Ok(None);
        }
        Ok(Some(match idr.and_then(|pps| self.sets.config(pps)) {
            Some(config) => Inspected { config: Some(config.avcc), ..Inspected::key(config.size) },
            None => Inspected { lacks_config: idr.is_some(), ..Inspected::default() },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Constrained baseline, 1280x720, and its PPS.
    const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdd, 0x00, 0xf0, 0x88, 0x45, 0x38];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
    /// first_mb_in_slice 0, slice_type 7, PPS 0.
    const IDR: &[u8] = &[0x65, 0x88, 0x80, 0x10];

    fn unit(units: &[&'static [u8]]) -> Vec<Bytes> {
        let length = |unit: &[u8]| Bytes::copy_from_slice(&(unit.len() as u32).to_be_bytes());
        units.iter().flat_map(|unit| [length(unit), Bytes::from_static(unit)]).collect()
    }

    #[test]
    fn a_key_frame_is_an_idr_picture_whose_sets_are_known() {
        let mut h264 = H264::default();
        let lacking = Inspected { lacks_config: true, ..Inspected::default() };
        assert_eq!(h264.inspect(&unit(&[IDR])), Ok(Some(lacking)));
        assert_eq!(h264.inspect(&unit(&[SPS, PPS])), Ok(None), "sets by themselves are no picture");
        let key = h264.inspect(&unit(&[IDR])).unwrap().unwrap();
        assert_eq!((key.key, key.size, key.config.is_some()), (true, Some((1280, 720)), true));
        assert_eq!(h264.inspect(&unit(&[&[0x41, 0x9a, 0]])), Ok(Some(Inspected::default())));
    }

    #[test]
    fn sets_of_the_description_are_as_good_as_those_in_the_stream() {
        let mut h264 = H264::default();
        h264.add_parameter_sets(&[Bytes::from_static(&[9]), Bytes::from_static(SPS), Bytes::from_static(PPS)]);
        assert!(h264.inspect(&unit(&[IDR])).unwrap().unwrap().key);
    }

    #[test]
    fn broken_ones_are_refused() {
        for broken in [&[0, 0, 0, 1, 0x65][..], &[0, 0, 0, 9, 0x41], &[0, 0, 1], &[0, 0, 0, 2, 0x67, 0x42]] {
            assert_eq!(H264::default().inspect(&[Bytes::copy_from_slice(broken)]), Err(Malformed), "{broken:?}");
        }
    }
}

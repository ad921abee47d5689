//! H.264 over RTP (RFC 6184, packetization modes 0 and 1): single NAL units, STAP-A, FU-A; out come AVC access units.
//!
//! Access unit delimiters, filler and end-of-stream marks are dropped: they have no place in AVC
//! samples. SEI and in-band parameter sets stay.

use crate::rtc::media::depacketize::dependencies::FrameDependencies;
use crate::rtc::media::depacketize::payload::{Depayload, Head, Malformed, Starts};
use crate::rtc::media::inspect::h264::nal;
use bytes::{BufMut, Bytes, BytesMut};

#[derive(Default)]
pub(crate) struct H264 {
    /// The NAL unit that is coming in fragments.
    fragmented: Option<Fragmented>,
}

struct Fragmented {
    header: u8,
    /// Its place among the frame's parts, where its length will stand.
    index: usize,
}

impl Depayload for H264 {
    fn head(&mut self, payload: &Bytes) -> Result<Option<Head>, Malformed> {
        let first = match kind(payload) {
            nal::STAP_A => payload.get(3).map(|header| header & 0x1f).ok_or(Malformed)?,
            nal::FU_A if payload.get(1).ok_or(Malformed)? & 0x80 == 0 => 0,
            kind => kind,
        };
        // A parameter set or delimiter is the start for certain; after a loss an IDR slice is not enough, since
        // new parameter sets may have been in the lost packet.
        let starts = match first {
            nal::SPS | nal::DELIMITER => Starts::Yes,
            0 => Starts::No,
            _ => Starts::AfterEnd,
        };
        Ok(Some(Head { starts, ends: false, key: None, dependencies: FrameDependencies::default(), body: 0 }))
    }

    fn add(&mut self, _: &Head, payload: &Bytes, parts: &mut Vec<Bytes>) -> Result<(), Malformed> {
        let kind = kind(payload);
        if self.fragmented.is_some() != (kind == nal::FU_A && payload.get(1).is_some_and(|fu| fu & 0x80 == 0)) {
            return Err(Malformed);
        }
        match kind {
            1..=23 => self.whole(payload.clone(), parts),
            nal::STAP_A => {
                let mut rest = payload.slice(1..);
                while !rest.is_empty() {
                    let length = rest.get(..2).ok_or(Malformed)?;
                    let end = 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
                    if end == 2 || end > rest.len() {
                        return Err(Malformed);
                    }
                    let unit = rest.split_to(end).slice(2..);
                    self.whole(unit, parts)?;
                }
                Ok(())
            }
            nal::FU_A => self.fragment(payload, parts),
            _ => Err(Malformed),
        }
    }

    /// Of its slices the first one (7.3.3: `first_mb_in_slice` is 0), or what stands before them.
    fn may_begin(&self, payload: &Bytes) -> bool {
        let (first, body) = match kind(payload) {
            nal::STAP_A => (payload.get(3).map_or(0, |header| header & 0x1f), payload.get(4)),
            nal::FU_A => (payload.get(1).map_or(0, |fu| if fu & 0x80 == 0 { 0 } else { fu & 0x1f }), payload.get(2)),
            kind => (kind, payload.get(1)),
        };
        match first {
            0 => false,
            1..=nal::IDR => body.is_some_and(|body| body & 0x80 != 0),
            _ => true,
        }
    }

    fn finish(&mut self, _: &mut Vec<Bytes>) -> Result<(), Malformed> {
        if self.fragmented.take().is_some() { Err(Malformed) } else { Ok(()) }
    }

    fn reset(&mut self) {
        self.fragmented = None;
    }
}

impl H264 {
    /// A NAL unit in one piece.
    fn whole(&mut self, unit: Bytes, parts: &mut Vec<Bytes>) -> Result<(), Malformed> {
        if nal::is_dropped(kind(&unit)) {
            return Ok(());
        }
        parts.push(length_prefix(unit.len(), None)?);
        parts.push(unit);
        Ok(())
    }

    /// Section 5.8. The length stands before the first fragment as soon as the last one is there.
    fn fragment(&mut self, payload: &Bytes, parts: &mut Vec<Bytes>) -> Result<(), Malformed> {
        let (indicator, fu) = (payload[0], *payload.get(1).ok_or(Malformed)?);
        let data = payload.slice(2..);
        if fu & 0x80 != 0 {
            let header = indicator & 0xe0 | fu & 0x1f;
            self.fragmented = Some(Fragmented { header, index: parts.len() });
            parts.push(Bytes::new());
        }
        if !data.is_empty() {
            parts.push(data);
        }
        if fu & 0x40 != 0
            && let Some(Fragmented { header, index }) = self.fragmented.take()
        {
            let pieces = parts.get(index + 1..).unwrap_or_default();
            let length = 1 + pieces.iter().map(Bytes::len).sum::<usize>();
            if nal::is_dropped(header & 0x1f) {
                parts.truncate(index);
            } else if let Some(prefix) = parts.get_mut(index) {
                *prefix = length_prefix(length, Some(header))?;
            }
        }
        Ok(())
    }
}

fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1f)
}

/// The 4-byte length of a NAL unit, and its header byte where that is not with its data.
fn length_prefix(length: usize, header: Option<u8>) -> Result<Bytes, Malformed> {
    let mut prefix = BytesMut::with_capacity(5);
    prefix.put_u32(length.try_into().map_err(|_| Malformed)?);
    prefix.extend(header);
    Ok(prefix.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(payloads: &[&[u8]]) -> Result<Vec<u8>, Malformed> {
        let mut h264 = H264::default();
        let mut parts = Vec::new();
        for payload in payloads {
            let payload = Bytes::copy_from_slice(payload);
            let head = h264.head(&payload)?.ok_or(Malformed)?;
            h264.add(&head, &payload, &mut parts)?;
        }
        h264.finish(&mut parts)?;
        Ok(parts.concat())
    }

    #[test]
    fn all_three_packet_forms_become_length_prefixed_units() {
        assert_eq!(run(&[&[0x41, 1, 2]]), Ok(vec![0, 0, 0, 3, 0x41, 1, 2]));
        assert_eq!(
            run(&[&[0x78, 0, 2, 0x06, 9, 0, 2, 0x09, 0x10, 0, 3, 0x41, 1, 2]]),
            Ok(vec![0, 0, 0, 2, 0x06, 9, 0, 0, 0, 3, 0x41, 1, 2]),
            "SEI kept, delimiter dropped"
        );
        assert_eq!(
            run(&[&[0x7c, 0x81, 1, 2], &[0x7c, 0x01, 3], &[0x7c, 0x41, 4]]),
            Ok(vec![0, 0, 0, 5, 0x61, 1, 2, 3, 4])
        );
    }

    #[test]
    fn broken_ones_are_refused() {
        for payloads in [
            &[&[0x78u8, 0, 2, 0x41, 1, 0][..]][..],
            &[&[0x78, 0, 9, 0x41, 1]],
            &[&[0x7c, 0x01, 3]],
            &[&[0x7c]],
            &[&[0x7c, 0x81, 1], &[0x41, 1, 2]],
            &[&[0x7c, 0x81, 1]],
            &[&[0x79, 0, 0, 1]],
        ] {
            assert_eq!(run(payloads), Err(Malformed), "{payloads:?}");
        }
    }
}

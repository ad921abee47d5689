//! VP9 over RTP (RFC 9628), flexible and non-flexible mode; key frame and size from the uncompressed header.
//!
//! One spatial layer is recorded, the lowest: the layers of one picture would have to be joined into a superframe with
//! an index. Packets of higher layers are counted as malformed and ignored; what remains is a whole stream.

use crate::rtc::media::depacketize::depend::{Deps, PictureId, Refs};
use crate::rtc::media::depacketize::payload::{Depayload, Head, Malformed, Picture, Starts};
use crate::rtc::media::inspect::bits::{BitReader, first_bytes};
use bytes::Bytes;

pub(crate) struct Vp9;

impl Depayload for Vp9 {
    fn head(&mut self, payload: &Bytes) -> Result<Option<Head>, Malformed> {
        let (spatial, head) = descriptor(payload).ok_or(Malformed)?;
        Ok((spatial == 0).then_some(head))
    }
    fn add(&mut self, head: &Head, payload: &Bytes, parts: &mut Vec<Bytes>) -> Result<(), Malformed> {
        parts.push(payload.slice(head.body..));
        Ok(())
    }
    fn finish(&mut self, parts: &mut Vec<Bytes>) -> Result<Option<Picture>, Malformed> {
        let (first, len) = first_bytes::<16>(parts);
        uncompressed_header(&first[..len]).map(Some).ok_or(Malformed)
    }
}

/// Section 4.2: the payload descriptor; the spatial layer beside it.
fn descriptor(payload: &[u8]) -> Option<(u8, Head)> {
    let mut at = 0;
    let mut next = || {
        at += 1;
        payload.get(at - 1).copied()
    };
    let flags = next()?;
    let [has_id, inter, has_layer, flexible, starts, ends, has_structure] =
        [0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02].map(|bit| flags & bit != 0);
    let mut deps = Deps::default();
    let mut spatial = 0;
    if has_id {
        deps.picture = Some(PictureId::read(&mut next)?);
    }
    if has_layer {
        let layer = next()?;
        deps.layer = Some(layer >> 5);
        deps.up = layer & 0x10 != 0;
        spatial = layer >> 1 & 7;
        if !flexible {
            deps.base = Some(next()?);
        }
    }
    if flexible && inter {
        deps.refs = Some(references(&mut next)?);
    }
    if has_structure {
        skip_structure(&mut next)?;
    }
    payload.get(at)?;
    let starts_as = if starts { Starts::Yes } else { Starts::No };
    // Without inter prediction it may still be an intra-only frame: the frame's own header decides.
    let key = (starts && inter).then_some(false);
    Some((spatial, Head { starts: starts_as, ends, key, deps, body: at }))
}

/// P_DIFF, one to three times.
fn references(next: &mut impl FnMut() -> Option<u8>) -> Option<Refs> {
    let mut refs = Refs::default();
    loop {
        let byte = next()?;
        refs.push(byte >> 1)?;
        if byte & 1 == 0 {
            return Some(refs);
        }
    }
}

/// The scalability structure (V). The size in it is the key frame header's, so nothing of it is kept.
fn skip_structure(next: &mut impl FnMut() -> Option<u8>) -> Option<()> {
    let flags = next()?;
    if flags & 0x10 != 0 {
        for _ in 0..4 * (usize::from(flags >> 5) + 1) {
            next()?;
        }
    }
    if flags & 0x08 != 0 {
        for _ in 0..next()? {
            let references = next()? >> 2 & 3;
            for _ in 0..references {
                next()?;
            }
        }
    }
    Some(())
}

/// The start of `uncompressed_header()` (VP9 bitstream specification, 6.2), profiles 0 to 3.
fn uncompressed_header(frame: &[u8]) -> Option<Picture> {
    let mut bits = BitReader::new(frame);
    if bits.bits(2)? != 2 {
        return None;
    }
    let profile = bits.bit()? | bits.bit()? << 1;
    if profile == 3 {
        bits.bit()?;
    }
    let shows_existing = bits.flag()?;
    if shows_existing || bits.flag()? {
        return Some(Picture::default());
    }
    bits.bits(2)?; // show_frame, error_resilient_mode
    if bits.bits(24)? != 0x49_83_42 {
        return None;
    }
    if profile >= 2 {
        bits.bit()?; // ten or twelve bits
    }
    const RGB: u32 = 7;
    let subsampling_told = profile & 1 == 1;
    if bits.bits(3)? == RGB {
        bits.bits(if subsampling_told { 1 } else { 0 })?;
    } else {
        bits.bits(if subsampling_told { 4 } else { 1 })?;
    }
    let size = (bits.bits(16)? + 1, bits.bits(16)? + 1);
    Some(Picture { key: true, size: Some(size), config: None, lacks_config: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flexible_mode_with_three_references() {
        let (spatial, head) = descriptor(&[0xfc, 0x81, 0x02, 0x34, 0x03, 0x05, 0x06, 0xaa]).unwrap();
        assert_eq!((spatial, head.body), (2, 7));
        assert_eq!(head.deps.refs.unwrap().as_slice(), [1, 2, 3]);
        assert_eq!((head.deps.layer, head.deps.up), (Some(1), true));
        assert!(head.ends && head.starts == Starts::Yes);
        assert!(descriptor(&[0xfc, 0x81, 0x02, 0x34, 0x03, 0x05, 0x07, 0x02, 0xaa]).is_none(), "a fourth reference");
    }

    #[test]
    fn non_flexible_mode_with_a_structure() {
        // I L B E V; 7-bit id; tid 0; tl0picidx 9; one layer of 640x480, a picture group of one.
        let packet = [0xae, 0x11, 0x00, 0x09, 0x18, 0x02, 0x80, 0x01, 0xe0, 0x01, 0x14, 0x01, 0xaa];
        let (spatial, head) = descriptor(&packet).unwrap();
        assert_eq!((spatial, head.body, head.deps.base), (0, 12, Some(9)));
        assert_eq!(head.deps.picture, Some(PictureId { value: 0x11, long: false }));
        for cut in 0..packet.len() {
            assert!(descriptor(&packet[..cut]).is_none());
        }
    }

    #[test]
    fn key_frame_headers_of_every_profile() {
        let header = |profile: u32| {
            let mut bits = vec![1, 0, profile & 1, profile >> 1];
            bits.extend((profile == 3).then_some(0));
            bits.extend([0, 0, 1, 0]);
            bits.extend((0..24).rev().map(|i| 0x49_83_42 >> i & 1));
            bits.extend((profile >= 2).then_some(0));
            bits.extend([0, 1, 0, 0]);
            bits.extend((profile & 1 == 1).then_some([1, 1, 0]).into_iter().flatten());
            bits.extend((0..16).rev().map(|i| 1279 >> i & 1));
            bits.extend((0..16).rev().map(|i| 719 >> i & 1));
            bits.chunks(8)
                .map(|byte| byte.iter().enumerate().fold(0, |b, (i, bit)| b | (*bit as u8) << (7 - i)))
                .collect()
        };
        for profile in 0..4 {
            let bytes: Vec<u8> = header(profile);
            let picture = uncompressed_header(&bytes).unwrap();
            assert_eq!((picture.key, picture.size), (true, Some((1280, 720))), "profile {profile}");
        }
        assert!(!uncompressed_header(&[0b1000_0100, 0]).unwrap().key, "an inter frame");
        assert!(uncompressed_header(&[0b0100_0000, 0]).is_none(), "the frame marker is wrong");
    }
}

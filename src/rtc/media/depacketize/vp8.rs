//! VP8 over RTP (RFC 7741): the payload descriptor, and key frame and size from the frame header (RFC 6386, 9.1).

use crate::rtc::media::depacketize::depend::{Deps, PictureId};
use crate::rtc::media::depacketize::payload::{Depayload, Head, Malformed, Picture, Starts};
use crate::rtc::media::inspect::bits::first_bytes;
use bytes::Bytes;

pub(crate) struct Vp8;

impl Depayload for Vp8 {
    fn head(&mut self, payload: &Bytes) -> Result<Option<Head>, Malformed> {
        descriptor(payload).map(Some).ok_or(Malformed)
    }
    fn add(&mut self, head: &Head, payload: &Bytes, parts: &mut Vec<Bytes>) -> Result<(), Malformed> {
        parts.push(payload.slice(head.body..));
        Ok(())
    }
    fn finish(&mut self, parts: &mut Vec<Bytes>) -> Result<Option<Picture>, Malformed> {
        let (header, len) = first_bytes::<10>(parts);
        if header[0] & 1 == 1 {
            return Ok(Some(Picture::default()));
        }
        if len < 10 || header[3..6] != [0x9d, 0x01, 0x2a] {
            return Err(Malformed);
        }
        let side = |at: usize| u32::from(u16::from_le_bytes([header[at], header[at + 1]]) & 0x3fff);
        Ok(Some(Picture { key: true, size: Some((side(6), side(8))), config: None, lacks_config: false }))
    }
}

/// Section 4.2.
fn descriptor(payload: &[u8]) -> Option<Head> {
    let mut at = 0;
    let mut next = || {
        at += 1;
        payload.get(at - 1).copied()
    };
    let first = next()?;
    let mut deps = Deps { discardable: first & 0x20 != 0, ..Deps::default() };
    if first & 0x80 != 0 {
        let extension = next()?;
        if extension & 0x80 != 0 {
            deps.picture = Some(PictureId::read(&mut next)?);
        }
        if extension & 0x40 != 0 {
            deps.base = Some(next()?);
        }
        if extension & 0x30 != 0 {
            let layer = next()?;
            if extension & 0x20 != 0 {
                deps.layer = Some(layer >> 6);
                deps.sync = layer & 0x20 != 0;
            }
        }
    }
    let starts = first & 0x17 == 0x10;
    let key = payload.get(at)? & 1 == 0;
    let starts_as = if starts { Starts::Yes } else { Starts::No };
    Some(Head { starts: starts_as, ends: false, key: starts.then_some(key), deps, body: at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_optional_field() {
        let head = descriptor(&[0xb0, 0xf0, 0x92, 0x34, 0x07, 0x60, 0x01]).unwrap();
        assert_eq!(head.starts, Starts::Yes);
        assert_eq!(head.key, Some(false));
        assert_eq!(head.body, 6);
        assert_eq!(head.deps.picture, Some(PictureId { value: 0x1234, long: true }));
        assert_eq!((head.deps.base, head.deps.layer, head.deps.sync), (Some(7), Some(1), true));
        assert!(head.deps.discardable);
    }

    #[test]
    fn the_shortest_and_the_cut_ones() {
        assert_eq!(descriptor(&[0x10, 0x00]).unwrap().body, 1);
        assert_eq!(descriptor(&[0x00, 0x00]).unwrap().starts, Starts::No);
        for cut in 1..6 {
            assert!(descriptor(&[0xb0, 0xf0, 0x92, 0x34, 0x07, 0x60][..cut]).is_none());
        }
    }

    #[test]
    fn a_key_frame_tells_its_size() {
        let frame = Bytes::from_static(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x41]);
        let picture = Vp8.finish(&mut vec![frame.slice(..4), frame.slice(4..)]).unwrap().unwrap();
        assert_eq!((picture.key, picture.size), (true, Some((640, 480))), "the scaling bits are not part of the size");
        assert!(Vp8.finish(&mut vec![frame.slice(..9)]).is_err());
    }
}

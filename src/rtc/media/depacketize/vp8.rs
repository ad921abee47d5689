//! VP8 over RTP (RFC 7741): the payload descriptor.

use crate::rtc::media::depacketize::dependencies::{FrameDependencies, PictureId};
use crate::rtc::media::depacketize::payload::{Depayload, Head, Malformed, Starts};
use crate::rtc::media::inspect::vp8::is_key;
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
    fn finish(&mut self, _: &mut Vec<Bytes>) -> Result<(), Malformed> {
        Ok(())
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
    let mut dependencies = FrameDependencies { discardable: first & 0x20 != 0, ..FrameDependencies::default() };
    if first & 0x80 != 0 {
        let extension = next()?;
        if extension & 0x80 != 0 {
            dependencies.picture = Some(PictureId::read(&mut next)?);
        }
        if extension & 0x40 != 0 {
            dependencies.tl0_pic_idx = Some(next()?);
        }
        if extension & 0x30 != 0 {
            let layer = next()?;
            if extension & 0x20 != 0 {
                dependencies.layer = Some(layer >> 6);
                dependencies.sync = layer & 0x20 != 0;
            }
        }
    }
    let starts = first & 0x17 == 0x10;
    let key = is_key(*payload.get(at)?);
    let starts_as = if starts { Starts::Yes } else { Starts::No };
    Some(Head { starts: starts_as, ends: false, key: starts.then_some(key), dependencies, body: at })
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
        assert_eq!(head.dependencies.picture, Some(PictureId { value: 0x1234, long: true }));
        assert_eq!(
            (head.dependencies.tl0_pic_idx, head.dependencies.layer, head.dependencies.sync),
            (Some(7), Some(1), true)
        );
        assert!(head.dependencies.discardable);
    }

    #[test]
    fn the_shortest_and_the_cut_ones() {
        assert_eq!(descriptor(&[0x10, 0x00]).unwrap().body, 1);
        assert_eq!(descriptor(&[0x00, 0x00]).unwrap().starts, Starts::No);
        for cut in 1..6 {
            assert!(descriptor(&[0xb0, 0xf0, 0x92, 0x34, 0x07, 0x60][..cut]).is_none());
        }
    }
}

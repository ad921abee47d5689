//! VP9 over RTP (RFC 9628), flexible and non-flexible mode.
//!
//! The frames of all spatial layers of a picture become one superframe with its index, which decoders need to tell them apart.

use crate::rtc::media::depacketize::dependencies::{FrameDependencies, PictureId, References};
use crate::rtc::media::depacketize::payload::{Depayload, Head, Malformed, Starts};
use crate::rtc::media::inspect::vp9::{MAX_FRAMES, superframe_index};
use bytes::Bytes;

const BEGINS_LAYER: u8 = 0x08;
const ENDS_LAYER: u8 = 0x04;

#[derive(Default)]
pub(crate) struct Vp9 {
    /// Bytes of each spatial layer's frame.
    sizes: Vec<usize>,
    /// The last of them is not whole yet.
    open: bool,
}

impl Depayload for Vp9 {
    fn head(&mut self, payload: &Bytes) -> Result<Option<Head>, Malformed> {
        descriptor(payload).map(Some).ok_or(Malformed)
    }
    fn add(&mut self, head: &Head, payload: &Bytes, parts: &mut Vec<Bytes>) -> Result<(), Malformed> {
        let flags = *payload.first().ok_or(Malformed)?;
        let begins = flags & BEGINS_LAYER != 0;
        if begins == self.open || (begins && self.sizes.len() == MAX_FRAMES) {
            return Err(Malformed);
        }
        if begins {
            self.sizes.push(0);
        }
        let body = payload.slice(head.body..);
        if let Some(size) = self.sizes.last_mut() {
            *size += body.len();
        }
        parts.push(body);
        self.open = flags & ENDS_LAYER == 0;
        Ok(())
    }
    fn finish(&mut self, parts: &mut Vec<Bytes>) -> Result<(), Malformed> {
        let whole = !self.open;
        parts.extend(superframe_index(&self.sizes));
        self.reset();
        if whole { Ok(()) } else { Err(Malformed) }
    }
    fn reset(&mut self) {
        self.sizes.clear();
        self.open = false;
    }
}

/// Section 4.2: the payload descriptor.
fn descriptor(payload: &[u8]) -> Option<Head> {
    let mut at = 0;
    let mut next = || {
        at += 1;
        payload.get(at - 1).copied()
    };
    let flags = next()?;
    let [has_id, inter, has_layer, flexible, starts, ends, has_structure] =
        [0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02].map(|bit| flags & bit != 0);
    let mut dependencies = FrameDependencies::default();
    // The frame needs that of the next lower spatial layer in the same picture.
    let (mut spatial, mut inter_layer) = (0, false);
    if has_id {
        dependencies.picture = Some(PictureId::read(&mut next)?);
    }
    if has_layer {
        let layer = next()?;
        dependencies.layer = Some(layer >> 5);
        dependencies.up = layer & 0x10 != 0;
        spatial = layer >> 1 & 7;
        inter_layer = layer & 1 != 0;
        if !flexible {
            dependencies.tl0_pic_idx = Some(next()?);
        }
    }
    if flexible && inter {
        dependencies.references = Some(references(&mut next)?);
    }
    if has_structure {
        skip_structure(&mut next)?;
    }
    payload.get(at)?;
    let starts_as = match spatial {
        0 if starts => Starts::Yes,
        // A picture may have no frame of the lowest layers.
        1.. if starts && !inter_layer => Starts::AfterEnd,
        _ => Starts::No,
    };
    // Without inter prediction it may still be an intra-only frame: the frame's own header decides.
    let key = (starts && (inter || spatial > 0)).then_some(false);
    // With layers only the marker bit tells the last packet of a picture.
    Some(Head { starts: starts_as, ends: ends && !has_layer, key, dependencies, body: at })
}

/// P_DIFF, one to three times.
fn references(next: &mut impl FnMut() -> Option<u8>) -> Option<References> {
    let mut references = References::default();
    loop {
        let byte = next()?;
        references.push(byte >> 1)?;
        if byte & 1 == 0 {
            return Some(references);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flexible_mode_with_three_references() {
        let head = descriptor(&[0xfc, 0x81, 0x02, 0x30, 0x03, 0x05, 0x06, 0xaa]).unwrap();
        assert_eq!(head.body, 7);
        assert_eq!(head.dependencies.references.unwrap().as_slice(), [1, 2, 3]);
        assert_eq!((head.dependencies.layer, head.dependencies.up), (Some(1), true));
        assert!(!head.ends && head.starts == Starts::Yes);
        assert!(descriptor(&[0xfc, 0x81, 0x02, 0x30, 0x03, 0x05, 0x07, 0x02, 0xaa]).is_none(), "a fourth reference");
    }

    #[test]
    fn a_picture_begins_with_its_lowest_layer() {
        let starts = |layer: u8| descriptor(&[0xac, 0x11, layer, 9, 0xaa]).map(|head| (head.starts, head.key));
        assert_eq!(starts(0), Some((Starts::Yes, None)));
        assert_eq!(starts(0x03), Some((Starts::No, Some(false))), "layer 1 needs layer 0");
        assert_eq!(starts(0x02), Some((Starts::AfterEnd, Some(false))), "it needs none, and may come first");
    }

    #[test]
    fn the_layers_of_a_picture_become_a_superframe() {
        let mut vp9 = Vp9::default();
        let mut parts = Vec::new();
        let mut add = |vp9: &mut Vp9, payload: &'static [u8]| {
            let payload = Bytes::from_static(payload);
            let head = vp9.head(&payload)?.ok_or(Malformed)?;
            vp9.add(&head, &payload, &mut parts)
        };
        // Layer 0 in two packets, layer 1 in one.
        assert_eq!(add(&mut vp9, &[0xa8, 1, 0x00, 9, 1, 2]), Ok(()));
        assert_eq!(add(&mut vp9, &[0xa4, 1, 0x00, 9, 3]), Ok(()));
        assert_eq!(add(&mut vp9, &[0xac, 1, 0x03, 9, 4]), Ok(()));
        vp9.finish(&mut parts).unwrap();
        assert_eq!(parts.concat(), [1, 2, 3, 4, 0xc1, 3, 1, 0xc1]);

        let mut parts = Vec::new();
        let mut add = |vp9: &mut Vp9, payload: &'static [u8]| {
            let payload = Bytes::from_static(payload);
            let head = vp9.head(&payload)?.ok_or(Malformed)?;
            vp9.add(&head, &payload, &mut parts)
        };
        assert_eq!(add(&mut vp9, &[0xa8, 1, 0x00, 9, 1, 2]), Ok(()));
        assert_eq!(add(&mut vp9, &[0xac, 1, 0x03, 9, 4]), Err(Malformed), "layer 0 has not ended");
    }

    #[test]
    fn non_flexible_mode_with_a_structure() {
        // I L B E V; 7-bit id; tid 0; tl0picidx 9; one layer of 640x480, a picture group of one.
        let packet = [0xae, 0x11, 0x00, 0x09, 0x18, 0x02, 0x80, 0x01, 0xe0, 0x01, 0x14, 0x01, 0xaa];
        let head = descriptor(&packet).unwrap();
        assert_eq!((head.starts, head.body, head.dependencies.tl0_pic_idx), (Starts::Yes, 12, Some(9)));
        assert_eq!(head.dependencies.picture, Some(PictureId { value: 0x11, long: false }));
        for cut in 0..packet.len() {
            assert!(descriptor(&packet[..cut]).is_none());
        }
    }
}

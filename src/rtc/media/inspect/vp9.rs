//! VP9 superframes and uncompressed headers (VP9 bitstream specification, 6.2 and annex B), profiles 0 to 3.

use crate::rtc::media::inspect::bits::BitReader;
use crate::rtc::media::inspect::inspected::{Inspected, Malformed};
use crate::rtc::media::inspect::parts::PartsReader;
use bytes::{BufMut, Bytes, BytesMut};

/// Frames of a superframe.
pub(crate) const MAX_FRAMES: usize = 8;
const REFERENCE_SLOTS: usize = 8;

/// What is remembered of a stream: a frame may take its size from one that it refers to.
#[derive(Default)]
pub(crate) struct Vp9 {
    slots: [Option<(u32, u32)>; REFERENCE_SLOTS],
    /// The size that was told last.
    size: Option<(u32, u32)>,
}

struct FrameHeader {
    key: bool,
    size: Option<(u32, u32)>,
    /// Bit n: the frame is stored in slot n.
    refresh: u32,
}

impl Vp9 {
    /// Inspects a superframe: a frame, or those of all spatial layers with an index behind them. The picture is as large as the last one.
    pub fn inspect(&mut self, parts: &[Bytes]) -> Result<Inspected, Malformed> {
        let sizes = superframe_sizes(parts).ok_or(Malformed)?;
        let mut reader = PartsReader::new(parts);
        let (mut key, mut size) = (false, None);
        for (index, length) in sizes.into_iter().enumerate() {
            let (header, len) = reader.peek::<20>();
            let header = self.frame_header(header.get(..len.min(length)).unwrap_or_default()).ok_or(Malformed)?;
            if header.key {
                self.slots = [None; REFERENCE_SLOTS];
            }
            for (slot, place) in self.slots.iter_mut().enumerate() {
                if header.refresh >> slot & 1 == 1 {
                    *place = header.size;
                }
            }
            key |= header.key && index == 0;
            size = header.size.or(size);
            reader.skip(length).ok_or(Malformed)?;
        }
        let changed = size.is_some() && size != self.size;
        self.size = size.or(self.size);
        Ok(Inspected { key, size: size.filter(|_| key || changed), ..Inspected::default() })
    }

    /// The start of `uncompressed_header()`. Of a frame that is cut short after its kind no more is known.
    fn frame_header(&self, frame: &[u8]) -> Option<FrameHeader> {
        let mut bits = BitReader::new(frame);
        if bits.bits(2)? != 2 {
            return None;
        }
        let profile = bits.bit()? | bits.bit()? << 1;
        if profile == 3 {
            bits.bit()?;
        }
        if bits.flag()? {
            let size = bits.bits(3).and_then(|slot| self.slots.get(slot as usize).copied().flatten());
            return Some(FrameHeader { key: false, size, refresh: 0 });
        }
        let key = !bits.flag()?;
        let shown = bits.flag()?;
        let resilient = bits.flag()?;
        if key {
            color_config(&mut bits, profile)?;
            return Some(FrameHeader { key: true, size: Some(frame_size(&mut bits)?), refresh: 0xff });
        }
        let (size, refresh) = self.inter_header(&mut bits, profile, shown, resilient).unwrap_or_default();
        Some(FrameHeader { key: false, size, refresh })
    }

    /// What follows in the header of a frame that is not a key frame: its size, and the slots that it is stored in.
    fn inter_header(
        &self,
        bits: &mut BitReader,
        profile: u32,
        shown: bool,
        resilient: bool,
    ) -> Option<(Option<(u32, u32)>, u32)> {
        let intra_only = !shown && bits.flag()?;
        if !resilient {
            bits.bits(2)?; // reset_frame_context
        }
        if intra_only {
            if profile > 0 {
                color_config(bits, profile)?;
            } else {
                sync_code(bits)?;
            }
            let refresh = bits.bits(8)?;
            return Some((Some(frame_size(bits)?), refresh));
        }
        let refresh = bits.bits(8)?;
        let mut references = [0; 3];
        for reference in &mut references {
            *reference = bits.bits(3)? as usize;
            bits.bit()?; // sign bias
        }
        for reference in references {
            if bits.flag()? {
                return Some((self.slots.get(reference).copied().flatten(), refresh));
            }
        }
        Some((Some(frame_size(bits)?), refresh))
    }
}

fn sync_code(bits: &mut BitReader) -> Option<()> {
    (bits.bits(24)? == 0x49_83_42).then_some(())
}

/// The sync code, and `color_config()`.
fn color_config(bits: &mut BitReader, profile: u32) -> Option<()> {
    sync_code(bits)?;
    if profile >= 2 {
        bits.bit()?; // ten or twelve bits
    }
    const RGB: u32 = 7;
    let subsampling_told = profile & 1 == 1;
    let rest = match bits.bits(3)? == RGB {
        true if subsampling_told => 1,
        true => 0,
        false if subsampling_told => 4,
        false => 1,
    };
    bits.bits(rest)?;
    Some(())
}

fn frame_size(bits: &mut BitReader) -> Option<(u32, u32)> {
    Some((bits.bits(16)? + 1, bits.bits(16)? + 1))
}

/// The lengths of the frames in a superframe (annex B); of a single frame without an index, its own.
fn superframe_sizes(parts: &[Bytes]) -> Option<Vec<usize>> {
    let total: usize = parts.iter().map(Bytes::len).sum();
    let marker = *parts.iter().rev().find_map(|part| part.last())?;
    let (frames, width) = (usize::from(marker & 7) + 1, usize::from(marker >> 3 & 3) + 1);
    let index = 2 + frames * width;
    if marker & 0xe0 != 0xc0 || index > total {
        return Some(vec![total]);
    }
    let mut reader = PartsReader::new(parts);
    reader.skip(total - index)?;
    let index_bytes = reader.take(index)?;
    if index_bytes.first() != Some(&marker) {
        return Some(vec![total]);
    }
    let length = |bytes: &[u8]| bytes.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let sizes: Vec<usize> = index_bytes.get(1..index - 1)?.chunks(width).map(length).filter(|size| *size > 0).collect();
    (sizes.iter().sum::<usize>() <= total - index).then_some(sizes)
}

/// The index behind the frames of a superframe. None for a single frame, which needs none, and for more than fit.
pub(crate) fn superframe_index(sizes: &[usize]) -> Option<Bytes> {
    if !(2..=MAX_FRAMES).contains(&sizes.len()) {
        return None;
    }
    let largest = u32::try_from(*sizes.iter().max()?).ok()?;
    let width = (4 - largest.leading_zeros() as usize / 8).max(1);
    let marker = 0xc0 | ((width - 1) << 3 | (sizes.len() - 1)) as u8;
    let mut index = BytesMut::with_capacity(2 + sizes.len() * width);
    index.put_u8(marker);
    sizes.iter().for_each(|size| index.put_uint_le(*size as u64, width));
    index.put_u8(marker);
    Some(index.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(bits: &[u32]) -> Bytes {
        let byte = |byte: &[u32]| byte.iter().enumerate().fold(0, |b, (i, bit)| b | (*bit as u8) << (7 - i));
        bits.chunks(8).map(byte).collect::<Vec<u8>>().into()
    }
    fn number(bits: &mut Vec<u32>, value: u32, count: u32) {
        bits.extend((0..count).rev().map(|i| value >> i & 1));
    }
    fn key_frame(profile: u32, (width, height): (u32, u32)) -> Bytes {
        let mut bits = vec![1, 0, profile & 1, profile >> 1];
        bits.extend((profile == 3).then_some(0));
        bits.extend([0, 0, 1, 0]);
        number(&mut bits, 0x49_83_42, 24);
        bits.extend((profile >= 2).then_some(0));
        bits.extend([0, 1, 0, 0]);
        bits.extend((profile & 1 == 1).then_some([1, 1, 0]).into_iter().flatten());
        number(&mut bits, width - 1, 16);
        number(&mut bits, height - 1, 16);
        bytes_of(&bits)
    }
    /// An inter frame that is stored in slot `to`; its size is told, or that of slot 0.
    fn inter_frame(to: u32, size: Option<(u32, u32)>) -> Bytes {
        let mut bits = vec![1, 0, 0, 0, 0, 1, 1, 0, 0, 0];
        number(&mut bits, 1 << to, 8);
        bits.extend([0; 12]);
        match size {
            Some((width, height)) => {
                bits.extend([0; 3]);
                number(&mut bits, width - 1, 16);
                number(&mut bits, height - 1, 16);
            }
            None => bits.push(1),
        }
        bits.extend([0; 16]);
        bytes_of(&bits)
    }

    #[test]
    fn key_frame_headers_of_every_profile() {
        for profile in 0..4 {
            let inspected = Vp9::default().inspect(&[key_frame(profile, (1280, 720))]);
            assert_eq!(inspected, Ok(Inspected::key((1280, 720))), "profile {profile}");
        }
        let inspect = |bytes: &'static [u8]| Vp9::default().inspect(&[Bytes::from_static(bytes)]);
        assert_eq!(inspect(&[0b1000_0100, 0]), Ok(Inspected::default()), "an inter frame");
        assert_eq!(inspect(&[0b0100_0000, 0]), Err(Malformed), "the frame marker is wrong");
        assert_eq!(inspect(&[]), Err(Malformed));
    }

    #[test]
    fn a_superframe_is_as_large_as_its_highest_layer() {
        let mut vp9 = Vp9::default();
        let superframe = |frames: Vec<Bytes>| {
            let index = superframe_index(&frames.iter().map(Bytes::len).collect::<Vec<_>>());
            frames.into_iter().chain(index).collect::<Vec<_>>()
        };
        let (low, middle, high) = ((320, 180), (640, 360), (1280, 720));
        let key = superframe(vec![key_frame(0, low), inter_frame(1, Some(middle)), inter_frame(2, Some(high))]);
        assert_eq!(vp9.inspect(&key), Ok(Inspected::key(high)));
        // The top layer goes, and comes back.
        let inspected = vp9.inspect(&superframe(vec![inter_frame(0, None), inter_frame(1, Some(middle))]));
        assert_eq!(inspected.unwrap().size, Some(middle));
        let alone = vp9.inspect(&superframe(vec![inter_frame(0, None)])).unwrap();
        assert_eq!((alone.key, alone.size), (false, Some(low)), "its size is that of its reference");
        assert_eq!(vp9.inspect(&superframe(vec![inter_frame(0, None)])).unwrap().size, None, "and has not changed");
        let inspected = vp9.inspect(&superframe(vec![inter_frame(0, None), inter_frame(2, Some(high))]));
        assert_eq!(inspected.unwrap().size, Some(high));
    }

    #[test]
    fn an_index_tells_the_lengths_of_its_frames() {
        for sizes in [vec![1, 2], vec![300, 2, 70_000], vec![1; 8]] {
            let index = superframe_index(&sizes).expect("an index");
            let frames = Bytes::from(vec![0; sizes.iter().sum()]);
            assert_eq!(superframe_sizes(&[frames.slice(..1), frames.slice(1..), index]), Some(sizes));
        }
        assert_eq!((superframe_index(&[5]), superframe_index(&[1; 9])), (None, None));
        let lies = [Bytes::from_static(&[0x80, 0]), superframe_index(&[9, 9]).unwrap()];
        assert_eq!(Vp9::default().inspect(&lies), Err(Malformed));
    }
}

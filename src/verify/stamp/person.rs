//! Somebody who is nothing but stamps: picture after picture and sample after sample, made on the fly and always the same. What a
//! receiver got can so be compared with what was sent, without keeping that.

use super::chirp::{self, MARK};
use super::code::{FrameStamp, MARKS, MarkStamp, RATES};
use super::mark::{Spot, draw};
use crate::error::{Error, Result};
use std::f64::consts::TAU;

/// The sides that a picture may have, pixels; even.
pub const SIDES: std::ops::RangeInclusive<u32> = 72..=3840;

/// The pictures of a participant: a moving ground, something that moves before it, and the stamp.
pub struct Pictures {
    participant: u8,
    rate: u32,
    width: usize,
    height: usize,
    spot: Spot,
    /// The ground, larger than the picture by a margin to move in: brightness, then the colours.
    ground: [Plane; 3],
}

struct Plane {
    data: Vec<u8>,
    width: usize,
}

impl Pictures {
    /// Pictures of even `width` and `height`, `rate` a second.
    ///
    /// # Errors
    /// The user's: sides beyond [`SIDES`] or odd, a rate that is none of [`RATES`].
    pub fn new(participant: u8, (width, height): (u32, u32), rate: u32) -> Result<Pictures> {
        if [width, height].iter().any(|side| !SIDES.contains(side) || side % 2 == 1) {
            let (least, most) = (SIDES.start(), SIDES.end());
            return Err(Error::user(format!("{width}x{height}: sides must be even, {least} to {most} pixels")));
        }
        if !RATES.contains(&rate) {
            let rates = RATES.map(|rate| rate.to_string()).join(", ");
            return Err(Error::user(format!("{rate} pictures a second cannot be stamped; possible are {rates}")));
        }
        let (width, height) = (width as usize, height as usize);
        let spot = Spot::within(width, height).ok_or_else(|| Error::us("a picture too small for a stamp"))?;
        let whole = (width + 2 * margin(width), height + 2 * margin(height));
        let ground = [0, 1, 2].map(|plane| Plane::of(participant, plane, whole));
        Ok(Pictures { participant, rate, width, height, spot, ground })
    }

    /// Width and height, pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Pictures a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Picture `number` as I420: brightness, then both colours at half the size, rows without a gap.
    pub fn i420(&self, number: u32) -> Vec<u8> {
        let mut picture = self.luma(number);
        picture.reserve(self.width * self.height / 2);
        for plane in [1, 2] {
            let begin = picture.len();
            self.paint(plane, number, &mut picture);
            // A stamp without colour keeps its brightness whatever the picture is converted to.
            let (side, width) = (self.spot.side() / 2, self.width / 2);
            let rows = picture.get_mut(begin..).unwrap_or_default().chunks_mut(width);
            for row in rows.skip(self.spot.y / 2).take(side) {
                row.iter_mut().skip(self.spot.x / 2).take(side).for_each(|colour| *colour = 128);
            }
        }
        picture
    }

    /// The brightness of picture `number`, rows without a gap.
    pub fn luma(&self, number: u32) -> Vec<u8> {
        let mut luma = Vec::with_capacity(self.width * self.height * 3 / 2);
        self.paint(0, number, &mut luma);
        draw(&mut luma, self.width, self.spot, FrameStamp { participant: self.participant, rate: self.rate, number });
        luma
    }

    fn paint(&self, plane: usize, number: u32, to: &mut Vec<u8>) {
        let Some(ground) = self.ground.get(plane) else { return };
        let scale = if plane == 0 { 1 } else { 2 };
        let (width, height) = (self.width / scale, self.height / scale);
        let seconds = f64::from(number) / f64::from(self.rate);
        // By whole pixels of the colours, so that they stay with their brightness.
        let moved = |room: usize, period: f64, phase: f64| {
            let part = 0.5 + 0.5 * (TAU * (seconds / period + phase)).sin();
            ((room / 2) as f64 * part) as usize * 2 / scale
        };
        let phase = f64::from(self.participant) / 16.0;
        let (x, y) = (moved(2 * margin(self.width), 7.3, phase), moved(2 * margin(self.height), 5.9, phase));
        let (radius, across) = (height / 3, width - width / 4);
        let middle = (width / 8 + moved(across * scale, 9.1, phase + 0.3), height / 2);
        for row in 0..height {
            let from = (row + y) * ground.width + x;
            let begin = to.len();
            to.extend_from_slice(ground.data.get(from..from + width).unwrap_or(&[]));
            // Something round that moves across, with the ground of another place on it.
            let up = row.abs_diff(middle.1);
            let half = (radius * radius).checked_sub(up * up).map_or(0, usize::isqrt);
            let (left, right) = (middle.0.saturating_sub(half).min(width), (middle.0 + half).min(width));
            let other = (height - 1 - row) * ground.width + (width - right);
            if let (Some(on), Some(with)) =
                (to.get_mut(begin + left..begin + right), ground.data.get(other..other + (right - left)))
            {
                on.copy_from_slice(with);
            }
        }
    }
}

/// How far the ground moves to either side.
fn margin(side: usize) -> usize {
    side / 16 * 2
}

impl Plane {
    /// Smooth noise of several sizes, from the participant's number: cloth, leaves, a face, as a codec sees them.
    fn of(participant: u8, plane: usize, (width, height): (usize, usize)) -> Plane {
        let scale = if plane == 0 { 1 } else { 2 };
        let (width, height) = (width / scale, height / scale);
        let grids: &[(usize, f32)] = if plane == 0 { &[(6, 44.0), (24, 26.0), (96, 12.0)] } else { &[(5, 40.0)] };
        let mut sum = vec![if plane == 0 { 122.0f32 } else { 128.0 }; width * height];
        for (cells, strength) in grids {
            let seed = u32::from(participant) << 16 | (plane << 8) as u32 | *cells as u32;
            let side = (height / cells).max(1);
            let columns: Vec<(u32, f32)> =
                (0..width).map(|x| ((x / side) as u32, (x % side) as f32 / side as f32)).collect();
            for (y, row) in sum.chunks_mut(width.max(1)).enumerate() {
                let (cell, down) = ((y / side) as u32, (y % side) as f32 / side as f32);
                let mut corners = (u32::MAX, [0.0; 4]);
                for (value, (column, right)) in row.iter_mut().zip(&columns) {
                    if corners.0 != *column {
                        let four = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(x, y)| noise(seed, column + x, cell + y));
                        corners = (*column, four);
                    }
                    let [a, b, c, d] = corners.1;
                    let (left, other) = (a + (b - a) * down, c + (d - c) * down);
                    *value += (left + (other - left) * right) * strength;
                }
            }
        }
        Plane { data: sum.into_iter().map(|v| v.clamp(20.0, 230.0) as u8).collect(), width }
    }
}

/// A number between -1 and 1 for a corner of a grid.
fn noise(seed: u32, x: u32, y: u32) -> f32 {
    let mut n = seed.wrapping_mul(0x9E37_79B1) ^ x.wrapping_mul(0x85EB_CA77) ^ y.wrapping_mul(0xC2B2_AE3D);
    n = (n ^ n >> 15).wrapping_mul(0x2C1B_3C6D);
    n = (n ^ n >> 12).wrapping_mul(0x297A_2D39);
    (n ^ n >> 15) as f32 / u32::MAX as f32 * 2.0 - 1.0
}

/// The sound of a participant: mark after mark.
pub struct Sound {
    participant: u8,
    mark: Option<(u64, Vec<f32>)>,
}

impl Sound {
    pub fn new(participant: u8) -> Sound {
        Sound { participant, mark: None }
    }

    /// `count` samples from sample `from` on: one channel, 48,000 a second.
    pub fn samples(&mut self, from: u64, count: usize) -> Vec<i16> {
        let mut samples = Vec::with_capacity(count);
        while samples.len() < count {
            let at = from + samples.len() as u64;
            let (number, offset) = (at / MARK as u64, (at % MARK as u64) as usize);
            if self.mark.as_ref().is_none_or(|(have, _)| *have != number) {
                let stamp = MarkStamp { participant: self.participant, number: (number % u64::from(MARKS)) as u32 };
                self.mark = Some((number, chirp::mark(stamp)));
            }
            let mark = self.mark.iter().flat_map(|(_, mark)| mark.iter().skip(offset));
            let missing = count - samples.len();
            samples.extend(mark.take(missing).map(|s| (s * f32::from(i16::MAX)).round() as i16));
        }
        samples
    }
}

/// The number that a name has unless it is given another: that of its first letter in the alphabet (`alice` is 1), 27 where
/// that is none of a to z.
pub fn number_of(name: &str) -> u8 {
    let first = name.bytes().next().map_or(0, |c| c.to_ascii_lowercase());
    if first.is_ascii_lowercase() { first - b'a' + 1 } else { 27 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::stamp::{Listener, Luma, Reader};

    #[test]
    fn pictures_can_be_read_are_never_the_same_and_always_the_same() {
        let size = (320, 180);
        let pictures = Pictures::new(3, size, 25).unwrap();
        let mut last = Vec::new();
        for number in [0, 1, 2, 700, 1 << 19] {
            let picture = pictures.i420(number);
            assert_eq!(picture.len(), 320 * 180 * 3 / 2);
            let luma = Luma::new(&picture, (320, 180), 320).unwrap();
            let seen: Vec<_> = Reader::new().read(&luma).iter().filter_map(|s| s.stamp).collect();
            assert_eq!(seen, [FrameStamp { participant: 3, rate: 25, number }]);
            assert_ne!(picture, last);
            assert_eq!(picture, Pictures::new(3, size, 25).unwrap().i420(number));
            last = picture;
        }
        let other = Pictures::new(4, size, 25).unwrap().luma(700);
        let differ = other.iter().zip(&pictures.luma(700)).filter(|(a, b)| a.abs_diff(**b) > 8).count();
        assert!(differ > 320 * 180 / 4, "{differ}");
    }

    #[test]
    fn any_even_size_can_be_painted() {
        for size in [(72, 72), (180, 320), (722, 128), (128, 1000), (1280, 720)] {
            let pictures = Pictures::new(9, size, 30).unwrap();
            for number in 0..12 {
                assert_eq!(pictures.i420(number * 37).len(), (size.0 * size.1 * 3 / 2) as usize, "{size:?}");
            }
        }
        for (size, rate) in [((0, 0), 30), ((71, 90), 30), ((320, 181), 30), ((320, 180), 29), ((8000, 90), 30)] {
            assert!(Pictures::new(1, size, rate).is_err());
        }
    }

    #[test]
    fn sound_is_the_same_in_whatever_pieces() {
        let mut sound = Sound::new(6);
        let whole = sound.samples(0, 100_000);
        let mut pieces = Vec::new();
        for size in [1, 999, 23_001, 40_000, 35_999] {
            pieces.extend(sound.samples(pieces.len() as u64, size));
        }
        assert!(whole == pieces);
        let mut listener = Listener::new();
        listener.push(0.0, &whole.iter().map(|s| f32::from(*s) / 32768.0).collect::<Vec<_>>());
        listener.finish();
        assert_eq!(listener.heard.iter().map(|h| h.stamp.number).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn names_have_numbers() {
        assert_eq!(["alice", "Bob", "zoe", "", "Łukasz", "7"].map(number_of), [1, 2, 26, 27, 27, 27]);
    }
}

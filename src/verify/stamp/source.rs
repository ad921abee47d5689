//! Generated stamped video and audio. Frames and samples are a function of participant and number, so received media can be compared with the
//! original without storing it.

use super::chirp::{self, MARK_SAMPLES};
use super::code::{FRAME_RATES, FrameStamp, MARK_NUMBERS, MarkStamp};
use super::pattern::{StampSquare, draw};
use crate::error::{Error, Result};
use std::f64::consts::TAU;

/// Allowed width and height of stamped video, pixels; even.
pub const SIDES: std::ops::RangeInclusive<u32> = 72..=3840;

/// The video of a participant: a moving background, a moving disc, and the stamp.
pub struct StampedVideo {
    participant: u8,
    rate: u32,
    width: usize,
    height: usize,
    square: StampSquare,
    /// Y, U and V of the background, larger than the frame by a margin to move in.
    background: [Plane; 3],
}

struct Plane {
    data: Vec<u8>,
    width: usize,
}

impl StampedVideo {
    /// Video of this width and height (pixels) and frame rate.
    ///
    /// # Errors
    /// The user's: a side is odd or not in [`SIDES`], the rate is not one of [`FRAME_RATES`].
    pub fn new(participant: u8, (width, height): (u32, u32), rate: u32) -> Result<StampedVideo> {
        if [width, height].iter().any(|side| !SIDES.contains(side) || side % 2 == 1) {
            let (least, most) = (SIDES.start(), SIDES.end());
            return Err(Error::user(format!(
                "{width}x{height}: width and height must be even, {least} to {most} pixels"
            )));
        }
        if !FRAME_RATES.contains(&rate) {
            let rates = FRAME_RATES.map(|rate| rate.to_string()).join(", ");
            return Err(Error::user(format!("a frame rate of {rate} cannot be stamped; possible are {rates}")));
        }
        let (width, height) = (width as usize, height as usize);
        let square =
            StampSquare::within(width, height).ok_or_else(|| Error::internal("a frame too small for a stamp"))?;
        let whole = (width + 2 * margin(width), height + 2 * margin(height));
        let background = [0, 1, 2].map(|plane| Plane::of(participant, plane, whole));
        Ok(StampedVideo { participant, rate, width, height, square, background })
    }

    /// Width and height, pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Frame rate.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Frame `number` as I420 without padding.
    pub fn i420(&self, number: u32) -> Vec<u8> {
        let mut picture = self.luma(number);
        picture.reserve(self.width * self.height / 2);
        for plane in [1, 2] {
            let begin = picture.len();
            self.paint(plane, number, &mut picture);
            // A grey stamp keeps its luma in any colour conversion.
            let (side, width) = (self.square.side() / 2, self.width / 2);
            let rows = picture.get_mut(begin..).unwrap_or_default().chunks_mut(width);
            for row in rows.skip(self.square.y / 2).take(side) {
                row.iter_mut().skip(self.square.x / 2).take(side).for_each(|colour| *colour = 128);
            }
        }
        picture
    }

    /// The luma plane of frame `number` without padding.
    pub fn luma(&self, number: u32) -> Vec<u8> {
        let mut luma = Vec::with_capacity(self.width * self.height * 3 / 2);
        self.paint(0, number, &mut luma);
        draw(&mut luma, self.width, self.square, FrameStamp { participant: self.participant, rate: self.rate, number });
        luma
    }

    fn paint(&self, plane: usize, number: u32, to: &mut Vec<u8>) {
        let Some(background) = self.background.get(plane) else { return };
        let scale = if plane == 0 { 1 } else { 2 };
        let (width, height) = (self.width / scale, self.height / scale);
        let seconds = f64::from(number) / f64::from(self.rate);
        // By whole chroma pixels, so that chroma stays aligned with luma.
        let moved = |room: usize, period: f64, phase: f64| {
            let part = 0.5 + 0.5 * (TAU * (seconds / period + phase)).sin();
            ((room / 2) as f64 * part) as usize * 2 / scale
        };
        let phase = f64::from(self.participant) / 16.0;
        let (x, y) = (moved(2 * margin(self.width), 7.3, phase), moved(2 * margin(self.height), 5.9, phase));
        let (radius, across) = (height / 3, width - width / 4);
        let middle = (width / 8 + moved(across * scale, 9.1, phase + 0.3), height / 2);
        for row in 0..height {
            let from = (row + y) * background.width + x;
            let begin = to.len();
            to.extend_from_slice(background.data.get(from..from + width).unwrap_or(&[]));
            // A disc that moves across, textured with another part of the background.
            let up = row.abs_diff(middle.1);
            let half = (radius * radius).checked_sub(up * up).map_or(0, usize::isqrt);
            let (left, right) = (middle.0.saturating_sub(half).min(width), (middle.0 + half).min(width));
            let other = (height - 1 - row) * background.width + (width - right);
            if let (Some(on), Some(with)) =
                (to.get_mut(begin + left..begin + right), background.data.get(other..other + (right - left)))
            {
                on.copy_from_slice(with);
            }
        }
    }
}

/// How far the background moves to either side, pixels.
fn margin(side: usize) -> usize {
    side / 16 * 2
}

impl Plane {
    /// Smooth noise at several scales, seeded with the participant's number; it costs a codec about as much as a camera picture.
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

/// Pseudo-random value from -1 to 1 of a grid point.
fn noise(seed: u32, x: u32, y: u32) -> f32 {
    let mut n = seed.wrapping_mul(0x9E37_79B1) ^ x.wrapping_mul(0x85EB_CA77) ^ y.wrapping_mul(0xC2B2_AE3D);
    n = (n ^ n >> 15).wrapping_mul(0x2C1B_3C6D);
    n = (n ^ n >> 12).wrapping_mul(0x297A_2D39);
    (n ^ n >> 15) as f32 / u32::MAX as f32 * 2.0 - 1.0
}

/// The audio of a participant: consecutive marks.
pub struct StampedAudio {
    participant: u8,
    mark: Option<(u64, Vec<f32>)>,
}

impl StampedAudio {
    /// The audio of this participant number.
    pub fn new(participant: u8) -> StampedAudio {
        StampedAudio { participant, mark: None }
    }

    /// `count` samples from sample `from` on: mono, 48 kHz.
    pub fn samples(&mut self, from: u64, count: usize) -> Vec<i16> {
        let mut samples = Vec::with_capacity(count);
        while samples.len() < count {
            let at = from + samples.len() as u64;
            let (number, offset) = (at / MARK_SAMPLES as u64, (at % MARK_SAMPLES as u64) as usize);
            if self.mark.as_ref().is_none_or(|(have, _)| *have != number) {
                let stamp =
                    MarkStamp { participant: self.participant, number: (number % u64::from(MARK_NUMBERS)) as u32 };
                self.mark = Some((number, chirp::mark_samples(stamp)));
            }
            let mark = self.mark.iter().flat_map(|(_, mark)| mark.iter().skip(offset));
            let missing = count - samples.len();
            samples.extend(mark.take(missing).map(|s| (s * f32::from(i16::MAX)).round() as i16));
        }
        samples
    }
}

/// The stamp number of a name by convention: the position of its first letter in the alphabet (`alice` is 1), 27 if that is not a to z.
pub fn number_of(name: &str) -> u8 {
    let first = name.bytes().next().map_or(0, |c| c.to_ascii_lowercase());
    if first.is_ascii_lowercase() { first - b'a' + 1 } else { 27 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::stamp::luma::LumaPlane;
    use crate::verify::stamp::mark_detector::MarkDetector;
    use crate::verify::stamp::reader::StampReader;

    #[test]
    fn frames_are_readable_distinct_and_reproducible() {
        let size = (320, 180);
        let pictures = StampedVideo::new(3, size, 25).unwrap();
        let mut last = Vec::new();
        for number in [0, 1, 2, 700, 1 << 19] {
            let picture = pictures.i420(number);
            assert_eq!(picture.len(), 320 * 180 * 3 / 2);
            let luma = LumaPlane::new(&picture, (320, 180), 320).unwrap();
            let seen: Vec<_> = StampReader::new().read(&luma).iter().filter_map(|s| s.stamp).collect();
            assert_eq!(seen, [FrameStamp { participant: 3, rate: 25, number }]);
            assert_ne!(picture, last);
            assert_eq!(picture, StampedVideo::new(3, size, 25).unwrap().i420(number));
            last = picture;
        }
        let other = StampedVideo::new(4, size, 25).unwrap().luma(700);
        let differ = other.iter().zip(&pictures.luma(700)).filter(|(a, b)| a.abs_diff(**b) > 8).count();
        assert!(differ > 320 * 180 / 4, "{differ}");
    }

    #[test]
    fn any_even_size_can_be_generated() {
        for size in [(72, 72), (180, 320), (722, 128), (128, 1000), (1280, 720)] {
            let pictures = StampedVideo::new(9, size, 30).unwrap();
            for number in 0..12 {
                assert_eq!(pictures.i420(number * 37).len(), (size.0 * size.1 * 3 / 2) as usize, "{size:?}");
            }
        }
        for (size, rate) in [((0, 0), 30), ((71, 90), 30), ((320, 181), 30), ((320, 180), 29), ((8000, 90), 30)] {
            assert!(StampedVideo::new(1, size, rate).is_err());
        }
    }

    #[test]
    fn audio_does_not_depend_on_the_chunk_size() {
        let mut sound = StampedAudio::new(6);
        let whole = sound.samples(0, 100_000);
        let mut pieces = Vec::new();
        for size in [1, 999, 23_001, 40_000, 35_999] {
            pieces.extend(sound.samples(pieces.len() as u64, size));
        }
        assert!(whole == pieces);
        let mut detector = MarkDetector::new();
        detector.push(0.0, &whole.iter().map(|s| f32::from(*s) / 32768.0).collect::<Vec<_>>());
        detector.finish();
        assert_eq!(detector.marks.iter().map(|h| h.stamp.number).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn names_have_numbers() {
        assert_eq!(["alice", "Bob", "zoe", "", "Łukasz", "7"].map(number_of), [1, 2, 26, 27, 27, 27]);
    }
}

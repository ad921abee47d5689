//! Bilinear scaling of I420 pictures, for camera video. Shared screens are scaled by GStreamer's converter, which is sharper and several
//! times as expensive.

use crate::media::geometry::Size;

/// Interpolation between the pixel at `first` and the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interpolation {
    first: usize,
    /// The weight of the second one, of 256.
    second: u16,
}

/// The interpolations of a plane.
#[derive(Debug)]
struct Axes {
    columns: Vec<Interpolation>,
    rows: Vec<Interpolation>,
}

/// Scales I420 pictures of one size to another.
pub(super) struct BilinearScaler {
    luma: Axes,
    chroma: Axes,
    /// An interpolated row, with its last pixel doubled.
    row: Vec<u8>,
}

impl BilinearScaler {
    pub(super) fn new(from: Size, to: Size) -> BilinearScaler {
        let axes = |from: Size, to: Size| Axes { columns: axis(from.0, to.0), rows: axis(from.1, to.1) };
        // For odd input sizes chroma is rounded up; output sizes are even.
        let half = |size: Size| (size.0.div_ceil(2), size.1.div_ceil(2));
        BilinearScaler { luma: axes(from, to), chroma: axes(half(from), (to.0 / 2, to.1 / 2)), row: Vec::new() }
    }

    /// Scales a plane (0 is luma) with `width` pixels a row into `to`, which starts at its first pixel.
    pub(super) fn plane(
        &mut self,
        plane: u32,
        (from, from_stride, width): (&[u8], usize, usize),
        (to, to_stride): (&mut [u8], usize),
    ) {
        let axes = if plane == 0 { &self.luma } else { &self.chroma };
        let line = |number: usize| from.get(number * from_stride..)?.get(..width);
        self.row.resize(width + 1, 0);
        for (between, to) in axes.rows.iter().zip(to.chunks_mut(to_stride.max(1))) {
            let Some(upper) = line(between.first) else { return };
            // Below the last row there is none.
            let lower = line(between.first + 1).unwrap_or(upper);
            for ((row, upper), lower) in self.row.iter_mut().zip(upper).zip(lower) {
                *row = blend(*upper, *lower, between.second);
            }
            if let [.., before, last] = self.row.as_mut_slice() {
                *last = *before;
            }
            for (to, between) in to.iter_mut().zip(&axes.columns) {
                let Some([left, right]) = self.row.get(between.first..between.first + 2) else { break };
                *to = blend(*left, *right, between.second);
            }
        }
    }
}

/// The interpolation for each pixel of `to`; the centres of pixels are aligned, not their edges.
fn axis(from: u32, to: u32) -> Vec<Interpolation> {
    let (steps, last) = (256 * u64::from(from), u64::from(from.saturating_sub(1)) * 256);
    let place = |number: u32| {
        // In 256ths of a pixel: (number + 1/2) * from / to - 1/2, within the first and the last pixel.
        let at = ((2 * u64::from(number) + 1) * steps / (2 * u64::from(to))).saturating_sub(128).min(last);
        Interpolation { first: (at / 256) as usize, second: (at % 256) as u16 }
    };
    (0..to).map(place).collect()
}

fn blend(one: u8, other: u8, weight: u16) -> u8 {
    ((u16::from(one) * (256 - weight) + u16::from(other) * weight + 128) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scaled(from: &[u8], size: Size, to: Size) -> Vec<u8> {
        let mut out = vec![0; (to.0 * to.1) as usize];
        let from = (from, size.0 as usize, size.0 as usize);
        BilinearScaler::new(size, to).plane(0, from, (&mut out, to.0 as usize));
        out
    }

    #[test]
    fn each_pixel_lies_between_those_around_it() {
        assert_eq!(scaled(&[0, 100, 200, 100], (4, 1), (2, 1)), [50, 150]);
        assert_eq!(scaled(&[0, 100], (2, 1), (4, 1)), [0, 25, 75, 100]);
        assert_eq!(scaled(&[0, 100], (1, 2), (1, 4)), [0, 25, 75, 100]);
        let same: Vec<u8> = (0..35).map(|n| n * 7).collect();
        assert_eq!(scaled(&same, (7, 5), (7, 5)), same);
    }

    proptest! {
        #[test]
        fn a_slope_stays_one_at_every_size(from in (1u32..90, 1u32..90), to in (1u32..90, 1u32..90), tilt in 0u32..2) {
            let along = |x: u32, y: u32| (if tilt == 0 { x } else { y } * 2) as u8;
            let picture: Vec<u8> = (0..from.1).flat_map(|y| (0..from.0).map(move |x| along(x, y))).collect();
            let out = scaled(&picture, from, to);
            for (number, value) in out.iter().enumerate() {
                let (x, y) = (number as u32 % to.0, number as u32 / to.0);
                let (at, from, to) = if tilt == 0 { (x, from.0, to.0) } else { (y, from.1, to.1) };
                let exact = ((f64::from(at) + 0.5) * f64::from(from) / f64::from(to) - 0.5).clamp(0.0, f64::from(from - 1));
                prop_assert!((f64::from(*value) - exact * 2.0).abs() <= 1.1, "{value} is not {}", exact * 2.0);
            }
        }
    }
}

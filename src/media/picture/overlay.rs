//! An overlay: an image with transparency that is blended into pictures repeatedly. Only its visible pixels are kept, converted to YUV.
//! It draws nothing itself.

use super::colour::yuv;
use crate::media::geometry::Rect;
use image::RgbaImage;

/// An image and its position.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    planes: [Vec<Run>; 3],
    /// Contains all visible pixels.
    area: Rect,
}

/// Adjacent visible pixels of a row.
#[derive(Debug, Clone)]
struct Run {
    x: usize,
    y: usize,
    /// Value times opacity (with rounding), and the share of the pixel below, of 255.
    pixels: Vec<(u16, u16)>,
}

impl Overlay {
    /// An image whose upper left corner is at `x` and `y`, which must be even.
    pub fn new(image: &RgbaImage, (x, y): (u32, u32)) -> Overlay {
        let mut overlay = Overlay::default();
        overlay.add(image, (x, y));
        overlay
    }

    /// Adds another image; the two should not overlap.
    pub fn add(&mut self, image: &RgbaImage, (x, y): (u32, u32)) {
        let (width, height) = image.dimensions();
        self.area =
            if self.is_empty() { Rect { x, y, width, height } } else { union(self.area, Rect { x, y, width, height }) };
        for (plane, runs) in self.planes.iter_mut().enumerate() {
            let step = if plane == 0 { 1 } else { 2 };
            for row in 0..height.div_ceil(step) {
                let mut run: Option<Run> = None;
                for column in 0..width.div_ceil(step) {
                    let (value, opacity) = mean(image, (column * step, row * step), step, plane);
                    if opacity == 0 {
                        runs.extend(run.take());
                        continue;
                    }
                    let place = ((x / step + column) as usize, (y / step + row) as usize);
                    let run = run.get_or_insert_with(|| Run { x: place.0, y: place.1, pixels: Vec::new() });
                    run.pixels.push((value, 255 - opacity));
                }
                runs.extend(run);
            }
        }
    }

    /// Contains all visible pixels.
    pub(super) fn area(&self) -> Rect {
        self.area
    }

    fn is_empty(&self) -> bool {
        self.planes.iter().all(Vec::is_empty)
    }

    /// Blends it into one plane.
    pub(super) fn blend(&self, plane: usize, data: &mut [u8], stride: usize, (width, height): (u32, u32)) {
        let (width, height) = (width as usize, height as usize);
        for run in self.planes.get(plane).into_iter().flatten().filter(|run| run.y < height && run.x < width) {
            let start = run.y * stride + run.x;
            let length = run.pixels.len().min(width - run.x);
            let Some(row) = data.get_mut(start..start + length) else { continue };
            for (have, (value, rest)) in row.iter_mut().zip(&run.pixels) {
                *have = ((u32::from(*have) * u32::from(*rest) + u32::from(*value)) / 255) as u8;
            }
        }
    }
}

/// The smallest rectangle that contains both.
fn union(one: Rect, other: Rect) -> Rect {
    let (x, y) = (one.x.min(other.x), one.y.min(other.y));
    let end = |at: u32, side: u32| at.saturating_add(side);
    let right = end(one.x, one.width).max(end(other.x, other.width));
    let bottom = end(one.y, one.height).max(end(other.y, other.height));
    Rect { x, y, width: right - x, height: bottom - y }
}

/// The mean of a square of `step` x `step` pixels: the value in `plane` times opacity, and the opacity.
fn mean(image: &RgbaImage, (x, y): (u32, u32), step: u32, plane: usize) -> (u16, u16) {
    let (mut value, mut opacity) = (0u32, 0u32);
    for (dx, dy) in (0..step).flat_map(|dy| (0..step).map(move |dx| (dx, dy))) {
        let Some(pixel) = image.get_pixel_checked(x + dx, y + dy) else { continue };
        let [r, g, b, alpha] = pixel.0;
        value += u32::from(yuv([r, g, b])[plane]) * u32::from(alpha);
        opacity += u32::from(alpha);
    }
    let count = step * step;
    // 255 * 255 + 127 fits.
    ((value / count + 127) as u16, (opacity / count) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgba;

    #[test]
    fn ink_covers_and_the_rest_stays() {
        let mut image = RgbaImage::from_pixel(4, 2, Rgba([255, 255, 255, 255]));
        image.put_pixel(0, 0, Rgba([255, 255, 255, 0]));
        image.put_pixel(1, 0, Rgba([255, 255, 255, 128]));
        let overlay = Overlay::new(&image, (2, 0));
        let mut luma = [16u8; 16];
        overlay.blend(0, &mut luma, 8, (5, 2));
        // The fourth column sticks out.
        assert_eq!(luma[..8], [16, 16, 16, 126, 235, 16, 16, 16]);
        assert_eq!(luma[8..], [16, 16, 235, 235, 235, 16, 16, 16]);
        let mut chroma = [200u8; 4];
        overlay.blend(1, &mut chroma, 4, (3, 1));
        // A pixel of chroma whose four pixels are covered by 5/8, and one that is covered in whole.
        assert!((150..160).contains(&chroma[1]), "{chroma:?}");
        assert_eq!((chroma[0], chroma[2], chroma[3]), (200, 128, 200));
    }
}

//! A view of a frame's luma plane. It copies nothing and knows no colour.

/// A luma plane, one byte per pixel.
#[derive(Debug, Clone, Copy)]
pub struct LumaPlane<'a> {
    data: &'a [u8],
    width: usize,
    height: usize,
    stride: usize,
}

impl<'a> LumaPlane<'a> {
    /// Rows of `width` pixels, `stride` bytes apart. None if `data` is too short or the size is 0.
    pub fn new(data: &'a [u8], (width, height): (usize, usize), stride: usize) -> Option<LumaPlane<'a>> {
        let last = height.checked_sub(1)?.checked_mul(stride)?.checked_add(width)?;
        (width > 0 && stride >= width && last <= data.len()).then_some(LumaPlane { data, width, height, stride })
    }

    /// Width, pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height, pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// A row; empty beyond the last one.
    pub fn row(&self, y: usize) -> &'a [u8] {
        let from = y.saturating_mul(self.stride);
        self.data.get(from..from.saturating_add(self.width)).filter(|_| y < self.height).unwrap_or(&[])
    }

    /// The pixel at `x` and `y`; coordinates are clamped to the plane.
    pub fn at(&self, x: f32, y: f32) -> u8 {
        // Casts of floats saturate: negative numbers and NaN become 0.
        let (x, y) = ((x as usize).min(self.width - 1), (y as usize).min(self.height - 1));
        self.data.get(y * self.stride + x).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_when_created() {
        let data: Vec<u8> = (0..12).collect();
        let luma = LumaPlane::new(&data, (3, 3), 4).unwrap();
        assert_eq!((luma.row(2), luma.row(3)), (&data[8..11], &[][..]));
        assert_eq!((luma.at(-5.0, f32::NAN), luma.at(1.9, 1.0), luma.at(1e9, 1e9)), (0, 5, 10));
        assert!(LumaPlane::new(&data, (3, 4), 4).is_none() && LumaPlane::new(&data, (0, 1), 1).is_none());
        assert!(LumaPlane::new(&data, (5, 1), 4).is_none() && LumaPlane::new(&data, (1, usize::MAX), 2).is_none());
    }
}

//! The brightness of a picture, row by row. Borrowed; it copies nothing and knows no colour.

/// A plane of brightness: 0 is dark, 255 is bright.
#[derive(Debug, Clone, Copy)]
pub struct Luma<'a> {
    data: &'a [u8],
    width: usize,
    height: usize,
    stride: usize,
}

impl<'a> Luma<'a> {
    /// Rows of `width` pixels, each `stride` bytes after the other. None where `data` is too short, or nothing is in it.
    pub fn new(data: &'a [u8], (width, height): (usize, usize), stride: usize) -> Option<Luma<'a>> {
        let last = height.checked_sub(1)?.checked_mul(stride)?.checked_add(width)?;
        (width > 0 && stride >= width && last <= data.len()).then_some(Luma { data, width, height, stride })
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// A row; empty below the picture.
    pub fn row(&self, y: usize) -> &'a [u8] {
        let from = y.saturating_mul(self.stride);
        self.data.get(from..from.saturating_add(self.width)).filter(|_| y < self.height).unwrap_or(&[])
    }

    /// The pixel at `x` and `y`, or the nearest one within the picture.
    pub fn at(&self, x: f32, y: f32) -> u8 {
        // A cast of a float saturates, so what is negative or no number is 0.
        let (x, y) = ((x as usize).min(self.width - 1), (y as usize).min(self.height - 1));
        self.data.get(y * self.stride + x).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_once_and_then_believed() {
        let data: Vec<u8> = (0..12).collect();
        let luma = Luma::new(&data, (3, 3), 4).unwrap();
        assert_eq!((luma.row(2), luma.row(3)), (&data[8..11], &[][..]));
        assert_eq!((luma.at(-5.0, f32::NAN), luma.at(1.9, 1.0), luma.at(1e9, 1e9)), (0, 5, 10));
        assert!(Luma::new(&data, (3, 4), 4).is_none() && Luma::new(&data, (0, 1), 1).is_none());
        assert!(Luma::new(&data, (5, 1), 4).is_none() && Luma::new(&data, (1, usize::MAX), 2).is_none());
    }
}

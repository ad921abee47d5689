//! The stamp in a picture: where it lies, and how it is drawn. The page docs/stamp.md has a picture of it.

use super::code::FrameStamp;

/// Cells of a side: a light rim, a dark frame, eight cells of data, the frame, the rim.
pub const SIDE: usize = 12;
/// Cells of a side of the dark frame and all within it.
pub const FRAME: usize = 10;
/// Cells of a side of the data.
pub const DATA: usize = 8;
/// Brightness of a cell that is 0, and of one that is 1: within the limited range, so that nothing is clipped on the way.
pub const DARK: u8 = 24;
pub const LIGHT: u8 = 228;
/// The smallest cell that is drawn, pixels.
const SMALLEST: usize = 4;

/// Where the stamp lies in a picture: the upper left corner of its rim and the side of a cell, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    pub x: usize,
    pub y: usize,
    pub cell: usize,
}

impl Spot {
    /// In the middle of a picture of this size, two thirds of its shorter side long. None where that would be too small.
    pub fn within(width: usize, height: usize) -> Option<Spot> {
        let mut cell = width.min(height) * 2 / 3 / SIDE;
        // Whole blocks of a codec hold one cell each, and cost it little.
        if cell >= 16 {
            cell -= cell % 8;
        } else if cell >= 8 {
            cell -= cell % 4;
        }
        let from = |side: usize| (side - cell * SIDE) / 2 / 8 * 8;
        (cell >= SMALLEST).then(|| Spot { x: from(width), y: from(height), cell })
    }

    /// The side of the stamp in pixels.
    pub fn side(self) -> usize {
        self.cell * SIDE
    }
}

/// Draws a stamp into a plane of brightness with rows of `stride` bytes. What lies outside is left out, and so is a stamp
/// whose rate cannot be named.
pub fn draw(luma: &mut [u8], stride: usize, spot: Spot, stamp: FrameStamp) {
    let Some(word) = stamp.word() else { return };
    let rows = luma.chunks_mut(stride.max(1)).skip(spot.y).take(spot.side());
    for (y, row) in rows.enumerate() {
        for column in 0..SIDE {
            let from = spot.x + column * spot.cell;
            let value = if is_light(word, column, y / spot.cell) { LIGHT } else { DARK };
            if let Some(cell) = row.get_mut(from..from + spot.cell) {
                cell.fill(value);
            }
        }
    }
}

/// What a cell is in the stamp of `word`.
fn is_light(word: u64, column: usize, row: usize) -> bool {
    let edge = |n: usize| n.min(SIDE - 1 - n.min(SIDE - 1));
    match edge(column).min(edge(row)) {
        0 => true,
        1 => false,
        _ => word >> (63 - ((row - 2) * DATA + column - 2)) & 1 == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_in_the_middle_whatever_the_size() {
        for (width, height, cell) in
            [(1280, 720, 40), (640, 360, 16), (160, 90, 5), (720, 1280, 40), (1920, 1080, 56), (256, 144, 8)]
        {
            let spot = Spot::within(width, height).unwrap();
            assert_eq!(spot.cell, cell, "{width}x{height}");
            assert!(spot.x + spot.side() <= width && spot.y + spot.side() <= height);
            assert!((spot.x + spot.side() / 2).abs_diff(width / 2) <= 8, "{spot:?}");
        }
        assert_eq!(Spot::within(64, 48), None);
    }

    #[test]
    fn rim_and_frame_surround_the_data() {
        let mut luma = vec![100; 60 * 60];
        let stamp = FrameStamp { participant: 0x80, rate: 30, number: 0 };
        draw(&mut luma, 60, Spot { x: 0, y: 0, cell: 5 }, stamp);
        let at = |column: usize, row: usize| luma[(row * 5 + 2) * 60 + column * 5 + 2];
        assert!((0..12).all(|n| at(n, 0) == LIGHT && at(11, n) == LIGHT));
        assert!((1..11).all(|n| at(n, 1) == DARK && at(1, n) == DARK && at(10, n) == DARK && at(n, 10) == DARK));
        assert_eq!((at(2, 2), at(3, 2)), (LIGHT, DARK));
        // Outside of the picture nothing is drawn, and nothing fails.
        draw(&mut luma, 60, Spot { x: 50, y: 50, cell: 5 }, stamp);
        draw(&mut luma, 60, Spot { x: 500, y: 500, cell: 5 }, stamp);
    }
}

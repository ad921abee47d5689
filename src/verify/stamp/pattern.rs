//! The stamp in a frame: position and drawing. docs/stamp.md shows it.

use super::code::FrameStamp;

/// Cells per side: light rim, dark border, eight data cells, border, rim.
pub const SIDE: usize = 12;
/// Cells per side of the dark border and its inside.
pub const BORDER: usize = 10;
/// Cells per side of the data.
pub const DATA: usize = 8;
/// Luma of a cell that is 0; within the limited range, so that no conversion clips it.
pub const DARK: u8 = 24;
/// Luma of a cell that is 1.
pub const LIGHT: u8 = 228;
/// Minimum side of a cell, pixels.
const MIN_CELL: usize = 4;

/// Position of the stamp in a frame, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StampSquare {
    /// Left edge of the rim.
    pub x: usize,
    /// Upper edge of the rim.
    pub y: usize,
    /// Side of a cell.
    pub cell: usize,
}

impl StampSquare {
    /// The position in a frame of this size: centred, two thirds of the shorter side. None if cells would be too small.
    pub fn within(width: usize, height: usize) -> Option<StampSquare> {
        let mut cell = width.min(height) * 2 / 3 / SIDE;
        // Cells aligned to the codec's blocks need few bits.
        if cell >= 16 {
            cell -= cell % 8;
        } else if cell >= 8 {
            cell -= cell % 4;
        }
        let from = |side: usize| (side - cell * SIDE) / 2 / 8 * 8;
        (cell >= MIN_CELL).then(|| StampSquare { x: from(width), y: from(height), cell })
    }

    /// Side of the stamp, pixels.
    pub fn side(self) -> usize {
        self.cell * SIDE
    }
}

/// Draws a stamp into a luma plane with rows of `stride` bytes. It is clipped to the plane, and not drawn if its rate cannot be encoded.
pub fn draw(luma: &mut [u8], stride: usize, square: StampSquare, stamp: FrameStamp) {
    let Some(word) = stamp.word() else { return };
    let rows = luma.chunks_mut(stride.max(1)).skip(square.y).take(square.side());
    for (y, row) in rows.enumerate() {
        for column in 0..SIDE {
            let from = square.x + column * square.cell;
            let value = if is_light(word, column, y / square.cell) { LIGHT } else { DARK };
            if let Some(cell) = row.get_mut(from..from + square.cell) {
                cell.fill(value);
            }
        }
    }
}

/// Whether a cell is light in the stamp with the bits `word`.
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
    fn the_stamp_is_centred_in_any_size() {
        for (width, height, cell) in
            [(1280, 720, 40), (640, 360, 16), (160, 90, 5), (720, 1280, 40), (1920, 1080, 56), (256, 144, 8)]
        {
            let square = StampSquare::within(width, height).unwrap();
            assert_eq!(square.cell, cell, "{width}x{height}");
            assert!(square.x + square.side() <= width && square.y + square.side() <= height);
            assert!((square.x + square.side() / 2).abs_diff(width / 2) <= 8, "{square:?}");
        }
        assert_eq!(StampSquare::within(64, 48), None);
    }

    #[test]
    fn rim_and_border_surround_the_data() {
        let mut luma = vec![100; 60 * 60];
        let stamp = FrameStamp { participant: 0x80, rate: 30, number: 0 };
        draw(&mut luma, 60, StampSquare { x: 0, y: 0, cell: 5 }, stamp);
        let at = |column: usize, row: usize| luma[(row * 5 + 2) * 60 + column * 5 + 2];
        assert!((0..12).all(|n| at(n, 0) == LIGHT && at(11, n) == LIGHT));
        assert!((1..11).all(|n| at(n, 1) == DARK && at(1, n) == DARK && at(10, n) == DARK && at(n, 10) == DARK));
        assert_eq!((at(2, 2), at(3, 2)), (LIGHT, DARK));
        // Positions outside of the plane are harmless.
        draw(&mut luma, 60, StampSquare { x: 50, y: 50, cell: 5 }, stamp);
        draw(&mut luma, 60, StampSquare { x: 500, y: 500, cell: 5 }, stamp);
    }
}

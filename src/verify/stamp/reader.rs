//! Detects and decodes the stamps in a frame, at any position and number. It uses luma only and knows no layout. A doubtful stamp is reported as
//! unreadable rather than decoded wrongly.

use super::code::FrameStamp;
use super::luma::LumaPlane;
use super::pattern::{BORDER, DATA, SIDE, StampSquare};

/// Maximum number of scanned rows. The border of a stamp in one of 25 tiles is still 1.5 rows high.
const ROWS: usize = 120;
/// Luma thresholds between dark and light. The later ones are tried if the first finds nothing, for dimmed and washed-out frames.
const THRESHOLDS: [u8; 3] = [126, 60, 180];
/// Minimum side of a border, pixels: cells of 3.
const MIN_BORDER: usize = 3 * BORDER;
/// Minimum luma difference between rim and border.
const MIN_CONTRAST: f32 = 36.0;
/// Maximum number of wrong cells of the 80 in rim and border.
const MAX_WRONG_CELLS: usize = 6;
/// Maximum number of stamps in a frame.
const MAX_STAMPS: usize = 64;

/// A stamp that was detected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectedStamp {
    /// Where it is.
    pub region: Region,
    /// Its content; none if it could not be decoded.
    pub stamp: Option<FrameStamp>,
}

/// The outer edges of a stamp's dark border, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Left.
    pub x: f32,
    /// Top.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height; differs from the width if the frame was squeezed.
    pub height: f32,
}

/// Reads consecutive frames; it first looks where the last frame had stamps.
#[derive(Debug, Default)]
pub struct StampReader {
    known: Vec<Region>,
}

impl StampReader {
    /// A reader without a previous frame.
    pub fn new() -> StampReader {
        StampReader::default()
    }

    /// The stamps in a frame, in no particular order.
    pub fn read(&mut self, luma: &LumaPlane) -> Vec<DetectedStamp> {
        let mut found: Vec<DetectedStamp> = Vec::new();
        for region in std::mem::take(&mut self.known) {
            if let Some(Some(stamp)) = decode(luma, region) {
                found.push(DetectedStamp { region, stamp: Some(stamp) });
            }
        }
        for threshold in THRESHOLDS {
            scan(luma, threshold, &mut found);
            if found.iter().any(|detected| detected.stamp.is_some()) {
                break;
            }
        }
        self.known = found.iter().map(|detected| detected.region).collect();
        found
    }
}

/// Scans rows for a possible side of a border: a long dark run between light ones.
fn scan(luma: &LumaPlane, threshold: u8, found: &mut Vec<DetectedStamp>) {
    let step = (luma.height() / ROWS).max(1);
    let mut edges = Vec::new();
    for y in (step / 2..luma.height()).step_by(step) {
        let row = luma.row(y);
        changes(row, threshold, &mut edges);
        for (index, dark) in edges.chunks_exact(2).enumerate() {
            let before = index.checked_sub(1).and_then(|last| edges.get(2 * last + 1)).copied().unwrap_or(0);
            let after = edges.get(2 * index + 2).copied().unwrap_or(row.len());
            if found.len() < MAX_STAMPS {
                consider(luma, threshold, y, (before, dark[0], dark[1], after), found);
            }
        }
    }
}

/// The positions at which a row turns dark and light again, alternating.
fn changes(row: &[u8], threshold: u8, edges: &mut Vec<usize>) {
    edges.clear();
    let mut was_dark = false;
    for (x, value) in row.iter().enumerate() {
        let is_dark = *value < threshold;
        if is_dark != was_dark {
            edges.push(x);
            was_dark = is_dark;
        }
    }
}

/// Tries a dark run from `from` to `to`, with light from `before` and until `after`, as the side of a stamp's border.
fn consider(
    luma: &LumaPlane,
    threshold: u8,
    y: usize,
    (before, from, to, after): (usize, usize, usize, usize),
    found: &mut Vec<DetectedStamp>,
) {
    let length = to - from;
    let rim = length / (BORDER * 3);
    if length < MIN_BORDER || from - before < rim.max(1) || after - to < rim.max(1) {
        return;
    }
    let (x, at_y) = ((from + to) as f32 / 2.0, y as f32 + 0.5);
    if found.iter().any(|detected| detected.stamp.is_some() && detected.region.contains(x, at_y)) {
        return;
    }
    let Some(region) = locate_border(luma, threshold, y, from, to) else { return };
    let Some(stamp) = decode(luma, region) else { return };
    // Another row of an unreadable stamp may locate it better.
    match found.iter_mut().find(|detected| detected.region.overlaps(&region)) {
        Some(detected) if detected.stamp.is_none() => *detected = DetectedStamp { region, stamp },
        Some(_) => {}
        None => found.push(DetectedStamp { region, stamp }),
    }
}

/// The border whose top or bottom row is dark from `from` to `to`.
fn locate_border(luma: &LumaPlane, threshold: u8, y: usize, from: usize, to: usize) -> Option<Region> {
    let cell = (to - from) as f32 / BORDER as f32;
    let (left, right) = (from as f32 + cell / 2.0, to as f32 - cell / 2.0);
    let (top_left, top_right) = (dark_until(luma, threshold, left, y, -1)?, dark_until(luma, threshold, right, y, -1)?);
    let (low_left, low_right) = (dark_until(luma, threshold, left, y, 1)?, dark_until(luma, threshold, right, y, 1)?);
    if (top_left - top_right).abs() > cell || (low_left - low_right).abs() > cell {
        return None;
    }
    let (top, low) = ((top_left + top_right) / 2.0, (low_left + low_right) / 2.0);
    let height = low - top;
    let width = (to - from) as f32;
    if height < MIN_BORDER as f32 || height > 2.2 * width || width > 2.2 * height {
        return None;
    }
    // Measure the sides again in the middle of the border: the row that was found may be its blurred edge.
    let rows = [0.25, 0.4, 0.6, 0.75].map(|part| (top + height * part) as usize);
    let mut lefts = rows.map(|row| edge(luma, threshold, row, left, -1).unwrap_or(from as f32));
    let mut rights = rows.map(|row| edge(luma, threshold, row, right, 1).unwrap_or(to as f32));
    lefts.sort_by(f32::total_cmp);
    rights.sort_by(f32::total_cmp);
    let (x, end) = ((lefts[1] + lefts[2]) / 2.0, (rights[1] + rights[2]) / 2.0);
    Some(Region { x, y: top, width: end - x, height })
}

/// Outwards along a row: where dark turns to light, with subpixel precision.
fn edge(luma: &LumaPlane, threshold: u8, y: usize, from: f32, step: isize) -> Option<f32> {
    let row = luma.row(y);
    crossing(threshold, from as usize, step, |x| row.get(x).copied())
}

/// The same along a column.
fn dark_until(luma: &LumaPlane, threshold: u8, x: f32, from: usize, step: isize) -> Option<f32> {
    crossing(threshold, from, step, |y| luma.row(y).get(x as usize).copied())
}

fn crossing(threshold: u8, from: usize, step: isize, value: impl Fn(usize) -> Option<u8>) -> Option<f32> {
    let mut at = from;
    let mut here = value(at)?;
    if here >= threshold {
        return None;
    }
    loop {
        let next = at.checked_add_signed(step)?;
        let there = value(next)?;
        if there >= threshold {
            // Interpolated between two pixel centres.
            let part = f32::from(threshold - here) / f32::from(there - here).max(1.0);
            return Some(at as f32 + 0.5 + part * step as f32);
        }
        (at, here) = (next, there);
    }
}

impl Region {
    fn contains(&self, x: f32, y: f32) -> bool {
        (self.x - 2.0..self.x + self.width + 2.0).contains(&x)
            && (self.y - 2.0..self.y + self.height + 2.0).contains(&y)
    }

    /// True if the centre of one is in the other.
    fn overlaps(&self, other: &Region) -> bool {
        let within = |a: &Region, b: &Region| a.contains(b.x + b.width / 2.0, b.y + b.height / 2.0);
        within(self, other) || within(other, self)
    }

    /// The centre of a cell; cells are counted from the rim.
    fn cell_centre(&self, column: usize, row: usize) -> (f32, f32) {
        let (cell_x, cell_y) = (self.width / BORDER as f32, self.height / BORDER as f32);
        (self.x + (column as f32 - 0.5) * cell_x, self.y + (row as f32 - 0.5) * cell_y)
    }

    /// Left, top, width and height of the whole stamped frame around it, for a source of this size. None if such a source has no stamp.
    pub fn picture(&self, source: (usize, usize)) -> Option<[f32; 4]> {
        let square = StampSquare::within(source.0, source.1)?;
        let cells = (square.cell * BORDER) as f32;
        let (scale_x, scale_y) = (self.width / cells, self.height / cells);
        let (x, y) = ((square.x + square.cell) as f32, (square.y + square.cell) as f32);
        Some([self.x - x * scale_x, self.y - y * scale_y, source.0 as f32 * scale_x, source.1 as f32 * scale_y])
    }
}

/// Decodes the stamp in a region. None if there is none; `Some(None)` if it cannot be decoded.
fn decode(luma: &LumaPlane, region: Region) -> Option<Option<FrameStamp>> {
    let value = |column: usize, row: usize| {
        let (x, y) = region.cell_centre(column, row);
        f32::from(luma.at(x, y))
    };
    let (mut rim, mut dark) = ([0.0f32; 4 * (SIDE - 1)], [0.0f32; 4 * (BORDER - 1)]);
    ring(0).zip(&mut rim).for_each(|((column, row), to)| *to = value(column, row));
    ring(1).zip(&mut dark).for_each(|((column, row), to)| *to = value(column, row));
    let (high, low) = (mean(&rim), mean(&dark));
    let middle = (high + low) / 2.0;
    if high - low < MIN_CONTRAST {
        return None;
    }
    let flaws = rim.iter().filter(|v| **v < middle).count() + dark.iter().filter(|v| **v >= middle).count();
    if flaws > MAX_WRONG_CELLS {
        return None;
    }
    let mut bits = [0.0f32; DATA * DATA];
    for (index, bit) in bits.iter_mut().enumerate() {
        *bit = cell_luma(luma, &region, index % DATA + 2, index / DATA + 2) - middle;
    }
    Some(FrameStamp::read(&bits))
}

/// Mean luma of the inner half of a cell.
fn cell_luma(luma: &LumaPlane, region: &Region, column: usize, row: usize) -> f32 {
    let (x, y) = region.cell_centre(column, row);
    let (dx, dy) = (region.width / BORDER as f32 / 8.0, region.height / BORDER as f32 / 8.0);
    let mut sum = 0.0;
    for down in -2i8..=2 {
        for right in -2i8..=2 {
            sum += f32::from(luma.at(x + f32::from(right) * dx, y + f32::from(down) * dy));
        }
    }
    sum / 25.0
}

/// The cells at this distance from the stamp's edge, clockwise.
fn ring(inset: usize) -> impl Iterator<Item = (usize, usize)> {
    let (first, last) = (inset, SIDE - 1 - inset);
    (first..last).flat_map(move |n| [(n, first), (last, n), (last - (n - first), last), (first, last - (n - first))])
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;

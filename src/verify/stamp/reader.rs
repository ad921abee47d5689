//! Finds and reads the stamps in a picture, wherever they lie and however many there are. It looks at brightness only, knows no
//! layout, and would rather read nothing than something wrong.

use super::code::FrameStamp;
use super::luma::Luma;
use super::mark::{DATA, FRAME, SIDE};

/// A picture is looked through in so many rows at most: a tile among 25 has a frame of one row and a half at least.
const ROWS: usize = 120;
/// What is darker is dark; the others are tried where the first finds nothing, for pictures that were dimmed or washed out.
const THRESHOLDS: [u8; 3] = [126, 60, 180];
/// The shortest side of a frame, in pixels: cells of 3.
const SHORTEST: usize = 3 * FRAME;
/// How much brighter the rim is than the frame, at least.
const CONTRAST: f32 = 36.0;
/// Of the 84 cells of rim and frame, how many may be wrong.
const FLAWS: usize = 6;
/// Stamps in one picture, at most.
const MOST: usize = 64;

/// A stamp that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    pub place: Place,
    /// None: there is a stamp, but what it says is lost.
    pub stamp: Option<FrameStamp>,
}

/// Where the dark frame of a stamp lies: its outer edges, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

/// Reads pictures one after the other, and looks first where stamps were in the last one.
#[derive(Debug, Default)]
pub struct Reader {
    known: Vec<Place>,
}

impl Reader {
    pub fn new() -> Reader {
        Reader::default()
    }

    /// The stamps in a picture, in no order.
    pub fn read(&mut self, luma: &Luma) -> Vec<Sighting> {
        let mut found: Vec<Sighting> = Vec::new();
        for place in std::mem::take(&mut self.known) {
            if let Some(Some(stamp)) = look(luma, place) {
                found.push(Sighting { place, stamp: Some(stamp) });
            }
        }
        for threshold in THRESHOLDS {
            scan(luma, threshold, &mut found);
            if found.iter().any(|sighting| sighting.stamp.is_some()) {
                break;
            }
        }
        self.known = found.iter().map(|sighting| sighting.place).collect();
        found
    }
}

/// Looks through rows for what might be a side of a frame: dark for long, with light on either side.
fn scan(luma: &Luma, threshold: u8, found: &mut Vec<Sighting>) {
    let step = (luma.height() / ROWS).max(1);
    let mut edges = Vec::new();
    for y in (step / 2..luma.height()).step_by(step) {
        let row = luma.row(y);
        changes(row, threshold, &mut edges);
        for (index, dark) in edges.chunks_exact(2).enumerate() {
            let before = index.checked_sub(1).and_then(|last| edges.get(2 * last + 1)).copied().unwrap_or(0);
            let after = edges.get(2 * index + 2).copied().unwrap_or(row.len());
            if found.len() < MOST {
                consider(luma, threshold, y, (before, dark[0], dark[1], after), found);
            }
        }
    }
}

/// Where a row turns dark, and light again, in turn.
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

/// A dark run from `from` to `to` with light from `before` and until `after`: reads the stamp whose side it is.
fn consider(
    luma: &Luma,
    threshold: u8,
    y: usize,
    (before, from, to, after): (usize, usize, usize, usize),
    found: &mut Vec<Sighting>,
) {
    let length = to - from;
    let rim = length / (FRAME * 3);
    if length < SHORTEST || from - before < rim.max(1) || after - to < rim.max(1) {
        return;
    }
    let (x, at_y) = ((from + to) as f32 / 2.0, y as f32 + 0.5);
    if found.iter().any(|sighting| sighting.stamp.is_some() && sighting.place.holds(x, at_y)) {
        return;
    }
    let Some(place) = frame(luma, threshold, y, from, to) else { return };
    let Some(stamp) = look(luma, place) else { return };
    // Other rows of a stamp that could not be read may place it better.
    match found.iter_mut().find(|sighting| sighting.place.meets(&place)) {
        Some(sighting) if sighting.stamp.is_none() => *sighting = Sighting { place, stamp },
        Some(_) => {}
        None => found.push(Sighting { place, stamp }),
    }
}

/// The frame of which a row is dark from `from` to `to`.
fn frame(luma: &Luma, threshold: u8, y: usize, from: usize, to: usize) -> Option<Place> {
    let cell = (to - from) as f32 / FRAME as f32;
    let (left, right) = (from as f32 + cell / 2.0, to as f32 - cell / 2.0);
    let (top_left, top_right) = (dark_until(luma, threshold, left, y, -1)?, dark_until(luma, threshold, right, y, -1)?);
    let (low_left, low_right) = (dark_until(luma, threshold, left, y, 1)?, dark_until(luma, threshold, right, y, 1)?);
    if (top_left - top_right).abs() > cell || (low_left - low_right).abs() > cell {
        return None;
    }
    let (top, low) = ((top_left + top_right) / 2.0, (low_left + low_right) / 2.0);
    let height = low - top;
    let width = (to - from) as f32;
    if height < SHORTEST as f32 || height > 2.2 * width || width > 2.2 * height {
        return None;
    }
    // The sides again, where they are long: the row that was found may be the blurred rim of the frame.
    let rows = [0.25, 0.4, 0.6, 0.75].map(|part| (top + height * part) as usize);
    let mut lefts = rows.map(|row| edge(luma, threshold, row, left, -1).unwrap_or(from as f32));
    let mut rights = rows.map(|row| edge(luma, threshold, row, right, 1).unwrap_or(to as f32));
    lefts.sort_by(f32::total_cmp);
    rights.sort_by(f32::total_cmp);
    let (x, end) = ((lefts[1] + lefts[2]) / 2.0, (rights[1] + rights[2]) / 2.0);
    Some(Place { x, y: top, width: end - x, height })
}

/// From the middle of a side's row outwards: where dark turns to light, to a part of a pixel.
fn edge(luma: &Luma, threshold: u8, y: usize, from: f32, step: isize) -> Option<f32> {
    let row = luma.row(y);
    crossing(threshold, from as usize, step, |x| row.get(x).copied())
}

/// The same up or down a column.
fn dark_until(luma: &Luma, threshold: u8, x: f32, from: usize, step: isize) -> Option<f32> {
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
            // Between the middles of two pixels, in proportion.
            let part = f32::from(threshold - here) / f32::from(there - here).max(1.0);
            return Some(at as f32 + 0.5 + part * step as f32);
        }
        (at, here) = (next, there);
    }
}

impl Place {
    fn holds(&self, x: f32, y: f32) -> bool {
        (self.x - 2.0..self.x + self.width + 2.0).contains(&x)
            && (self.y - 2.0..self.y + self.height + 2.0).contains(&y)
    }

    /// True where the middle of one lies in the other.
    fn meets(&self, other: &Place) -> bool {
        let within = |a: &Place, b: &Place| a.holds(b.x + b.width / 2.0, b.y + b.height / 2.0);
        within(self, other) || within(other, self)
    }

    /// The middle of a cell, counted from the rim.
    fn middle(&self, column: usize, row: usize) -> (f32, f32) {
        let (cell_x, cell_y) = (self.width / FRAME as f32, self.height / FRAME as f32);
        (self.x + (column as f32 - 0.5) * cell_x, self.y + (row as f32 - 0.5) * cell_y)
    }

    /// The stamped picture around it, were it whole: left, top, width and height, for a source of this size.
    pub fn picture(&self, source: (usize, usize)) -> Option<[f32; 4]> {
        let spot = super::mark::Spot::within(source.0, source.1)?;
        let cells = (spot.cell * FRAME) as f32;
        let (scale_x, scale_y) = (self.width / cells, self.height / cells);
        let (x, y) = ((spot.x + spot.cell) as f32, (spot.y + spot.cell) as f32);
        Some([self.x - x * scale_x, self.y - y * scale_y, source.0 as f32 * scale_x, source.1 as f32 * scale_y])
    }
}

/// Reads the stamp at a place: None where there is none, and nothing inside where its word is lost.
fn look(luma: &Luma, place: Place) -> Option<Option<FrameStamp>> {
    let value = |column: usize, row: usize| {
        let (x, y) = place.middle(column, row);
        f32::from(luma.at(x, y))
    };
    let (mut rim, mut dark) = ([0.0f32; 4 * (SIDE - 1)], [0.0f32; 4 * (FRAME - 1)]);
    ring(0).zip(&mut rim).for_each(|((column, row), to)| *to = value(column, row));
    ring(1).zip(&mut dark).for_each(|((column, row), to)| *to = value(column, row));
    let (high, low) = (mean(&rim), mean(&dark));
    let middle = (high + low) / 2.0;
    if high - low < CONTRAST {
        return None;
    }
    let flaws = rim.iter().filter(|v| **v < middle).count() + dark.iter().filter(|v| **v >= middle).count();
    if flaws > FLAWS {
        return None;
    }
    let mut bits = [0.0f32; DATA * DATA];
    for (index, bit) in bits.iter_mut().enumerate() {
        *bit = cell(luma, &place, index % DATA + 2, index / DATA + 2) - middle;
    }
    Some(FrameStamp::read(&bits))
}

/// How bright the inner half of a cell is.
fn cell(luma: &Luma, place: &Place, column: usize, row: usize) -> f32 {
    let (x, y) = place.middle(column, row);
    let (dx, dy) = (place.width / FRAME as f32 / 8.0, place.height / FRAME as f32 / 8.0);
    let mut sum = 0.0;
    for down in -2i8..=2 {
        for right in -2i8..=2 {
            sum += f32::from(luma.at(x + f32::from(right) * dx, y + f32::from(down) * dy));
        }
    }
    sum / 25.0
}

/// The cells at this distance from the stamp's edge, going round.
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

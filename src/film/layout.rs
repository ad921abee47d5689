//! Layouts: where the tiles of a frame are. Geometry only: it is told what is visible and knows nothing of time or media.

mod featured;
#[cfg(test)]
mod tests;

pub use crate::media::{Rect, Size};
pub use featured::featured;

/// The most tiles that are laid out; further participants are not visible.
pub const MAX_TILES: usize = 49;
/// Widths and heights that a frame may have, in pixels.
pub const SIDES: std::ops::RangeInclusive<u32> = 160..=7680;
/// Parts of the frame that a strip of faces may take: the first one that leaves the screen as large as any other does.
const STRIPS: [(u32, u32); 4] = [(1, 2), (1, 3), (1, 4), (1, 5)];
/// A face in a strip is at least this part of the frame's shorter side wide; participants who do not fit are not visible.
const MIN_FACE_PART: u32 = 9;
/// The shape of a face.
const FACE: Size = (16, 9);

/// The layout of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// As `Presentation` while a screen is shared, else as `Grid`.
    #[default]
    Auto,
    /// Everything in tiles of one size.
    Grid,
    /// The active speaker large, the others in a strip. While a screen is shared it is large, and the speaker is in the strip.
    Speaker,
    /// Shared screens as large as possible, faces in a strip, the active speaker first. Without a screen: as `Speaker`.
    Presentation,
    /// One tile: the screen that was shared last, else the active speaker.
    Single,
}

/// A shared screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// The caller's number.
    pub number: usize,
    /// Its size in pixels, or any size of the same aspect ratio.
    pub shape: Size,
}

/// What is visible, in order. The numbers are the caller's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Shared screens.
    pub screens: Vec<Screen>,
    /// Participants.
    pub faces: Vec<usize>,
    /// The most important face; the first, if this one is not among them.
    pub featured: Option<usize>,
}

/// What a tile shows: the caller's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shows {
    /// A shared screen.
    Screen(usize),
    /// A participant.
    Face(usize),
}

/// A tile of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// What it shows.
    pub shows: Shows,
    /// Where it is.
    pub area: Rect,
}

/// What is laid out, and its aspect ratio.
type Shown = (Shows, Size);

/// Lays `view` out in a frame of `size` (within [`SIDES`]). Tiles do not overlap and are within the frame.
pub fn layout(view: &View, size: Size, policy: Policy) -> Vec<Tile> {
    let (margin, gap) = spaces(size);
    let inner = Rect {
        x: margin,
        y: margin,
        width: even(size.0.saturating_sub(2 * margin)),
        height: even(size.1.saturating_sub(2 * margin)),
    };
    let screens: Vec<Shown> = view.screens.iter().map(|s| (Shows::Screen(s.number), s.shape)).collect();
    let faces: Vec<Shown> = view.faces.iter().map(|f| (Shows::Face(*f), FACE)).collect();
    let featured = view.featured.and_then(|f| view.faces.iter().position(|face| *face == f)).unwrap_or(0);
    let featured = faces.get(featured).copied();
    let others = || faces.iter().copied().filter(|face| Some(*face) != featured);
    let smallest = size.0.min(size.1) / MIN_FACE_PART;
    let beside = |large: Vec<Shown>, strip: Vec<Shown>| main_and_strip(inner, gap, smallest, &large, &strip);
    match policy {
        Policy::Grid => grid(inner, gap, &tiled(screens.into_iter().chain(faces))),
        Policy::Auto if screens.is_empty() => grid(inner, gap, &tiled(faces.into_iter())),
        Policy::Speaker | Policy::Presentation if screens.is_empty() => {
            beside(featured.into_iter().collect(), others().collect())
        }
        Policy::Speaker => beside(screens, featured.into_iter().collect()),
        Policy::Auto | Policy::Presentation => beside(screens, featured.into_iter().chain(others()).collect()),
        Policy::Single => main_area(inner, gap, screens.last().copied().or(featured).as_slice()),
    }
}

/// The largest rectangle of a picture's aspect ratio in the middle of `area`: nothing is stretched or cut off. Where it differs from
/// `area` by at most 2 %, it is `area`: narrow bars beside a picture are ugly.
pub fn fit(picture: Size, area: Rect) -> Rect {
    let (width, height) = (u64::from(picture.0.max(1)), u64::from(picture.1.max(1)));
    let (most_width, most_height) = (u64::from(area.width), u64::from(area.height));
    let (width, height) = if width * most_height >= height * most_width {
        (most_width, most_width * height / width)
    } else {
        (most_height * width / height, most_height)
    };
    if (most_width - width) * 50 <= most_width && (most_height - height) * 50 <= most_height {
        return area;
    }
    // Neither is larger than the area's.
    centred(area, (even(width as u32).max(2), even(height as u32).max(2)))
}

/// The first [`MAX_TILES`], all of one aspect ratio.
fn tiled(shown: impl Iterator<Item = Shown>) -> Vec<Shown> {
    shown.take(MAX_TILES).map(|(shows, _)| (shows, FACE)).collect()
}

/// What is important as large as possible, the others in a strip on its right or below it.
fn main_and_strip(area: Rect, gap: u32, smallest: u32, large: &[Shown], strip: &[Shown]) -> Vec<Tile> {
    if strip.is_empty() {
        return main_area(area, gap, large);
    }
    let mut best: Option<(u64, Vec<Tile>, Rect)> = None;
    for (part, whole) in STRIPS {
        for (first, second) in [beside(area, gap, part, whole), below(area, gap, part, whole)] {
            let tiles = main_area(first, gap, large);
            let seen = pixels(&tiles, large);
            // Strips are tried from wide to narrow; a narrower one has to be better by 2 %, for a wide one shows faces well.
            if best.as_ref().is_none_or(|(most, ..)| seen * 100 > most * 102) {
                best = Some((seen, tiles, second));
            }
        }
    }
    let Some((_, mut tiles, rest)) = best else { return Vec::new() };
    let most = (1..=strip.len().min(MAX_TILES)).rev().find(|count| tile(rest, gap, *count as u32).0 >= smallest);
    tiles.extend(grid(rest, gap, strip.get(..most.unwrap_or(1)).unwrap_or_default()));
    tiles
}

/// The visible pixels of what is shown in `tiles`.
fn pixels(tiles: &[Tile], shown: &[Shown]) -> u64 {
    let fitted = tiles.iter().zip(shown).map(|(tile, (_, shape))| fit(*shape, tile.area));
    fitted.map(|area| u64::from(area.width) * u64::from(area.height)).sum()
}

/// What is important takes the whole area: several in as many columns as show most of them.
fn main_area(area: Rect, gap: u32, shown: &[Shown]) -> Vec<Tile> {
    let shown = shown.get(..MAX_TILES).unwrap_or(shown);
    let count = shown.len() as u32;
    let columns = (1..=count).max_by_key(|columns| {
        let cells = cells(area, gap, shown, *columns);
        (pixels(&cells, shown), u32::MAX - columns)
    });
    let mut tiles = columns.map_or_else(Vec::new, |columns| cells(area, gap, shown, columns));
    for tile in tiles.iter_mut().filter(|tile| matches!(tile.shows, Shows::Face(_))) {
        // A face has a tile of its aspect ratio around it, a screen none.
        tile.area = fit(FACE, tile.area);
    }
    tiles
}

/// The whole of `area` in cells of one size, row by row.
fn cells(area: Rect, gap: u32, shown: &[Shown], columns: u32) -> Vec<Tile> {
    let rows = (shown.len() as u32).div_ceil(columns.max(1));
    let part = |side: u32, count: u32| even(side.saturating_sub((count - 1) * gap) / count).max(2);
    rows_of(area, gap, shown, (part(area.width, columns), part(area.height, rows)), columns)
}

/// A large part, and a strip of `part` in `whole` on its right.
fn beside(area: Rect, gap: u32, part: u32, whole: u32) -> (Rect, Rect) {
    let strip = even(area.width * part / whole);
    let width = even(area.width.saturating_sub(strip + gap)).max(2);
    (Rect { width, ..area }, Rect { x: area.x + width + gap, width: strip, ..area })
}

/// The same with the strip below.
fn below(area: Rect, gap: u32, part: u32, whole: u32) -> (Rect, Rect) {
    let strip = even(area.height * part / whole);
    let height = even(area.height.saturating_sub(strip + gap)).max(2);
    (Rect { height, ..area }, Rect { y: area.y + height + gap, height: strip, ..area })
}

/// Tiles of 16:9 in as many columns as make them largest; rows centred, the last one too.
fn grid(area: Rect, gap: u32, shown: &[Shown]) -> Vec<Tile> {
    let (width, height, columns) = tile(area, gap, shown.len() as u32);
    rows_of(area, gap, shown, (width, height), columns)
}

/// The largest tile of which `count` fit into `area`, and in how many columns.
fn tile(area: Rect, gap: u32, count: u32) -> (u32, u32, u32) {
    let shape = |columns: u32| {
        let rows = count.div_ceil(columns);
        let width = area.width.saturating_sub((columns - 1) * gap) / columns;
        let height = area.height.saturating_sub((rows - 1) * gap) / rows;
        let width = even(width.min(height * FACE.0 / FACE.1)).max(2);
        (width, even(width * FACE.1 / FACE.0).max(2), columns)
    };
    // Of two that are equal, the one with fewer columns.
    (1..=count).map(shape).max_by_key(|(w, _, c)| (*w, u32::MAX - c)).unwrap_or((2, 2, 1))
}

/// Tiles of one size in rows from the top left, all of it in the middle of `area`, the last row too.
fn rows_of(area: Rect, gap: u32, shown: &[Shown], (width, height): Size, columns: u32) -> Vec<Tile> {
    let (count, columns) = (shown.len() as u32, columns.max(1));
    let whole = |count: u32, side: u32| count * side + count.saturating_sub(1) * gap;
    let top = centred(area, (0, whole(count.div_ceil(columns), height))).y;
    let place = |(index, (shows, _)): (u32, &Shown)| {
        let (row, column) = (index / columns, index % columns);
        let in_row = columns.min(count - row * columns);
        let left = centred(area, (whole(in_row, width), 0)).x;
        let area = Rect { x: left + column * (width + gap), y: top + row * (height + gap), width, height };
        Tile { shows: *shows, area }
    };
    (0..).zip(shown).map(place).collect()
}

/// The outer margin and the space between tiles.
fn spaces((width, height): Size) -> (u32, u32) {
    let side = width.min(height);
    (even(side / 45).max(2), even(side / 60).max(2))
}

fn centred(area: Rect, (width, height): Size) -> Rect {
    let x = area.x + even(area.width.saturating_sub(width) / 2);
    let y = area.y + even(area.height.saturating_sub(height) / 2);
    Rect { x, y, width, height }
}

fn even(value: u32) -> u32 {
    value & !1
}

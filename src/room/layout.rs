//! Where everything lies in a film's picture. Geometry only: it is told who is to be seen and knows nothing of time or media.

/// The most tiles that are laid out; whoever comes after them is heard, not seen.
pub const MOST_TILES: usize = 49;
/// The sides that a picture may have, in pixels.
pub const SIDES: std::ops::RangeInclusive<u32> = 160..=7680;

/// Width and height in pixels.
pub type Size = (u32, u32);

/// A rectangle in whole pixels; all four are even, for chroma is stored at half the resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// How a picture is arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// As `Presentation` while a screen is shared, else as `Grid`.
    #[default]
    Auto,
    /// Everything in tiles of one size.
    Grid,
    /// Shared screens as large as they go, faces in a strip beside or below. Without a screen: a grid.
    Presentation,
}

/// What there is to be seen, first comes first. The numbers are the caller's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    pub screens: Vec<usize>,
    pub faces: Vec<usize>,
}

/// What a tile shows: the caller's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shows {
    Screen(usize),
    Face(usize),
}

/// A place in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    pub shows: Shows,
    pub area: Rect,
}

/// Arranges `view` in a picture of `size` (within [`SIDES`]). Tiles do not overlap and lie within the picture.
pub fn layout(view: &View, size: Size, policy: Policy) -> Vec<Tile> {
    let (margin, gap) = spaces(size);
    let inner = Rect {
        x: margin,
        y: margin,
        width: even(size.0.saturating_sub(2 * margin)),
        height: even(size.1.saturating_sub(2 * margin)),
    };
    let screens = || view.screens.iter().map(|s| Shows::Screen(*s));
    let faces = || view.faces.iter().map(|f| Shows::Face(*f));
    if policy == Policy::Grid || view.screens.is_empty() {
        return grid(inner, gap, screens().chain(faces()));
    }
    if view.faces.is_empty() {
        return stage(inner, gap, screens());
    }
    let (large, strip) = split(inner, gap);
    stage(large, gap, screens()).into_iter().chain(grid(strip, gap, faces())).collect()
}

/// The largest rectangle of a picture's shape in the middle of `area`: nothing is stretched, nothing cut off. Where that is
/// all but the whole (within 2 %), it is the whole: pixels are whole, and slivers beside a picture are ugly.
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

/// Screens take all the room there is: their own shape decides how they lie in it.
fn stage(area: Rect, gap: u32, screens: impl Iterator<Item = Shows>) -> Vec<Tile> {
    let screens: Vec<Shows> = screens.collect();
    match screens[..] {
        [shows] => vec![Tile { shows, area }],
        _ => grid(area, gap, screens.into_iter()),
    }
}

/// A large part and a strip: on the right of a wide picture, at the bottom of a tall one.
fn split(area: Rect, gap: u32) -> (Rect, Rect) {
    let part = |side: u32| even(side / 5);
    if area.width >= area.height {
        let strip = part(area.width);
        let width = even(area.width.saturating_sub(strip + gap));
        (Rect { width, ..area }, Rect { x: area.x + width + gap, width: strip, ..area })
    } else {
        let strip = part(area.height);
        let height = even(area.height.saturating_sub(strip + gap));
        (Rect { height, ..area }, Rect { y: area.y + height + gap, height: strip, ..area })
    }
}

/// Tiles of 16:9 in as many columns as make them largest; rows centred, the last one too.
fn grid(area: Rect, gap: u32, shown: impl Iterator<Item = Shows>) -> Vec<Tile> {
    let shown: Vec<Shows> = shown.take(MOST_TILES).collect();
    // At most 49, so the numbers fit.
    let count = shown.len() as u32;
    let shape = |columns: u32| {
        let rows = count.div_ceil(columns);
        let width = area.width.saturating_sub((columns - 1) * gap) / columns;
        let height = area.height.saturating_sub((rows - 1) * gap) / rows;
        let width = even(width.min(height * 16 / 9)).max(2);
        (width, even(width * 9 / 16).max(2), columns)
    };
    // Of two that are equal, the one with fewer columns.
    let Some((width, height, columns)) = (1..=count).map(shape).max_by_key(|(w, _, c)| (*w, u32::MAX - c)) else {
        return Vec::new();
    };
    let rows = count.div_ceil(columns);
    let whole = |count: u32, side: u32| count * side + (count - 1) * gap;
    let top = centred(area, (0, whole(rows, height))).y;
    let place = |(index, shows): (u32, &Shows)| {
        let (row, column) = (index / columns, index % columns);
        let in_row = columns.min(count - row * columns);
        let left = centred(area, (whole(in_row, width), 0)).x;
        let area = Rect { x: left + column * (width + gap), y: top + row * (height + gap), width, height };
        Tile { shows: *shows, area }
    };
    (0..).zip(&shown).map(place).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HD: Size = (1280, 720);

    fn view(screens: usize, faces: usize) -> View {
        View { screens: (0..screens).collect(), faces: (0..faces).collect() }
    }

    fn areas(view: &View, size: Size, policy: Policy) -> Vec<(u32, u32, u32, u32)> {
        layout(view, size, policy).iter().map(|t| (t.area.x, t.area.y, t.area.width, t.area.height)).collect()
    }

    #[test]
    fn grids_in_hd() {
        let grid = |faces| areas(&view(0, faces), HD, Policy::Auto);
        assert_eq!(grid(0), []);
        assert_eq!(grid(1), [(28, 16, 1222, 686)]);
        assert_eq!(grid(2), [(16, 186, 618, 346), (646, 186, 618, 346)]);
        assert_eq!(grid(3), [(34, 18, 600, 336), (646, 18, 600, 336), (340, 366, 600, 336)]);
        // Three above, two below in the middle.
        assert_eq!(grid(5)[3..], [(226, 366, 408, 228), (646, 366, 408, 228)]);
    }

    #[test]
    fn a_shared_screen_is_large_and_faces_are_beside_it() {
        let shared = areas(&view(1, 3), HD, Policy::Auto);
        assert_eq!(shared[0], (16, 16, 988, 688));
        assert_eq!(shared[1..], [(1016, 140, 248, 138), (1016, 290, 248, 138), (1016, 440, 248, 138)]);
        assert_eq!(areas(&view(1, 0), HD, Policy::Presentation), [(16, 16, 1248, 688)]);
        assert_eq!(areas(&view(1, 3), HD, Policy::Grid).len(), 4);
        assert_eq!(areas(&view(0, 3), HD, Policy::Presentation), areas(&view(0, 3), HD, Policy::Grid));
        // A tall picture has its strip at the bottom.
        let tall = areas(&view(1, 2), (720, 1280), Policy::Auto);
        assert_eq!((tall[0], tall[1].1 > 1000), ((16, 16, 688, 988), true));
    }

    #[test]
    fn pictures_keep_their_shape() {
        let area = Rect { x: 10, y: 20, width: 600, height: 338 };
        assert_eq!(fit((640, 360), area), area);
        assert_eq!(fit((640, 480), area), Rect { x: 84, y: 20, width: 450, height: 338 });
        assert_eq!(fit((360, 640), area), Rect { x: 214, y: 20, width: 190, height: 338 });
        assert_eq!(fit((1920, 400), area), Rect { x: 10, y: 126, width: 600, height: 124 });
        assert_eq!(fit((0, u32::MAX), area).width, 2);
    }

    proptest! {
        #[test]
        fn tiles_lie_within_the_picture_and_apart(
            screens in 0usize..4,
            faces in 0usize..60,
            width in 80u32..1000,
            height in 80u32..1000,
            policy in prop::sample::select(vec![Policy::Auto, Policy::Grid, Policy::Presentation]),
        ) {
            let (width, height) = (width * 2, height * 2);
            let tiles = layout(&view(screens, faces), (width, height), policy);
            prop_assert!(tiles.len() >= (screens + faces).min(MOST_TILES));
            for (index, Tile { area: a, .. }) in tiles.iter().enumerate() {
                prop_assert!([a.x, a.y, a.width, a.height].iter().all(|v| v % 2 == 0) && a.width > 0 && a.height > 0);
                prop_assert!(a.x + a.width <= width && a.y + a.height <= height, "{a:?} {width}x{height}");
                for Tile { area: b, .. } in &tiles[index + 1..] {
                    let apart = a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
                    prop_assert!(apart, "{a:?} {b:?}");
                }
            }
        }
    }
}

//! What is drawn over and beside pictures: names, cards of people whose camera is off, round corners. Drawn once for each
//! scene and laid over again as pictures change under it.

use crate::error::Result;
use crate::media::{Library, caption};
use crate::room::layout::{Rect, Size};
use image::{Rgba, RgbaImage};

/// The colour behind everything.
pub const BACKGROUND: [u8; 3] = [18, 20, 26];
/// The colour of a tile around a picture of another shape, and of a card.
pub const TILE: [u8; 3] = [38, 42, 52];
/// The names' background and how much of it covers the picture.
const PILL: [u8; 3] = [10, 12, 16];
const PILL_ALPHA: f32 = 0.85;
/// The most characters of a name that are shown.
const MOST_CHARACTERS: usize = 24;
/// The discs behind initials; a name always has the same.
const DISCS: [[u8; 3]; 8] = [
    [66, 110, 180],
    [150, 84, 150],
    [60, 132, 112],
    [176, 104, 60],
    [110, 98, 180],
    [168, 76, 92],
    [84, 128, 66],
    [62, 124, 152],
];

/// How names are written in tiles of this height.
fn text_height(tile_height: u32) -> u32 {
    (tile_height / 14).clamp(11, 28)
}

/// A name on a dark pill, for a tile of `tile` pixels; the name is cut to what fits.
///
/// # Errors
/// The user's: text cannot be drawn here (a package is missing).
pub fn label(library: &Library, name: &str, tile: Size) -> Result<RgbaImage> {
    let text = text_height(tile.1);
    let (pad, height) = (text * 2 / 3, (text * 7 / 4) & !1);
    let widest = tile.0.saturating_sub(2 * pad).clamp(16, 2048) & !1;
    let stencil = stencil(library, &shortened(name, MOST_CHARACTERS), text, (widest, height), Align::Left(pad))?;
    // As wide as what was written; ink beyond is cut off by the pill's end.
    let ink = (0..widest).rev().find(|x| (0..height).any(|y| stencil.at(*x, y) > 40)).unwrap_or(0);
    let width = ((ink + 1 + pad).min(widest) + 1) & !1;
    let radius = height as f32 / 2.0;
    Ok(RgbaImage::from_fn(width, height, |x, y| {
        let inside = slab((x, y), (width, height), radius);
        let ink = f32::from(stencil.at(x, y)) / 255.0;
        let colour = PILL.map(|c| (f32::from(c) + (245.0 - f32::from(c)) * ink).round() as u8);
        let alpha = inside * (PILL_ALPHA + (1.0 - PILL_ALPHA) * ink);
        Rgba([colour[0], colour[1], colour[2], (alpha * 255.0).round() as u8])
    }))
}

/// A card for somebody who shows no picture: the initials on a disc.
///
/// # Errors
/// As [`label`].
pub fn card(library: &Library, name: &str, (width, height): Size) -> Result<RgbaImage> {
    let disc = DISCS[name.bytes().fold(0usize, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into())) % DISCS.len()];
    let across = (width.min(height) * 2 / 5).max(16) & !1;
    let letters = stencil(library, &initials(name), (across * 2 / 5).max(6), (across, across), Align::Middle)?;
    let (left, top) = ((width - across.min(width)) / 2, (height - across.min(height)) / 2);
    Ok(RgbaImage::from_fn(width, height, |x, y| {
        let mut colour = TILE;
        if (left..left + across).contains(&x) && (top..top + across).contains(&y) {
            let within = (x - left, y - top);
            let cover = slab(within, (across, across), across as f32 / 2.0);
            let ink = f32::from(letters.at(within.0, within.1)) / 255.0;
            for (have, disc) in colour.iter_mut().zip(disc) {
                let disc = f32::from(disc) + (245.0 - f32::from(disc)) * ink;
                *have = (f32::from(*have) + (disc - f32::from(*have)) * cover).round() as u8;
            }
        }
        Rgba([colour[0], colour[1], colour[2], 255])
    }))
}

/// What makes the corners of `area` round: the background in the four corners, clear elsewhere, each with its place.
pub fn corners(area: Rect) -> Vec<(RgbaImage, (u32, u32))> {
    let radius = (area.width.min(area.height) / 24).clamp(4, 16) & !1;
    let [r, g, b] = BACKGROUND;
    let corner = |dx: u32, dy: u32| {
        let picture = RgbaImage::from_fn(radius, radius, |x, y| {
            let whole = (area.width, area.height);
            let outside = 1.0 - slab((dx + x, dy + y), whole, radius as f32);
            Rgba([r, g, b, (outside * 255.0).round() as u8])
        });
        (picture, (area.x + dx, area.y + dy))
    };
    let (right, bottom) = (area.width.saturating_sub(radius), area.height.saturating_sub(radius));
    vec![corner(0, 0), corner(right, 0), corner(0, bottom), corner(right, bottom)]
}

/// Written words: how much ink there is in each pixel.
struct Stencil {
    size: Size,
    rgb: Vec<u8>,
}

impl Stencil {
    fn at(&self, x: u32, y: u32) -> u8 {
        if x >= self.size.0 {
            return 0;
        }
        self.rgb.get((y as usize * self.size.0 as usize + x as usize) * 3).copied().unwrap_or(0)
    }
}

enum Align {
    /// So many pixels from the left.
    Left(u32),
    Middle,
}

fn stencil(library: &Library, text: &str, height: u32, size: Size, align: Align) -> Result<Stencil> {
    // The row stride of RGB is a multiple of four bytes.
    let size = (size.0.div_ceil(4) * 4, size.1.max(16));
    let black = vec![0; size.0 as usize * size.1 as usize * 3];
    let markup = format!("<span font=\"DejaVu Sans Bold {height}px\">{}</span>", escaped(text));
    let (align, x) = match align {
        Align::Left(x) => ("left", x),
        Align::Middle => ("center", 0),
    };
    // Letters lie about in the middle of a line that is a fifth higher than their font.
    let y = size.1.saturating_sub(height * 6 / 5) / 2;
    let rgb = caption(library, size, black, &markup, align, (x, y))?;
    Ok(Stencil { size, rgb })
}

/// Text as Pango markup, on one line.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            c if c.is_control() => " ".into(),
            c => c.to_string(),
        })
        .collect()
}

fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.into();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}

/// The first letters of the first and the last word.
fn initials(name: &str) -> String {
    let mut firsts = name.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
    let (first, last) = (firsts.next(), firsts.next_back());
    let letters: String = first.into_iter().chain(last).flat_map(char::to_uppercase).collect();
    if letters.is_empty() { "?".into() } else { letters }
}

/// How much of a pixel is inside a rectangle at 0 with round corners: 0 to 1.
fn slab((x, y): (u32, u32), (width, height): Size, round: f32) -> f32 {
    let dx = (x as f32 + 0.5 - width as f32 / 2.0).abs() - width as f32 / 2.0 + round;
    let dy = (y as f32 + 0.5 - height as f32 / 2.0).abs() - height as f32 / 2.0 + round;
    let distance = dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0) - round;
    (0.5 - distance).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_initials_and_cannot_be_markup() {
        let all = ["Ada Lovelace", "bob", "Jean-Luc  van Dyck", "…", "", "\u{e9}mile zola"];
        assert_eq!(all.map(initials), ["AL", "B", "JD", "?", "?", "\u{c9}Z"]);
        assert_eq!(escaped("<b>&\n"), "&lt;b&gt;&amp; ");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("abcd", 4), "abcd");
    }

    #[test]
    fn labels_are_as_wide_as_their_names_and_fit_their_tile() {
        let library = Library::default();
        let label = |name: &str| label(&library, name, (240, 135)).unwrap();
        let (short, long) = (label("Al"), label("Somebody <with> a very long name"));
        assert!(short.width() < 60 && long.width() > 120 && long.width() <= 240, "{} {}", short.width(), long.width());
        // Light letters are there, and the pill's corners are clear.
        assert!(short.pixels().any(|p| p.0[0] > 200 && p.0[3] > 200) && short.get_pixel(0, 0).0[3] < 40);
    }

    #[test]
    fn a_card_has_a_disc_in_its_middle() {
        let card = card(&Library::default(), "Ada", (320, 180)).unwrap();
        assert_eq!(card.dimensions(), (320, 180));
        assert_eq!(card.get_pixel(5, 5).0[..3], TILE);
        assert_ne!(card.get_pixel(160, 60).0[..3], TILE);
    }
}

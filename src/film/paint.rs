//! Drawings over and beside pictures: names, muted signs, frames, cards for cameras that are off, round corners, titles, the clock.
//! Each is drawn once and put again over the pictures that change under it.

use super::text::{Line, TextBitmap, Weight, initials, render_line, shortened};
use crate::error::Result;
use crate::film::layout::{Rect, Size};
use crate::media::{Library, Overlay};
use image::{Rgba, RgbaImage};

/// The colour behind everything.
pub const BACKGROUND: [u8; 3] = [18, 20, 26];
/// The colour of a tile around a picture of another shape, and of a card.
pub const TILE: [u8; 3] = [38, 42, 52];
/// The background of names.
const PILL: [u8; 3] = [10, 12, 16];
/// Its opacity.
const PILL_ALPHA: f32 = 0.85;
/// The colour of text.
const INK: [u8; 3] = [245, 245, 245];
/// The colour of secondary text.
const GREY: [u8; 3] = [168, 174, 186];
/// The frame of the active speaker.
const SPEAKER: [u8; 3] = [88, 196, 132];
/// The sign of a muted microphone.
const MUTED: [u8; 3] = [236, 104, 96];
/// The most characters of a name that are shown.
const MAX_CHARACTERS: usize = 24;
/// Colours of the discs behind initials, chosen by the name.
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

/// The font size of names in tiles of this height.
fn text_height(tile_height: u32) -> u32 {
    (tile_height / 14).clamp(11, 30)
}

/// A name on a dark background, for a tile of `tile` pixels, after a crossed-out microphone if muted; cut to what fits.
///
/// # Errors
/// The user's: text cannot be drawn (a missing package).
pub fn label(library: &Library, name: &str, is_muted: bool, tile: Size) -> Result<RgbaImage> {
    let text = text_height(tile.1);
    let (pad, height) = (text * 2 / 3, (text * 7 / 4) & !1);
    let sign = if is_muted { text * 5 / 4 } else { 0 };
    let widest = tile.0.saturating_sub(2 * pad).clamp(height, 2048);
    let line = Line { text: &shortened(name, MAX_CHARACTERS), height: text, weight: Weight::Bold };
    let words = render_line(library, line, widest.saturating_sub(sign + 2 * pad).max(2))?;
    let width = (words.width() + sign + 2 * pad).min(widest).next_multiple_of(2);
    let top = height.saturating_sub(words.height()) / 2;
    Ok(RgbaImage::from_fn(width, height, |x, y| {
        let inside = rounded_rectangle((x, y), (width, height), height as f32 / 2.0);
        let (ink, letter) = words.pixel(x.checked_sub(pad + sign), y.checked_sub(top), INK);
        let sign = if is_muted { crossed_mic((x, y), (pad, height), text) } else { 0.0 };
        let colour = mix(mix(PILL, MUTED, sign), letter, ink);
        let alpha = inside * (PILL_ALPHA + (1.0 - PILL_ALPHA) * ink.max(sign));
        opaque(colour, alpha)
    }))
}

/// The coverage of a pixel by a crossed-out microphone of this text height, after `pad` pixels in a label of `height`.
fn crossed_mic((x, y): (u32, u32), (pad, height): (u32, u32), text: u32) -> f32 {
    // In units of the text's height, from the middle of the sign.
    let unit = text as f32;
    let (x, y) = ((x as f32 + 0.5 - pad as f32) / unit - 0.42, (y as f32 + 0.5 - height as f32 / 2.0) / unit);
    let cover = |distance: f32| (0.5 - distance * unit).clamp(0.0, 1.0);
    let line = 0.055;
    let capsule = x.hypot(((y + 0.16).abs() - 0.17).max(0.0)) - 0.16;
    let bow = if y > -0.1 { ((x.hypot(y + 0.04)) - 0.31).abs() - line } else { 1.0 };
    let stand = (x.abs() - line).max((y - 0.38).abs() - 0.11);
    // From the upper left to the lower right, with a gap along it.
    let along = ((x + y) / std::f32::consts::SQRT_2).abs() - 0.56;
    let across = ((x - y) / std::f32::consts::SQRT_2).abs();
    let mic = cover(capsule.min(bow).min(stand)) * (1.0 - cover((across - 3.0 * line).max(along)));
    mic.max(cover((across - line).max(along)))
}

/// A card for a participant without a picture: the initials on a disc.
///
/// # Errors
/// As [`label`].
pub fn card(library: &Library, name: &str, (width, height): Size) -> Result<RgbaImage> {
    let disc = DISCS[name.bytes().fold(0usize, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into())) % DISCS.len()];
    let across = (width.min(height) * 9 / 20).max(16) & !1;
    let letters = initials(name);
    let line = Line { text: &letters, height: (across * 2 / 5).max(6), weight: Weight::Bold };
    let words = render_line(library, line, across)?;
    let (left, top) = (width.saturating_sub(across) / 2, height.saturating_sub(across) / 2);
    // Centred by their covered pixels, not by their line.
    let (words_left, words_top) =
        (width.saturating_sub(words.width()) / 2, (height / 2).saturating_sub(words.middle()));
    Ok(RgbaImage::from_fn(width, height, |x, y| {
        let within = x.checked_sub(left).zip(y.checked_sub(top)).filter(|(x, y)| *x < across && *y < across);
        let Some(within) = within else { return opaque(TILE, 1.0) };
        let cover = rounded_rectangle(within, (across, across), across as f32 / 2.0);
        let (ink, letter) = words.pixel(x.checked_sub(words_left), y.checked_sub(words_top), INK);
        opaque(mix(TILE, mix(disc, letter, ink), cover), 1.0)
    }))
}

/// The round corners of `area`, and a frame around the active speaker.
pub fn frame(area: Rect, speaks: bool) -> Overlay {
    let side = area.width.min(area.height);
    let radius = (side / 24).clamp(4, 16) & !1;
    let thick = if speaks { (side / 70).clamp(2, 6) } else { 0 };
    let size = (area.width, area.height);
    let part = |(dx, dy): (u32, u32), (width, height): Size| {
        let drawn = RgbaImage::from_fn(width, height, |x, y| {
            let at = (dx + x, dy + y);
            let outside = 1.0 - rounded_rectangle(at, size, radius as f32);
            let inset = |side: u32| side.saturating_sub(2 * thick);
            let within = at.0.checked_sub(thick).zip(at.1.checked_sub(thick));
            let inner = within.map_or(0.0, |at| {
                rounded_rectangle(at, (inset(size.0), inset(size.1)), (radius - thick.min(radius)) as f32)
            });
            let ring = if speaks { 1.0 - inner } else { 0.0 };
            opaque(mix(SPEAKER, BACKGROUND, outside), outside.max(ring))
        });
        (drawn, (area.x + dx, area.y + dy))
    };
    let (right, bottom) = (area.width.saturating_sub(radius), area.height.saturating_sub(radius));
    let mut parts = vec![
        part((0, 0), (radius, radius)),
        part((right, 0), (radius, radius)),
        part((0, bottom), (radius, radius)),
        part((right, bottom), (radius, radius)),
    ];
    if speaks {
        let (wide, high) = (area.width.saturating_sub(2 * radius), area.height.saturating_sub(2 * radius));
        parts.push(part((radius, 0), (wide, radius)));
        parts.push(part((radius, bottom), (wide, radius)));
        parts.push(part((0, radius), (radius, high)));
        parts.push(part((right, radius), (radius, high)));
    }
    let mut overlay = Overlay::default();
    parts.iter().for_each(|(drawn, at)| overlay.add(drawn, *at));
    overlay
}

/// A whole frame with a title and a line below it.
///
/// # Errors
/// As [`label`].
pub fn title(library: &Library, title: &str, below: &str, (width, height): Size) -> Result<RgbaImage> {
    let side = width.min(height);
    let room = width * 9 / 10;
    let mut large = (side / 11).max(12);
    let mut words = render_line(library, Line { text: title, height: large, weight: Weight::Bold }, u32::MAX)?;
    if words.width() > room {
        large = (large * room / words.width()).max(10);
        words = render_line(library, Line { text: title, height: large, weight: Weight::Bold }, room)?;
    }
    let small = render_line(library, Line { text: below, height: (side / 30).max(10), weight: Weight::Plain }, room)?;
    let place = |ink: u32, y: u32| ((width.saturating_sub(ink)) / 2, y);
    let (first, second) = (
        place(words.width(), height / 2 - words.height().min(height / 2)),
        place(small.width(), height / 2 + large / 3),
    );
    let over = |below: [u8; 3], words: &TextBitmap, (left, top): (u32, u32), (x, y): (u32, u32), usual: [u8; 3]| {
        let (ink, letter) = words.pixel(x.checked_sub(left), y.checked_sub(top), usual);
        mix(below, letter, ink)
    };
    Ok(RgbaImage::from_fn(width, height, |x, y| {
        let titled = over(BACKGROUND, &words, first, (x, y), INK);
        opaque(over(titled, &small, second, (x, y), GREY), 1.0)
    }))
}

/// The glyphs of a clock.
pub struct Clock {
    glyphs: Vec<(char, RgbaImage)>,
}

impl Clock {
    /// For frames of this size.
    ///
    /// # Errors
    /// As [`label`].
    pub fn new(library: &Library, size: Size) -> Result<Clock> {
        let text = (size.0.min(size.1) / 36).max(12);
        let height = (text * 7 / 4).next_multiple_of(2);
        let draw = |glyph: char| {
            let words =
                render_line(library, Line { text: &glyph.to_string(), height: text, weight: Weight::Bold }, 10 * text)?;
            // All digits are of one width; the colon is a narrow one.
            let width = if glyph == ':' { text / 2 } else { text * 3 / 4 }.next_multiple_of(2);
            let (left, top) = (width.saturating_sub(words.width()) / 2, height.saturating_sub(words.height()) / 2);
            let drawn = RgbaImage::from_fn(width, height, |x, y| {
                let (ink, _) = words.pixel(x.checked_sub(left), y.checked_sub(top), INK);
                opaque(mix(PILL, INK, ink), 1.0)
            });
            Ok((glyph, drawn))
        };
        Ok(Clock { glyphs: "0123456789:".chars().map(draw).collect::<Result<_>>()? })
    }

    /// The time since the recording began, at the upper right of a frame of this size. It is opaque, so it can be drawn over itself.
    pub fn overlay(&self, seconds: u64, size: Size) -> Overlay {
        let text = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        let glyphs: Vec<_> = text.chars().filter_map(|c| self.glyphs.iter().find(|(g, _)| *g == c)).collect();
        let wide: u32 = glyphs.iter().map(|(_, drawn)| drawn.width()).sum();
        let pad = glyphs.first().map_or(0, |(_, drawn)| drawn.height() / 4).next_multiple_of(2);
        let y = (size.0.min(size.1) / 30) & !1;
        let mut x = size.0.saturating_sub(wide + 2 * pad + y) & !1;
        let mut overlay = Overlay::default();
        let height = glyphs.first().map_or(0, |(_, drawn)| drawn.height());
        let end = RgbaImage::from_pixel(pad, height, opaque(PILL, 1.0));
        overlay.add(&end, (x, y));
        x += pad;
        for (_, drawn) in glyphs {
            overlay.add(drawn, (x, y));
            x += drawn.width();
        }
        overlay.add(&end, (x, y));
        overlay
    }
}

fn opaque([r, g, b]: [u8; 3], alpha: f32) -> Rgba<u8> {
    Rgba([r, g, b, (alpha.clamp(0.0, 1.0) * 255.0).round() as u8])
}

/// Interpolates between two colours: `part` 0 is `from`, 1 is `to`.
fn mix(from: [u8; 3], to: [u8; 3], part: f32) -> [u8; 3] {
    let mut colour = from;
    for (have, to) in colour.iter_mut().zip(to) {
        *have = (f32::from(*have) + (f32::from(to) - f32::from(*have)) * part).round() as u8;
    }
    colour
}

/// The coverage of a pixel by a rectangle with round corners and its corner at 0: from 0 to 1.
fn rounded_rectangle((x, y): (u32, u32), (width, height): Size, round: f32) -> f32 {
    let dx = (x as f32 + 0.5 - width as f32 / 2.0).abs() - width as f32 / 2.0 + round;
    let dy = (y as f32 + 0.5 - height as f32 / 2.0).abs() - height as f32 / 2.0 + round;
    let distance = dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0) - round;
    (0.5 - distance).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_as_wide_as_their_names_and_fit_their_tile() {
        let library = Library::default();
        let label = |name: &str, is_muted| label(&library, name, is_muted, (240, 135)).unwrap();
        let (short, long) = (label("Al", false), label("Somebody <with> a very long name", false));
        assert!(short.width() < 60 && long.width() > 120 && long.width() <= 240, "{} {}", short.width(), long.width());
        // Light letters are there, and the pill's corners are clear.
        assert!(short.pixels().any(|p| p.0[0] > 200 && p.0[3] > 200) && short.get_pixel(0, 0).0[3] < 40);
        // Red is there where it is muted, and only there.
        let is_red = |p: &Rgba<u8>| p.0[0] > 180 && p.0[1] < 140;
        assert!(label("Al", true).pixels().any(is_red) && !short.pixels().any(is_red));
        assert!(label("Al", true).width() > short.width());
    }

    #[test]
    fn a_card_has_a_disc_in_its_middle() {
        let card = card(&Library::default(), "Ada", (320, 180)).unwrap();
        assert_eq!(card.dimensions(), (320, 180));
        assert_eq!(card.get_pixel(5, 5).0[..3], TILE);
        assert_ne!(card.get_pixel(160, 60).0[..3], TILE);
    }

    #[test]
    fn a_title_fits_its_picture() {
        let library = Library::default();
        for text in ["Stand-up", "A title that is far too long for any picture of this size and goes on and on"] {
            let drawn = title(&library, text, "22 November 2026", (640, 360)).unwrap();
            let light = |x: u32| (0..360).any(|y| drawn.get_pixel(x, y).0[0] > 150);
            assert!(!(0..20).any(light) && !(620..640).any(light) && (0..640).any(light), "{text}");
        }
    }
}

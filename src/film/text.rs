//! Text as pixels, in any script, by Pango and the fonts of this machine. It lays nothing out.

use crate::error::Result;
use crate::media::{Library, caption};
use unicode_segmentation::UnicodeSegmentation;

/// The widest line that is drawn, in pixels.
const MAX_WIDTH: u32 = 4096;
/// Coverage up to this, of 255, counts as none.
const MIN_COVERAGE: u8 = 24;
/// The first character after Latin, Greek and Cyrillic.
const OTHER_SCRIPTS: char = '\u{530}';
/// From here on, characters that are no letters are emoji.
const EMOJI: char = '\u{2600}';

/// The weight of a font.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Regular.
    Plain,
    /// Bold.
    Bold,
}

/// A line of text.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The text.
    pub text: &'a str,
    /// The font size in pixels.
    pub height: u32,
    /// The weight of its font.
    pub weight: Weight,
}

/// A rendered line: the coverage of each pixel.
#[derive(Debug)]
pub struct TextBitmap {
    width: u32,
    height: u32,
    /// The middle row of the covered pixels.
    middle: u32,
    coverage: Vec<u8>,
    /// Colours of pixels that have their own, as emoji do; empty without any.
    colours: Vec<Option<[u8; 3]>>,
}

impl TextBitmap {
    /// The width of the covered pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The height of a line of this font; letters are in its middle.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The middle row of the covered pixels.
    pub fn middle(&self) -> u32 {
        self.middle
    }

    /// The coverage of a pixel, from 0 to 1; 0 outside.
    pub fn coverage(&self, x: u32, y: u32) -> f32 {
        self.at(x, y).and_then(|at| self.coverage.get(at)).map_or(0.0, |coverage| f32::from(*coverage) / 255.0)
    }

    /// The coverage and colour of a pixel: `usual` unless the letter has its own colour. `None` is a coordinate left of or above it.
    pub fn pixel(&self, x: Option<u32>, y: Option<u32>, usual: [u8; 3]) -> (f32, [u8; 3]) {
        let Some((x, y)) = x.zip(y) else { return (0.0, usual) };
        (self.coverage(x, y), self.at(x, y).and_then(|at| *self.colours.get(at)?).unwrap_or(usual))
    }

    fn at(&self, x: u32, y: u32) -> Option<usize> {
        (x < self.width && y < self.height).then_some(y as usize * self.width as usize + x as usize)
    }
}

/// Renders a line, cut to `room` pixels at its end.
///
/// # Errors
/// The user's: text cannot be drawn here (a package is missing).
pub fn render_line(library: &Library, line: Line, room: u32) -> Result<TextBitmap> {
    let height = (line.height * 3 / 2).max(16);
    // Fonts of other scripts have higher lines: there is room for them above and below.
    let (spare, whole) = (height / 2, height * 2);
    // The row stride of RGB is a multiple of four bytes. A character is at most about as wide as high, and a half.
    let longest = u32::try_from(line.text.chars().count())
        .unwrap_or(MAX_WIDTH)
        .saturating_add(1)
        .saturating_mul(line.height * 3 / 2);
    let (width, left) = (longest.clamp(16, MAX_WIDTH).next_multiple_of(4), 2);
    let font = if line.weight == Weight::Bold { "DejaVu Sans Bold" } else { "DejaVu Sans" };
    let markup = format!("<span font=\"{font} {}px\">{}</span>", line.height, escaped(line.text));
    // Letters lie about in the middle of a line that is a fifth higher than their font.
    let top = spare + height.saturating_sub(line.height * 6 / 5) / 2;
    let on = |ground: u8| {
        let ground = vec![ground; width as usize * whole as usize * 3];
        caption(library, (width, whole), ground, &markup, "left", (left, top))
    };
    let drawn = Rendered::new(on(0)?, || on(255))?;
    let at = |x: u32, y: u32| y as usize * width as usize + x as usize;
    let is_covered = |x: &u32| (0..whole).any(|y| drawn.coverage(at(*x, y)) > MIN_COVERAGE);
    let first = (0..width).find(is_covered).unwrap_or(0);
    let last = (first..width).rev().find(is_covered).unwrap_or(first);
    let shown = (last + 1 - first).min(room);
    // The end of a line that is read from right to left is its left one.
    let first = if is_right_to_left(line.text) { last + 1 - shown } else { first };
    let is_row_covered = |y: &u32| (first..=last).any(|x| drawn.coverage(at(x, *y)) > MIN_COVERAGE);
    let (upper, lower) = ((0..whole).find(is_row_covered), (0..whole).rev().find(is_row_covered));
    let middle = upper.zip(lower).map_or(whole / 2, |(upper, lower)| (upper + lower).div_ceil(2));
    // Latin letters have one base line; those of other scripts depend on their fonts.
    let from = if line.text.chars().all(|c| c < OTHER_SCRIPTS) {
        spare
    } else {
        middle.saturating_sub(height / 2).min(whole - height)
    };
    let pixels = || (from..from + height).flat_map(|y| (first..first + shown).map(move |x| at(x, y)));
    let coverage = pixels().map(|pixel| drawn.coverage(pixel)).collect();
    let colours = drawn.over_white.is_some().then(|| pixels().map(|pixel| drawn.colour(pixel)).collect());
    Ok(TextBitmap {
        width: shown,
        height,
        middle: middle.saturating_sub(from),
        coverage,
        colours: colours.unwrap_or_default(),
    })
}

/// White letters over black and, where some have colours, over white: coverage and colour follow from both.
struct Rendered {
    over_black: Vec<u8>,
    over_white: Option<Vec<u8>>,
}

impl Rendered {
    fn new(over_black: Vec<u8>, over_white: impl FnOnce() -> Result<Vec<u8>>) -> Result<Rendered> {
        let is_coloured =
            over_black.as_chunks::<3>().0.iter().any(|[r, g, b]| r.abs_diff(*g).max(g.abs_diff(*b)) > MIN_COVERAGE);
        let over_white = if is_coloured { Some(over_white()?) } else { None };
        Ok(Rendered { over_black, over_white })
    }

    fn channels(of: &[u8], number: usize) -> [u8; 3] {
        of.as_chunks().0.get(number).copied().unwrap_or_default()
    }

    /// The coverage of a pixel, of 255.
    fn coverage(&self, number: usize) -> u8 {
        let [black, ..] = Rendered::channels(&self.over_black, number);
        let Some(over_white) = &self.over_white else { return black };
        let through = Rendered::channels(over_white, number)[0].saturating_sub(black);
        255 - through
    }

    /// The colour of what covers a pixel; `None` for white letters.
    fn colour(&self, number: usize) -> Option<[u8; 3]> {
        let coverage = u16::from(self.coverage(number)).max(1);
        let colour =
            Rendered::channels(&self.over_black, number).map(|c| (u16::from(c) * 255 / coverage).min(255) as u8);
        colour.iter().any(|c| *c < 200).then_some(colour)
    }
}

/// True for text that is read from right to left: Hebrew, Arabic and others.
fn is_right_to_left(text: &str) -> bool {
    let strong = text.chars().find(|c| c.is_alphabetic());
    strong.is_some_and(|c| matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'))
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

/// At most `most` grapheme clusters, the last one `…` where it is cut.
pub fn shortened(name: &str, most: usize) -> String {
    if name.graphemes(true).count() <= most {
        return name.into();
    }
    name.graphemes(true).take(most.saturating_sub(1)).chain(["…"]).collect()
}

/// The first grapheme clusters of the first and the last word; of a name without letters, its first emoji.
pub fn initials(name: &str) -> String {
    let is_letter = |c: char| c.is_alphanumeric();
    let mut firsts = name.split_whitespace().filter_map(|word| word.graphemes(true).find(|g| g.starts_with(is_letter)));
    let letters: Vec<&str> = firsts.next().into_iter().chain(firsts.next_back()).collect();
    if letters.is_empty() {
        return name.graphemes(true).find(|g| g.starts_with(|c| c >= EMOJI)).unwrap_or("?").into();
    }
    // Arabic letters would join.
    letters.join(if is_right_to_left(name) { "\u{200c}" } else { "" }).to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_initials_and_cannot_be_markup() {
        let all =
            ["Ada Lovelace", "bob", "Jean-Luc  van Dyck", "…", "", "\u{e9}mile zola", "किरण राव", "山田 太郎", "🎉"];
        assert_eq!(all.map(initials), ["AL", "B", "JD", "?", "?", "\u{c9}Z", "किरा", "山太", "🎉"]);
        assert_eq!(initials("محمد علي"), "م\u{200c}ع");
        assert_eq!(escaped("<b>&\n"), "&lt;b&gt;&amp; ");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("abcd", 4), "abcd");
        assert_eq!(shortened("👩‍👧👩‍👧👩‍👧", 2), "👩‍👧…");
    }

    #[test]
    fn words_are_as_wide_as_their_ink() {
        let line = |text| Line { text, height: 20, weight: Weight::Plain };
        let library = Library::default();
        let (narrow, wide) =
            (render_line(&library, line("il"), 500).unwrap(), render_line(&library, line("MMMM"), 500).unwrap());
        assert!(narrow.width() < 15 && wide.width() > 55, "{} {}", narrow.width(), wide.width());
        assert!((0..wide.height()).any(|y| wide.coverage(0, y) > 0.0) && wide.coverage(wide.width(), 0) == 0.0);
        assert_eq!(render_line(&library, line("MMMM"), 30).unwrap().width(), 30);
        assert_eq!(render_line(&library, line(""), 30).unwrap().width(), 1);
    }

    #[test]
    fn every_script_is_written_in_letters_and_emoji_in_colour() {
        let library = Library::default();
        let line = |text| Line { text, height: 24, weight: Weight::Bold };
        // What no font has is a box: a line above and a line below.
        let is_box = |words: &TextBitmap| {
            let lined = |y: u32| {
                (0..words.width()).filter(|x| words.coverage(*x, y) > 0.3).count() * 5 > words.width() as usize * 4
            };
            let rows: Vec<u32> =
                (0..words.height()).filter(|y| (0..words.width()).any(|x| words.coverage(x, *y) > 0.3)).collect();
            rows.first().is_some_and(|y| lined(*y)) && rows.last().is_some_and(|y| lined(*y))
        };
        let write = |text| render_line(&library, line(text), 500).unwrap();
        assert!(is_box(&write("\u{e000}")));
        for letter in ["م", "ש", "प", "ส", "山", "あ", "민", "ა", "த"] {
            let words = write(letter);
            assert!(
                !is_box(&words) && words.coverage.iter().any(|coverage| *coverage > 200),
                "{letter}: a font is missing, see ./setup"
            );
            // In the middle of the line, and whole.
            assert!(words.middle().abs_diff(words.height() / 2) <= 1, "{letter}");
            let [top, bottom] = [0, words.height() - 1].map(|y| (0..words.width()).any(|x| words.coverage(x, y) > 0.3));
            assert!(!top && !bottom, "{letter}");
        }
        let party = render_line(&library, line("Al 🎉"), 500).unwrap();
        let colours = |words: &TextBitmap, x: u32| {
            (0..words.height())
                .any(|y| words.coverage(x, y) > 0.5 && words.pixel(Some(x), Some(y), [245; 3]).1 != [245; 3])
        };
        assert!(!(0..10).any(|x| colours(&party, x)) && (30..party.width()).any(|x| colours(&party, x)));
        // What is cut off is the end.
        let [whole, cut] = [500, 20].map(|room| render_line(&library, line("שרה כהן"), room).unwrap());
        assert_eq!(cut.coverage(19, 18), whole.coverage(whole.width() - 1, 18));
    }
}

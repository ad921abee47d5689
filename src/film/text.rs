//! Words as pixels, in whatever script, by Pango and the fonts of this machine. It lays nothing out.

use crate::error::Result;
use crate::media::{Library, caption};
use unicode_segmentation::UnicodeSegmentation;

/// The widest line that is drawn, in pixels.
const WIDEST: u32 = 4096;
/// Less ink than this, of 255, is none.
const FAINT: u8 = 24;
/// Before it are Latin, Greek and Cyrillic.
const OTHER_SCRIPTS: char = '\u{530}';
/// From here on, what is no letter is a picture.
const EMOJI: char = '\u{2600}';

/// How letters look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Plain,
    Bold,
}

/// A line to be written.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    pub text: &'a str,
    /// Of its font, in pixels.
    pub height: u32,
    pub weight: Weight,
}

/// A written line: how much ink there is in each pixel.
#[derive(Debug)]
pub struct Words {
    width: u32,
    height: u32,
    /// Where the ink's middle is, in pixels from the top.
    middle: u32,
    ink: Vec<u8>,
    /// Of letters that have their own, as emoji do; empty where none has.
    colours: Vec<Option<[u8; 3]>>,
}

impl Words {
    /// As wide as the ink is.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// As high as a line of this font; letters lie in its middle.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The row of the ink's middle.
    pub fn middle(&self) -> u32 {
        self.middle
    }

    /// From 0 to 1; 0 outside.
    pub fn ink(&self, x: u32, y: u32) -> f32 {
        self.at(x, y).and_then(|at| self.ink.get(at)).map_or(0.0, |ink| f32::from(*ink) / 255.0)
    }

    /// How much ink there is, and its colour: `usual` unless the letter has its own. No coordinate is one left of or above it.
    pub fn within(&self, x: Option<u32>, y: Option<u32>, usual: [u8; 3]) -> (f32, [u8; 3]) {
        let Some((x, y)) = x.zip(y) else { return (0.0, usual) };
        (self.ink(x, y), self.at(x, y).and_then(|at| *self.colours.get(at)?).unwrap_or(usual))
    }

    fn at(&self, x: u32, y: u32) -> Option<usize> {
        (x < self.width && y < self.height).then_some(y as usize * self.width as usize + x as usize)
    }
}

/// Writes a line, cut to `room` pixels at its end.
///
/// # Errors
/// The user's: text cannot be drawn here (a package is missing).
pub fn written(library: &Library, line: Line, room: u32) -> Result<Words> {
    let height = (line.height * 3 / 2).max(16);
    // Fonts of other scripts have higher lines: there is room for them above and below.
    let (spare, whole) = (height / 2, height * 2);
    // The row stride of RGB is a multiple of four bytes. A character is at most about as wide as high, and a half.
    let longest = u32::try_from(line.text.chars().count())
        .unwrap_or(WIDEST)
        .saturating_add(1)
        .saturating_mul(line.height * 3 / 2);
    let (width, left) = (longest.clamp(16, WIDEST).next_multiple_of(4), 2);
    let font = if line.weight == Weight::Bold { "DejaVu Sans Bold" } else { "DejaVu Sans" };
    let markup = format!("<span font=\"{font} {}px\">{}</span>", line.height, escaped(line.text));
    // OutgoingQueue lie about in the middle of a line that is a fifth higher than their font.
    let top = spare + height.saturating_sub(line.height * 6 / 5) / 2;
    let on = |ground: u8| {
        let ground = vec![ground; width as usize * whole as usize * 3];
        caption(library, (width, whole), ground, &markup, "left", (left, top))
    };
    let drawn = Drawn::new(on(0)?, || on(255))?;
    let at = |x: u32, y: u32| y as usize * width as usize + x as usize;
    let has_ink = |x: &u32| (0..whole).any(|y| drawn.ink(at(*x, y)) > FAINT);
    let first = (0..width).find(has_ink).unwrap_or(0);
    let last = (first..width).rev().find(has_ink).unwrap_or(first);
    let shown = (last + 1 - first).min(room);
    // Its end is where it is read last.
    let first = if reads_leftwards(line.text) { last + 1 - shown } else { first };
    let row_has_ink = |y: &u32| (first..=last).any(|x| drawn.ink(at(x, *y)) > FAINT);
    let (upper, lower) = ((0..whole).find(row_has_ink), (0..whole).rev().find(row_has_ink));
    let middle = upper.zip(lower).map_or(whole / 2, |(upper, lower)| (upper + lower).div_ceil(2));
    // Latin letters stand on one line, whatever they are; where the lines of other scripts lie is their fonts' affair.
    let from = if line.text.chars().all(|c| c < OTHER_SCRIPTS) {
        spare
    } else {
        middle.saturating_sub(height / 2).min(whole - height)
    };
    let pixels = || (from..from + height).flat_map(|y| (first..first + shown).map(move |x| at(x, y)));
    let ink = pixels().map(|pixel| drawn.ink(pixel)).collect();
    let colours = drawn.over_white.is_some().then(|| pixels().map(|pixel| drawn.colour(pixel)).collect());
    Ok(Words { width: shown, height, middle: middle.saturating_sub(from), ink, colours: colours.unwrap_or_default() })
}

/// White letters over black and, where there are coloured ones among them, over white: from both follows what covers how much.
struct Drawn {
    over_black: Vec<u8>,
    over_white: Option<Vec<u8>>,
}

impl Drawn {
    fn new(over_black: Vec<u8>, over_white: impl FnOnce() -> Result<Vec<u8>>) -> Result<Drawn> {
        let is_coloured =
            over_black.as_chunks::<3>().0.iter().any(|[r, g, b]| r.abs_diff(*g).max(g.abs_diff(*b)) > FAINT);
        let over_white = if is_coloured { Some(over_white()?) } else { None };
        Ok(Drawn { over_black, over_white })
    }

    fn pixel(of: &[u8], number: usize) -> [u8; 3] {
        of.as_chunks().0.get(number).copied().unwrap_or_default()
    }

    /// How much is covered, of 255.
    fn ink(&self, number: usize) -> u8 {
        let [black, ..] = Drawn::pixel(&self.over_black, number);
        let Some(over_white) = &self.over_white else { return black };
        let through = Drawn::pixel(over_white, number)[0].saturating_sub(black);
        255 - through
    }

    /// Of what covers it; none where that is a white letter.
    fn colour(&self, number: usize) -> Option<[u8; 3]> {
        let ink = u16::from(self.ink(number)).max(1);
        let colour = Drawn::pixel(&self.over_black, number).map(|c| (u16::from(c) * 255 / ink).min(255) as u8);
        colour.iter().any(|c| *c < 200).then_some(colour)
    }
}

/// True where a line begins at its right: Hebrew, Arabic and others.
fn reads_leftwards(text: &str) -> bool {
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

/// At most `most` characters, as people count them.
pub fn shortened(name: &str, most: usize) -> String {
    if name.graphemes(true).count() <= most {
        return name.into();
    }
    name.graphemes(true).take(most.saturating_sub(1)).chain(["…"]).collect()
}

/// The first letters of the first and the last word, with what belongs to them; of a name without letters, its first emoji.
pub fn initials(name: &str) -> String {
    let is_letter = |c: char| c.is_alphanumeric();
    let mut firsts = name.split_whitespace().filter_map(|word| word.graphemes(true).find(|g| g.starts_with(is_letter)));
    let letters: Vec<&str> = firsts.next().into_iter().chain(firsts.next_back()).collect();
    if letters.is_empty() {
        return name.graphemes(true).find(|g| g.starts_with(|c| c >= EMOJI)).unwrap_or("?").into();
    }
    // Arabic letters would join.
    letters.join(if reads_leftwards(name) { "\u{200c}" } else { "" }).to_uppercase()
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
            (written(&library, line("il"), 500).unwrap(), written(&library, line("MMMM"), 500).unwrap());
        assert!(narrow.width() < 15 && wide.width() > 55, "{} {}", narrow.width(), wide.width());
        assert!((0..wide.height()).any(|y| wide.ink(0, y) > 0.0) && wide.ink(wide.width(), 0) == 0.0);
        assert_eq!(written(&library, line("MMMM"), 30).unwrap().width(), 30);
        assert_eq!(written(&library, line(""), 30).unwrap().width(), 1);
    }

    #[test]
    fn every_script_is_written_in_letters_and_emoji_in_colour() {
        let library = Library::default();
        let line = |text| Line { text, height: 24, weight: Weight::Bold };
        // What no font has is a box: a line above and a line below.
        let is_box = |words: &Words| {
            let lined =
                |y: u32| (0..words.width()).filter(|x| words.ink(*x, y) > 0.3).count() * 5 > words.width() as usize * 4;
            let rows: Vec<u32> =
                (0..words.height()).filter(|y| (0..words.width()).any(|x| words.ink(x, *y) > 0.3)).collect();
            rows.first().is_some_and(|y| lined(*y)) && rows.last().is_some_and(|y| lined(*y))
        };
        let write = |text| written(&library, line(text), 500).unwrap();
        assert!(is_box(&write("\u{e000}")));
        for letter in ["م", "ש", "प", "ส", "山", "あ", "민", "ა", "த"] {
            let words = write(letter);
            assert!(
                !is_box(&words) && words.ink.iter().any(|ink| *ink > 200),
                "{letter}: a font is missing, see ./setup"
            );
            // In the middle of the line, and whole.
            assert!(words.middle().abs_diff(words.height() / 2) <= 1, "{letter}");
            let [top, bottom] = [0, words.height() - 1].map(|y| (0..words.width()).any(|x| words.ink(x, y) > 0.3));
            assert!(!top && !bottom, "{letter}");
        }
        let party = written(&library, line("Al 🎉"), 500).unwrap();
        let colours = |words: &Words, x: u32| {
            (0..words.height()).any(|y| words.ink(x, y) > 0.5 && words.within(Some(x), Some(y), [245; 3]).1 != [245; 3])
        };
        assert!(!(0..10).any(|x| colours(&party, x)) && (30..party.width()).any(|x| colours(&party, x)));
        // What is cut off is the end.
        let [whole, cut] = [500, 20].map(|room| written(&library, line("שרה כהן"), room).unwrap());
        assert_eq!(cut.ink(19, 18), whole.ink(whole.width() - 1, 18));
    }
}

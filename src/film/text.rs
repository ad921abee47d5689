//! Words as pixels, in whatever script, by Pango and the fonts of this machine. It lays nothing out.

use crate::error::Result;
use crate::media::{Library, caption};

/// The widest line that is drawn, in pixels.
const WIDEST: u32 = 4096;
/// Less ink than this, of 255, is none.
const FAINT: u8 = 24;

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
        let inside = x < self.width && y < self.height;
        let at = y as usize * self.width as usize + x as usize;
        self.ink.get(at).filter(|_| inside).map_or(0.0, |ink| f32::from(*ink) / 255.0)
    }
}

/// Writes a line, cut to `room` pixels at its end.
///
/// # Errors
/// The user's: text cannot be drawn here (a package is missing).
pub fn written(library: &Library, line: Line, room: u32) -> Result<Words> {
    let height = (line.height * 3 / 2).max(16);
    // The row stride of RGB is a multiple of four bytes. A character is at most about as wide as high, and a half.
    let longest = u32::try_from(line.text.chars().count())
        .unwrap_or(WIDEST)
        .saturating_add(1)
        .saturating_mul(line.height * 3 / 2);
    let (width, left) = (longest.clamp(16, WIDEST).next_multiple_of(4), 2);
    let font = if line.weight == Weight::Bold { "DejaVu Sans Bold" } else { "DejaVu Sans" };
    let markup = format!("<span font=\"{font} {}px\">{}</span>", line.height, escaped(line.text));
    // Letters lie about in the middle of a line that is a fifth higher than their font.
    let top = height.saturating_sub(line.height * 6 / 5) / 2;
    let black = vec![0; width as usize * height as usize * 3];
    let rgb = caption(library, (width, height), black, &markup, "left", (left, top))?;
    let at = |x: u32, y: u32| rgb.get((y as usize * width as usize + x as usize) * 3).copied().unwrap_or(0);
    let has_ink = |x: &u32| (0..height).any(|y| at(*x, y) > FAINT);
    let first = (0..width).find(has_ink).unwrap_or(0);
    let last = (first..width).rev().find(has_ink).unwrap_or(first);
    let width = (last + 1 - first).min(room);
    let ink = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| at(first + x, y)).collect();
    let row_has_ink = |y: &u32| (first..=last).any(|x| at(x, *y) > FAINT);
    let (upper, lower) = ((0..height).find(row_has_ink), (0..height).rev().find(row_has_ink));
    let middle = upper.zip(lower).map_or(height / 2, |(upper, lower)| (upper + lower).div_ceil(2));
    Ok(Words { width, height, middle, ink })
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

/// At most `most` characters.
pub fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.into();
    }
    name.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The first letters of the first and the last word.
pub fn initials(name: &str) -> String {
    let mut firsts = name.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
    let (first, last) = (firsts.next(), firsts.next_back());
    let letters: String = first.into_iter().chain(last).flat_map(char::to_uppercase).collect();
    if letters.is_empty() { "?".into() } else { letters }
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
}

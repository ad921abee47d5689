//! Rules for names of rooms and participants, shared by the room server, the in-memory room and the adapters. Pure.

use crate::room::participant::ParticipantId;
use unicode_normalization::UnicodeNormalization;

/// True for a room name: 1 to 64 of `[A-Za-z0-9._-]`, and not only dots (they would vanish from a URL's path).
pub fn is_room_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && name.bytes().any(|b| b != b'.')
}

/// A display name as a room shows it: NFC, one line, single spaces, no control characters and none that
/// change the text direction. `None` when nothing is left or it has more than `max_chars`.
pub fn display_name(raw: &str, max_chars: usize) -> Option<String> {
    // Too long in bytes already: normalizing a megabyte would only waste time.
    if raw.len() > max_chars.saturating_mul(16) {
        return None;
    }
    let visible: String =
        raw.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !is_invisible(*c)).nfc().collect();
    let name = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    (!name.is_empty() && name.chars().count() <= max_chars).then_some(name)
}

/// `name`, or the first of "name 2", "name 3", … that is not taken; never longer than `max_chars`.
pub fn numbered(name: &str, max_chars: usize, taken: impl Fn(&str) -> bool) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2u32;
    while taken(&candidate) {
        let suffix = format!(" {number}");
        let kept: String = name.chars().take(max_chars.saturating_sub(suffix.len())).collect();
        candidate = format!("{}{suffix}", kept.trim_end());
        number += 1;
    }
    candidate
}

/// A participant id made of a name that may have any characters: at most 48 of `[A-Za-z0-9_-]`. The first is the name alone, the others
/// get their number.
pub(super) fn id_from_name(name: &str, number: u32) -> ParticipantId {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
    let name: String = name.chars().take(48).map(safe).collect();
    ParticipantId(if number == 1 { name } else { format!("{name}-{number}") })
}

/// Percent-decodes (RFC 3986, 2.1); `None` where the result is not UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// Bidirectional controls and invisible characters that make two different names look alike.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        && c != '\u{200d}'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn room_names() {
        for good in ["a", "stand-up_2.0", &"x".repeat(64)] {
            assert!(is_room_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a%20", &"x".repeat(65)] {
            assert!(!is_room_name(bad), "{bad}");
        }
    }

    #[test]
    fn display_names_are_one_visible_line() {
        assert_eq!(display_name("  Ann\n\tLee ", 64).as_deref(), Some("Ann Lee"));
        assert_eq!(display_name("e\u{301}va", 64).as_deref(), Some("éva"));
        assert_eq!(display_name("Ann\u{202e}eeL", 64).as_deref(), Some("AnneeL"));
        for nothing in ["", " \n", "\u{200b}", &"x".repeat(65), &"x".repeat(1_000_000)] {
            assert_eq!(display_name(nothing, 64), None);
        }
    }

    #[test]
    fn the_second_of_a_name_is_numbered() {
        let taken = |people: &'static [&'static str]| move |name: &str| people.contains(&name);
        assert_eq!(numbered("Alice", 64, taken(&[])), "Alice");
        assert_eq!(numbered("Alice", 64, taken(&["Alice", "Alice 2"])), "Alice 3");
        assert_eq!(numbered("Alice", 5, taken(&["Alice"])), "Ali 2");
    }

    proptest! {
        #[test]
        fn a_display_name_is_stable_and_within_bounds(raw in "\\PC{0,80}|.{0,80}") {
            if let Some(name) = display_name(&raw, 64) {
                prop_assert!(name.chars().count() <= 64);
                prop_assert!(!name.chars().any(char::is_control));
                prop_assert_eq!(display_name(&name, 64), Some(name.clone()));
            }
        }
    }
}

//! Text from rooms and files that is safe to print.

/// `text` without what could move the cursor, colour the terminal or change the direction of writing: each such character becomes U+FFFD.
pub(super) fn printable(text: &str) -> String {
    let is_bidi =
        |c: char| matches!(c, '\u{200E}' | '\u{200F}' | '\u{061C}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || is_bidi(c) { '\u{FFFD}' } else { c }).collect()
}

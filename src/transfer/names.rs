//! Safe file names from the names that senders offer, unique in a folder. Pure text; never reads a disk.

use crate::room::names::is_device;
use std::collections::HashSet;
use unicode_normalization::UnicodeNormalization;

/// Bytes of a safe name at most: with a number and `.part` it fits into the 255 of file systems.
pub const MAX_NAME: usize = 220;
/// Bytes of an extension that is kept when a name is cut.
const MAX_EXTENSION: usize = 24;
/// The suffix of an incomplete file.
pub const PART: &str = ".part";

/// A visible and harmless file name on every system: the last path component of the offered name, NFC, without control, invisible and
/// direction characters; characters that some system forbids become `_`; no dot, space or `-` at the start, no dot or space at the end; no
/// device name, no `.part`; at most 220 bytes. `file` when nothing is left.
pub fn safe_file_name(offered: &str) -> String {
    let last = offered.rsplit(['/', '\\']).find(|part| !part.trim_matches(['.', ' ']).is_empty()).unwrap_or("");
    let visible = last.chars().filter(|c| !is_hidden(*c)).nfc().filter(|c| !is_hidden(*c));
    let name: String = visible.map(|c| if is_forbidden(c) { '_' } else { c }).collect();
    let name = name.trim_start_matches(is_edge).trim_end_matches(is_edge);
    let mut name = cut(name);
    if name.starts_with('-') || name.starts_with('~') || has_device_stem(&name) {
        name.insert(0, '_');
    }
    if name.to_lowercase().ends_with(PART) {
        name.push('_');
    }
    if name.is_empty() { "file".to_owned() } else { name }
}

fn is_edge(c: char) -> bool {
    c == '.' || c.is_whitespace()
}

fn is_forbidden(c: char) -> bool {
    matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        || c == '\u{fffd}'
        || (c.is_whitespace() && c != ' ')
}

/// Control and format characters (Unicode Cc, Cf) and line and paragraph separators: invisible, and some change the text direction.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

fn has_device_stem(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    is_device(&stem)
}

/// At most [`MAX_NAME`] bytes, the extension kept.
fn cut(name: &str) -> String {
    if name.len() <= MAX_NAME {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    let extension = if extension.len() <= MAX_EXTENSION { extension } else { "" };
    let end = stem.floor_char_boundary(MAX_NAME - extension.len());
    let stem = stem.get(..end).unwrap_or_default().trim_end_matches(is_edge);
    format!("{stem}{extension}")
}

/// Splits a name at its last dot, which belongs to the extension.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    }
}

/// The names used in one folder: no two differ only in case.
#[derive(Debug, Default)]
pub struct UsedNames(HashSet<String>);

impl UsedNames {
    /// Reserves the name, or the first of `name (2).pdf`, `name (3).pdf`, … that is neither used nor `occupied`.
    pub fn reserve(&mut self, name: &str, mut occupied: impl FnMut(&str) -> bool) -> String {
        let (stem, extension) = split(name);
        let mut candidate = name.to_owned();
        let mut number = 2u64;
        while !self.0.insert(fold(&candidate)) || occupied(&candidate) {
            candidate = format!("{stem} ({number}){extension}");
            number += 1;
        }
        candidate
    }
}

/// The same for two names that a file system may treat as equal.
fn fold(name: &str) -> String {
    name.nfkc().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_become_safe_and_stay_readable() {
        for (offered, name) in [
            ("report.pdf", "report.pdf"),
            ("Zoe\u{308}s Bericht (final).PDF", "Zoës Bericht (final).PDF"),
            ("李雷.txt", "李雷.txt"),
            ("🙂.png", "🙂.png"),
            ("../../etc/passwd", "passwd"),
            ("/etc/shadow", "shadow"),
            ("C:\\Users\\me\\x.doc", "x.doc"),
            ("a/..", "a"),
            ("..", "file"),
            ("", "file"),
            ("...", "file"),
            (" . . ", "file"),
            (".bashrc", "bashrc"),
            ("..hidden..", "hidden"),
            ("-rf", "_-rf"),
            ("~root", "_~root"),
            ("a\0b\nc\u{1b}[2Jd.txt", "abc[2Jd.txt"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("zero\u{200b}width.txt", "zerowidth.txt"),
            ("\u{feff}bom", "bom"),
            ("a:b*c?d\"e<f>g|h", "a_b_c_d_e_f_g_h"),
            ("line\u{2028}two", "linetwo"),
            ("CON", "_CON"),
            ("con.txt", "_con.txt"),
            ("aux .h", "_aux .h"),
            ("lpt1.tar.gz", "_lpt1.tar.gz"),
            ("com¹", "_com¹"),
            ("console.log", "console.log"),
            ("x.part", "x.part_"),
            ("x.PART", "x.PART_"),
            ("trailing. . ", "trailing"),
            ("nb\u{a0}space", "nb_space"),
        ] {
            assert_eq!(safe_file_name(offered), name, "{offered:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let name = safe_file_name(&format!("{}.pdf", "ä".repeat(300)));
        assert!(name.len() <= MAX_NAME && name.len() > MAX_NAME - 4 && name.ends_with("ä.pdf"), "{name}");
        let name = safe_file_name(&format!("a.{}", "x".repeat(600)));
        assert!(name.len() <= MAX_NAME && name.starts_with('a'), "{name}");
    }

    #[test]
    fn the_same_name_is_numbered_whatever_its_case() {
        let mut used = UsedNames::default();
        let free = |_: &str| false;
        for (name, gets) in [
            ("a.pdf", "a.pdf"),
            ("A.PDF", "A (2).PDF"),
            ("a.pdf", "a (3).pdf"),
            ("straße", "straße"),
            ("STRASSE", "STRASSE (2)"),
            ("ﬁle", "ﬁle"),
            ("file", "file (2)"),
        ] {
            assert_eq!(used.reserve(name, free), gets);
        }
        assert_eq!(used.reserve("there", |name| name == "there"), "there (2)");
    }

    proptest! {
        #[test]
        fn every_name_is_one_plain_part(offered in "\\PC*|.*|[./\\\\ ~:-]{0,12}|(?s).{0,40}") {
            let name = safe_file_name(&offered);
            prop_assert!(!name.is_empty() && name.len() <= MAX_NAME + 2, "{name:?}");
            prop_assert!(!name.chars().any(|c| is_hidden(c) || is_forbidden(c)), "{name:?}");
            prop_assert!(!name.starts_with(['.', ' ', '-', '~']) && !name.ends_with(['.', ' ']), "{name:?}");
            prop_assert!(!name.to_lowercase().ends_with(PART) && !has_device_stem(&name), "{name:?}");
        }
    }
}

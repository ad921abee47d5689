//! File names from display names and room names: pure text, and never a path, a hidden file or a device.

use crate::room::media::Source;
use crate::room::names::is_device;
use std::collections::{HashMap, HashSet};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The longest safe name in bytes: with source, number and extension it stays far below the 255 that file systems take.
const LONGEST: usize = 80;

/// A name that is safe as one part of a file name on every system: lower case, NFC, letters and digits of any script,
/// `_`, and `-` for everything else (separators, dots, spaces, control and direction characters, symbols); at most 80 bytes.
/// `fallback` where nothing is left.
pub fn safe_name(text: &str, fallback: &str) -> String {
    // A display name has at most 64 characters, but no caller has to know that for this to be bounded.
    let folded = text.chars().take(4 * LONGEST).nfc().flat_map(char::to_lowercase).nfc();
    let mut name = String::new();
    for c in folded {
        let kept =
            c.is_alphanumeric() || c == '_' || (is_combining_mark(c) && !name.is_empty() && !name.ends_with('-'));
        let c = if kept { c } else { '-' };
        if name.len() + c.len_utf8() > LONGEST {
            break;
        }
        if c != '-' || !(name.is_empty() || name.ends_with('-')) {
            name.push(c);
        }
    }
    name.truncate(name.trim_end_matches('-').len());
    if name.is_empty() {
        return fallback.to_owned();
    }
    if is_device(&name) {
        name.push('_');
    }
    name
}

/// Assigns each participant of one recording a unique name for its files, and each of its tracks a number.
///
/// The `key` of a participant is anything that stays the same while it is the same participant.
#[derive(Debug, Default)]
pub struct FileNames {
    by_key: HashMap<String, String>,
    taken: HashSet<String>,
    tracks: HashMap<(String, Source), u32>,
}

impl FileNames {
    /// The file name part of the participant `key`, called `display_name`: `alice`, and `alice-2` for the next of that name.
    pub fn participant(&mut self, key: &str, display_name: &str) -> String {
        if let Some(name) = self.by_key.get(key) {
            return name.clone();
        }
        let base = safe_name(display_name, "guest");
        let mut name = base.clone();
        let mut number = 2u64;
        while !self.taken.insert(name.clone()) {
            name = format!("{base}-{number}");
            number += 1;
        }
        self.by_key.insert(key.to_owned(), name.clone());
        name
    }

    /// The next track file of a participant, by its file name part: `alice.camera.1.webm`, then `alice.camera.2.webm`.
    pub fn track(&mut self, participant: &str, source: Source, extension: &str) -> String {
        let number = self.tracks.entry((participant.to_owned(), source)).or_default();
        *number += 1;
        format!("{participant}.{}.{number}.{extension}", source.word())
    }

    /// Goes on with the names that a recording has: keys of participants, and track files.
    pub fn resume<'a>(keys: impl Iterator<Item = &'a str>, files: impl Iterator<Item = &'a str>) -> FileNames {
        let mut names = FileNames { taken: keys.map(str::to_owned).collect(), ..FileNames::default() };
        for (participant, source, number) in files.filter_map(parts) {
            let last = names.tracks.entry((participant.to_owned(), source)).or_default();
            *last = number.max(*last);
        }
        names
    }

    /// Participant and source of a track file: the inverse of [`FileNames::track`].
    pub fn owner(file: &str) -> Option<(&str, Source)> {
        parts(file).map(|(participant, source, _)| (participant, source))
    }
}

/// Participant, source and number of a track file.
fn parts(file: &str) -> Option<(&str, Source, u32)> {
    let mut parts = file.split('.');
    let (participant, word) = (parts.next()?, parts.next()?);
    let number: u32 = parts.next()?.parse().ok()?;
    let is_whole = parts.next().is_some() && parts.next().is_none() && !participant.is_empty();
    let all = [Source::Camera, Source::Mic, Source::Screen, Source::ScreenAudio];
    all.into_iter().find(|source| is_whole && source.word() == word).map(|source| (participant, source, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_find_themselves() {
        for (text, name) in [
            ("Alice", "alice"),
            ("Alice Smith", "alice-smith"),
            ("Zoë", "zoë"),
            ("Zoe\u{308}", "zoë"),
            ("ÅSA Öberg", "åsa-öberg"),
            ("李雷", "李雷"),
            ("प्रिया", "प्रिया"),
            ("../../etc/passwd", "etc-passwd"),
            ("..", "guest"),
            (".hidden", "hidden"),
            ("a/b\\c:d*e?f", "a-b-c-d-e-f"),
            ("evil\u{202e}gpj.exe", "evil-gpj-exe"),
            ("tab\tnul\0line\n", "tab-nul-line"),
            ("CON", "con_"),
            ("lpt1", "lpt1_"),
            ("com¹", "com¹_"),
            ("console", "console"),
            ("", "guest"),
            ("🙂", "guest"),
            ("\u{301}", "guest"),
        ] {
            assert_eq!(safe_name(text, "guest"), name, "{text:?}");
        }
    }

    #[test]
    fn the_same_name_is_numbered_by_participant() {
        let mut names = FileNames::default();
        assert_eq!(names.participant("1", "Alice"), "alice");
        assert_eq!(names.participant("2", "alice"), "alice-2");
        assert_eq!(names.participant("3", "ALICE!"), "alice-3");
        assert_eq!(names.participant("4", "Alice 2"), "alice-2-2");
        assert_eq!(names.participant("1", "Alice renamed"), "alice");
    }

    #[test]
    fn tracks_of_a_source_are_numbered() {
        let mut names = FileNames::default();
        assert_eq!(names.track("alice", Source::Camera, "webm"), "alice.camera.1.webm");
        assert_eq!(names.track("alice", Source::Camera, "mkv"), "alice.camera.2.mkv");
        assert_eq!(names.track("alice", Source::ScreenAudio, "webm"), "alice.screen-audio.1.webm");
        assert_eq!(names.track("bob", Source::Camera, "webm"), "bob.camera.1.webm");
        assert_eq!(FileNames::owner("alice.screen-audio.1.webm"), Some(("alice", Source::ScreenAudio)));
        for other in ["film.webm", "alice.camera.webm", "alice.camera.x.webm", ".camera.1.webm", "a.camera.1.webm.part"]
        {
            assert_eq!(FileNames::owner(other), None, "{other}");
        }
    }

    #[test]
    fn a_continued_recording_takes_the_next_free_names() {
        let files = ["alice.camera.1.webm", "alice.camera.3.mkv", "alice.mic.1.webm", "odd.webm"];
        let mut names = FileNames::resume(["alice", "bob"].into_iter(), files.into_iter());
        assert_eq!(names.track("alice", Source::Camera, "webm"), "alice.camera.4.webm");
        assert_eq!(names.track("alice", Source::Mic, "webm"), "alice.mic.2.webm");
        assert_eq!(names.track("bob", Source::Mic, "webm"), "bob.mic.1.webm");
        // The room may give the id again that somebody else had.
        assert_eq!(names.participant("p1", "Bob"), "bob-2");
    }

    proptest! {
        #[test]
        fn every_name_is_safe(text in "\\PC*|.*") {
            let name = safe_name(&text, "guest");
            prop_assert!(!name.is_empty() && name.len() <= LONGEST + 1);
            prop_assert!(name.chars().all(|c| c == '-' || c == '_' || c.is_alphanumeric() || is_combining_mark(c)));
            prop_assert!(!name.starts_with('-'));
            prop_assert_eq!(name.nfc().collect::<String>(), name.clone());
        }
    }
}

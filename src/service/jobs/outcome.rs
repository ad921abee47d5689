//! What a recorder left behind: its last words, its manifest, its files.

use crate::recording::manifest::{Manifest, Status};
use crate::room::end::LEASE_LOST;
use crate::service::model::{Media, MediaKind, Outcome, SubCode};
use serde::Deserialize;
use std::path::Path;

/// The longest last words that are read.
const LONGEST: u64 = 64 << 20;
/// Files of a recording that are listed.
const MOST_FILES: usize = 20_000;
/// Folders within folders that are looked into.
const DEEPEST: usize = 6;

/// The JSON object that a recorder or a film ends with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LastWords {
    pub reason_code: Option<String>,
    pub reason: Option<String>,
    pub exit_code: i32,
}

impl LastWords {
    /// Reads them; none: the process was killed before it could say anything.
    pub(super) fn read(path: &Path) -> Option<LastWords> {
        let length = path.metadata().ok()?.len();
        (length <= LONGEST).then(|| std::fs::read_to_string(path).ok()).flatten().as_deref().and_then(Self::parse)
    }

    /// The object that the text ends with: on one line or many, what stands before it is not ours.
    fn parse(text: &str) -> Option<LastWords> {
        let starts = text.match_indices('{').filter(|(at, _)| *at == 0 || text[..*at].ends_with('\n'));
        starts
            .map(|(at, _)| at)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .find_map(|at| serde_json::from_str(&text[at..]).ok())
    }

    /// Whether it only made way for another machine.
    pub(super) fn has_lost_lease(&self) -> bool {
        self.reason_code.as_deref() == Some(LEASE_LOST)
    }

    /// Why the recorder ended.
    pub(super) fn why(&self) -> (SubCode, String) {
        let code = self.reason_code.as_deref().and_then(SubCode::of_recorder).unwrap_or(SubCode::Internal);
        (code, self.reason.clone().unwrap_or_else(|| "the recorder did not say why".to_owned()))
    }
}

/// Lists what is in a recording's folder. None: there is no recording.
pub(super) fn look(folder: &Path) -> Option<(Status, Outcome)> {
    let manifest = Manifest::load(folder).ok()?;
    let mut media = Vec::new();
    list(folder, "", 0, &mut media);
    media.sort_by(|a, b| a.path.cmp(&b.path));
    let outcome = Outcome {
        duration_ms: manifest.duration_ms,
        participants: u32::try_from(manifest.participants.len()).unwrap_or(u32::MAX),
        bytes: media.iter().map(|media| media.bytes).sum(),
        media,
        losses: manifest.reasons.iter().map(|loss| loss.text.clone()).collect(),
        warnings: manifest.warnings,
    };
    Some((manifest.status, outcome))
}

/// Collects the files below `folder`; hidden ones, links and unfinished ones are none.
fn list(folder: &Path, prefix: &str, depth: usize, media: &mut Vec<Media>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.') && !name.ends_with(".part")) else {
            continue;
        };
        let Ok(metadata) = entry.metadata() else { continue };
        let path = format!("{prefix}{name}");
        if metadata.is_dir() && depth < DEEPEST {
            list(&entry.path(), &format!("{path}/"), depth + 1, media);
        } else if metadata.is_file() && media.len() < MOST_FILES {
            media.push(Media { kind: kind(&path), path, bytes: metadata.len() });
        }
    }
}

/// What a file is, by its place in the recording (docs/recording.md).
pub(super) fn kind(path: &str) -> MediaKind {
    match path.split_once('/') {
        Some(("tracks", _)) => MediaKind::Track,
        Some(("files", _)) => MediaKind::File,
        Some(("participants", _)) => MediaKind::Participant,
        Some(("stills", _)) => MediaKind::Still,
        Some(_) => MediaKind::Other,
        None if path == "manifest.json" => MediaKind::Manifest,
        None if path == "timeline.jsonl" => MediaKind::Timeline,
        None if path == "chat.vtt" => MediaKind::Chat,
        None => match path.rsplit_once('.') {
            Some((_, "mp4" | "webm" | "mkv")) => MediaKind::Film,
            Some((_, "opus" | "m4a" | "wav")) => MediaKind::Audio,
            _ => MediaKind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_place() {
        assert_eq!(kind("tracks/alice.camera.1.webm"), MediaKind::Track);
        assert_eq!((kind("film-2.mp4"), kind("film.opus")), (MediaKind::Film, MediaKind::Audio));
        assert_eq!((kind("files/alice/film.mp4"), kind("film.vtt")), (MediaKind::File, MediaKind::Other));
    }

    #[test]
    fn last_words_are_the_last_object() {
        let words =
            LastWords::parse("progress\n{\"reason_code\":\"everybody_left\",\"reason\":\"empty\",\"exit_code\":0}\n");
        assert_eq!(words.unwrap().why(), (SubCode::EverybodyLeft, "empty".to_owned()));
        assert_eq!(LastWords::parse("{\n  \"film\": {\n    \"frames\": 3\n  }\n}\n").unwrap().exit_code, 0);
        assert!(LastWords::parse("").is_none() && LastWords::parse("{\"reas").is_none());
    }
}

//! Removes one participant from a recording that has ended: tracks, files, texts, stills, and the films that show them. What is left is a
//! valid recording of the others. It may be interrupted and done again.

use crate::error::{Error, Result, io_failed};
use crate::recording::folder::{MANIFEST, RecordingFolder, TIMELINE};
use crate::recording::manifest::Manifest;
use crate::recording::names::FileNames;
use crate::recording::subtitles::{self, CHAT};
use serde_json::Value;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The largest timeline and list of slides that are rewritten.
const LARGEST: u64 = 1 << 30;
/// Folders within folders that are looked into.
const DEEPEST: usize = 16;
/// What a manifest says afterwards.
const NOTE: &str = "a participant was deleted from this recording, with the films that were made before";

/// Whether a file of a recording, by its path in it, is of this participant, or shows everybody: a film, a poster.
pub fn is_purged(path: &str, participant: &str) -> bool {
    let is_theirs = |name: &str| name.split_once('.').is_some_and(|(owner, _)| owner == participant);
    match path.split_once('/') {
        Some(("tracks", name)) => is_theirs(name),
        Some(("participants", name)) => is_theirs(name),
        Some(("files", rest)) => rest.split('/').next() == Some(participant),
        Some(("stills", name)) => is_theirs(name) || !is_slide(name),
        Some(_) => true,
        None => !matches!(path, MANIFEST | TIMELINE | CHAT | "checksums.sha256"),
    }
}

/// A slide of somebody's screen, or the list of all.
fn is_slide(name: &str) -> bool {
    FileNames::owner(name).is_some() || name.split('.').count() > 2 || name.starts_with("slides")
}

/// Removes the participant with this key from the recording in this folder, as far as it is here. Waits for the disk.
///
/// # Errors
/// The user's: it is no recording, or is being recorded. The machine's: the disk.
pub fn purge(recording: &Path, participant: &str) -> Result<()> {
    let mut manifest = Manifest::load(recording)?;
    let Some(folder) = RecordingFolder::claim(recording)? else {
        return Err(Error::user(format!("{}: is being recorded", recording.display())));
    };
    let entry = manifest.participants.iter().find(|entry| entry.key == participant);
    let name = entry.map_or(participant, |entry| &entry.name).to_owned();
    let names = [participant, &name];
    // The manifest goes last: until then it says whose it was.
    remove(recording, "", 0, participant)?;
    rewrite_slides(&folder, participant)?;
    rewrite_timeline(&folder, &names)?;
    manifest.participants.retain(|entry| entry.key != participant);
    manifest.tracks.retain(|track| track.participant != participant);
    manifest.files.retain(|file| file.participant != participant);
    manifest.unrecorded.retain(|stream| stream.participant != participant);
    manifest.reasons.retain(|loss| loss.participant != participant && !mentions(&loss.text, &names));
    manifest.warnings.retain(|warning| !mentions(warning, &names));
    manifest.warn(NOTE);
    let chat = recording.join(CHAT);
    match std::fs::remove_file(&chat) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(io_failed("delete the chat", e)),
        _ => subtitles::save(&manifest, &folder)?,
    }
    manifest.save(&folder)
}

/// Removes what is theirs below a folder, unfinished files too.
fn remove(recording: &Path, prefix: &str, depth: usize, participant: &str) -> Result<()> {
    let failed = |path: &str| {
        let path = path.to_owned();
        move |e| io_failed(&format!("delete {path}"), e)
    };
    for entry in std::fs::read_dir(recording.join(prefix)).map_err(failed(prefix))? {
        let entry = entry.map_err(failed(prefix))?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let is_folder = entry.file_type().map_err(failed(&path))?.is_dir();
        if is_folder && depth < DEEPEST {
            remove(recording, &format!("{path}/"), depth + 1, participant)?;
            // Empty ones go.
            let _ = std::fs::remove_dir(entry.path());
        } else if !is_folder && is_purged(&path, participant) {
            std::fs::remove_file(entry.path()).map_err(failed(&path))?;
        }
    }
    Ok(())
}

/// Takes their lines out of the timeline, and those that cannot be read: nobody knows whose they are.
fn rewrite_timeline(folder: &RecordingFolder, names: &[&str; 2]) -> Result<()> {
    let text = read(&folder.path().join(TIMELINE))?;
    let mut kept = Vec::with_capacity(text.len());
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(mut entry) = serde_json::from_slice::<Value>(line) else { continue };
        match keep(&mut entry, names) {
            Kept::Not => {}
            Kept::AsItIs => kept.extend_from_slice(line),
            Kept::Changed => kept.extend(entry.to_string().into_bytes()),
        }
        if kept.last().is_some_and(|byte| *byte != b'\n') {
            kept.push(b'\n');
        }
    }
    folder.write_atomically(TIMELINE, &kept)
}

enum Kept {
    AsItIs,
    Changed,
    Not,
}

/// What is left of a line of the timeline.
fn keep(entry: &mut Value, names: &[&str; 2]) -> Kept {
    let [key, _] = names;
    let text = |field: &str| entry[field].as_str().unwrap_or_default();
    let is_theirs = text("participant") == *key;
    if is_theirs && entry["event"] == "speaker" {
        // Nobody has the floor: who had it before does not get it back.
        entry["participant"] = Value::Null;
        return Kept::Changed;
    }
    let of_file = FileNames::owner(text("file")).is_some_and(|(owner, _)| owner == *key);
    let told = mentions(text("message"), names) || mentions(text("reason"), names);
    if is_theirs || of_file || told { Kept::Not } else { Kept::AsItIs }
}

/// Takes their slides out of the lists of slides.
fn rewrite_slides(folder: &RecordingFolder, participant: &str) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder.path().join("stills")) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("slides")) {
        let list = serde_json::from_slice(&read(&entry.path())?);
        let kept = match list {
            Ok(Value::Array(mut slides)) => {
                slides.retain(|slide| slide["of"] != participant);
                serde_json::to_vec_pretty(&slides)
                    .map_err(|e| Error::internal("the slides cannot be listed").because(e))?
            }
            _ => b"[]".to_vec(),
        };
        // Beside it and renamed: a reader sees one or the other.
        let part = entry.path().with_extension("part");
        let written = std::fs::write(&part, kept).and_then(|()| std::fs::rename(&part, entry.path()));
        written.map_err(|e| io_failed("write the list of slides", e))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
    match read {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io_failed(&format!("read {}", path.display()), e)),
        _ => Ok(text),
    }
}

/// Whether a text for people names one of these, as a word.
pub fn mentions(text: &str, names: &[&str]) -> bool {
    // `alice-2` is somebody else.
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let is_word = |at: usize, name: &str| {
        let (before, after) = (text[..at].chars().next_back(), text[at + name.len()..].chars().next());
        !before.is_some_and(goes_on) && !after.is_some_and(goes_on)
    };
    names.iter().filter(|name| !name.is_empty()).any(|name| text.match_indices(name).any(|(at, _)| is_word(at, name)))
}

#[cfg(test)]
#[path = "purge_tests.rs"]
mod tests;

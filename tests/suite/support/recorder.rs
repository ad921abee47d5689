//! A recorder as its files show it while it runs, and what is in its recording.

use super::bot::Bot;
use super::cargo::{below, only};
use super::moment;
use super::probe::probe;
use super::within;
use roombot::recording::manifest::Manifest;
use roombot::room::media::Source;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Two cores that are shared with other tests: what takes a second may take many.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Waits until a recorder has joined: its folder is there then.
pub async fn begun(out: &Path) {
    let there = async {
        while std::fs::read_dir(out).map_or(0, Iterator::count) == 0 {
            moment().await;
        }
    };
    within(PATIENCE.as_secs(), "the recording begins", there).await;
}

/// Waits until the only recording below a folder has a file that somebody sent.
pub async fn has_file(out: &Path, name: &str) {
    let end = format!("/{name}");
    let there = async {
        while !below(&only(out)).iter().any(|path| path.starts_with("files/") && path.ends_with(&end)) {
            moment().await;
        }
    };
    within(PATIENCE.as_secs(), name, there).await;
}

/// Ends a recorder; its folder and what is in it.
pub async fn recorded(recorder: Bot) -> (PathBuf, Manifest) {
    recorder.interrupt();
    let outcome = recorder.ended(PATIENCE).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let folder = PathBuf::from(outcome.stdout.trim());
    let manifest = Manifest::load(&folder).expect("a manifest");
    (folder, manifest)
}

/// The first track of a source has at least so many frames, and other tools find them all.
pub fn has_track(folder: &Path, manifest: &Manifest, source: Source, least: u64) {
    let track = manifest.tracks.iter().find(|track| track.source == source && track.frames >= least);
    let track = track.unwrap_or_else(|| panic!("no {source:?} with {least} frames: {:#?}", manifest.tracks));
    let seen = probe(&folder.join("tracks").join(&track.file));
    assert_eq!((seen.frames, seen.complaints.as_str()), (track.frames, ""), "{}", track.file);
}

//! Test files made by ffmpeg.

use std::path::PathBuf;
use std::process::Command;

/// A file made by ffmpeg in a temporary folder.
pub fn made(arguments: &str, name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let words = format!("-v error -y {arguments}");
    let done = Command::new("ffmpeg").args(words.split_whitespace()).arg(&path).status().expect("ffmpeg is installed");
    assert!(done.success(), "ffmpeg {words}");
    (folder, path)
}

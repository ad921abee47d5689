//! What other people's tools say of a file: ffprobe.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What ffprobe found in the first stream.
#[derive(Debug, Clone)]
pub struct Probe {
    pub codec: String,
    pub packets: u64,
    pub frames: u64,
    /// What it complained about.
    pub complaints: String,
}

/// Decodes the whole file.
pub fn probe(path: &Path) -> Probe {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-count_packets", "-show_streams", "-of", "json"])
        .arg(path)
        .output()
        .expect("ffprobe runs");
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let stream = &value["streams"][0];
    let number = |name: &str| stream[name].as_str().and_then(|n| n.parse().ok()).unwrap_or(0);
    Probe {
        codec: stream["codec_name"].as_str().unwrap_or("").to_owned(),
        packets: number("nb_read_packets"),
        frames: number("nb_read_frames"),
        complaints: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// When each packet of a file is shown, in seconds.
pub fn times(path: &Path) -> Vec<f64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .expect("ffprobe runs");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.trim_end_matches(',').parse().expect("a time")).collect()
}

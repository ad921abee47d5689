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

/// One packet of a file, as ffprobe tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Packet {
    /// Seconds since the file's time 0.
    pub at: f64,
    pub bytes: usize,
    pub key: bool,
}

/// The packets of the first stream, in the file's order.
pub fn packets(path: &Path) -> Vec<Packet> {
    let value = ask(path, "packet=pts_time,size,flags");
    let packet = |packet: &Value| Packet {
        at: text(&packet["pts_time"]).parse().expect("a time"),
        bytes: text(&packet["size"]).parse().expect("a size"),
        key: text(&packet["flags"]).contains('K'),
    };
    value["packets"].as_array().expect("packets").iter().map(packet).collect()
}

/// Sizes of the pictures that a decoder gives, in order, each once for as long as it stays.
pub fn sizes(path: &Path) -> Vec<(u64, u64)> {
    let value = ask(path, "frame=width,height");
    let size = |frame: &Value| (frame["width"].as_u64().unwrap_or(0), frame["height"].as_u64().unwrap_or(0));
    let mut sizes: Vec<(u64, u64)> = value["frames"].as_array().expect("frames").iter().map(size).collect();
    sizes.dedup();
    sizes
}

/// Seconds that the container says it lasts (none where it does not say), and how many packets are in it; nothing is decoded.
pub fn length(path: &Path) -> (Option<f64>, u64) {
    let value = ask(path, "format=duration:stream=nb_read_packets");
    let packets = text(&value["streams"][0]["nb_read_packets"]).parse().expect("a count");
    (text(&value["format"]["duration"]).parse().ok(), packets)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn ask(path: &Path, entries: &str) -> Value {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", "0", "-count_packets", "-show_entries", entries, "-of", "json"]);
    ffprobe.arg(path);
    let output = ffprobe.output().expect("ffprobe runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

//! Real frames for tests, made on the spot by the ffmpeg command, and what ffprobe says of a file. Only for tests.

use crate::container::matroska::TrackFormat;
use crate::room::media::{Codec, Frame};
use bytes::Bytes;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// One encoded stream: its format, and its frames from RTP time 0 on.
pub struct Sample {
    pub format: TrackFormat,
    pub frames: Vec<Frame>,
}

/// `seconds` of a moving test picture (30 frames a second, a key frame each second) or of a tone (20 ms a packet).
pub fn sample(codec: Codec, (width, height): (u32, u32), seconds: u32) -> Sample {
    let picture = format!("testsrc=size={width}x{height}:rate=30:duration={seconds},format=yuv420p");
    let tone = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let input = if codec == Codec::Opus { &tone } else { &picture };
    let coding = match codec {
        Codec::Vp8 => "-c:v libvpx -deadline realtime -cpu-used 8 -auto-alt-ref 0 -lag-in-frames 0 -g 30 -f ivf",
        Codec::Vp9 => "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -auto-alt-ref 0 -lag-in-frames 0 -g 30 -f ivf",
        Codec::Av1 => "-c:v libaom-av1 -usage realtime -cpu-used 8 -lag-in-frames 0 -g 30 -f ivf",
        Codec::H264 => {
            "-c:v libx264 -preset ultrafast -tune zerolatency -bf 0 -g 30 -bsf:v h264_metadata=aud=insert -f h264"
        }
        Codec::Opus => "-c:a libopus -ac 2 -b:a 64k -frame_duration 20 -page_duration 20000 -f ogg",
    };
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", input])
        .args(coding.split(' '))
        .arg("pipe:1")
        .stdin(Stdio::null())
        .output()
        .expect("these tests need the ffmpeg command");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    let (units, config) = match codec {
        Codec::H264 => h264(&output.stdout),
        Codec::Opus => (ogg(&output.stdout), None),
        Codec::Av1 => av1(ivf(&output.stdout)),
        Codec::Vp8 | Codec::Vp9 => (ivf(&output.stdout), None),
    };
    let ticks = i64::from(codec.clock_rate()) / if codec == Codec::Opus { 50 } else { 30 };
    let size = (codec != Codec::Opus).then_some((width, height));
    let frames = (0i64..).zip(units).map(|(n, data)| {
        let key = codec == Codec::Opus || n % 30 == 0;
        // In two parts, as packets come.
        let middle = data.len() / 2;
        let parts = vec![data.slice(..middle), data.slice(middle..)];
        let (size, config) = if key { (size, config.clone()) } else { (None, None) };
        Frame { rtp_time: n * ticks, arrival: Instant::now(), parts, key, size, config, audio_level: None, packets: 0 }
    });
    let frames = frames.collect();
    Sample { format: TrackFormat { codec, config, size, channels: 2, name: format!("alice {}", codec.name()) }, frames }
}

fn ivf(bytes: &[u8]) -> Vec<Bytes> {
    let mut rest = &bytes[32..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        frames.push(Bytes::copy_from_slice(&rest[12..12 + length]));
        rest = &rest[12 + length..];
    }
    frames
}

/// Takes the temporal delimiters off, and makes the `av1C` of the first unit's sequence header (8 bit, 4:2:0).
fn av1(units: Vec<Bytes>) -> (Vec<Bytes>, Option<Bytes>) {
    let units: Vec<Bytes> =
        units.into_iter().map(|unit| unit.strip_prefix(&[0x12, 0]).map(Bytes::copy_from_slice).unwrap()).collect();
    let first = &units[0];
    assert_eq!(first[0], 0x0A, "a sequence header comes first");
    let sequence = &first[..2 + usize::from(first[1])];
    let config = [&[0x81, 0x00, 0x0C, 0x00], sequence].concat();
    (units, Some(config.into()))
}

/// Splits at the access unit delimiters; gives AVC form and the `avcC`.
fn h264(bytes: &[u8]) -> (Vec<Bytes>, Option<Bytes>) {
    let mut starts: Vec<usize> =
        bytes.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at).collect();
    starts.push(bytes.len());
    let mut units: Vec<Vec<u8>> = Vec::new();
    let (mut sps, mut pps) = (Vec::new(), Vec::new());
    for pair in starts.windows(2) {
        let mut nal = &bytes[pair[0] + 3..pair[1]];
        while let [shorter @ .., 0] = nal {
            nal = shorter;
        }
        match nal[0] & 31 {
            9 => {
                units.push(Vec::new());
                continue;
            }
            7 if sps.is_empty() => sps = nal.to_vec(),
            8 if pps.is_empty() => pps = nal.to_vec(),
            _ => {}
        }
        let unit = units.last_mut().unwrap();
        unit.extend_from_slice(&(nal.len() as u32).to_be_bytes());
        unit.extend_from_slice(nal);
    }
    let mut config = vec![1, sps[1], sps[2], sps[3], 0xFF, 0xE1];
    config.extend_from_slice(&(sps.len() as u16).to_be_bytes());
    config.extend_from_slice(&sps);
    config.push(1);
    config.extend_from_slice(&(pps.len() as u16).to_be_bytes());
    config.extend_from_slice(&pps);
    (units.into_iter().map(Bytes::from).collect(), Some(config.into()))
}

/// The packets of an Ogg stream with no packet over a page's end, without the two header packets.
fn ogg(bytes: &[u8]) -> Vec<Bytes> {
    let mut rest = bytes;
    let mut packets = Vec::new();
    while let [b'O', b'g', b'g', b'S', ..] = rest {
        let segments = usize::from(rest[26]);
        let mut at = 27 + segments;
        let mut length = 0;
        for lacing in &rest[27..27 + segments] {
            length += usize::from(*lacing);
            if *lacing < 255 {
                packets.push(Bytes::copy_from_slice(&rest[at..at + length]));
                at += length;
                length = 0;
            }
        }
        rest = &rest[at..];
    }
    packets.split_off(2)
}

/// What ffprobe makes of a file's only stream.
#[derive(Debug)]
pub struct Probe {
    pub codec: String,
    pub packets: u64,
    /// Frames that could be decoded.
    pub frames: u64,
    /// Seconds, where the file says.
    pub duration: Option<f64>,
    /// What ffprobe complained of.
    pub complaints: String,
}

pub fn probe(path: &Path) -> Probe {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-count_frames", "-show_streams", "-show_format", "-of", "json"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .expect("these tests need the ffprobe command");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let stream = &json["streams"][0];
    let number = |name: &str| stream[name].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
    Probe {
        codec: stream["codec_name"].as_str().unwrap_or_default().to_owned(),
        packets: number("nb_read_packets"),
        frames: number("nb_read_frames"),
        duration: json["format"]["duration"].as_str().and_then(|text| text.parse().ok()),
        complaints: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

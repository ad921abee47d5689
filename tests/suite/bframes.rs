//! H.264 with B-frames: pictures that are sent before others that are shown earlier. Everything that is made of a recording of them shows them in
//! their order and at their times.

use crate::support::needs::{needed, tools};
use crate::support::studio::{Studio, finish};
use crate::support::synthetic::label;
use crate::support::writer::Writer;
use crate::support::written::{Line, Offered};
use crate::support::{bot, machine, pause};
use roombot::film::layout::Policy;
use roombot::film::{Job, SceneOptions, VideoOptions, compose, export_participants};
use roombot::media::Library;
use roombot::recording::manifest::Status;
use roombot::room::media::{Codec, Frame, Source};
use roombot::verify::target::{self, StampNumbers};
use roombot::verify::verdict::judge;
use roombot::verify::{Format, make};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const FPS: u32 = 10;
const SECONDS: u32 = 8;

/// Stamped frames of participant 1 as x264 encodes them with three B-frames in a row, in the order of decoding, with the milliseconds at which
/// they are shown.
fn reordered(dir: &Path) -> Vec<Frame> {
    let (plain, out) = (dir.join("plain.webm"), dir.join("reordered.mkv"));
    let (size, format) = ((320, 180), Format::Vp8);
    let job = roombot::verify::Job {
        participant: 1,
        size,
        fps: FPS,
        seconds: SECONDS,
        format,
        kilobits: 500,
        out: plain.clone(),
    };
    make(&Library::default(), &job, |_| Ok(())).expect("a stamped file");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&plain)
        .args(["-an", "-c:v", "libx264", "-preset", "fast", "-bf", "3", "-b_strategy", "0", "-g", "20", "-crf", "28"])
        .arg(&out)
        .status();
    assert!(made.expect("ffmpeg runs").success());
    let listed = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(&out)
        .output()
        .expect("ffprobe runs");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let times = listed.lines().map(|line| (line.trim().parse::<f64>().expect("a time") * 90_000.0).round() as i64);
    let stream = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&out)
        .args(["-c", "copy", "-bsf:v", "h264_mp4toannexb,h264_metadata=aud=insert", "-f", "h264", "-"])
        .output()
        .expect("ffmpeg runs");
    let units = access_units(&stream.stdout);
    let frames: Vec<Frame> = units
        .into_iter()
        .zip(times)
        .map(|((data, key), rtp_time)| Frame {
            rtp_time,
            arrival: Instant::now(),
            parts: vec![data.into()],
            key,
            size: None,
            config: None,
            audio_level: None,
            packets: 0,
        })
        .collect();
    assert!(
        frames.windows(2).any(|pair| pair[1].rtp_time < pair[0].rtp_time),
        "no B-frames: {:?}",
        frames.iter().map(|frame| frame.rtp_time / 90).collect::<Vec<_>>()
    );
    frames
}

/// The access units of a byte stream with delimiters (H.264, annex B), each NAL unit behind its length, and whether they begin a sequence.
fn access_units(stream: &[u8]) -> Vec<(Vec<u8>, bool)> {
    const START: [u8; 3] = [0, 0, 1];
    let starts: Vec<usize> =
        stream.windows(3).enumerate().filter(|(_, three)| *three == START).map(|(at, _)| at + 3).collect();
    let mut units: Vec<(Vec<u8>, bool)> = Vec::new();
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).map_or(stream.len(), |next| next - 3);
        let unit = &stream[*start..end];
        // A start code of four bytes has a zero more.
        let unit = unit.strip_suffix(&[0]).unwrap_or(unit);
        match (unit.first().map(|header| header & 0x1f), units.last_mut()) {
            (Some(9), _) => units.push((Vec::new(), false)),
            (Some(kind), Some((data, key))) => {
                data.extend((unit.len() as u32).to_be_bytes());
                data.extend(unit);
                *key |= kind == 5;
            }
            _ => panic!("no delimiter"),
        }
    }
    units
}

fn camera() -> Offered {
    Offered::picture("cam", &[(99, "H264/90000")])
}

fn job(recording: &Path, out: &Path) -> Job {
    let scene = SceneOptions { policy: Policy::Auto, size: (640, 360), ..SceneOptions::default() };
    let video = VideoOptions { scene, fps: FPS, codec: None, quality: Default::default(), stills: false };
    Job {
        recording: recording.to_owned(),
        out: Some(out.to_owned()),
        video: Some(video),
        from: Duration::ZERO,
        until: None,
        without: vec![],
        loudness: None,
    }
}

/// Every stamped frame is shown, once, in its order, and at its time.
fn is_in_order(path: &Path, what: &str) {
    let names = StampNumbers::new();
    let judged = judge(&target::read(&Library::default(), path, &names).expect("a target"), &[], &names, |_| vec![]);
    let figures = &judged.participants.first().unwrap_or_else(|| panic!("{what}: {judged:#?}")).measures.figures;
    println!("{what}: {figures:?}");
    // Its last picture is held until it ends.
    assert!(figures["out_of_order"] == 0.0 && figures["freezes"] <= 1.0, "{what}: {figures:#?}");
    // The film's frames are not the sender's: at a border one may be shown twice or left out.
    assert!(figures["lost"] <= 2.0 && figures["frames"] >= f64::from(FPS * SECONDS) - 4.0, "{what}: {figures:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_that_are_sent_before_earlier_ones_are_shown_in_order_by_everything() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().to_owned();
    let frames = tokio::task::spawn_blocking(move || reordered(&folder)).await.expect("made");
    let recording = studio.recorder(None).await;
    let writer = Writer::join(&studio.room, "Alice", vec![camera()], vec![label("face", Source::Camera)]).await;
    writer.connected().await;
    pause(Duration::from_millis(300), "the other side of a handshake ends later").await;
    let mut line = Line::new(7, "cam", (99, Codec::H264));
    // Sent in the order of decoding, at the encoder's pace.
    let mut tick = tokio::time::interval(Duration::from_secs(1) / FPS);
    for frame in &frames {
        tick.tick().await;
        writer.write(line.packets(frame)).await;
    }
    // It ends at once: its last picture is not held.
    pause(Duration::from_millis(150), "what is under way arrives").await;
    writer.leave().await;
    let summary = finish(recording).await;
    assert_eq!((summary.manifest.status, summary.manifest.tracks.len()), (Status::Complete, 1));
    let track = &summary.manifest.tracks[0];
    assert_eq!((track.frames as usize, track.lost), (frames.len(), 0), "{track:?}");
    let made = tokio::task::spawn_blocking(move || {
        let _turn = machine::blocking_share();
        let folder = summary.folder;
        let film =
            compose(&Library::default(), &job(&folder, &dir.path().join("film.mp4")), |_| Ok(())).expect("a film");
        assert_eq!(film.warnings, Vec::<String>::new());
        is_in_order(&film.film, "film");
        let each = export_participants(&folder, &[], |_, _| Ok(())).expect("files");
        assert!(each.participants[0].file.ends_with("participants/alice.mp4"), "{each:?}");
        is_in_order(&each.participants[0].file, "each");
        is_in_order(&folder.join("tracks").join(&summary.manifest.tracks[0].file), "track");
        is_in_order(&folder, "recording");
        (folder, dir)
    });
    let (folder, _dir) = made.await.expect("made");
    let shown = bot::run(&["show", folder.to_str().expect("UTF-8")]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    println!("{}", shown.stdout);
}

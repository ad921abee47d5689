//! What recording costs: a separate process sends 16 connections of 2.5 Mbit/s 720p VP8 with Opus, `roombot record` writes them to
//! disk. Prints CPU-seconds a Gbit received, memory a connection, and frames lost; once as the recorder wakes by default, once
//! woken by every packet, side by side.
//!
//! `cargo bench --bench capture [-- --connections 16 --seconds 30]`

use bytes::Bytes;
use roombot::record::manifest::Manifest;
use roombot::room::media::{Codec, Frame, MediaKind, Source};
use roombot::room::people::{Role, TrackLabel};
use roombot::rtc::OutboundTrack;
use roombot::server::{RoomServer, RoomServerConfig};
use roombot::session::{Session, SessionConfig};
use roombot::signal::{self, JoinAs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const RECORDER: &str = "Recorder";
/// 20 ms of Opus at 40 kbit/s: the size is what matters.
const OPUS_BYTES: usize = 100;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|a| a == "--test") {
        return;
    }
    let number = |name: &str, default: u64| {
        let at = args.iter().position(|a| a == name);
        at.and_then(|at| args.get(at + 1)).and_then(|n| n.parse().ok()).unwrap_or(default)
    };
    let (connections, seconds) = (number("--connections", 16) as usize, number("--seconds", 30));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    if let Some(at) = args.iter().position(|a| a == "send") {
        let (url, clip) = (args[at + 1].clone(), PathBuf::from(&args[at + 2]));
        runtime.block_on(send(&url, &clip, connections, seconds));
        return;
    }
    let dir = std::env::temp_dir().join(format!("roombot-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("folder");
    let clip = dir.join("clip.ivf");
    make_clip(&clip);
    println!("{connections} connections, each 2.5 Mbit/s 720p VP8 + Opus, {seconds} s; the recorder's process only\n");
    println!("wakes          CPU-s/Gbit   CPU %   MiB/connection   Mbit/s   frames   lost");
    for (name, batch) in [("every 10 ms", "10"), ("every 20 ms", "20"), ("every packet", "0")] {
        let out = dir.join(batch);
        let result = runtime.block_on(run(&out, &clip, batch, connections, seconds));
        println!(
            "{name:<14} {:>10.2} {:>7.1} {:>16.2} {:>8.1} {:>8} {:>6}",
            result.cpu / result.gbit,
            100.0 * result.cpu / result.window,
            result.mib_per_connection,
            result.gbit * 1000.0 / result.window,
            result.frames,
            result.lost
        );
    }
    let _ = std::fs::remove_dir_all(&dir);
}

struct Measured {
    cpu: f64,
    window: f64,
    gbit: f64,
    mib_per_connection: f64,
    frames: u64,
    lost: u64,
}

async fn run(out: &Path, clip: &Path, batch: &str, connections: usize, seconds: u64) -> Measured {
    let server = RoomServer::bind(RoomServerConfig::new(([127, 0, 0, 1], 0).into())).await.expect("server");
    let url = format!("ws://{}/rooms/bench", server.local_addr());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    let mut recorder = Command::new(env!("CARGO_BIN_EXE_roombot"))
        .args(["record", &url, "--out"])
        .arg(out)
        .args(["--until-empty", "1s", "--json", "--quiet", "--as", RECORDER, "--batch", batch])
        .stdout(Stdio::piped())
        .spawn()
        .expect("recorder");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = memory(&recorder);
    let mut sender = Command::new(std::env::current_exe().expect("self"))
        .args(["send", &url])
        .arg(clip)
        .args(["--connections", &connections.to_string(), "--seconds", &seconds.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("sender");
    // From well within the sending to just before its end.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (from, cpu_from) = (Instant::now(), cpu(&recorder));
    tokio::time::sleep(Duration::from_secs(seconds.saturating_sub(6).max(1))).await;
    let (cpu, window, full) = (cpu(&recorder) - cpu_from, from.elapsed().as_secs_f64(), memory(&recorder));
    let sent = output(&mut sender).await;
    let summary: serde_json::Value = serde_json::from_str(&output(&mut recorder).await).expect("summary");
    let _ = stop.send(());
    let _ = serving.await;
    let manifest = Manifest::load(Path::new(summary["folder"].as_str().expect("folder"))).expect("manifest");
    let frames: u64 = manifest.tracks.iter().map(|t| t.frames).sum();
    let sent: u64 = sent.trim().parse().expect("what was sent");
    // RTP with its header; the sending is even, so the window has its share of the whole.
    let bytes: u64 = manifest.tracks.iter().map(|t| t.bytes + 12 * t.packets).sum();
    Measured {
        cpu,
        window,
        gbit: bytes as f64 * 8.0 / 1e9 * window / seconds as f64,
        mib_per_connection: (full - idle) / connections as f64,
        frames,
        lost: sent.saturating_sub(frames) + manifest.tracks.iter().map(|t| t.lost).sum::<u64>(),
    }
}

async fn output(child: &mut Child) -> String {
    let mut stdout = child.stdout.take().expect("piped");
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stdout, &mut text).expect("text");
        text
    })
    .await
    .expect("read");
    child.wait().expect("ended");
    text
}

/// CPU-seconds of a running process so far.
fn cpu(child: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("stat");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    ticks as f64 / 100.0
}

/// Resident memory of a running process, in MiB.
fn memory(child: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("status");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).expect("kB").parse::<f64>().expect("number") / 1024.0
}

/// Ten seconds of 720p VP8 at 2.5 Mbit/s, by ffmpeg.
fn make_clip(path: &Path) {
    let status = Command::new("ffmpeg")
        .args(
            "-v error -y -f lavfi -i testsrc2=size=1280x720:rate=30,noise=alls=12:allf=t -t 10 -c:v libvpx -b:v 2500k"
                .split(' '),
        )
        .args(
            "-minrate 2500k -maxrate 2500k -bufsize 1000k -g 300 -deadline realtime -cpu-used 8 -threads 2".split(' '),
        )
        .arg(path)
        .status()
        .expect("ffmpeg");
    assert!(status.success(), "ffmpeg failed");
}

/// The frames of an IVF file, and which of them are key frames.
fn read_clip(path: &Path) -> Vec<(Bytes, bool)> {
    let data = Bytes::from(std::fs::read(path).expect("clip"));
    let (mut frames, mut at) = (Vec::new(), 32);
    while at + 12 <= data.len() {
        let size = u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes")) as usize;
        let frame = data.slice(at + 12..at + 12 + size);
        let key = frame[0] & 1 == 0;
        frames.push((frame, key));
        at += 12 + size;
    }
    frames
}

/// The sender's process: prints how many frames it sent in all.
async fn send(url: &str, clip: &Path, connections: usize, seconds: u64) {
    let clip = std::sync::Arc::new(read_clip(clip));
    let mut senders = tokio::task::JoinSet::new();
    for n in 0..connections {
        let (room, clip) = (signal::for_url(url).expect("url"), clip.clone());
        senders.spawn(async move {
            let label = |source, kind| TrackLabel { stream: format!("{n}-{kind:?}"), kind, source, muted: false };
            let camera = OutboundTrack::new(label(Source::Camera, MediaKind::Video), Codec::Vp8);
            let mic = OutboundTrack::new(label(Source::Mic, MediaKind::Audio), Codec::Opus);
            let how = JoinAs { name: format!("Sender {n}"), role: Role::Participant, token: None };
            let publish = vec![camera.clone(), mic.clone()];
            let config = SessionConfig { publish, only: vec![RECORDER.into()], ..SessionConfig::default() };
            let session = Session::join(room.as_ref(), how, config).await.expect("joins");
            for track in [&camera, &mic] {
                track.key_frame_requests().wait_for(|n| *n > 0).await.expect("connects");
            }
            // Out of phase with one another, as real senders are.
            tokio::time::sleep(Duration::from_millis(300 + 7 * n as u64)).await;
            let video =
                play(camera, 3000, Duration::from_nanos(33_333_333), seconds, move |i| clip[i % clip.len()].clone());
            let sound = Bytes::from(vec![0x78; OPUS_BYTES]);
            let audio = play(mic, 960, Duration::from_millis(20), seconds, move |_| (sound.clone(), true));
            let (video, audio) = tokio::join!(video, audio);
            tokio::time::sleep(Duration::from_millis(500)).await;
            session.leave().await;
            video + audio
        });
    }
    println!("{}", senders.join_all().await.into_iter().sum::<u64>());
}

async fn play(
    track: OutboundTrack,
    ticks: i64,
    pause: Duration,
    seconds: u64,
    frame: impl Fn(usize) -> (Bytes, bool),
) -> u64 {
    let mut tick = tokio::time::interval(pause);
    let count = (Duration::from_secs(seconds).as_nanos() / pause.as_nanos()) as usize;
    for n in 0..count {
        tick.tick().await;
        let (data, key) = frame(n);
        track.send(&Frame {
            rtp_time: n as i64 * ticks,
            arrival: Instant::now(),
            parts: vec![data],
            key,
            size: None,
            config: None,
            audio_level: None,
        });
    }
    count as u64
}

//! What recording costs: a separate process sends 16 connections of 2.5 Mbit/s 720p VP8 with Opus, `roombot record` writes them to
//! disk. Prints CPU-seconds a Gbit received, memory a connection, and frames lost; once as the recorder wakes by default, once
//! woken by every packet, side by side. Then the same media through WHIP (into the room, which is recorded), WHEP (recorded from
//! there), Janus, a room of the guide and a group call of socket.io, each beside as many connections of our own room: the last column
//! says how much more or less that costs. What is not installed is skipped. `lost` are frames that are missing between the first and the
//! last of a recorded track; `outside` are those that were sent before its first and after its last.
//!
//! `cargo bench --bench capture [-- --connections 16 --seconds 30]`; `-- --outside` for the rooms of others only

use bytes::Bytes;
use janus::Janus;
use others::Others;
use roombot::client::{Client, ClientConfig};
use roombot::recording::manifest::{Manifest, TrackEntry};
use roombot::room::media::{Codec, Frame, MediaKind, Source};
use roombot::room::participant::{Role, TrackLabel};
use roombot::rtc::OutboundTrack;
use roombot::server::{RoomServer, RoomServerConfig};
use roombot::signal::{self, JoinAs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wait::{blocking_pause, moment, within};

#[path = "../tests/suite/support/janus.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod janus;
#[path = "../tests/suite/support/needs.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod needs;
#[path = "../tests/suite/support/others.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod others;
#[path = "../tests/suite/support/wait.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod wait;

const RECORDER: &str = "Recorder";
/// 20 ms of Opus at 40 kbit/s: the size is what matters.
const OPUS_BYTES: usize = 100;
/// RTP time from a picture to the next, 30 a second, and from a packet of sound to the next.
const VIDEO_TICKS: i64 = 3000;
const AUDIO_TICKS: i64 = 960;

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
        let everybody = args.iter().any(|a| a == "--everybody");
        runtime.block_on(send(&url, &clip, connections, seconds, everybody));
        return;
    }
    let dir = std::env::temp_dir().join(format!("roombot-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("folder");
    let clip = dir.join("clip.ivf");
    make_clip(&clip);
    println!("2.5 Mbit/s 720p VP8 + Opus on each connection; the recorder's process only\n");
    println!(
        "way, wakes               CPU-s/Gbit   CPU %   MiB/connection   Mbit/s   frames   lost   outside   to our own room"
    );
    let plain = |name, batch| Case { name, way: Way::Room, batch, connections, seconds };
    // Few connections move little: they are measured for longer.
    let outside = |name, way, connections| Case { name, way, batch: "10", connections, seconds: seconds * 2 };
    let mut cases = vec![plain("every 10 ms", "10"), plain("every 20 ms", "20"), plain("every packet", "0")];
    if args.iter().any(|a| a == "--outside") {
        cases.clear();
    }
    cases.extend([
        outside("our own room, 4", Way::Room, 4),
        outside("WHIP, 4", Way::Whip, 4),
        outside("Janus, 4", Way::Janus, 4),
        outside("our own room, 1", Way::Room, 1),
        outside("WHEP, 1", Way::Whep, 1),
        outside("Janus, 1", Way::Janus, 1),
        outside("lesson 3 of the guide, 1", Way::Guide, 1),
        outside("socket.io, 1", Way::Call, 1),
    ]);
    let mut own = None;
    for (number, case) in cases.into_iter().enumerate() {
        let Some(result) = runtime.block_on(run(&dir.join(number.to_string()), &clip, &case)) else { continue };
        let cost = result.cpu / result.gbit;
        let compared = match (case.way, own) {
            (Way::Room, _) => String::new(),
            (_, None) => String::new(),
            (_, Some(own)) => format!("{:+.1} %", 100.0 * (cost / own - 1.0)),
        };
        own = if case.way == Way::Room { Some(cost) } else { own };
        println!(
            "{:<24} {cost:>10.2} {:>7.1} {:>16.2} {:>8.1} {:>8} {:>6} {:>9} {compared:>17}",
            case.name,
            100.0 * result.cpu / result.window,
            result.mib_per_connection,
            result.gbit * 1000.0 / result.window,
            result.frames,
            result.lost,
            result.outside
        );
    }
    let _ = std::fs::remove_dir_all(&dir);
}

/// How media gets from who sends it to who records it.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Room,
    Whip,
    /// Of a single sender, as WHEP has it.
    Whep,
    Janus,
    /// For two.
    Guide,
    /// Of a single sender: several would send to each other as well.
    Call,
}

fn there<T>(found: Result<T, String>) -> Option<T> {
    found.map_err(|missing| println!("left out: {missing}")).ok()
}

/// The servers of a way, from where the recorder joins, and to where the senders do. None where they are not installed.
async fn hosts(way: Way) -> Option<(Hosts, String, String)> {
    let mut hosts = Hosts::default();
    let (from, to) = match way {
        Way::Janus => {
            let rooms = "room-7: { publishers = 6\n audiocodec = \"opus\"\n videocodec = \"vp8\" }";
            let room = hosts.janus.insert(there(Janus::start(rooms).await)?).room("7");
            (room.clone(), room)
        }
        Way::Guide => {
            let others = hosts.others.insert(there(Others::start(&[]).await)?);
            (others.guide("audio-video", ""), others.guide("audio-video", "#initiator"))
        }
        Way::Call => {
            let room = hosts.others.insert(there(Others::start(&[]).await)?).call("bench");
            (room.clone(), room)
        }
        Way::Room | Way::Whip | Way::Whep => {
            let mut config = RoomServerConfig::new(([127, 0, 0, 1], 0).into());
            (config.whip, config.whep) = (true, true);
            let server = RoomServer::bind(config).await.expect("server");
            let at = server.local_addr();
            let room = format!("ws://{at}/rooms/bench");
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let serving = tokio::spawn(server.run(async { drop(stopped.await) }));
            hosts.own = Some((stop, serving));
            match way {
                Way::Whip => (room, format!("whip+http://{at}/whip/bench")),
                Way::Whep => (format!("whep+http://{at}/whep/bench/Sender%200"), room),
                _ => (room.clone(), room),
            }
        }
    };
    Some((hosts, from, to))
}

/// Servers that are running.
#[derive(Default)]
struct Hosts {
    own: Option<(oneshot::Sender<()>, JoinHandle<roombot::error::Result<()>>)>,
    janus: Option<Janus>,
    others: Option<Others>,
}

struct Case {
    name: &'static str,
    way: Way,
    batch: &'static str,
    connections: usize,
    seconds: u64,
}

struct Measured {
    cpu: f64,
    window: f64,
    gbit: f64,
    mib_per_connection: f64,
    frames: u64,
    lost: u64,
    outside: u64,
}

async fn run(out: &Path, clip: &Path, case: &Case) -> Option<Measured> {
    let Case { way, batch, connections, seconds, .. } = *case;
    let (hosts, from, to) = hosts(way).await?;
    let record = || {
        Command::new(env!("CARGO_BIN_EXE_roombot"))
            .args(["record", &from, "--out"])
            .arg(out)
            .args(["--until-empty", "1s", "--json", "--quiet", "--as", RECORDER, "--batch", batch])
            .stdout(Stdio::piped())
            .spawn()
            .expect("recorder")
    };
    let send = || {
        Command::new(std::env::current_exe().expect("self"))
            .args(["send", &to])
            .arg(clip)
            .args(["--connections", &connections.to_string(), "--seconds", &seconds.to_string()])
            .args((way != Way::Room).then_some("--everybody"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("sender")
    };
    // Who watches needs somebody to watch; who sends begins when somebody receives.
    let mut early = None;
    if way == Way::Whep {
        early = Some(send());
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let mut recorder = record();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = memory(&recorder);
    let mut sender = early.unwrap_or_else(send);
    // From well within the sending to just before its end.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (from, cpu_from) = (Instant::now(), cpu(&recorder));
    tokio::time::sleep(Duration::from_secs(seconds.saturating_sub(6).max(1))).await;
    let (cpu, window, full) = (cpu(&recorder) - cpu_from, from.elapsed().as_secs_f64(), memory(&recorder));
    let sent = output(&mut sender).await;
    let summary: serde_json::Value = serde_json::from_str(&output(&mut recorder).await).expect("summary");
    if let Some((stop, serving)) = hosts.own {
        let _ = stop.send(());
        let _ = serving.await;
    }
    let manifest = Manifest::load(Path::new(summary["folder"].as_str().expect("folder"))).expect("manifest");
    let sum = |of: fn(&TrackEntry) -> u64| manifest.tracks.iter().map(of).sum::<u64>();
    let (frames, due) = (sum(|track| track.frames), sum(due));
    let sent: u64 = sent.trim().parse().expect("what was sent");
    // RTP with its header; the sending is even, so the window has its share of the whole.
    let bytes = sum(|track| track.bytes + 12 * track.packets);
    Some(Measured {
        cpu,
        window,
        gbit: bytes as f64 * 8.0 / 1e9 * window / seconds as f64,
        mib_per_connection: (full - idle) / connections as f64,
        frames,
        lost: due.saturating_sub(frames),
        outside: sent.saturating_sub(due),
    })
}

/// How many frames were sent from the first to the last one of a track.
fn due(track: &TrackEntry) -> u64 {
    let ticks = if track.kind == MediaKind::Video { VIDEO_TICKS } else { AUDIO_TICKS };
    let span = track.first_rtp.zip(track.last_rtp).map(|(first, last)| (last - first) / ticks + 1);
    span.and_then(|frames| u64::try_from(frames).ok()).unwrap_or_default()
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
async fn send(url: &str, clip: &Path, connections: usize, seconds: u64, everybody: bool) {
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
            let only = if everybody { Vec::new() } else { vec![RECORDER.to_owned()] };
            let config = ClientConfig { publish, only, ..ClientConfig::default() };
            let session = Client::join(room.as_ref(), how, config).await.expect("joins");
            for track in [&camera, &mic] {
                track.key_frame_requests().wait_for(|n| *n > 0).await.expect("connects");
            }
            // Out of phase with one another, as real senders are.
            tokio::time::sleep(Duration::from_millis(300 + 7 * n as u64)).await;
            // As any camera: who needs a key frame gets one, here by the clip from its start.
            let (mut asked, mut at) = (camera.key_frame_requests(), 0);
            asked.mark_unchanged();
            let picture = move |_| {
                if asked.has_changed().unwrap_or_default() {
                    asked.mark_unchanged();
                    at = 0;
                }
                at += 1;
                clip[(at - 1) % clip.len()].clone()
            };
            let video = play(camera, VIDEO_TICKS, Duration::from_nanos(33_333_333), seconds, picture);
            let sound = Bytes::from(vec![0x78; OPUS_BYTES]);
            let audio = play(mic, AUDIO_TICKS, Duration::from_millis(20), seconds, move |_| (sound.clone(), true));
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
    mut frame: impl FnMut(usize) -> (Bytes, bool),
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
            packets: 0,
        });
    }
    count as u64
}

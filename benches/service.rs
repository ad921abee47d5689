//! What the recorder service costs: requests queued, ten thousand recordings listed, memory while nothing happens, and the processor's
//! time for meetings that are recorded and filmed.
//!
//! `cargo bench --bench service`; `-- --film 2` measures only two meetings of four cameras at once, with their films. A file that is
//! written and synced once for each request is measured beside it: the disk's part.

#[allow(dead_code)]
#[path = "../tests/suite/support/mod.rs"]
mod support;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use std::io::Write;
use std::time::{Duration, Instant};
use support::bot::Bot;
use support::server::TestServer;
use support::service::Service;

/// Recordings that are asked for at a time, and in all.
const CLIENTS: usize = 8;
const QUEUED: usize = 1000;
const LISTED: usize = 10_000;
/// How long a meeting is recorded and filmed, in seconds, and the film.
const MEETING: u64 = 60;
const FILM: (&str, u32) = ("1280x720", 30);
/// Processors that LiveKit asks for one composite of a room (docs.livekit.io, "Self-hosting Egress").
const EGRESS_CORES: f64 = 4.0;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().position(|argument| argument == "--film") {
        Some(at) => {
            let count = arguments.get(at + 1).and_then(|count| count.parse().ok()).unwrap_or(1);
            runtime.block_on(cameras(count));
        }
        None => runtime.block_on(measure()),
    }
}

async fn measure() {
    let service = Service::start(&[]).await;
    support::pause(Duration::from_secs(2), "what starts has started").await;
    let (anonymous, resident) = memory(&service);
    println!("idle: {:.1} MiB of its own, {:.1} MiB resident with libraries", mib(anonymous), mib(resident));
    let synced = sync_each(service.data(), QUEUED);
    let taken = queue(&service, QUEUED).await;
    let ratio = taken.as_secs_f64() / synced.as_secs_f64();
    println!(
        "{QUEUED} recordings queued by {CLIENTS} clients: {taken:.2?}; {QUEUED} synced writes: {synced:.2?} (ratio {ratio:.2})"
    );
    queue(&service, LISTED - QUEUED).await;
    for query in ["?limit=50", "?limit=500", "?room=7&limit=50", "?state=complete"] {
        let start = Instant::now();
        let answer = service.get(&format!("/v1/recordings{query}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        println!(
            "{LISTED} recordings, {query}: {:.1} ms, {} bytes",
            start.elapsed().as_secs_f64() * 1000.0,
            answer.text.len()
        );
    }
    let (anonymous, resident) = memory(&service);
    println!("afterwards: {:.1} MiB of its own, {:.1} MiB resident with libraries", mib(anonymous), mib(resident));
    drop(service);
    films().await;
}

/// A meeting of three people and a screen: what its recorder takes of a processor, and its film.
async fn films() {
    let fixture = |name: &str| format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let (alice, bob, carol, slides) =
        (fixture("alice.webm"), fixture("bob.webm"), fixture("carol.mkv"), fixture("slides.webm"));
    let people = |room: &str| {
        vec![
            Bot::start(&["feed", room, &alice, "--as", "Alice", "--screen", &slides, "--loop"]),
            Bot::start(&["feed", room, &bob, "--as", "Bob", "--loop"]),
            Bot::start(&["feed", room, &carol, "--as", "Carol", "--loop"]),
        ]
    };
    record(1, "a meeting of three and a screen", people).await;
}

/// Meetings of four cameras of 1280x720, so many at a time.
async fn cameras(count: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("camera.webm");
    // Made once: those who send it only read it.
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30", "-f", "lavfi", "-i", "sine=440"])
        .args(["-t", "20", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1500k", "-g", "120"])
        .args(["-c:a", "libopus"])
        .arg(&file)
        .status();
    assert!(made.expect("ffmpeg").success());
    let file = file.to_str().expect("UTF-8");
    let people = |room: &str| {
        ["Alice", "Bob", "Carol", "Dora"].map(|name| Bot::start(&["feed", room, file, "--as", name, "--loop"])).into()
    };
    record(count, "a meeting of four cameras of 1280x720 at 1.5 Mbit/s", people).await;
}

/// Records so many meetings at once and has their films made.
async fn record(count: usize, what: &str, people: impl Fn(&str) -> Vec<Bot>) {
    let (server, service) = (TestServer::start().await, Service::start(&[]).await);
    let film = json!({ "size": FILM.0, "fps": FILM.1 });
    let (mut there, mut ids) = (Vec::new(), Vec::new());
    for number in 0..count {
        let room = server.room(&format!("meeting-{number}"));
        there.extend(people(&room));
        ids.push(service.record(json!({ "room_url": room, "outputs": { "film": film } })).await);
    }
    for id in &ids {
        service.until(id, &["recording"], 60).await;
    }
    support::pause(Duration::from_secs(MEETING), "the meeting").await;
    for id in &ids {
        service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    }
    for id in &ids {
        service.until(id, &["processing", "complete"], 60).await;
    }
    let recorded = seconds_of_children(&service);
    drop(there);
    let mut minutes = 0.0;
    for id in &ids {
        let recording = service.until(id, &["complete"], 900).await;
        minutes += recording["outcome"]["duration_ms"].as_f64().expect("a length") / 60_000.0;
    }
    let filmed = seconds_of_children(&service) - recorded;
    let cores = (recorded + filmed) / minutes / 60.0;
    println!(
        "{what}, {count} at once: {:.1} s of a processor a minute for its recorder, {:.1} s for its film of {}, {} fps;          {:.3} and {:.2} CPU-seconds a second: {:.1} meetings a core (LiveKit asks {EGRESS_CORES} cores for one composite: {:.0} times as many)",
        recorded / minutes,
        filmed / minutes,
        FILM.0,
        FILM.1,
        recorded / minutes / 60.0,
        filmed / minutes / 60.0,
        1.0 / cores,
        EGRESS_CORES / cores
    );
}

/// Processor time in seconds of all processes that the service started and that have ended.
fn seconds_of_children(service: &Service) -> f64 {
    let pid = service.processes("serve").first().copied().expect("it runs");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    // cutime and cstime (proc(5)); the first field here is the third there.
    let ticks: f64 = fields.skip(13).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    // USER_HZ is 100 on every Linux.
    ticks / 100.0
}

/// Asks for recordings that begin much later.
async fn queue(service: &Service, count: usize) -> Duration {
    let start = Instant::now();
    join_all((0..CLIENTS).map(async |client| {
        for n in (client..count).step_by(CLIENTS) {
            let room = format!("ws://127.0.0.1:9/rooms/{n}");
            service.record(json!({ "room_url": room, "start_at": "2099-01-01T00:00:00Z" })).await;
        }
    }))
    .await;
    start.elapsed()
}

/// The same number of writes to a file, each synced.
fn sync_each(folder: &std::path::Path, count: usize) -> Duration {
    let mut file = std::fs::File::create(folder.join("beside")).expect("a file");
    let start = Instant::now();
    for _ in 0..count {
        file.write_all(&[0; 2048]).and_then(|()| file.sync_data()).expect("it is written");
    }
    start.elapsed()
}

/// The service's memory in bytes: of its own (`RssAnon`), and with files that are mapped (`VmRSS`).
fn memory(service: &Service) -> (u64, u64) {
    let pid = service.processes("serve").first().copied().expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let figure = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a figure");
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().expect("a number") * 1024
    };
    (figure("RssAnon:"), figure("VmRSS:"))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

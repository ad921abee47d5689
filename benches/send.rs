//! What sending costs: `roombot feed --copies N` sends 2.5 Mbit/s of 720p VP8 with Opus to a receiver in a process of its own, and
//! `roombot room --whep` forwards one such publisher to N viewers, also in a process of their own. Prints CPU-seconds a Gbit of what has
//! arrived, for the process that sends only, and packets that did not arrive.
//!
//! `cargo bench --bench send [-- --copies 16 --viewers 50 --seconds 20]`; `-- --feed` and `-- --whep` for one of them only

use roombot::client::event::RoomEvent;
use roombot::client::{Client, ClientConfig};
use roombot::room::participant::Role;
use roombot::rtc::{Inbound, Inbox};
use roombot::server::{RoomServer, RoomServerConfig};
use roombot::signal::{self, JoinAs};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const RECEIVER: &str = "Receiver";
const STAR: &str = "Star";
/// Handshakes are over by then, and the first key frames.
const SETTLE: Duration = Duration::from_secs(4);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|a| a == "--test") {
        return;
    }
    let number = |name: &str, default: u64| {
        let at = args.iter().position(|a| a == name);
        at.and_then(|at| args.get(at + 1)).and_then(|n| n.parse().ok()).unwrap_or(default)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    if let Some(at) = args.iter().position(|a| a == "receive") {
        return runtime.block_on(receive(&args[at + 1], number("--count", 1)));
    }
    let (copies, viewers, seconds) = (number("--copies", 16), number("--viewers", 50), number("--seconds", 20));
    let only = |name: &str, other: &str| args.iter().any(|a| a == name) || !args.iter().any(|a| a == other);
    let dir = tempfile::tempdir().expect("folder");
    let clip = dir.path().join("clip.webm");
    make_clip(&clip);
    println!("2.5 Mbit/s 720p VP8 + Opus to each receiver; the sender's process only\n");
    println!("what                     CPU-s/Gbit   CPU %   Mbit/s   packets   lost   MiB");
    if only("--feed", "--whep") {
        runtime.block_on(feed(&clip, copies, seconds));
    }
    if only("--whep", "--feed") {
        runtime.block_on(whep(&clip, viewers, seconds));
    }
}

/// One file, many participants, one receiver of all of them.
async fn feed(clip: &Path, copies: u64, seconds: u64) {
    let server = RoomServer::bind(RoomServerConfig::new(([127, 0, 0, 1], 0).into())).await.expect("server");
    let room = format!("ws://{}/rooms/bench", server.local_addr());
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut receiver = Receiver::start(&room, 1);
    let how = ["--copies", &copies.to_string(), "--only", RECEIVER, "--loop", "--json"].map(str::to_owned);
    let mut feed = roombot(&["feed", &room]).arg(clip).args(how).stdout(Stdio::null()).spawn().expect("feed");
    measure(&format!("feed, {copies} copies"), &feed, &mut receiver, copies, seconds).await;
    end(&mut feed);
    serving.abort();
}

/// One participant, many viewers.
async fn whep(clip: &Path, viewers: u64, seconds: u64) {
    let mut server = roombot(&["room", "--listen", "127.0.0.1:0", "--whep", "--json"]);
    let mut server = server.stdout(Stdio::piped()).spawn().expect("server");
    let mut first = String::new();
    BufReader::new(server.stdout.take().expect("piped")).read_line(&mut first).expect("a line");
    let said: serde_json::Value = serde_json::from_str(&first).expect("JSON");
    let at = |name: &str| said[name].as_str().expect("an address").to_owned();
    let room = format!("{}bench", at("rooms"));
    let watchers = format!("Viewers of {STAR}");
    let how = ["--as", STAR, "--only", &watchers, "--loop", "--json"].map(str::to_owned);
    let mut feed = roombot(&["feed", &room]).arg(clip).args(how).stdout(Stdio::null()).spawn().expect("feed");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut receiver = Receiver::start(&format!("whep+{}bench/{STAR}", at("whep")), viewers);
    measure(&format!("WHEP, {viewers} viewers"), &server, &mut receiver, viewers, seconds).await;
    end(&mut feed);
    end(&mut server);
}

async fn measure(what: &str, sender: &Child, receiver: &mut Receiver, connections: u64, seconds: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    // Two streams each.
    while receiver.totals().streams < 2 * connections {
        assert!(Instant::now() < deadline, "not all connections are made: {:?}", receiver.totals());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tokio::time::sleep(SETTLE).await;
    let (from, cpu_from, before) = (Instant::now(), cpu(sender), receiver.totals());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (window, cpu, after) = (from.elapsed().as_secs_f64(), cpu(sender) - cpu_from, receiver.totals());
    let gbit = (after.bytes - before.bytes) as f64 * 8.0 / 1e9;
    println!(
        "{what:<24} {:>10.2} {:>7.1} {:>8.1} {:>9} {:>6} {:>5.0}",
        cpu / gbit,
        100.0 * cpu / window,
        gbit * 1000.0 / window,
        after.packets - before.packets,
        after.lost.saturating_sub(before.lost),
        memory(sender)
    );
}

/// What a receiver has got.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    streams: u64,
    packets: u64,
    /// RTP with its header.
    bytes: u64,
    /// Numbers that are missing.
    lost: u64,
}

/// The process that receives; it answers a line with what it has got.
struct Receiver {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Receiver {
    fn start(url: &str, count: u64) -> Receiver {
        let mut process = Command::new(std::env::current_exe().expect("self"))
            .args(["receive", url, "--count", &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("receiver");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Receiver { process, answers }
    }

    fn totals(&mut self) -> Totals {
        writeln!(self.process.stdin.as_mut().expect("piped")).expect("asked");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("answered");
        let mut numbers = line.split_whitespace().map(|n| n.parse().expect("a number"));
        let mut next = || numbers.next().expect("four numbers");
        Totals { streams: next(), packets: next(), bytes: next(), lost: next() }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// First and newest number of a stream, without wrapping, and how many packets came.
#[derive(Default, Clone, Copy)]
struct Seen {
    first: u64,
    newest: u64,
    packets: u64,
    bytes: u64,
}

type Streams = Arc<Mutex<HashMap<(usize, u32), Seen>>>;

/// The receiver's process.
async fn receive(url: &str, count: u64) {
    let streams = Streams::default();
    let mut clients = Vec::new();
    for n in 0..count {
        let room = signal::for_url(url).expect("url");
        let (observer, events) = mpsc::channel(64);
        let name = if count == 1 { RECEIVER.to_owned() } else { format!("{RECEIVER} {n}") };
        let how = JoinAs { name, role: Role::Participant, token: None };
        let config = ClientConfig { observer: Some(observer), ..ClientConfig::default() };
        tokio::spawn(watch(events, streams.clone()));
        clients.push(Client::join(room.as_ref(), how, config).await.expect("joins"));
    }
    let answering = tokio::task::spawn_blocking(move || {
        for _ in std::io::stdin().lines().map_while(Result::ok) {
            let mut all = Totals::default();
            for seen in streams.lock().expect("lock").values() {
                all.streams += 1;
                all.packets += seen.packets;
                all.bytes += seen.bytes;
                all.lost += (seen.newest - seen.first + 1).saturating_sub(seen.packets);
            }
            println!("{} {} {} {}", all.streams, all.packets, all.bytes, all.lost);
        }
    });
    answering.await.expect("ended");
}

/// Counts what comes over the connections of one client.
async fn watch(mut events: mpsc::Receiver<RoomEvent>, streams: Streams) {
    while let Some(event) = events.recv().await {
        if let RoomEvent::ConnectionOpened { media, .. } = event {
            tokio::spawn(count(media.inbox, streams.clone()));
        }
    }
}

async fn count(inbox: Arc<Inbox>, streams: Streams) {
    let mut batch = Vec::new();
    let key = Arc::as_ptr(&inbox) as usize;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tick.tick().await;
        inbox.drain(&mut batch);
        let mut streams = streams.lock().expect("lock");
        for item in batch.drain(..) {
            let Inbound::Rtp(packet) = item else { continue };
            let start =
                Seen { first: u64::from(packet.sequence), newest: u64::from(packet.sequence), ..Seen::default() };
            let seen = streams.entry((key, packet.ssrc)).or_insert(start);
            let distance = i64::from(packet.sequence.wrapping_sub(seen.newest as u16) as i16);
            if distance > 0 {
                seen.newest += distance as u64;
            }
            seen.packets += 1;
            seen.bytes += 12 + packet.payload.len() as u64;
        }
    }
}

fn roombot(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roombot"));
    command.args(args).arg("--quiet").stdin(Stdio::null());
    command
}

/// Ends a process as Ctrl-C does.
fn end(child: &mut Child) {
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    let _ = child.wait();
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

/// Ten seconds of 720p VP8 at 2.5 Mbit/s with sound, by ffmpeg.
fn make_clip(path: &Path) {
    let status = Command::new("ffmpeg")
        .args("-v error -y -f lavfi -i testsrc2=size=1280x720:rate=30,noise=alls=12:allf=t -f lavfi -i sine".split(' '))
        .args("-t 10 -c:v libvpx -b:v 2500k -minrate 2500k -maxrate 2500k -bufsize 1000k -g 300".split(' '))
        .args("-deadline realtime -cpu-used 8 -threads 2 -c:a libopus -b:a 40k".split(' '))
        .arg(path)
        .status()
        .expect("ffmpeg");
    assert!(status.success(), "ffmpeg failed");
}

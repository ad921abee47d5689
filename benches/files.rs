//! How fast a file goes over loopback: from bot to bot (a sender and a receiver with its vault in one process), and beside each other in
//! one run from page to page, page to recorder and `roombot send` to page, in Chromium.
//!
//! `cargo bench --bench files`; ROOMBOT_BENCH_MB changes the size for the bots. Read, hashed, sent, received, hashed, written and synced.

#[allow(dead_code)]
#[path = "../tests/suite/support/mod.rs"]
mod support;

use roombot::client::{Client, ClientConfig, FileSend, IncomingFiles, Outcome};
use roombot::room::participant::Role;
use roombot::rtc::Wake;
use roombot::signal::JoinAs;
use roombot::signal::memory::MemoryRoom;
use roombot::transfer::store::{FileStore, Limits};
use std::time::{Duration, Instant};
use support::bot::Bot;
use support::browser::{Browser, Page};
use support::server::TestServer;

/// Bytes that go between pages and bots.
const LARGE: u32 = 100_000_000;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let megabytes: usize = std::env::var("ROOMBOT_BENCH_MB").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file.bin");
    let block: Vec<u8> = (0..1_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&path, block.repeat(megabytes)).expect("a file");
    println!("{megabytes} MB, bot to bot on loopback");
    for (wake, name) in [(Wake::default(), "in batches, as a recorder"), (Wake::OnArrival, "on arrival, as a bot")] {
        let seconds = runtime.block_on(once(wake, &dir, &path, name));
        println!("  received {name}: {:.1} MB/s", megabytes as f64 / seconds);
    }
    if !std::env::args().any(|a| a == "--test") {
        runtime.block_on(browsers());
    }
}

/// The same rate three times: with a browser at both ends, at one and at the other.
async fn browsers() {
    let server = TestServer::start().await;
    let browser = Browser::launch_alone().await;
    let dir = tempfile::tempdir().expect("a folder");
    let room = server.room("bench");
    let recorder = Bot::record(&room, &dir.path().join("out"), &["--quiet", "--as", "Recorder"]);
    let alice = join(&browser, &server, "Alice").await;
    let bob = join(&browser, &server, "Bob").await;
    for name in ["Recorder", "Bob"] {
        let met = format!("roombot.state.peers.some((one) => one.name === '{name}' && one.chat === 'open')");
        alice.wait_for(&met, PATIENCE, name).await;
    }
    println!("100 MB, with browsers");
    let file = format!("new File([new Uint8Array({LARGE})], 'large.bin')");
    let send = |to: &str| format!("roombot.send([{file}], roombot.state.peers.find((one) => one.name === '{to}').id)");
    for round in 1..=3 {
        alice.run(&send("Bob")).await;
        let begun = take(&bob, round * 2 - 1).await;
        alice.wait_for("roombot.talk.at(-1).outgoing[0].state === 'done'", PATIENCE, "Bob has it").await;
        let pages = rate(begun);
        let begun = Instant::now();
        alice.run(&send("Recorder")).await;
        alice.wait_for("roombot.talk.at(-1).outgoing[0].state === 'done'", PATIENCE, "the recorder has it").await;
        let to_bot = rate(begun);
        let path = dir.path().join("large.bin");
        std::fs::write(&path, vec![0; LARGE as usize]).expect("a file");
        let path = path.to_str().expect("UTF-8");
        let courier = Bot::start(&["send", &room, path, "--to", "Bob", "--json"]);
        let begun = take(&bob, round * 2).await;
        bob.wait_for("roombot.talk.at(-1).incoming.state === 'done'", PATIENCE, "Bob has it").await;
        let from_bot = rate(begun);
        courier.ended(PATIENCE).await;
        println!(
            "  page to page {pages:.1} MB/s; page to recorder {to_bot:.1} ({:.2} of it); send to page {from_bot:.1} ({:.2} of it)",
            to_bot / pages,
            from_bot / pages
        );
    }
    drop(recorder);
}

async fn join(browser: &Browser, server: &TestServer, name: &str) -> Page {
    let page = browser.page(&server.page("bench", &format!("name={name}&auto=1&camera=0&mic=0"))).await;
    page.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    page
}

/// Takes what is offered as the page's so-many-th file; when.
async fn take(page: &Page, number: usize) -> Instant {
    let offered = format!("roombot.talk.filter((one) => one.incoming).length === {number}");
    page.wait_for(&offered, PATIENCE, "an offer").await;
    page.run("roombot.take(roombot.talk.at(-1).key)").await;
    Instant::now()
}

/// Megabytes a second since then.
fn rate(begun: Instant) -> f64 {
    f64::from(LARGE) / 1e6 / begun.elapsed().as_secs_f64()
}

async fn once(wake: Wake, dir: &tempfile::TempDir, path: &std::path::Path, name: &str) -> f64 {
    let room = MemoryRoom::new("bench").expect("a room");
    let how = |name: &str| JoinAs { name: name.into(), role: Role::Participant, token: None };
    let inbox = std::fs::File::open(dir.path()).expect("a folder");
    let vault = FileStore::new(inbox.into(), name, Limits { reserve: 0, ..Limits::default() });
    let config = ClientConfig { files: Some(IncomingFiles::into(vault)), wake, ..ClientConfig::default() };
    let receiver = Client::join(&room, how("Receiver"), config).await.expect("joined");
    let sender = Client::join(&room, how("Sender"), ClientConfig { wake, ..ClientConfig::default() });
    let sender = sender.await.expect("joined");
    // Connected first: that is not what is measured.
    while sender.say(Some(receiver.me()), "hello").await.delivered(Duration::from_secs(10)).await.is_empty() {}
    let begun = Instant::now();
    let mut sending = sender.send_file(receiver.me(), FileSend::new(path));
    let outcome = sending.outcome().await;
    assert!(matches!(outcome, Outcome::Received { .. }), "{outcome:?}");
    let seconds = begun.elapsed().as_secs_f64();
    sender.leave().await;
    receiver.leave().await;
    seconds
}

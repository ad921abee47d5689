//! How fast a file goes from bot to bot: a sender and a receiver with its vault in one process, over loopback.
//!
//! `cargo bench --bench files`; ROOMBOT_BENCH_MB changes the size. Read, hashed, sent, received, hashed, written and synced.

use roombot::room::people::Role;
use roombot::rtc::Wake;
use roombot::session::{FileSend, Outcome, Session, SessionConfig, TakeFiles};
use roombot::signal::JoinAs;
use roombot::signal::memory::MemoryRoom;
use roombot::transfer::vault::{Limits, Vault};
use std::time::{Duration, Instant};

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
}

async fn once(wake: Wake, dir: &tempfile::TempDir, path: &std::path::Path, name: &str) -> f64 {
    let room = MemoryRoom::new("bench").expect("a room");
    let how = |name: &str| JoinAs { name: name.into(), role: Role::Participant, token: None };
    let inbox = std::fs::File::open(dir.path()).expect("a folder");
    let vault = Vault::new(inbox.into(), name, Limits { reserve: 0, ..Limits::default() });
    let config = SessionConfig { files: Some(TakeFiles::into(vault)), wake, ..SessionConfig::default() };
    let receiver = Session::join(&room, how("Receiver"), config).await.expect("joined");
    let sender = Session::join(&room, how("Sender"), SessionConfig { wake, ..SessionConfig::default() });
    let sender = sender.await.expect("joined");
    // Connected first: that is not what is measured.
    while sender.say(Some(receiver.me()), "hello").await.heard(Duration::from_secs(10)).await.is_empty() {}
    let begun = Instant::now();
    let mut sending = sender.send_file(receiver.me(), FileSend::new(path));
    let outcome = sending.outcome().await;
    assert!(matches!(outcome, Outcome::Received { .. }), "{outcome:?}");
    let seconds = begun.elapsed().as_secs_f64();
    sender.leave().await;
    receiver.leave().await;
    seconds
}

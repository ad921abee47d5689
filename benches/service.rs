//! What the recorder service costs beside its recorders: requests queued, ten thousand recordings listed, memory while nothing happens.
//!
//! `cargo bench --bench service`. A file that is written and synced once for each request is measured beside it: the disk's part.

#[allow(dead_code)]
#[path = "../tests/suite/support/mod.rs"]
mod support;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use std::io::Write;
use std::time::{Duration, Instant};
use support::service::Service;

/// Recordings that are asked for at a time, and in all.
const CLIENTS: usize = 8;
const QUEUED: usize = 1000;
const LISTED: usize = 10_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(measure());
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

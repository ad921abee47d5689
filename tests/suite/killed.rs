//! `kill -9` of the recorder at random instants, twenty times: every file opens, lacks at most the last second, and the next
//! start finishes it without losing a frame.

use crate::support::bot::{self, Bot};
use crate::support::dump::Dump;
use crate::support::moment;
use crate::support::needs::{needed, tools};
use crate::support::probe::{length, probe};
use crate::support::server::TestServer;
use crate::support::studio::subscribed;
use crate::support::synthetic::label;
use crate::support::within;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use roombot::client::{Client, ClientConfig};
use roombot::container::matroska::scan;
use roombot::room::media::{Codec, MediaKind, Source};
use roombot::room::participant::Role;
use roombot::rtc::OutboundTrack;
use roombot::signal::{JoinAs, for_url};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Recorders of one round; they record the same room and die one by one.
const RECORDERS: usize = 5;
/// What a kill may cost.
const COST_MS: i64 = 1000;

/// When each frame of a track was sent, on the wall clock in milliseconds.
type Sent = Arc<Mutex<HashMap<Codec, Vec<i64>>>>;

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Somebody who sends all five codecs from now on until the set is dropped.
async fn send_everything(room: &str) -> (Client, Vec<OutboundTrack>, Sent, JoinSet<()>) {
    let source = |codec: Codec| if codec.kind() == MediaKind::Audio { Source::Mic } else { Source::Camera };
    let tracks: Vec<OutboundTrack> =
        Codec::ALL.iter().map(|c| OutboundTrack::new(label(c.name(), source(*c)), *c)).collect();
    let how = JoinAs { name: "Alice".into(), role: Role::Participant, token: None };
    let config = ClientConfig { publish: tracks.clone(), ..ClientConfig::default() };
    let alice = Client::join(for_url(room).expect("a room").as_ref(), how, config).await.expect("joined");
    let sent = Sent::default();
    let mut players = JoinSet::new();
    for track in tracks.clone() {
        let sent = sent.clone();
        players.spawn(async move {
            let dump = Dump::load(track.codec());
            dump.play_by(0..usize::MAX, 0, |frame, _| {
                // Noted before: what a recorder is held to has left by then, or it is held to more.
                sent.lock().expect("lock").entry(track.codec()).or_default().push(now_ms());
                track.send(&frame);
            })
            .await;
        });
    }
    (alice, tracks, sent, players)
}

/// The recordings in a folder.
fn recordings(out: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(out).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn events(recording: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(recording.join("timeline.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Track files that a recording has begun: file, codec's word, and the wall clock at its first frame.
fn begun(recording: &Path) -> Vec<(String, String, i64)> {
    let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let at = |event: &Value| word(event, "at").parse::<jiff::Timestamp>().expect("a time").as_millisecond();
    let events = events(recording);
    let on = events.iter().filter(|event| event["event"] == "track-on");
    on.map(|event| (word(event, "file"), word(event, "codec"), at(event))).collect()
}

/// Checks what a kill at `killed_ms` left of one recording. Returns its files with their frames, and the largest loss in ms.
fn judge_remains(recording: &Path, sent: &Sent, killed_ms: i64) -> (Vec<(PathBuf, u64)>, i64) {
    let mut files = Vec::new();
    let mut worst = 0;
    for (file, codec, began_ms) in begun(recording) {
        let path = recording.join("tracks").join(&file);
        let codec = Codec::ALL.into_iter().find(|c| c.name().to_lowercase() == codec).expect("a codec");
        let seen = probe(&path);
        assert_eq!(seen.codec, codec.name().to_lowercase(), "{file}: {seen:?}");
        let scanned = scan(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        // ffmpeg may hand out a torn frame at the end, too, and complain of it.
        assert!((scanned.frames..=scanned.frames + 1).contains(&seen.packets), "{file}: {seen:?} {scanned:?}");
        assert!(seen.frames >= scanned.frames, "{file}: it does not decode: {seen:?} {scanned:?}");
        assert!(scanned.dropped > 0 || seen.complaints.is_empty(), "{file}: {seen:?}");

        let pause_ms = if codec == Codec::Opus { 20.0 } else { 1000.0 / 15.0 };
        let last_ms = scanned.last_ms.unwrap_or(0);
        let expected = (last_ms as f64 / pause_ms).round() as u64 + 1;
        assert_eq!(scanned.frames, expected, "{file}: frames are missing before its end");
        let times = sent.lock().expect("lock");
        let newest = times[&codec].iter().rev().find(|at| **at <= killed_ms).copied().unwrap_or(0);
        let missing = newest - (began_ms + last_ms as i64);
        assert!(missing <= COST_MS, "{file}: the last {missing} ms are missing");
        worst = worst.max(missing);
        files.push((path, scanned.frames));
    }
    (files, worst)
}

async fn round(number: u64) {
    let seed = match std::env::var("ROOMBOT_KILL_SEED") {
        Ok(seed) => seed.parse().expect("ROOMBOT_KILL_SEED is a number"),
        Err(_) => rand::random::<u64>(),
    };
    println!("round {number}: ROOMBOT_KILL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed ^ number);

    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let room = server.room("cut");
    let (alice, tracks, sent, players) = send_everything(&room).await;
    let mut bots: Vec<Bot> = (0..RECORDERS).map(|_| Bot::record(&room, dir.path(), &["--quiet"])).collect();
    subscribed(&tracks.iter().collect::<Vec<_>>()).await;
    let all_begun = async {
        while recordings(dir.path()).iter().filter(|r| begun(r).len() == Codec::ALL.len()).count() < RECORDERS {
            moment().await;
        }
    };
    within(20, "every recorder has begun every track", all_begun).await;

    // Which recording is whose is not known, and need not be: they end in an order, and the locks tell.
    let start = Instant::now();
    let mut instants: Vec<Duration> =
        (0..RECORDERS).map(|_| Duration::from_micros(random.random_range(0..3_000_000))).collect();
    instants.sort();
    let mut killed: Vec<(PathBuf, i64)> = Vec::new();
    for (bot, at) in bots.iter_mut().zip(&instants) {
        tokio::time::sleep_until((start + *at).into()).await;
        let killed_ms = now_ms();
        bot.kill();
        let mut found = None;
        while found.is_none() {
            moment().await;
            let dead = |path: &PathBuf| !roombot::recording::folder::RecordingFolder::is_live(path);
            found = recordings(dir.path()).into_iter().find(|r| dead(r) && !killed.iter().any(|(k, _)| k == r));
        }
        killed.push((found.expect("found"), killed_ms));
    }
    drop(bots);

    let mut before = Vec::new();
    let mut losses = Vec::new();
    for (recording, killed_ms) in &killed {
        let (files, worst) = judge_remains(recording, &sent, *killed_ms);
        assert_eq!(files.len(), Codec::ALL.len(), "{}", recording.display());
        losses.push(worst);
        before.extend(files);
    }
    println!("round {number}: killed at {instants:?}, cost at the most {losses:?} ms");

    let next = Bot::record(&room, dir.path(), &["--quiet", "--for", "1s"]).ended(Duration::from_secs(30)).await;
    assert_eq!(next.code, Some(0), "{next:?}");
    for (recording, _) in &killed {
        let name = recording.file_name().expect("a name").to_string_lossy();
        let said = next.stderr.lines().find(|line| line.contains(&*name)).unwrap_or_else(|| panic!("{next:?}"));
        assert!(said.contains("was cut short; 5 track files finished"), "{said}");
        let shown = bot::run(&["show", "--json", recording.to_str().expect("UTF-8")]).await;
        // What `show` prints for people has a golden text of its own.
        let report: Value = serde_json::from_str(&shown.stdout).unwrap_or_else(|e| panic!("{e}: {shown:?}"));
        assert_eq!(report["state"], "recovered", "{report:#}");
        assert!(report["tracks"].as_array().expect("tracks").iter().all(|track| track["finished"] == true));
    }
    for (path, frames) in before {
        let (duration, packets) = length(&path);
        assert_eq!(packets, frames, "{}: recovery lost frames", path.display());
        assert!(duration.is_some_and(|seconds| seconds > 0.0), "{} has no duration", path.display());
    }
    drop(players);
    alice.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_recorder_costs_at_most_a_second_1() {
    needed!(tools(&["ffmpeg"]));
    round(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_recorder_costs_at_most_a_second_2() {
    needed!(tools(&["ffmpeg"]));
    round(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_recorder_costs_at_most_a_second_3() {
    needed!(tools(&["ffmpeg"]));
    round(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_recorder_costs_at_most_a_second_4() {
    needed!(tools(&["ffmpeg"]));
    round(4).await;
}

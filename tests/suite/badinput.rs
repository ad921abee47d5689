//! What a user and a machine can do wrong: a clear line, the right exit code, and what can be recorded goes on.

use crate::support::bot::{self, Bot, Outcome};
use crate::support::dump::Dump;
use crate::support::needs::{needed, tools};
use crate::support::probe::{packets, probe};
use crate::support::server::TestServer;
use crate::support::synthetic::label;
use crate::support::{moment, pause};
use roombot::client::{Client, ClientConfig};
use roombot::room::media::{Codec, Source};
use roombot::room::participant::Role;
use roombot::rtc::OutboundTrack;
use roombot::signal::{JoinAs, for_url};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::task::JoinSet;

const USER: i32 = 2;
const ROOM: i32 = 3;
const MACHINE: i32 = 4;
const WITH_LOSSES: i32 = 7;

fn assert_refused(outcome: &Outcome, code: i32, says: &str) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    let error = outcome.stderr.lines().find(|line| line.starts_with("error: "));
    let error = error.unwrap_or_else(|| panic!("no line that begins with error: {outcome:?}"));
    assert!(error.contains(says), "{error:?} does not say {says:?}");
    assert!(outcome.stdout.is_empty() && !outcome.stderr.contains("panicked"), "{outcome:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_addresses_and_flags_are_the_users() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("out");
    let room = "ws://127.0.0.1:9/rooms/a";
    for (args, says) in [
        (vec!["gopher://127.0.0.1/rooms/a"], "known are ws://, wss://"),
        (vec!["standup"], "ws://, wss://"),
        (vec!["ws://"], "URL"),
        (vec!["ws://127.0.0.1:99999/rooms/a"], "port"),
        (vec!["ws://127.0.0.1/"], "/rooms/NAME"),
        (vec!["ws://127.0.0.1/rooms/a%20b"], "/rooms/NAME"),
        (vec!["ws://127.0.0.1/rooms/\u{1b}[2J"], "/rooms/NAME"),
        (vec![room, "--for", "5 parsecs"], "5 parsecs"),
        (vec![room, "--for=-5s"], "-5s"),
        (vec![room, "--batch", "51"], "--batch"),
        (vec![room, "--as"], "--as"),
    ] {
        let outcome = bot::run(&[&["record"], &args[..], &["--out", text(&out)][..]].concat()).await;
        assert_refused(&outcome, USER, says);
        assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:?}");
    }
    assert!(!out.exists(), "nothing is made for what cannot be recorded");
    assert_refused(&bot::run(&["show", text(dir.path())]).await, USER, "is not a recording");
    assert_refused(&bot::run(&["room", "--listen", "127.0.0.1"]).await, USER, "--listen");
    assert_refused(&bot::run(&["feed", room]).await, USER, "nothing to send: name a file, or use --video");
    assert_refused(&bot::run(&["send", room]).await, USER, "nothing to send: name files, or use --message");
    let nowhere = dir.path().join("nowhere/a.webm");
    let refused = bot::run(&["stamp", "--name", "a", "--out", text(&nowhere)]).await;
    assert_refused(&refused, USER, "a.webm: No such file or directory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stamp_that_is_stopped_leaves_nothing_that_looks_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("a.webm");
    let stamping = Bot::start(&["stamp", "--name", "a", "--seconds", "4h", "--out", text(&file)]);
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    while std::fs::metadata(&file).map_or(0, |about| about.len()) == 0 {
        assert!(tokio::time::Instant::now() < until, "it has begun to write");
        moment().await;
    }
    stamping.interrupt();
    let outcome = stamping.ended(Duration::from_secs(30)).await;
    assert_refused(&outcome, USER, "stopped before it was finished");
    assert!(!file.exists(), "the next run does not find half a file in its way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_not_there_or_says_no_is_the_rooms() {
    let server = TestServer::start_with(|config| config.token = Some("open sesame".into())).await;
    let dir = tempfile::tempdir().expect("a folder");
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    for (room, token, says) in [
        (server.room("a"), "guess", "token"),
        (server.room("a"), "", "token"),
        (format!("ws://{free}/rooms/a"), "", "cannot reach"),
        (format!("wss://{}/rooms/a", server.address), "", "cannot reach"),
    ] {
        let outcome = bot::run(&["record", &room, "--token", token, "--out", text(dir.path())]).await;
        assert_refused(&outcome, ROOM, says);
    }
    let left = std::fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(left, 0, "a recording was begun of a room that was never joined");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_goes_away_ends_the_recording_whole() {
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let (alice, mut players, _tracks) = send(&server.room("a")).await;
    let bot = Bot::record(&server.room("a"), dir.path(), &["--quiet"]);
    wait_for_tracks(dir.path(), 2).await;
    pause(Duration::from_secs(1), "tracks of some length").await;
    server.stop().await;
    let outcome = bot.ended(Duration::from_secs(30)).await;
    players.abort_all();
    alice.leave().await;
    assert_eq!(outcome.code, Some(ROOM), "{outcome:?}");
    assert!(outcome.stderr.contains("what was recorded until then is complete"), "{outcome:?}");
    let folder = PathBuf::from(outcome.stdout.trim());
    let report = bot::run(&["show", "--json", text(&folder)]).await;
    assert!(report.stdout.contains(r#""state": "complete""#), "{report:?}");
}

/// Somebody who sends a camera and a microphone until the set is dropped.
async fn send(room: &str) -> (Client, JoinSet<()>, Vec<OutboundTrack>) {
    let tracks = vec![
        OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8),
        OutboundTrack::new(label("voice", Source::Mic), Codec::Opus),
    ];
    let how = JoinAs { name: "Alice".into(), role: Role::Participant, token: None };
    let config = ClientConfig { publish: tracks.clone(), ..ClientConfig::default() };
    let alice = Client::join(for_url(room).expect("a room").as_ref(), how, config).await.expect("joined");
    let mut players = JoinSet::new();
    for track in tracks.clone() {
        players.spawn(async move { Dump::load(track.codec()).play(&track, 0, usize::MAX, 0).await });
    }
    (alice, players, tracks)
}

/// Waits until the only recording in `out` has begun so many tracks.
async fn wait_for_tracks(out: &Path, count: usize) {
    let begun = || {
        let folder = std::fs::read_dir(out).ok()?.flatten().find(|entry| entry.path().join("tracks").is_dir())?;
        Some(std::fs::read_dir(folder.path().join("tracks")).ok()?.count())
    };
    let wait = async {
        while begun() < Some(count) {
            moment().await;
        }
    };
    crate::support::within(20, "the tracks begin", wait).await;
}

/// `unshare` that gives a command a mount table of its own, where that is allowed.
fn own_mounts() -> Result<Command, String> {
    for flags in [&["-m"][..], &["-r", "-m"]] {
        let allowed = Command::new("unshare").args(flags).args(["mount", "-t", "tmpfs", "none", "/mnt"]).output();
        if allowed.is_ok_and(|output| output.status.success()) {
            let mut command = Command::new("unshare");
            command.args(flags);
            return Ok(command);
        }
    }
    Err("this user may not mount a small disk: unshare -m".into())
}

/// Runs `script` with a mount table of its own; `$1` is `dir`, `$BOT` the binary, `$ROOM` the room.
fn in_own_mounts(script: &str, dir: &Path, room: &str) -> Result<Bot, String> {
    let mut command = own_mounts()?;
    command.args(["sh", "-ec", script, "sh", text(dir)]);
    command.env("BOT", env!("CARGO_BIN_EXE_roombot")).env("ROOM", room);
    Ok(Bot::spawn(command))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_written_is_told_before_the_room_is_joined() {
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "not a folder").expect("a file");
    let room = server.room("a");
    for out in [file.clone(), file.join("below"), PathBuf::from("/proc/recordings")] {
        let outcome = bot::run(&["record", &room, "--out", text(&out)]).await;
        assert_refused(&outcome, USER, "recordings cannot be written there");
        assert!(outcome.stderr.contains(text(&out)), "{outcome:?}");
    }
    assert_eq!(std::fs::read(&file).expect("still there"), b"not a folder");
    let script = r#"mount -t tmpfs -o ro none "$1"; exec "$BOT" record "$ROOM" --out "$1""#;
    let bot = needed!(in_own_mounts(script, dir.path(), &room));
    assert_refused(&bot.ended(Duration::from_secs(20)).await, USER, "Read-only file system");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_for_a_while_costs_only_that_while() {
    needed!(tools(&["ffmpeg"]));
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let (small, saved) = (dir.path().join("small"), dir.path().join("saved"));
    std::fs::create_dir(&small).expect("a folder");
    std::fs::create_dir(&saved).expect("a folder");
    let room = server.room("a");
    let (alice, _players, _tracks) = send(&room).await;
    // Full from the third second to the sixth; what is there at the end is copied out, for the disk goes with the process.
    let script = r#"
        mount -t tmpfs -o size=2m none "$1/small"
        "$BOT" record "$ROOM" --out "$1/small" --for 9s --quiet & bot=$!
        sleep 3; cat /dev/zero > "$1/small/ballast" 2>/dev/null || true
        sleep 3; rm "$1/small/ballast"
        code=0; wait $bot || code=$?
        cp -r "$1/small/." "$1/saved"
        exit $code"#;
    let bot = needed!(in_own_mounts(script, dir.path(), &room));
    let outcome = bot.ended(Duration::from_secs(30)).await;
    alice.leave().await;
    assert_eq!(outcome.code, Some(WITH_LOSSES), "{outcome:?}");
    assert!(outcome.stderr.contains("the disk is full"), "{outcome:?}");
    let folder = std::fs::read_dir(&saved).expect("a folder").flatten().next().expect("a recording").path();
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).expect("a manifest")).expect("JSON");
    assert_eq!(manifest["status"], "partial", "{manifest:#}");
    assert!(manifest["warnings"].to_string().contains("could not be written"), "{manifest:#}");
    assert!(
        manifest["reasons"].as_array().expect("reasons").iter().all(|loss| loss["cause"] == "disk"),
        "{manifest:#}"
    );
    for track in manifest["tracks"].as_array().expect("tracks") {
        let dropped = track["dropped"].as_object().expect("counts").values().filter_map(Value::as_u64).sum::<u64>();
        let in_frames = track["in_frames"].as_u64().expect("a count");
        assert_eq!(track["arrived"].as_u64(), Some(in_frames + dropped), "{track:#}");
        assert!(
            track["dropped"]["disk"].as_u64() > Some(0) && track["unwritten_frames"].as_u64() > Some(0),
            "{track:#}"
        );
        assert!(track["gaps"].to_string().contains("\"disk\""), "{track:#}");
        let path = folder.join("tracks").join(track["file"].as_str().expect("a file"));
        let seen = probe(&path);
        assert_eq!(track["frames"].as_u64(), Some(seen.packets), "{track:#} {seen:?}");
        let times: Vec<f64> = packets(&path).iter().map(|packet| packet.at).collect();
        let (first, last) = (times[0], times[times.len() - 1]);
        let holes: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0.5).collect();
        assert!(last - first > 6.5, "it did not go on: {first}..{last}");
        assert!(!holes.is_empty() && holes.iter().sum::<f64>() < 4.5, "{holes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stays_full_is_the_machines() {
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let room = server.room("a");
    let (alice, _players, _tracks) = send(&room).await;
    let full = r#"mount -t tmpfs -o size=64k none "$1"; cat /dev/zero > "$1/ballast" 2>/dev/null || true
        exec "$BOT" record "$ROOM" --out "$1" --for 5s --quiet"#;
    let filling = r#"mount -t tmpfs -o size=64k none "$1"; exec "$BOT" record "$ROOM" --out "$1" --for 8s --quiet"#;
    let full = needed!(in_own_mounts(full, dir.path(), &room));
    assert_refused(&full.ended(Duration::from_secs(20)).await, MACHINE, "the disk is full");
    let filling = in_own_mounts(filling, dir.path(), &room).expect("allowed before");
    let outcome = filling.ended(Duration::from_secs(30)).await;
    alice.leave().await;
    assert_eq!(outcome.code, Some(MACHINE), "{outcome:?}");
    assert!(outcome.stderr.contains("the disk is full"), "{outcome:?}");
}

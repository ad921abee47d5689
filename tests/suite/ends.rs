//! Why a recorder ends or never begins, as a word for programs.

use crate::continued::feed;
use crate::support::bot::{self, Bot};
use crate::support::pause;
use crate::support::recorder::begun;
use crate::support::server::TestServer;
use roombot::client::{Client, ClientConfig};
use roombot::room::participant::Role;
use roombot::signal::{JoinAs, for_url};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Exit code and summary of a recorder.
async fn end(recorder: Bot) -> (Option<i32>, Value) {
    let outcome = recorder.ended(PATIENCE).await;
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    let [line] = lines[..] else { panic!("one object: {outcome:?}") };
    (outcome.code, serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {outcome:?}")))
}

fn record(room: &str, out: &Path, more: &[&str]) -> Bot {
    Bot::record(room, out, &[&["--quiet", "--json"], more].concat())
}

/// The reason of a recorder that is to end well by itself.
async fn reason(room: &str, out: &Path, more: &[&str]) -> Value {
    let (code, summary) = end(record(room, out, more)).await;
    assert_eq!((code, &summary["status"]), (Some(0), &json!("complete")), "{summary:#}");
    summary["reason_code"].clone()
}

async fn join(room: &str, role: Role) -> Client {
    let how = JoinAs { name: "Guest".into(), role, token: None };
    Client::join(for_url(room).expect("a room").as_ref(), how, ClientConfig::default()).await.expect("joins")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_asked_for_has_its_word() {
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path();
    assert_eq!(reason(&server.room("a"), out, &["--for", "1s"]).await, "max_duration");
    assert_eq!(reason(&server.room("b"), out, &["--until-nobody", "1s", "--for", "1m"]).await, "nobody_joined");
    let room = server.room("c");
    let bot = join(&room, Role::Bot).await;
    assert_eq!(reason(&room, out, &["--until-nobody", "1s", "--until-only-bots", "2s"]).await, "only_bots");
    bot.leave().await;
    // A tone every half second is no speech.
    let room = server.room("d");
    let alice = feed(&room);
    assert_eq!(reason(&room, out, &["--until-silent", "4s", "--until-nobody", "30s"]).await, "silence");
    drop(alice);
    let room = server.room("e");
    let guest = join(&room, Role::Participant).await;
    let recorder = record(&room, out, &["--until-empty", "1s", "--until-silent", "1m"]);
    pause(Duration::from_secs(2), "it has seen the guest").await;
    guest.leave().await;
    assert_eq!(end(recorder).await.1["reason_code"], "everybody_left");
    let room = server.room("f");
    let alice = feed(&room);
    assert_eq!(reason(&room, out, &["--max-recording", "100KiB", "--for", "1m"]).await, "max_size");
    drop(alice);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_began_is_told_as_an_object_too() {
    let server = TestServer::start_with(|config| {
        config.token = Some("sesame".into());
        config.limits.room_members = 1;
    })
    .await;
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path();
    let failure = async |room: &str, more: &[&str]| {
        let (code, object) = end(record(room, out, more)).await;
        assert_eq!((code, &object["exit_code"]), (code, &json!(code)));
        assert_eq!((&object["status"], &object["folder"]), (&json!("failed"), &Value::Null), "{object}");
        assert!(object["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
        (code, object["reason_code"].as_str().expect("a code").to_owned())
    };
    let failed = |code, reason: &str| (Some(code), reason.to_owned());
    let room = server.room("a");
    // A wrong token does not become right by waiting.
    assert_eq!(failure(&room, &["--join-for", "1m"]).await, failed(3, "token_wrong"));
    let first = record(&room, out, &["--token", "sesame"]);
    begun(out).await;
    assert_eq!(failure(&room, &["--token", "sesame", "--join-for", "1s"]).await, failed(3, "room_full"));
    first.interrupt();
    assert_eq!(end(first).await.1["reason_code"], "stopped");
    assert_eq!(failure("ws://127.0.0.1:9/rooms/x", &[]).await, failed(3, "room_unreachable"));
    assert_eq!(failure("gopher://x", &[]).await, failed(2, "room_unreachable"));
    let (code, object) = end(record(&room, Path::new("/proc/nowhere"), &[])).await;
    assert_eq!((code, &object["reason_code"]), (Some(2), &json!("internal")), "{object}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patience_joins_a_room_that_opens_late() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = place.local_addr().expect("an address");
    drop(place);
    let recorder = record(&format!("ws://{address}/rooms/late"), dir.path(), &["--join-for", "1m", "--for", "1s"]);
    pause(Duration::from_secs(1), "it tries in vain").await;
    let server = TestServer::start_with(|config| config.listen = address).await;
    let (code, summary) = end(recorder).await;
    assert_eq!((code, &summary["reason_code"]), (Some(0), &json!("max_duration")), "{summary:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_closes_is_told() {
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let recorder = record(&server.room("a"), dir.path(), &[]);
    begun(dir.path()).await;
    server.stop().await;
    let (code, summary) = end(recorder).await;
    assert_eq!((code, &summary["reason_code"]), (Some(3), &json!("room_ended")), "{summary:#}");
    let help = bot::run(&["record", "--help"]).await;
    assert!(help.stdout.contains("the key p pauses and resumes"), "{}", help.stdout);
}

//! `roombot ctl` against a real service: schedules, bots, checks, archives, links and purges, from a shell.

use crate::support::bot::{Bot, Outcome, run};
use crate::support::server::TestServer;
use crate::support::service::{KEY, Service, client};
use crate::support::{machine, moment, within};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A verb of `ctl` at a service.
async fn ctl(service: &Service, args: &[&str]) -> Outcome {
    run(&[&["ctl", "--url", service.url(), "--key", KEY], args].concat()).await
}

/// A verb that succeeds; its words.
async fn said(service: &Service, args: &[&str]) -> String {
    let Outcome { code, stdout, stderr } = ctl(service, args).await;
    assert_eq!(code, Some(0), "{args:?}: {stdout}{stderr}");
    stdout.trim_end().to_owned()
}

/// A verb that succeeds, with `--json`.
async fn told(service: &Service, args: &[&str]) -> Value {
    let text = said(service, &[args, &["--json"]].concat()).await;
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
}

/// A verb that the user has to mend: exit code 2, and these words.
async fn refused(service: &Service, args: &[&str], words: &str) {
    let Outcome { code, stdout, stderr } = ctl(service, args).await;
    assert_eq!(code, Some(2), "{args:?}: {stdout}{stderr}");
    assert!(stderr.contains(words), "{args:?}: {stderr}");
}

#[tokio::test]
async fn schedules_are_made_listed_and_deleted() {
    let service = Service::start(&[]).await;
    let room = "ws://127.0.0.1:9/rooms/standup";
    let daily = ["--cron", "30 9 * * MON-FRI", "--time-zone", "Europe/Berlin", "--for", "30m"];
    let flags = ["--film", "grid", "--as", "Minutes", "--idempotency-key", "minutes"];
    let make = [&["schedule", room], &flags[..], &daily].concat();
    let made = told(&service, &make).await;
    let id = made["id"].as_str().expect("an id");
    assert_eq!(told(&service, &make).await["id"], *id, "the key makes it once");
    let request = &service.get(&format!("/v1/schedules/{id}")).await.json()["request"];
    for (field, want) in [
        ("/name", json!("standup")),
        ("/time_zone", json!("Europe/Berlin")),
        ("/duration_s", json!(1800)),
        ("/recording/outputs/film/layout", json!("grid")),
        ("/recording/bot_name", json!("Minutes")),
    ] {
        assert_eq!(request.pointer(field), Some(&want), "{field}: {request:#}");
    }
    let table = said(&service, &["schedules"]).await;
    assert!(table.lines().nth(1).is_some_and(|row| row.contains(id) && row.contains("30 9 * * MON-FRI")), "{table}");
    assert_eq!(told(&service, &["schedules"]).await["schedules"][0]["id"], *id);
    refused(&service, &["schedule", room, "--cron", "soon", "--for", "30m"], "cron: ").await;
    let wrong = ["schedule", room, "--cron", "0 9 * * *", "--for", "1h", "--film", "--request", r#"{"outputs":3}"#];
    refused(&service, &wrong, "--request: outputs must be an object").await;
    said(&service, &["unschedule", id]).await;
    assert_eq!(told(&service, &["schedules"]).await["schedules"], json!([]));
    refused(&service, &["unschedule", id], "schedule").await;
}

#[tokio::test]
async fn a_bot_is_started_told_what_to_do_and_stopped() {
    let (server, service) = (TestServer::start().await, Service::start(&[]).await);
    let room = server.room("a");
    let start = ["bot", "start", "filter", &room, "--video", "blur", "-p", "size=0.05", "--as", "Blurrer"];
    let id = told(&service, &start).await["id"].as_str().expect("an id").to_owned();
    let running = async {
        while told(&service, &["bot", "show", &id]).await["state"] != "running" {
            moment().await;
        }
    };
    within(60, "the bot is running", running).await;
    let answer = said(&service, &["bot", "command", &id, "filter", "sepia"]).await;
    assert!(answer.contains("video sepia"), "{answer}");
    refused(&service, &["bot", "command", &id, "filter", "no-such-filter"], "no-such-filter").await;
    refused(&service, &["bot", "command", &id, "dance"], "is no command").await;
    said(&service, &["bot", "say", &id, "We begin."]).await;
    let table = said(&service, &["bots", "--state", "running"]).await;
    assert!(table.contains(&id) && table.contains("filter"), "{table}");
    assert!(said(&service, &["bot", "stop", &id]).await.contains("stopping"));
    let ended = async {
        while told(&service, &["bots", "--state", "ended"]).await["bots"] == json!([]) {
            moment().await;
        }
    };
    within(30, "the bot has ended", ended).await;
    said(&service, &["bot", "rm", &id]).await;
    refused(&service, &["bot", "show", &id], "bot").await;
    refused(&service, &["bot", "start", "feed", &room], "feed").await;
    let start = ["bot", "start", "echo", &room, "--only", "Alice", "--for", "1m", "--idempotency-key", "echo"];
    let echo = told(&service, &start).await;
    assert_eq!(told(&service, &start).await["id"], echo["id"], "the key makes it once");
    assert_eq!((&echo["request"]["kind"], &echo["request"]["max_duration_s"]), (&json!("echo"), &json!(60)), "{echo}");
    said(&service, &["bot", "stop", echo["id"].as_str().expect("an id")]).await;
}

#[tokio::test]
async fn the_verdict_of_a_check_is_the_exit_code() {
    let _share = machine::share().await;
    let service = Service::start(&[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    // Nobody can be three people: the verdict has to be red.
    let people = "[[people]]\nname = \"alice\"\n[[people]]\nname = \"bob\"\n";
    let red = format!("name = \"Two or three\"\nduration = \"3s\"\nexpect = [\"participants == 3\"]\n{people}");
    let (red, report) = (file("red.toml", &red), folder.path().join("report.xml"));
    let args = ["ctl", "--url", service.url(), "--key", KEY, "check", &red, "--seed", "7", "--junit"];
    let judged = Bot::start(&[&args[..], &[report.to_str().expect("UTF-8")]].concat());
    let Outcome { code, stdout, stderr } = judged.ended(Duration::from_secs(120)).await;
    assert_eq!(code, Some(5), "{stdout}{stderr}");
    assert!(
        stdout.contains("Two or three (seed 7): fail") && stdout.contains("fail: participants == 3: 2"),
        "{stdout}"
    );
    assert!(std::fs::read_to_string(&report).expect("a report").contains("<testsuites"));
    refused(&service, &["check", &file("none.toml", "name =")], "is no TOML").await;
    let unknown = ctl(&service, &["check", &file("unknown.toml", "flavour = \"vanilla\"")]).await;
    assert_eq!(unknown.code, Some(6), "{}{}", unknown.stdout, unknown.stderr);
    assert!(unknown.stderr.contains("flavour"), "{}", unknown.stderr);
    // Ctrl-C cancels.
    let long = format!("name = \"long\"\nduration = \"60s\"\nexpect = [\"participants == 2\"]\n{people}");
    let waiting = Bot::start(&["ctl", "--url", service.url(), "--key", KEY, "check", &file("long.toml", &long)]);
    let newest = async || service.get("/v1/checks").await.json()["checks"][0].clone();
    let taken = async {
        while newest().await["request"]["scenario"]["name"] != "long" {
            moment().await;
        }
    };
    within(30, "the check is taken", taken).await;
    waiting.interrupt();
    assert_eq!(waiting.ended(Duration::from_secs(30)).await.code, Some(6));
    assert_eq!(newest().await["state"], "cancelled");
}

#[tokio::test]
async fn a_recording_is_archived_linked_and_purged() {
    let (server, service) = (TestServer::start().await, Service::start(&[]).await);
    let room = server.room("a");
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let alice = Bot::start(&["feed", &room, &media, "--loop", "--as", "Alice"]);
    let id = told(&service, &["start", &room]).await["id"].as_str().expect("an id").to_owned();
    service.until(&id, &["recording"], 30).await;
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("a.zip");
    let archive = ["archive", &id, "-o", out.to_str().expect("UTF-8")];
    refused(&service, &archive, "the recording is recording").await;
    said(&service, &["pause", &id]).await;
    service.until(&id, &["paused"], 30).await;
    said(&service, &["resume", &id]).await;
    service.until(&id, &["recording", "waiting"], 30).await;
    crate::support::pause(Duration::from_secs(2), "something is recorded").await;
    said(&service, &["stop", &id]).await;
    let recording = service.until(&id, &["complete"], 60).await;
    drop(alice);

    assert_eq!(said(&service, &archive).await, out.display().to_string());
    let bytes = std::fs::read(&out).expect("the archive");
    let zip = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).expect("whole");
    assert!(zip.len() >= recording["outcome"]["media"].as_array().expect("media").len());
    refused(&service, &archive, "exists").await;
    assert!(std::fs::read(&out).expect("still there") == bytes, "it was overwritten");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    let link = said(&service, &["link", &id, "manifest.json", "--for", "10m"]).await;
    let followed = client().get(&link).send().await.expect("an answer");
    assert_eq!(followed.status(), StatusCode::OK, "{link}");
    let manifest = std::fs::read_to_string(service.recording(&id).join("manifest.json")).expect("read");
    assert_eq!(followed.text().await.expect("a body"), manifest);
    refused(&service, &["link", &id, "none"], "path: ").await;

    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let key = manifest["participants"][0]["key"].as_str().expect("a participant");
    refused(&service, &["purge", &id, "nobody"], "participant").await;
    said(&service, &["purge", &id, key]).await;
    let gone = async {
        while !service.get(&format!("/v1/recordings/{id}/events")).await.text.contains("recording.participant_purged") {
            moment().await;
        }
    };
    within(60, "the participant is removed", gone).await;
    said(&service, &["rm", &id]).await;
    refused(&service, &["show", &id], "recording").await;
}

#[tokio::test]
async fn an_archive_that_breaks_off_leaves_no_file() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let half = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.expect("a request") > 0);
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        stream.write_all(answer.as_bytes()).await.expect("sent");
    });
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("a.zip");
    let out = out.to_str().expect("UTF-8");
    let Outcome { code, stderr, .. } = run(&["ctl", "--url", &url, "--key", KEY, "archive", "rec_x", "-o", out]).await;
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("broke off"), "{stderr}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    half.await.expect("sent");
}

//! A recorder that is controlled over its socket: paused and resumed without a new file, stopped, watched; and what the socket bears.

use crate::continued::{feed, has_tracks, recorder, timeline};
use crate::support::bot::{self, Bot};
use crate::support::controller::{Controller, socket_of};
use crate::support::machine;
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::probe::probe;
use crate::support::server::TestServer;
use roombot::client::{Client, ClientConfig};
use roombot::container::matroska::TrackReader;
use roombot::recording::manifest::{Manifest, Status};
use roombot::recording::timeline::Event;
use roombot::room::media::Source;
use roombot::room::participant::Role;
use roombot::signal::{JoinAs, for_url};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn controlled(room: &str, folder: &Path, more: &[&str]) -> Bot {
    let socket = socket_of(folder);
    recorder(room, folder, &[&["--json", "--control", socket.to_str().expect("UTF-8")], more].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_a_gap_in_the_same_files_and_no_loss() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::share().await;
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let (room, folder) = (server.room("standup"), dir.path().join("rec"));
    let recording = controlled(&room, &folder, &[]);
    let mut control = Controller::connect(&socket_of(&folder)).await;
    control.is("waiting").await;
    let alice = feed(&room);
    has_tracks(&folder, 2).await;
    let how = JoinAs { name: "Bob".into(), role: Role::Participant, token: None };
    let bob =
        Client::join(for_url(&room).expect("a room").as_ref(), how, ClientConfig::default()).await.expect("joins");
    let status =
        control.until("both are there", |status| status["participants"].as_array().map(Vec::len) == Some(2)).await;
    assert_eq!((&status["state"], &status["folder"]), (&json!("recording"), &json!(folder)));
    bob.say(None, "before").await;
    control.until("a text", |status| status["chats"] == 1).await;
    pause(Duration::from_secs(2), "tracks of some length").await;
    control.does("pause").await;
    control.is("paused").await;
    bob.say(None, "meanwhile").await;
    pause(Duration::from_secs(3), "nothing is recorded").await;
    control.does("resume").await;
    control.is("recording").await;
    pause(Duration::from_secs(3), "tracks go on").await;
    bob.say(None, "after").await;
    control.until("the next text", |status| status["chats"] == 2).await;
    control.does("stop").await;
    let outcome = recording.ended(PATIENCE).await;
    bob.leave().await;
    drop(alice);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let summary: Value = serde_json::from_str(outcome.stdout.trim()).expect("a summary");
    assert_eq!((&summary["status"], &summary["reason_code"]), (&json!("complete"), &json!("stopped")), "{summary:#}");
    assert!(!socket_of(&folder).exists(), "the socket is removed");

    let manifest = Manifest::load(&folder).expect("a manifest");
    let [span] = &manifest.pauses[..] else { panic!("{:?}", manifest.pauses) };
    let (from_ms, until_ms) = (span.start_ms, span.end_ms.expect("an end"));
    assert!((3000..8000).contains(&(until_ms - from_ms)), "{span:?}");
    assert_eq!(manifest.tracks.len(), 2, "{:#?}", manifest.tracks);
    for track in &manifest.tracks {
        let dropped: u64 = track.dropped.values().sum();
        assert_eq!(track.arrived, track.in_frames + dropped, "{track:#?}");
        assert!(track.dropped["paused"] > 20, "{track:#?}");
        let gap = track.gaps.iter().find(|gap| gap.cause == "pause").expect("a gap");
        assert!(gap.start_ms <= from_ms + 200 && from_ms <= gap.start_ms + 500, "{gap:?} {span:?}");
        assert!(gap.end_ms + 200 >= until_ms && gap.end_ms <= until_ms + 3000, "{gap:?} {span:?}");
        let path = folder.join("tracks").join(&track.file);
        let seen = probe(&path);
        assert_eq!((seen.frames, seen.complaints.as_str()), (track.frames, ""), "{}", track.file);
        let frames: Vec<_> = TrackReader::open(&path).expect("a file").frames().map(|f| f.expect("a frame")).collect();
        let jumps: Vec<_> = frames.windows(2).filter(|pair| pair[1].ms > pair[0].ms + 2000).collect();
        assert_eq!(jumps.len(), 1, "{}", track.file);
        assert!(track.source != Source::Camera || jumps[0][1].key, "video goes on with a key frame");
        // Nothing of the pause is in the file.
        let at_ms = |ms: u64| track.start_ms + ms;
        assert!(frames.iter().all(|frame| at_ms(frame.ms) < from_ms + 300 || at_ms(frame.ms) + 300 > until_ms));
    }
    let events = timeline(&folder);
    let texts: Vec<&str> = events
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Chat { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["before", "after"]);
    let path = folder.to_str().expect("UTF-8");
    let verdict = Bot::start(&["verify", path, "--expect", "out_of_order == 0", "--expect", "unread_percent <= 1"]);
    let verdict = verdict.ended(PATIENCE).await;
    assert_eq!(verdict.code, Some(0), "{verdict:?}");
    let shown = bot::run(&["show", path]).await;
    assert!(shown.stdout.contains("Pauses\n- "), "{}", shown.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_recorder_that_is_killed_comes_back_paused() {
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let (room, folder) = (server.room("standup"), dir.path().join("rec"));
    let mut first = controlled(&room, &folder, &[]);
    let alice = feed(&room);
    has_tracks(&folder, 2).await;
    let mut control = Controller::connect(&socket_of(&folder)).await;
    control.does("pause").await;
    control.is("paused").await;
    first.kill();
    first.ended(PATIENCE).await;
    // The socket that it left is replaced.
    assert!(socket_of(&folder).exists());
    let second = controlled(&room, &folder, &[]);
    let mut control = Controller::connect(&socket_of(&folder)).await;
    control.is("paused").await;
    pause(Duration::from_secs(2), "nothing is recorded").await;
    assert_eq!(Manifest::load(&folder).expect("a manifest").tracks.len(), 2);
    control.does("resume").await;
    has_tracks(&folder, 4).await;
    control.does("cancel").await;
    let outcome = second.ended(PATIENCE).await;
    drop(alice);
    assert_eq!(outcome.code, Some(0), "nothing that was wanted was lost: {outcome:?}");
    let summary: Value = serde_json::from_str(outcome.stdout.trim()).expect("a summary");
    assert_eq!((&summary["status"], &summary["reason_code"]), (&json!("complete"), &json!("cancelled")), "{summary:#}");
    let manifest = Manifest::load(&folder).expect("a manifest");
    assert_eq!((manifest.pauses.len(), manifest.parts.len()), (1, 2), "{manifest:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_is_there_while_it_joins_and_bears_what_comes() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("rec");
    // Nobody listens at this address.
    let recorder = controlled("ws://127.0.0.1:9/rooms/x", &folder, &["--join-for", "1m"]);
    let mut control = Controller::connect(&socket_of(&folder)).await;
    let mode = std::fs::metadata(socket_of(&folder)).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(control.status().await["state"], "joining");
    for (line, says) in [("what\n", "expected value"), ("{\"id\":4}\n", "missing field"), ("[]\n", "invalid")] {
        control.write(line.as_bytes()).await;
        let answer = control.line().await.expect("an answer");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(says)), "{answer}");
    }
    let answer = control.ask(json!({"command": "set", "for": "soon"})).await;
    assert!(answer["error"].as_str().expect("an error").contains("is not a duration"), "{answer}");
    // A line without an end.
    let mut endless = Controller::connect(&socket_of(&folder)).await;
    endless.write(&[b'x'; 70_000]).await;
    assert!(endless.line().await.expect("an answer")["error"].as_str().is_some_and(|error| error.contains("65536")));
    assert!(endless.line().await.is_none(), "it is cut off");
    let mut watcher = Controller::connect(&socket_of(&folder)).await;
    watcher.does("subscribe").await;
    for _ in 0..2 {
        assert_eq!(watcher.line().await.expect("a status")["status"]["state"], "joining");
    }
    // A second recorder does not take the socket away.
    let other = controlled("ws://127.0.0.1:9/rooms/x", &folder, &[]).ended(PATIENCE).await;
    assert!(other.code == Some(2) && other.stderr.contains("another process listens there"), "{other:?}");
    control.does("stop").await;
    let outcome = recorder.ended(PATIENCE).await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    let object: Value = serde_json::from_str(outcome.stdout.trim()).expect("an object");
    assert_eq!(
        (&object["status"], &object["reason_code"], &object["folder"]),
        (&json!("failed"), &json!("stopped"), &Value::Null)
    );
    assert_eq!(object["exit_code"], 3);
    assert!(!socket_of(&folder).exists() && !folder.exists(), "nothing is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_started_it_may_go() {
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let (room, folder) = (server.room("standup"), dir.path().join("rec"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_roombot"));
    command.args(["record", &room, "--json", "--folder"]).arg(&folder).arg("--control").arg(socket_of(&folder));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut recorder = command.spawn().expect("it starts");
    let mut control = Controller::connect(&socket_of(&folder)).await;
    control.is("waiting").await;
    // The readers go, and with them what started it.
    drop((recorder.stdout.take(), recorder.stderr.take()));
    let pid = i32::try_from(recorder.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::HUP).expect("it runs");
    kill_process(pid, Signal::PIPE).expect("it runs");
    let alice = feed(&room);
    has_tracks(&folder, 2).await;
    pause(Duration::from_secs(2), "tracks of some length").await;
    control.does("stop").await;
    let recorder = std::sync::Arc::new(std::sync::Mutex::new(recorder));
    let waiting = recorder.clone();
    let ended = tokio::task::spawn_blocking(move || waiting.lock().expect("lock").wait().expect("a child"));
    let status = crate::support::within(PATIENCE.as_secs(), "it ends", ended).await.expect("it was waited for");
    drop(alice);
    assert_eq!(status.code(), Some(0));
    let manifest = Manifest::load(&folder).expect("a manifest");
    assert_eq!((manifest.status, manifest.tracks.len()), (Status::Complete, 2), "{manifest:#?}");
    assert!(manifest.tracks.iter().all(|track| track.finished && track.frames > 15), "{:#?}", manifest.tracks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_p_pauses_on_a_terminal() {
    needed!(tools(&["script"]));
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let (room, folder) = (server.room("standup"), dir.path().join("rec"));
    // The trap: a Ctrl-C goes to the shell as well, and not every shell outlives it.
    let line =
        format!("trap : INT; {} record {room} --folder {}; stty -a", env!("CARGO_BIN_EXE_roombot"), folder.display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut keys = child.stdin.take().expect("piped");
    let terminal = Bot::of(child);
    let is_there = |wanted: usize, kind: fn(&Event) -> bool| {
        let folder = folder.clone();
        async move {
            let found = async {
                while timeline(&folder).iter().filter(|entry| kind(&entry.event)).count() < wanted {
                    crate::support::moment().await;
                }
            };
            crate::support::within(PATIENCE.as_secs(), "an event", found).await;
        }
    };
    use std::io::Write;
    is_there(1, |event| matches!(event, Event::RecordingStarted { .. })).await;
    terminal.says("p pauses", PATIENCE).await;
    keys.write_all(b"p").expect("a key");
    is_there(1, |event| matches!(event, Event::RecordingPaused {})).await;
    terminal.says("p resumes", PATIENCE).await;
    keys.write_all(b"p").expect("a key");
    is_there(1, |event| matches!(event, Event::RecordingResumed {})).await;
    // Ctrl-C is a signal still.
    keys.write_all(b"\x03").expect("a key");
    let outcome = terminal.ended(PATIENCE).await;
    drop(keys);
    let text = outcome.stdout;
    assert!(text.contains("paused"), "{text}");
    assert!(text.contains(" icanon") && text.contains(" echo "), "the terminal is as it was: {text}");
    assert_eq!(Manifest::load(&folder).expect("a manifest").status, Status::Complete);
}

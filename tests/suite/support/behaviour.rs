//! What a member of a room on somebody else's WebRTC does, and what our programs make of it. Each does one thing, or says what it needs that
//! is not there, and fails if it does not come out right.

use super::bot::{Bot, run};
use super::cargo::{file, sha256};
use super::echoes::Person;
use super::foreign::{Foreign, Stack};
use super::probe::probe;
use super::promptly;
use super::server::TestServer;
use super::tape::{NAME, Recorded, Tape};
use roombot::recording::manifest::{FileState, Status};
use roombot::recording::timeline::Event;
use roombot::room::media::Source;
use serde_json::json;
use std::time::Duration;

const CAMERA_AND_MIC: &[(&str, &str)] = &[("camera", "VP8"), ("mic", "opus")];

/// A track of hers has so many frames at least, all of them readable, without a gap.
fn has(recorded: &Recorded, source: Source, least: u64) {
    let track = recorded.track("pia", source);
    assert!(track.frames >= least && track.finished && track.lost == 0, "{track:#?}");
    let seen = probe(&recorded.path(track));
    assert_eq!((seen.frames, seen.complaints.as_str()), (track.frames, ""), "{}", track.file);
    assert_eq!(seen.codec, track.codec.name().to_lowercase());
}

/// Waits until a source of hers is recorded, or is not any more.
async fn on(tape: &Tape, source: Source) {
    let is = |event: &Event| matches!(event, Event::TrackOn { source: on, .. } if *on == source);
    tape.until("a track of hers begins", |entry| is(&entry.event).then_some(())).await;
}
async fn off(tape: &Tape, source: Source) {
    let is = |event: &Event| matches!(event, Event::TrackOff { source: off, .. } if *off == source);
    let ends = tape.until("a track of hers ends", |entry| is(&entry.event).then_some(()));
    promptly(3, "what is not shared any more ends", ends).await;
}

/// Complete, and no word about anything that was lost.
fn whole(recorded: &Recorded) {
    let manifest = &recorded.manifest;
    assert_eq!((manifest.status, &manifest.warnings), (Status::Complete, &Vec::new()), "{manifest:#?}");
}

/// Joins late, sends camera and microphone, a chat message and a file to the recorder, leaves.
pub async fn recorded(stack: Stack) -> Result<(), String> {
    let server = TestServer::start().await;
    let tape = Tape::start(&server.room("foreign"));
    tape.until("the recorder is there", |entry| matches!(entry.event, Event::RecordingStarted { .. }).then_some(()))
        .await;
    let mut pia = Foreign::join(stack, &server.room("foreign"), "Pia", CAMERA_AND_MIC).await?;
    pia.meets(NAME).await;
    let folder = tempfile::tempdir().expect("a folder");
    let report = file(folder.path(), "report.bin", 3_000_001, 7);
    pia.order(json!({ "do": "say", "text": "good morning" }));
    pia.order(json!({ "do": "send", "path": report }));
    let sent = pia.until("the recorder has the file", |event| event["event"] == "sent").await;
    assert_eq!(sent["sha256"], sha256(&report));
    on(&tape, Source::Camera).await;
    on(&tape, Source::Mic).await;
    super::pause(Duration::from_secs(2), "her tracks get some length").await;
    pia.leave().await;
    tape.until("she has left", |entry| matches!(entry.event, Event::Left { .. }).then_some(())).await;
    let recorded = tape.finish().await;
    whole(&recorded);
    has(&recorded, Source::Camera, 20);
    has(&recorded, Source::Mic, 80);
    let files = &recorded.manifest.files;
    assert!(
        matches!(&files[..], [file] if file.state == FileState::Received && file.sha256 == Some(sha256(&report))),
        "{files:#?}"
    );
    let said = |entry: &roombot::recording::timeline::Entry| matches!(&entry.event, Event::Chat { text, .. } if text == "good morning");
    assert!(recorded.timeline.iter().any(said), "{:#?}", recorded.timeline);
    // What a program of its user reads.
    let shown = run(&["show", recorded.folder.to_str().expect("UTF-8"), "--json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let tracks = shown["manifest"]["tracks"].as_array().or(shown["tracks"].as_array()).expect("tracks");
    assert_eq!(tracks.len(), 2, "{shown:#}");
    Ok(())
}

/// Is there before the recorder, shares a screen in mid-call, and stops that.
pub async fn screen(stack: Stack) -> Result<(), String> {
    let server = TestServer::start().await;
    let mut pia = Foreign::join(stack, &server.room("foreign"), "Pia", CAMERA_AND_MIC).await?;
    let tape = Tape::start(&server.room("foreign"));
    pia.meets(NAME).await;
    on(&tape, Source::Camera).await;
    pia.share("screen", "VP8");
    on(&tape, Source::Screen).await;
    super::pause(Duration::from_secs(1), "her screen is seen for a while").await;
    pia.unshare("screen");
    off(&tape, Source::Screen).await;
    super::pause(Duration::from_secs(1), "her camera goes on").await;
    let recorded = tape.finish().await;
    pia.leave().await;
    has(&recorded, Source::Screen, 10);
    has(&recorded, Source::Camera, 25);
    let (screen, camera) = (recorded.track("pia", Source::Screen), recorded.track("pia", Source::Camera));
    assert!(screen.end_ms + 500 < camera.end_ms, "the camera goes on: {screen:#?} {camera:#?}");
    whole(&recorded);
    Ok(())
}

/// Adds H.264 to a call with VP8, and a microphone, in mid-call.
pub async fn codecs(stack: Stack) -> Result<(), String> {
    let server = TestServer::start().await;
    let tape = Tape::start(&server.room("foreign"));
    let mut pia = Foreign::join(stack, &server.room("foreign"), "Pia", &[("camera", "VP8")]).await?;
    on(&tape, Source::Camera).await;
    pia.share("screen", "H264");
    pia.share("mic", "opus");
    on(&tape, Source::Screen).await;
    on(&tape, Source::Mic).await;
    super::pause(Duration::from_secs(2), "her tracks get some length").await;
    let recorded = tape.finish().await;
    pia.leave().await;
    has(&recorded, Source::Camera, 20);
    has(&recorded, Source::Screen, 10);
    has(&recorded, Source::Mic, 40);
    whole(&recorded);
    Ok(())
}

/// The bot under the name that others see.
const ECHO: &str = "Echo";

/// Gets its media back from a bot that was there before, and a screen for as long as that is shared.
pub async fn echo(stack: Stack) -> Result<(), String> {
    let server = TestServer::start().await;
    let bot = Bot::start(&["echo", &server.room("foreign"), "--as", ECHO]);
    there(&server, 1).await;
    let mut pia = Foreign::join(stack, &server.room("foreign"), "Pia", CAMERA_AND_MIC).await?;
    pia.receives(ECHO, "camera", 15).await;
    pia.receives(ECHO, "mic", 50).await;
    pia.share("screen", "VP8");
    pia.receives(ECHO, "screen", 10).await;
    let before = pia.so_far();
    pia.unshare("screen");
    let without = |event: &serde_json::Value| {
        event["event"] == "labels"
            && event["of"] == ECHO
            && !event["sources"].as_array().is_some_and(|all| all.contains(&json!("screen")))
    };
    promptly(5, "the bot's screen ends with hers", pia.until_after(before, "the bot's labels", without)).await;
    ends(pia, bot).await;
    Ok(())
}

/// Was there before the bot, and gets its media back.
pub async fn bot(stack: Stack) -> Result<(), String> {
    let server = TestServer::start().await;
    let mut pia = Foreign::join(stack, &server.room("foreign"), "Pia", CAMERA_AND_MIC).await?;
    let bot = Bot::start(&["echo", &server.room("foreign"), "--as", ECHO]);
    pia.receives(ECHO, "camera", 15).await;
    pia.receives(ECHO, "mic", 50).await;
    ends(pia, bot).await;
    Ok(())
}

/// She leaves, the bot is ended; both without a failure.
async fn ends(pia: Foreign, bot: Bot) {
    pia.leave().await;
    bot.interrupt();
    let outcome = bot.ended(Duration::from_secs(15)).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(!outcome.stderr.contains("refused"), "{}", outcome.stderr);
}

/// Waits until so many members are in the room.
async fn there(server: &TestServer, members: usize) {
    let url = server.room("foreign");
    let mut least = 0;
    while least < members {
        let mut watcher = super::member::Member::join_as(&url, roombot::room::participant::Role::Recorder).await;
        least = watcher.0.peers.len();
        watcher.0.events.close();
        watcher.leaves().await;
        super::moment().await;
    }
}

/// Receives a person's media, writes and reads chat, takes a file of `send`.
pub async fn talk(stack: Stack) -> Result<(), String> {
    let server = TestServer::start().await;
    let room = server.room("foreign");
    let mut pia = Foreign::join(stack, &room, "Pia", CAMERA_AND_MIC).await?;
    let mut alice = Person::at(&room, "Alice").await.map_err(|error| error.to_string())?;
    alice.play("fixtures/alice.webm");
    pia.receives("Alice", "camera", 30).await;
    pia.receives("Alice", "mic", 50).await;
    alice.session.say(None, "hello Pia").await;
    pia.until("Alice's words", |event| event["event"] == "chat" && event["text"] == "hello Pia").await;
    pia.order(json!({ "do": "say", "to": "Alice", "text": "hello Alice" }));
    alice.hears("hello Alice").await;
    let folder = tempfile::tempdir().expect("a folder");
    let slides = file(folder.path(), "slides.bin", 3_000_001, 8);
    let path = slides.to_str().expect("UTF-8");
    let outcome = run(&["send", &room, path, "--to", "Pia", "--message", "for you"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let got = pia.until("the file", |event| event["event"] == "file").await;
    assert_eq!(got["sha256"], sha256(&slides));
    assert_eq!(sha256(&pia.files().join("slides.bin")), sha256(&slides));
    pia.until("its message", |event| event["event"] == "chat" && event["text"] == "for you").await;
    pia.leave().await;
    alice.sees(10, "Pia leaves", |sight| !sight.there.values().any(|name| name == "Pia")).await;
    alice.leave().await;
    Ok(())
}

//! The three examples of the front page, each run as a program in a room.

use crate::support::bot::{Bot, Outcome};
use crate::support::echoes::Person;
use crate::support::server::TestServer;
use roombot::media::{Decoded, Decoder, Library, TrackFormat, TrackReader};
use roombot::recording::manifest::Manifest;
use roombot::room::media::{Codec, MediaKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const ALICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/alice.webm");

/// The program of an example, which `cargo test` has made; made now where only this suite was.
fn example(name: &str, room: &str, folder: &Path) -> Bot {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder_of_examples = FOLDER.get_or_init(|| {
        let target = Path::new(env!("CARGO_BIN_EXE_roombot")).parent().expect("a folder");
        let release = if target.ends_with("release") { &["--release"][..] } else { &[] };
        let examples = ["record", "rust_filter", "own_signaller"].map(|name| ["--example", name]);
        let mut cargo = Command::new(env!("CARGO"));
        // What cargo sets for this test would make build scripts run again, and so everything compile again.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                cargo.env_remove(name);
            }
        }
        cargo.args(["build", "--locked", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
        let built = cargo.args(release).args(examples.as_flattened()).status();
        assert!(built.expect("cargo").success(), "the examples do not compile");
        target.join("examples")
    });
    let mut command = Command::new(folder_of_examples.join(name));
    command.arg(room).current_dir(folder);
    Bot::spawn(command)
}

/// Alice sends for some seconds while an example records.
async fn recorded(name: &str, folder: &Path) -> (Outcome, Manifest) {
    let server = TestServer::start().await;
    let room = server.room("standup");
    let example = example(name, &room, folder);
    let alice = Bot::start(&["feed", &room, ALICE, "--as", "Alice", "--loop", "--for", "5s"]).ended(PATIENCE).await;
    assert_eq!(alice.code, Some(0), "{alice:?}");
    example.interrupt();
    let outcome = example.ended(PATIENCE).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let recording =
        std::fs::read_dir(folder.join("recordings")).expect("recordings").next().expect("one").expect("one");
    let manifest = Manifest::load(&recording.path()).expect("a manifest");
    (outcome, manifest)
}

/// The frames of the only camera.
fn frames(manifest: &Manifest) -> u64 {
    let cameras: Vec<_> = manifest.tracks.iter().filter(|track| track.kind == MediaKind::Video).collect();
    assert_eq!(cameras.len(), 1, "{:#?}", manifest.tracks);
    cameras[0].frames
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorder_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outcome, manifest) = recorded("record", folder.path()).await;
    assert!(frames(&manifest) > 60, "{:#?}", manifest.tracks);
    assert!(outcome.stdout.contains("alice.camera.1.webm"), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signaller_joins_and_hides_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, manifest) = recorded("own_signaller", folder.path()).await;
    assert!(frames(&manifest) > 60, "{:#?}", manifest.tracks);
    let names: Vec<&str> = manifest.participants.iter().map(|participant| participant.name.as_str()).collect();
    assert!(names.contains(&"Guest") && !names.contains(&"Alice"), "{names:?}");
}

/// The brightness of 16 x 9 fields of the first pictures of the fixture, and of those that come back.
fn luma(sent: &mut TrackReader) -> Vec<u8> {
    let (_, picture) = sent.picture().expect("readable").expect("a picture");
    picture.luma((16, 9)).expect("luma")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_sends_negatives_back() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let bot = example("rust_filter", &server.room("standup"), folder.path());
    let mut alice = Person::at(&server.room("standup"), "Alice").await.expect("she joins");
    alice.play("fixtures/alice.webm");
    alice.sees(60, "pictures come back", |sight| sight.count(MediaKind::Video) > 30).await;
    let frames = {
        let sight = alice.sight.lock().expect("lock");
        let frames = &sight.track(MediaKind::Video).expect("a track").frames;
        let first = frames.iter().position(|frame| frame.key).expect("a key frame");
        frames[first..].to_vec()
    };
    alice.leave().await;
    bot.interrupt();
    assert_eq!(bot.ended(PATIENCE).await.code, Some(0));

    let format = TrackFormat { codec: Codec::Vp8, config: None, channels: 0 };
    let mut decoder = Decoder::new(&Library::default(), &format).expect("a decoder");
    decoder.push(frames[0].parts.concat().into(), Duration::ZERO, true).expect("it takes a frame");
    decoder.end();
    let Decoded::Next(_, picture) = decoder.picture(PATIENCE).expect("it decodes") else { panic!("no picture") };
    let returned = picture.luma((16, 9)).expect("luma");
    let sent = luma(&mut TrackReader::open(&Library::default(), Path::new(ALICE), Codec::Vp8).expect("the fixture"));
    let away = |of: fn(i32) -> i32| -> i32 {
        let differences =
            sent.iter().zip(&returned).map(|(sent, back)| (of(i32::from(*sent)) - i32::from(*back)).abs());
        differences.sum::<i32>() / sent.len() as i32
    };
    // In limited range (16 to 235) the negative of Y is 251 - Y. She sways and speaks, and the wall does not.
    let (negative, positive) = (away(|y| 251 - y), away(|y| y));
    assert!(negative < 20 && positive > 2 * negative, "{negative} from the negative, {positive} from the original");
}

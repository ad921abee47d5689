//! `roombot compose` as its user has it: parts, people left out, formats, sound alone, a file each, and what happens when it cannot.

use crate::film::{Made, pictures, streams};
use crate::support::bot::Bot;
use crate::support::machine;
use crate::support::moment;
use crate::support::needs::{needed, tools};
use crate::support::recorder::PATIENCE;
use crate::support::within;
use roombot::recording::timeline::Event;
use roombot::room::media::Source;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Alice with camera and microphone from the start, Bob from 1 s on with camera, microphone and screen.
fn recording(parent: &Path) -> PathBuf {
    let mut made = Made::new(parent);
    made.manifest.duration_ms = 4000;
    made.person("alice", 0, 4000);
    made.person("bob", 1000, 4000);
    made.track("carol.mkv", "alice", Source::Camera, (0, 4000));
    made.track("alice.webm", "alice", Source::Mic, (300, 4000));
    made.track("bob.webm", "bob", Source::Camera, (1000, 4000));
    made.track("alice.webm", "bob", Source::Mic, (1000, 4000));
    made.track("slides.webm", "bob", Source::Screen, (1500, 3500));
    made.event(400, Event::Speaker { participant: Some("alice".into()) });
    made.event(2500, Event::Chat { participant: "bob".into(), text: "see <slide> 2".into() });
    made.save()
}

fn compose(recording: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roombot"));
    command.arg("compose").arg(recording).args(args).output().expect("it runs")
}

fn summary(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Every file below a folder, and what is in it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(contents(&entry));
        } else {
            found.insert(entry.clone(), std::fs::read(&entry).unwrap());
        }
    }
    found
}

fn stream<'a>(seen: &'a Value, kind: &str) -> &'a Value {
    let found = seen["streams"].as_array().unwrap().iter().find(|stream| stream["codec_type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}: {seen}"))
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

#[test]
fn a_part_of_a_meeting_without_somebody_in_webm() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let recording = recording(dir.path());
    let before = contents(&recording);
    let out = dir.path().join("part.webm");
    let args =
        ["--from", "0:01", "--to", "3s", "--without", "Alice", "--size", "320x180", "--fps", "10", "--codec", "vp8"];
    let made = summary(&compose(
        &recording,
        &[&args[..], &["--json", "--no-stills", "--out", out.to_str().unwrap()]].concat(),
    ));
    assert_eq!((&made["frames"], &made["duration_ms"]), (&20.into(), &2000.into()));
    assert!(made["speed"].as_f64().unwrap() > 0.0 && made["cpu_seconds"].as_f64().unwrap() > 0.0);
    let seen = streams(&out);
    assert_eq!(stream(&seen, "video")["codec_name"], "vp8");
    assert_eq!(stream(&seen, "audio")["codec_name"], "opus");
    assert_eq!(stream(&seen, "video")["nb_read_frames"], "20");
    let title = |chapter: &Value| chapter["tags"]["title"].as_str().unwrap_or_default().to_owned();
    let chapters: Vec<String> = seen["chapters"].as_array().unwrap().iter().map(title).collect();
    assert_eq!(chapters, ["bob joins, bob shares a screen"]);
    // Somebody else's words are not in it, and the times are the film's.
    let vtt = std::fs::read_to_string(dir.path().join("part.chat.vtt")).unwrap();
    assert_eq!(vtt, "WEBVTT\n\n00:00:01.500 --> 00:00:02.000\n<v bob>see &lt;slide&gt; 2\n");
    let speakers = std::fs::read_to_string(dir.path().join("part.speakers.vtt")).unwrap();
    assert!(speakers.contains("<v bob>bob") && !speakers.contains("alice"), "{speakers}");
    assert_eq!(contents(&recording), before);
}

#[test]
fn every_codec_goes_where_players_know_it() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let recording = recording(dir.path());
    for (codec, name, sound) in
        [("vp9", "a.webm", "opus"), ("av1", "b.webm", "opus"), ("av1", "c.mp4", "opus"), ("h264", "d.mkv", "aac")]
    {
        let out = dir.path().join(name);
        let args =
            ["--to", "2s", "--size", "320x180", "--fps", "5", "--codec", codec, "--json", "--no-stills", "--out"];
        let made = summary(&compose(&recording, &[&args[..], &[out.to_str().unwrap()]].concat()));
        assert_eq!(made["frames"], 10, "{name}");
        let seen = streams(&out);
        let (picture, heard) = (stream(&seen, "video"), stream(&seen, "audio"));
        assert_eq!((&picture["codec_name"], &picture["nb_read_frames"]), (&codec.into(), &"10".into()), "{name}");
        assert_eq!(heard["codec_name"], sound, "{name}");
        let lasts = number(&seen["format"]["duration"]);
        assert!((lasts - 2.0).abs() < 0.1, "{name}: {lasts}");
    }
}

#[test]
fn a_film_has_chapters_subtitles_and_stills() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let recording = recording(dir.path());
    let made = summary(&compose(&recording, &["--size", "640x360", "--fps", "10", "--json"]));
    let seen = streams(&recording.join("film.mp4"));
    let chapters = seen["chapters"].as_array().unwrap();
    let starts: Vec<f64> = chapters.iter().map(|chapter| number(&chapter["start_time"])).collect();
    assert_eq!(starts, [0.0, 3.5], "{chapters:?}");
    assert_eq!(seen["format"]["tags"]["title"], "film");
    // A browser can begin at once: the index is in front.
    let film = std::fs::read(recording.join("film.mp4")).unwrap();
    let at = |name: &[u8]| film.windows(4).position(|window| window == name).unwrap();
    assert!(at(b"moov") < at(b"mdat"));
    assert!(std::fs::read_to_string(recording.join("film.speakers.vtt")).unwrap().contains("<v alice>alice"));
    let stills = recording.join("stills");
    let slides = made["stills"]["slides"].as_array().unwrap();
    assert_eq!((&slides[0]["track"], &slides[0]["of"]), (&"bob.screen.4.webm".into(), &"bob".into()));
    assert!(slides[0]["at_ms"].as_u64().unwrap() < 2600);
    let slide = image::open(stills.join(slides[0]["file"].as_str().unwrap())).unwrap();
    assert_eq!((slide.width(), slide.height()), (1280, 720), "a slide is as sharp as it was sent");
    assert!(image::open(stills.join("contact-sheet.jpg")).unwrap().width() > 1000);
    let listed: Value = serde_json::from_slice(&std::fs::read(stills.join("slides.json")).unwrap()).unwrap();
    assert_eq!(&listed, &made["stills"]["slides"]);
}

#[test]
fn the_same_recording_gives_the_same_pictures() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let recording = recording(dir.path());
    let made = |name: &str| {
        let out = dir.path().join(name);
        summary(&compose(
            &recording,
            &["--size", "640x360", "--fps", "15", "--json", "--no-stills", "--out", out.to_str().unwrap()],
        ));
        pictures(&out, &(0..60).step_by(7).collect::<Vec<_>>())
    };
    assert!(made("a.mp4") == made("b.mp4"));
}

#[test]
fn sound_alone_as_loud_as_asked() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let recording = recording(dir.path());
    let out = dir.path().join("talk.opus");
    let made =
        summary(&compose(&recording, &["--audio-only", "--loudness=-20", "--json", "--out", out.to_str().unwrap()]));
    assert!(made["loudness"].as_f64().is_some() && made["frames"] == 0);
    let output = Command::new("ffmpeg")
        .args(["-nostats", "-i"])
        .arg(&out)
        .args(["-af", "ebur128", "-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let measured =
        said.rsplit_once("I:").and_then(|(_, rest)| rest.split_whitespace().next()).unwrap().parse::<f64>().unwrap();
    assert!((measured + 20.0).abs() < 1.0, "{measured} LUFS");
    let length = number(&streams(&out)["format"]["duration"]);
    assert!((length - 4.0).abs() < 0.05, "{length}");
}

#[test]
fn a_file_for_each_participant_is_in_sync_and_not_transcoded() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let recording = recording(dir.path());
    let made = summary(&compose(&recording, &["--each", "--json"]));
    let file = |index: usize| PathBuf::from(made["participants"][index]["file"].as_str().unwrap());
    assert_eq!((file(0), file(1)), (recording.join("participants/alice.mp4"), recording.join("participants/bob.webm")));
    assert_eq!((&made["participants"][0]["start_ms"], &made["participants"][1]["start_ms"]), (&0.into(), &1000.into()));
    let alice = streams(&file(0));
    assert_eq!(
        (&stream(&alice, "video")["codec_name"], &stream(&alice, "video")["nb_read_frames"]),
        (&"h264".into(), &"120".into())
    );
    assert!((number(&stream(&alice, "audio")["start_time"]) - 0.3).abs() < 0.002);
    let bob = streams(&file(1));
    assert_eq!(bob["streams"].as_array().unwrap().len(), 3);
    assert_eq!(number(&stream(&bob, "audio")["start_time"]), 0.0);
    // His screen is the last: it came half a second later.
    assert!((number(&bob["streams"][2]["start_time"]) - 0.5).abs() < 0.002, "{bob}");
    // Again: beside the first.
    let again = summary(&compose(&recording, &["--each", "--json", "--without", "alice"]));
    assert_eq!(again["participants"].as_array().unwrap().len(), 1);
    assert!(recording.join("participants/bob-2.webm").is_file());
}

#[test]
fn a_full_disk_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let recording = recording(dir.path());
    let before = contents(&recording);
    // A limit to the size of files stands for a disk that is full: writing fails in the middle, for every file.
    for how in ["--size 640x360 --fps 15 --no-stills", "--size 640x360 --fps 15 --codec vp8", "--audio-only", "--each"]
    {
        let limited =
            format!("trap '' XFSZ; ulimit -f 24; exec '{}' compose \"$0\" {how}", env!("CARGO_BIN_EXE_roombot"));
        let output = Command::new("sh").args(["-c", &limited]).arg(&recording).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{how}: {said}");
        assert_eq!(said.lines().count(), 1, "{how}: {said}");
        assert_eq!(contents(&recording), before, "{how}: nothing is left, and nothing was changed");
    }
}

#[tokio::test]
async fn ctrl_c_leaves_nothing_half_made() {
    let dir = tempfile::tempdir().unwrap();
    let recording = recording(dir.path());
    let before = contents(&recording);
    // As slow as it gets: it is not done before it is stopped.
    let slow = ["--size", "1920x1080", "--fps", "60", "--codec", "vp9", "--quality", "good"];
    let bot = Bot::start(&[&["compose", recording.to_str().unwrap()], &slow[..]].concat());
    let begun = async {
        while contents(&recording) == before {
            moment().await;
        }
    };
    within(PATIENCE.as_secs(), "the film begins", begun).await;
    bot.interrupt();
    let outcome = bot.ended(PATIENCE).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("stopped before it was finished"), "{}", outcome.stderr);
    assert_eq!(contents(&recording), before);
}

#[test]
fn what_cannot_be_is_the_users_to_change() {
    let dir = tempfile::tempdir().unwrap();
    let recording = recording(dir.path());
    let newer = dir.path().join("newer");
    std::fs::create_dir(&newer).unwrap();
    std::fs::write(newer.join("manifest.json"), r#"{"schema": 99, "tool": "roombot 9.0.0"}"#).unwrap();
    let cases: [(&Path, &[&str], &str); 7] = [
        (&newer, &[], "schema 99"),
        (dir.path(), &[], "is not a recording"),
        (&recording, &["--without", "mallory"], "nobody in the recording is called `mallory`; there are alice, bob"),
        (&recording, &["--from", "9s"], "nothing is left"),
        (&recording, &["--out", "x.avi"], "a film ends in .mp4"),
        (&recording, &["--codec", "vp9", "--out", "x.mp4"], "VP9 do not go into MP4"),
        (&recording, &["--size", "321x180"], "must be even"),
    ];
    for (recording, args, says) in cases {
        let output = compose(recording, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
    }
}

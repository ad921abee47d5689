//! Films of recordings that have no end yet: one that goes on, one that a crash cut short, and films that were cut short themselves.

use crate::film::{Made, job, streams};
use crate::film_live::Growing;
use crate::support::blocking_moment;
use crate::support::machine;
use crate::support::needs::{needed, tools};
use roombot::film::compose;
use roombot::film::layout::Policy;
use roombot::media::Library;
use roombot::recording::folder::RecordingFolder;
use roombot::recording::manifest::Manifest;
use roombot::recording::timeline::{Entry, Event};
use roombot::room::media::Source;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_film_of_what_there_is_while_it_grows_and_after_a_crash() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let start = jiff::Timestamp::now();
    let folder = RecordingFolder::create(dir.path(), "cut", start).unwrap();
    // All that a recorder has written by then: nothing of its tracks is in the manifest.
    Manifest::new("cut", "ws://127.0.0.1/rooms/cut", start).save(&folder).unwrap();
    let recording = folder.path().to_owned();
    let tell = |event: Event| folder.timeline().unwrap().append(&Entry { t_ms: 0, at: start, event }).unwrap();
    tell(Event::Joined { participant: "alice".into(), id: "p1".into(), name: "Alice".into() });
    let mut tracks =
        [Growing::start(&folder, "alice.webm", Source::Camera), Growing::start(&folder, "alice.webm", Source::Mic)];
    for track in &tracks {
        let (file, source, codec) = (track.entry.file.clone(), track.entry.source, track.entry.codec);
        tell(Event::TrackOn { participant: "alice".into(), file, source, codec });
    }
    let film = || {
        let mut job = job(&recording, Policy::Auto);
        job.video.as_mut().unwrap().stills = false;
        let made = compose(&Library::default(), &job, |_| Ok(())).unwrap();
        let length: f64 = streams(&made.film)["format"]["duration"].as_str().unwrap().parse().unwrap();
        (made, length)
    };
    tracks.iter_mut().for_each(|track| track.go_on(Duration::from_secs(2)));
    let (growing, length) = film();
    assert_eq!(growing.warnings, ["the recording still goes on: the film ends where it is now"]);
    assert!((length - 2.0).abs() < 0.2, "{length} s");

    tracks.iter_mut().for_each(|track| track.go_on(Duration::from_secs(4)));
    let camera = recording.join("tracks").join(&tracks[0].entry.file);
    // The recorder is gone, and the last write came to the disk in part.
    drop((tracks, folder));
    let bytes = std::fs::read(&camera).unwrap();
    std::fs::write(&camera, &bytes[..bytes.len() - 1000]).unwrap();
    let before = std::fs::read(&camera).unwrap();
    let (cut, length) = film();
    assert_eq!(cut.warnings, Vec::<String>::new());
    assert!(cut.film.ends_with("film-2.mp4") && (length - 4.0).abs() < 0.2, "{length} s");
    assert_eq!(std::fs::read(&camera).unwrap(), before);
}

#[test]
fn a_film_that_was_killed_is_made_again_without_a_trace() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    made.person("alice", 0, 4000);
    made.track("alice.webm", "alice", Source::Camera, (0, 4000));
    let recording = made.save();
    let before = names(&recording);
    let compose = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roombot"));
        command.arg("compose").arg(&recording).args(["--no-stills", "--json"]).stdout(Stdio::null());
        command
    };
    let mut killed = compose().args(["--size", "1920x1080", "--quality", "good"]).spawn().expect("it runs");
    let media = recording.join("film.mp4.part.media");
    let began = Instant::now();
    while std::fs::metadata(&media).map_or(0, |about| about.len()) == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is written");
        blocking_moment();
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(media.exists() && !recording.join("film.mp4").exists());
    assert!(compose().args(["--size", "320x180"]).status().expect("it runs").success());
    assert_eq!(streams(&recording.join("film.mp4"))["streams"][0]["width"], 320);
    let left: Vec<String> = names(&recording).into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(left, ["film.mp4"]);
}

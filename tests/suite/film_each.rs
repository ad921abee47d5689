//! A file for each participant in MP4, of every codec that goes into it: in sync, not transcoded, and played by a real browser.

use crate::film::{FPS, Made, job, streams};
use crate::support::browser::Browser;
use crate::support::needs::{needed, tools};
use crate::support::player::play;
use roombot::film::layout::Policy;
use roombot::film::{FilmCodec, compose, export_participants};
use roombot::media::Library;
use roombot::room::media::Source;

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_but_vp8_is_an_mp4_that_browsers_play() {
    needed!(tools(&["ffmpeg", "chromium"]));
    let dir = tempfile::tempdir().unwrap();
    // Something in AV1: a film of one second.
    let mut made = Made::new(dir.path());
    made.manifest.duration_ms = 1000;
    made.person("alice", 0, 1000);
    made.track("alice.webm", "alice", Source::Camera, (0, 1000));
    let mut film = job(&made.save(), Policy::Auto);
    film.out = Some(dir.path().join("av1.webm"));
    let picture = film.video.as_mut().unwrap();
    (picture.scene.size, picture.codec, picture.stills) = ((320, 180), Some(FilmCodec::Av1), false);
    let av1 = compose(&Library::default(), &film, |_| Ok(())).unwrap().film;

    let folder = dir.path().join("each");
    std::fs::create_dir(&folder).unwrap();
    let mut made = Made::new(&folder);
    ["alice", "bob", "carol"].iter().for_each(|name| made.person(name, 0, 4000));
    made.part_of(&av1, "alice", Source::Camera, (0, 950), 0, None);
    // Their pictures begin later than their sound, and Carol drops out and comes back: one stream, with a gap.
    made.track("bob.webm", "bob", Source::Camera, (500, 3000));
    made.track("carol.mkv", "carol", Source::Camera, (250, 1250));
    made.track("carol.mkv", "carol", Source::Camera, (2250, 3250));
    ["bob", "carol"].iter().for_each(|name| made.track("alice.webm", name, Source::Mic, (0, 3250)));
    let people = export_participants(&made.save(), &[], |_, _| Ok(())).unwrap();
    assert_eq!(people.warnings, Vec::<String>::new());
    let browser = Browser::launch().await;
    let expected =
        [("alice", "av1", 0.0, u64::from(FPS), 1.0), ("bob", "vp9", 0.5, 75, 3.25), ("carol", "h264", 0.25, 60, 3.25)];
    for (person, (name, codec, late, pictures, lasts)) in people.participants.iter().zip(expected) {
        assert!(person.file.ends_with(format!("participants/{name}.mp4")), "{person:?}");
        let seen = streams(&person.file);
        let stream =
            |kind: &str| seen["streams"].as_array().unwrap().iter().find(|stream| stream["codec_type"] == kind);
        let video = stream("video").unwrap();
        assert_eq!((&video["codec_name"], &video["nb_read_frames"]), (&codec.into(), &pictures.to_string().into()));
        let start: f64 = video["start_time"].as_str().unwrap().parse().unwrap();
        assert!((start - late).abs() < 0.002, "{name} begins at {start} s");
        if let Some(audio) = stream("audio") {
            assert_eq!((&audio["codec_name"], &audio["start_time"]), (&"opus".into(), &"0.000000".into()), "{name}");
        }
        let played = play(&browser, &person.file).await;
        assert!(played.error.is_none() && played.ended && played.sought, "{name}: {played:?}");
        assert!((played.duration - lasts).abs() < 0.1 && played.frames > 5, "{name}: {played:?}");
    }
}

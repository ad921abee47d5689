//! What does not change sends nothing: a screen that was drawn once is there until it is unshared.

use crate::film::{FPS, Made, SIZE, job, mean, pictures, streams};
use crate::support::bot;
use crate::support::dump::Dump;
use crate::support::machine;
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::studio::{Studio, finish, subscribed};
use crate::support::synthetic::label;
use roombot::film::layout::{Policy, Rect};
use roombot::film::{compose, export_participants};
use roombot::media::Library;
use roombot::recording::manifest::Status;
use roombot::room::media::{Codec, Source};
use roombot::rtc::OutboundTrack;
use std::time::Duration;

/// How long a screen is shared on which nothing happens: longer than all patience on the way.
const SHARED: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_screen_that_was_drawn_once_is_shared_until_it_is_unshared() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let screen = OutboundTrack::new(label("whiteboard", Source::Screen), Codec::Vp8);
    let camera = OutboundTrack::new(label("canvas", Source::Camera), Codec::Vp8);
    let alice = studio.sender("Alice", vec![screen.clone(), camera.clone()]).await;
    let recording = studio.recorder(None).await;
    subscribed(&[&screen, &camera]).await;
    let drawn = Dump::load(Codec::Vp8);
    [&screen, &camera].iter().for_each(|track| track.send(&drawn.frame(0, 0)));
    pause(SHARED, "nothing is drawn").await;
    alice.unpublish("whiteboard").await;
    pause(Duration::from_secs(1), "the camera stays").await;
    let summary = finish(recording).await;
    alice.leave().await;
    assert_eq!((summary.manifest.status, summary.manifest.tracks.len()), (Status::Complete, 2));
    for track in &summary.manifest.tracks {
        let lasts = SHARED + if track.source == Source::Camera { Duration::from_millis(1300) } else { Duration::ZERO };
        let shared = track.ended_ms.expect("an end").abs_diff(track.start_ms);
        assert_eq!(track.frames, 1, "{track:?}");
        assert!(track.end_ms < track.start_ms + 500, "{track:?}");
        assert!(shared.abs_diff(lasts.as_millis() as u64) < 900, "{track:?}");
    }
    let shown = bot::run(&["show", summary.folder.to_str().expect("UTF-8"), "--json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let span = &shown["activities"][0]["screen"][0];
    let lasts = span["end_ms"].as_u64().expect("an end") - span["start_ms"].as_u64().expect("a start");
    assert!(lasts.abs_diff(SHARED.as_millis() as u64) < 900, "{span}");
}

#[test]
fn a_film_holds_the_last_frame_of_what_is_still_shared() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    made.manifest.duration_ms = 6000;
    made.person("bob", 0, 6000);
    made.track("slides.webm", "bob", Source::Screen, (500, 600));
    made.track("bob.webm", "bob", Source::Camera, (0, 300));
    (made.manifest.tracks[0].ended_ms, made.manifest.tracks[1].ended_ms) = (Some(5000), Some(6000));
    let recording = made.save();
    let summary = compose(&Library::default(), &job(&recording, Policy::Presentation), |_| Ok(())).unwrap();
    assert_eq!(summary.warnings, Vec::<String>::new());
    let number = |ms: u64| ms * u64::from(FPS) / 1000;
    let frames = pictures(&summary.film, &[number(300), number(800), number(4800), number(5300)]);
    let [before, drawn, still, after] = &frames[..] else { panic!("four pictures") };
    let middle = Rect { x: SIZE.0 / 4, y: SIZE.1 / 3, width: SIZE.0 / 4, height: SIZE.1 / 3 };
    let is_slide = |frame: &[u8]| matches!(mean(frame, middle), [r, _, b] if b > 100.0 && b > r + 60.0);
    // Bob sits before green, and fills the picture where there is no screen.
    let is_bob = |frame: &[u8]| matches!(mean(frame, middle), [r, g, b] if g > r && g > b && r + g + b > 150.0);
    assert_eq!((is_slide(drawn), is_slide(still)), (true, true));
    assert_eq!((is_bob(before), is_bob(after), is_slide(after)), (true, true, false));

    let each = export_participants(&recording, &[], |_, _| Ok(())).unwrap();
    let file = &each.participants[0].file;
    assert_eq!(each.participants[0].duration_ms, 6000, "{:?}", streams(file)["format"]);
}

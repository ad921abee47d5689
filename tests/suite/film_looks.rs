//! What a film shows beside faces: every layout, who speaks, who is muted, cards, titles, a clock, tiles that glide.

use crate::film::{FPS, Made, SIZE, job, mean, pictures};
use crate::support::machine;
use crate::support::needs::{needed, tools};
use roombot::film::compose;
use roombot::film::layout::{Policy, Rect, Screen, Shows, Tile, View, layout};
use roombot::media::Library;
use roombot::recording::timeline::Event;
use roombot::room::media::Source;

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const SCREEN: usize = 3;

/// Three people; Bob shares a screen from 1.5 s on, and Carol speaks from 0.5 s on.
fn meeting(made: &mut Made) {
    made.manifest.duration_ms = 3000;
    for name in ["alice", "bob", "carol"] {
        made.person(name, 0, 3000);
    }
    made.track("alice.webm", "alice", Source::Camera, (0, 3000));
    made.track("bob.webm", "bob", Source::Camera, (0, 3000));
    made.track("carol.mkv", "carol", Source::Camera, (0, 3000));
    made.track("slides.webm", "bob", Source::Screen, (1500, 3000));
    made.track("alice.webm", "carol", Source::Mic, (0, 3000));
    made.event(500, Event::Speaker { participant: Some("carol".into()) });
}

/// Alice sits before blue, Bob before green, Carol before red; the first slide is a deep blue.
fn is_right(shows: Shows, [r, g, b]: [f64; 3]) -> bool {
    let is_lit = r + g + b > 150.0;
    is_lit
        && match shows {
            Shows::Screen(_) => b > 100.0 && b > r + 60.0,
            Shows::Face(ALICE) => b > r && b > g,
            Shows::Face(BOB) => g > r && g > b,
            Shows::Face(_) => r > g && r > b,
        }
}

fn check(policy: Policy) {
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    meeting(&mut made);
    let recording = made.save();
    let summary = compose(&Library::default(), &job(&recording, policy), |_| Ok(())).unwrap();
    assert_eq!(summary.warnings, Vec::<String>::new());
    let screen = Screen { number: SCREEN, shape: (1280, 720) };
    let moments = [(1000, vec![]), (2600, vec![screen])];
    let numbers: Vec<u64> = moments.iter().map(|(ms, _)| ms * u64::from(FPS) / 1000).collect();
    for ((ms, screens), frame) in moments.into_iter().zip(pictures(&summary.film, &numbers)) {
        let view = View { screens, faces: vec![ALICE, BOB, CAROL], featured: Some(CAROL) };
        for Tile { shows, mut area } in layout(&view, SIZE, policy) {
            if matches!(shows, Shows::Screen(_)) {
                area = roombot::film::layout::fit((1280, 720), area);
            }
            let colour = mean(&frame, area);
            assert!(is_right(shows, colour), "{policy:?} at {ms} ms: {shows:?} in {area:?} is {colour:.0?}");
        }
    }
}

#[test]
fn a_grid_lies_where_the_layout_says() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    check(Policy::Grid);
}

#[test]
fn who_speaks_is_large() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    check(Policy::Speaker);
}

#[test]
fn a_presentation_has_faces_beside_it() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    check(Policy::Presentation);
}

#[test]
fn one_at_a_time() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    check(Policy::Single);
}

/// The colour of a small square.
fn spot(frame: &[u8], (x, y): (u32, u32)) -> [f64; 3] {
    mean(frame, Rect { x, y, width: 2, height: 2 })
}

#[test]
fn who_speaks_is_framed_and_a_frozen_camera_becomes_a_card() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    made.manifest.duration_ms = 4000;
    made.person("alice", 0, 4000);
    made.person("bob", 0, 4000);
    made.track("alice.webm", "alice", Source::Camera, (0, 4000));
    // His connection is lost after a second, and nothing comes any more.
    made.track("bob.webm", "bob", Source::Camera, (0, 1000));
    made.manifest.tracks[1].ended_ms = Some(4000);
    made.event(1000, Event::IceState { participant: "bob".into(), state: "disconnected".into() });
    made.event(1000, Event::Speaker { participant: Some("alice".into()) });
    made.event(2000, Event::Speaker { participant: None });
    let recording = made.save();
    let summary = compose(&Library::default(), &job(&recording, Policy::Grid), |_| Ok(())).unwrap();
    let fps = u64::from(FPS);
    let frames = pictures(&summary.film, &[fps / 2, fps * 3 / 2, fps * 5 / 2, fps * 7 / 2]);
    let view = View { faces: vec![ALICE, BOB], ..View::default() };
    let [alice, bob] = &layout(&view, SIZE, Policy::Grid)[..] else { panic!("two tiles") };
    let edge = |frame: &[u8]| spot(frame, (alice.area.x + alice.area.width / 2, alice.area.y));
    let is_green = |[r, g, b]: [f64; 3]| g > r + 40.0 && g > b + 20.0;
    let framed: Vec<bool> = frames.iter().map(|frame| is_green(edge(frame))).collect();
    assert_eq!(framed, [false, true, false, false]);
    // Cards have a grey ground in their corners; Bob's picture is green there.
    let ground = |frame: &[u8]| {
        mean(frame, Rect { x: bob.area.x + bob.area.width * 8 / 10, y: bob.area.y + 10, width: 20, height: 20 })
    };
    let is_card = |[r, g, b]: [f64; 3]| (r - 38.0).abs() < 8.0 && (g - 42.0).abs() < 8.0 && (b - 52.0).abs() < 8.0;
    let cards: Vec<bool> = frames.iter().map(|frame| is_card(ground(frame))).collect();
    assert_eq!(cards, [false, false, false, true], "{:?}", frames.iter().map(|f| ground(f)).collect::<Vec<_>>());
}

#[test]
fn a_title_a_clock_and_tiles_that_glide() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    made.manifest.duration_ms = 4000;
    made.person("alice", 0, 4000);
    made.person("bob", 3400, 4000);
    made.track("alice.webm", "alice", Source::Camera, (0, 4000));
    made.track("bob.webm", "bob", Source::Camera, (3400, 4000));
    let recording = made.save();
    let mut job = job(&recording, Policy::Grid);
    let picture = job.video.as_mut().unwrap();
    (picture.scene.title, picture.scene.clock, picture.scene.animate) = (Some("Stand-up".into()), true, true);
    let summary = compose(&Library::default(), &job, |_| Ok(())).unwrap();
    let number = |ms: u64| ms * u64::from(FPS) / 1000;
    let frames = pictures(&summary.film, &[number(1000), number(3270), number(3534), number(3934)]);
    let [titled, alone, gliding, both] = &frames[..] else { panic!("four pictures") };
    let whole = Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 };
    // Letters on a dark ground.
    assert!(mean(titled, whole).iter().sum::<f64>() < 130.0 && titled.chunks(3).any(|p| p[0] > 220));
    assert!(mean(alone, whole).iter().sum::<f64>() > 250.0);
    // The clock is dark with light digits, at the upper right, whatever lies below it.
    let clock = Rect { x: SIZE.0 - 70, y: 12, width: 54, height: 16 };
    for frame in [alone, both] {
        assert!(mean(frame, clock).iter().sum::<f64>() < 330.0, "{:?}", mean(frame, clock));
    }
    // Alice is on her way from all of the picture to its left half.
    let left_edge =
        |frame: &[u8]| (0..SIZE.0).find(|x| spot(frame, (*x, SIZE.1 / 2)).iter().sum::<f64>() > 150.0).unwrap();
    let right_edge = |frame: &[u8], from: u32| {
        (from..SIZE.0).find(|x| spot(frame, (*x, SIZE.1 / 2)).iter().sum::<f64>() < 90.0).unwrap_or(SIZE.0)
    };
    let width = |frame: &[u8]| right_edge(frame, left_edge(frame) + 20) - left_edge(frame);
    assert!(
        width(alone) > width(gliding) && width(gliding) > width(both),
        "{} {} {}",
        width(alone),
        width(gliding),
        width(both)
    );
}

#[test]
fn a_film_that_is_shorter_than_its_title_has_a_poster_all_the_same() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    made.manifest.duration_ms = 1500;
    made.person("alice", 0, 1500);
    made.track("alice.webm", "alice", Source::Camera, (0, 1500));
    let recording = made.save();
    let mut job = job(&recording, Policy::Grid);
    job.video.as_mut().unwrap().scene.title = Some("Stand-up".into());
    let summary = compose(&Library::default(), &job, |_| Ok(())).unwrap();
    let whole = Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 };
    let last = pictures(&summary.film, &[summary.frames - 1]);
    assert!(mean(&last[0], whole).iter().sum::<f64>() < 130.0, "the title is seen to the film's end");
    let poster = image::open(summary.stills.poster.unwrap()).unwrap().to_rgb8();
    let colour = mean(poster.as_raw(), whole);
    assert!(is_right(Shows::Face(ALICE), colour), "{colour:.0?}");
}

#[test]
fn where_nobody_has_a_camera_the_poster_shows_who_was_there() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    made.manifest.duration_ms = 2000;
    made.person("alice", 0, 2000);
    made.person("bob", 1000, 2000);
    made.track("alice.webm", "alice", Source::Mic, (0, 2000));
    made.track("alice.webm", "bob", Source::Mic, (1000, 2000));
    let summary = compose(&Library::default(), &job(&made.save(), Policy::Grid), |_| Ok(())).unwrap();
    let poster = image::open(summary.stills.poster.unwrap()).unwrap().to_rgb8();
    let last = pictures(&summary.film, &[summary.frames - 1]);
    let whole = Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 };
    let (shown, end) = (mean(poster.as_raw(), whole), mean(&last[0], whole));
    // Both cards, as at the end; of one alone there is more than of two.
    assert!(shown.iter().zip(end).all(|(a, b)| (a - b).abs() < 4.0), "{shown:.0?} {end:.0?}");
}

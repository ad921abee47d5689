//! A meeting of browsers, recorded: who came, shared, fell silent and went, each in files of their own and at the right time; and how
//! soon the first picture is on the disk.

use crate::recorded::{ROOM, SMALL, records, sane, track_on};
use crate::support::browser::Browser;
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::sender::{During, PATIENCE, Sample, Sender};
use crate::support::server::TestServer;
use crate::support::tape::{Recorded, Tape, now};
use roombot::recording::timeline::Event;
use roombot::room::media::Source;
use std::time::Duration;

/// What one line of the timeline says, in short: `mute carol mic`.
fn short(event: &Event) -> String {
    match event {
        Event::Joined { participant, .. } => format!("joined {participant}"),
        Event::Left { participant, .. } => format!("left {participant}"),
        Event::Mute { participant, source } => format!("mute {participant} {}", source.word()),
        Event::Unmute { participant, source } => format!("unmute {participant} {}", source.word()),
        Event::TrackOn { file, .. } => format!("on {file}"),
        Event::TrackOff { file, .. } => format!("off {file}"),
        _ => String::new(),
    }
}

async fn until(tape: &Tape, what: &str) {
    tape.until(what, |entry| (short(&entry.event) == what).then_some(())).await
}

/// How far an event lies outside the time in which it really happened, in milliseconds.
fn off(recorded: &Recorded, what: &str, really: During) -> i64 {
    let found: Vec<_> = recorded.timeline.iter().filter(|e| short(&e.event) == what).collect();
    let [entry] = found[..] else { panic!("{what}: {} times in {:#?}", found.len(), recorded.timeline) };
    let at = entry.at.as_millisecond();
    let off = (at - really.1).max(0) + (at - really.0).min(0);
    println!("{what}: {off:+} ms off what took {} ms", really.1 - really.0);
    off
}

/// When the first picture was encoded after `start`: between two looks at the counter, which may count on from an earlier share.
fn first_picture(samples: &[Sample], start: i64) -> During {
    let before = samples.iter().rfind(|s| s.at < start).map_or(0, |s| s.frames);
    let first = samples.iter().position(|s| s.at >= start && s.frames > 0 && s.frames != before).expect("a picture");
    let earlier = first.checked_sub(1).map_or(start, |last| samples[last].at.max(start));
    (earlier, samples[first].at)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_people_who_come_share_and_go_are_told_apart_in_files_and_in_time() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch_alone().await;
    let alice = Sender::join(&browser, &server, ROOM, "Alice", SMALL).await;
    let bob = Sender::join(&browser, &server, ROOM, "Bob", SMALL).await;
    let tape = Tape::start(&server.room(ROOM));
    records(&tape, "alice").await;
    records(&tape, "bob").await;
    let pause = || pause(Duration::from_millis(1500), "a part of some length");
    pause().await;

    let carol = Sender::join(&browser, &server, ROOM, "Carol", SMALL).await;
    records(&tape, "carol").await;
    let muted = carol.does("await roombot.mute(true)").await;
    let mut shares = Vec::new();
    for round in 1..=2 {
        let (shared, _) = alice.does("await roombot.share(true)").await;
        until(&tape, &format!("on alice.screen.{round}.webm")).await;
        pause().await;
        shares.push((shared, alice.does("await roombot.share(false)").await));
        until(&tape, &format!("off alice.screen.{round}.webm")).await;
    }
    let unmuted = carol.does("await roombot.mute(false)").await;
    let camera_off = bob.does("await roombot.camera(false)").await;
    pause().await;
    let camera_on = bob.does("await roombot.camera(true)").await;
    pause().await;
    let (joined, screens) = (carol.joined().await, alice.samples("screen").await);
    let closing = now();
    bob.page.close().await;
    let closed = (closing, now());
    until(&tape, "left bob").await;
    let recorded = tape.finish().await;
    sane(&recorded);

    let mut files: Vec<_> = recorded.manifest.tracks.iter().map(|t| t.file.as_str()).collect();
    files.sort();
    let expected = [
        "alice.camera.1.webm",
        "alice.mic.1.webm",
        "alice.screen-audio.1.webm",
        "alice.screen-audio.2.webm",
        "alice.screen.1.webm",
        "alice.screen.2.webm",
        "bob.camera.1.webm",
        "bob.mic.1.webm",
        "carol.camera.1.webm",
        "carol.mic.1.webm",
    ];
    assert_eq!(files, expected);

    let happened = [
        ("joined carol", joined),
        ("mute carol mic", muted),
        ("on alice.screen.1.webm", first_picture(&screens, shares[0].0)),
        ("off alice.screen.1.webm", shares[0].1),
        ("on alice.screen.2.webm", first_picture(&screens, shares[1].0)),
        ("off alice.screen.2.webm", shares[1].1),
        ("unmute carol mic", unmuted),
        ("mute bob camera", camera_off),
        ("unmute bob camera", camera_on),
        ("left bob", closed),
    ];
    let late = happened.map(|(what, really)| (what, off(&recorded, what, really)));
    // On a machine that does other things as well, a few may fall into a moment in which nobody of ours runs.
    assert!(late.iter().filter(|(_, off)| off.abs() <= 200).count() >= 8, "{late:?}");
    assert!(late.iter().all(|(_, off)| off.abs() < 2000), "{late:?}");

    for name in ["alice", "bob", "carol"] {
        let (camera, mic) = (recorded.track(name, Source::Camera), recorded.track(name, Source::Mic));
        assert!(camera.start_ms.abs_diff(mic.start_ms) < 5000, "{camera:#?} {mic:#?}");
        for track in [camera, mic] {
            println!("{}: within {:.1} ms of the session's time", track.file, track.sync_error_ms.unwrap_or(f64::NAN));
            assert!(track.sync_error_ms.is_some_and(|error| error < 100.0), "{track:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_frame_is_recorded_within_a_second_of_joining() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch_alone().await;
    let alice = Sender::join(&browser, &server, ROOM, "Alice", SMALL).await;
    let bob = Sender::join(&browser, &server, ROOM, "Bob", "camera=0&mic=0").await;
    let sees = "roombot.stats().then((all) => Object.values(all).some((peer) => peer.inbound.some((one) => one.framesDecoded > 3)))";
    bob.page.wait_for(sees, PATIENCE, "Alice already sends").await;
    let mut waits = Vec::new();
    for _ in 0..5 {
        // From the start of the program: all that a user waits for.
        let tape = Tape::start(&server.room(ROOM));
        tape.until("a picture", track_on("alice", Source::Camera)).await;
        waits.push(now() - tape.started);
        sane(&tape.finish().await);
        alice.page.wait_for("document.querySelector('#recording').hidden", PATIENCE, "the recorder is gone").await;
    }
    println!("milliseconds from the program's start to the first recorded frame: {waits:?}");
    waits.sort();
    assert!(waits[2] <= 1000, "{waits:?}");
}

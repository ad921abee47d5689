//! Chromium's own streams, through a real room server, recorded by the program: what is on the disk is judged against what the
//! senders' statistics say they sent, and when.

use crate::support::bot::{Bot, NAME, Recorded};
use crate::support::browser::Browser;
use crate::support::player::play;
use crate::support::probe::{probe, times};
use crate::support::sender::{During, PATIENCE, Sample, Sender};
use crate::support::server::TestServer;
use roombot::record::manifest::Status;
use roombot::record::timeline::{Entry, Event};
use roombot::room::clock::Basis;
use roombot::room::media::Source;
use std::time::Duration;

const SMALL: &str = "width=320&height=180&fps=15";
const ROOM: &str = "test";

fn track_on(participant: &'static str, source: Source) -> impl Fn(&Entry) -> Option<i64> {
    move |entry| match &entry.event {
        Event::TrackOn { participant: p, source: s, .. } if p == participant && *s == source => {
            Some(entry.at.as_millisecond())
        }
        _ => None,
    }
}

/// Waits until somebody's camera and microphone are on the disk.
async fn records(bot: &Bot, participant: &'static str) {
    for source in [Source::Camera, Source::Mic] {
        bot.until(participant, track_on(participant, source)).await;
    }
}

/// Complete, without a warning; every track whole in ffprobe's eyes, and placed on the session's time.
fn sane(recorded: &Recorded) {
    let manifest = &recorded.manifest;
    assert_eq!((manifest.status, &manifest.warnings), (Status::Complete, &Vec::new()));
    for track in &manifest.tracks {
        assert!(track.finished && track.frames > 0 && track.lost == 0, "{track:#?}");
        // Who stops to share may leave the last picture half sent.
        assert!(track.gaps.iter().all(|gap| gap.end_ms >= track.end_ms), "{track:#?}");
        let seen = probe(&recorded.path(track));
        assert_eq!((seen.frames, seen.complaints.as_str()), (track.frames, ""), "{}", track.file);
        assert_eq!(seen.codec, track.codec.name().to_lowercase());
        let person = manifest.participants.iter().find(|p| p.key == track.participant).expect("a participant");
        let (from, until) = (person.present[0].start_ms, person.present[0].until(manifest.duration_ms));
        assert!(
            from <= track.start_ms + 200 && track.start_ms < track.end_ms && track.end_ms <= until + 200,
            "{track:#?}"
        );
    }
}

/// What a file should hold, by the sender's counters: as much as was counted after the track began.
struct Expected {
    /// Between two looks at the counter it is not known to the frame.
    least: u64,
    most: u64,
}

impl Expected {
    /// `counted` had stopped by the last sample. `before` says whether a sample was taken before the file's first frame was sent.
    fn new(samples: &[Sample], counted: impl Fn(&Sample) -> u64, before: impl Fn(&Sample) -> bool) -> Expected {
        let end = samples.last().map(&counted).expect("samples");
        let first = samples.iter().position(|s| !before(s)).expect("a sample after the beginning");
        // The frame that the file begins with is one of those between the two samples.
        let earlier = first.checked_sub(1).map_or(0, |last| counted(&samples[last]));
        let later = counted(&samples[first]).saturating_sub(1).max(earlier);
        Expected { least: end - later, most: end - earlier }
    }

    /// How far `recorded` is off, as a share.
    fn off(&self, recorded: u64) -> f64 {
        let off = self.least.saturating_sub(recorded).max(recorded.saturating_sub(self.most));
        off as f64 / self.most as f64
    }
}

/// Ten seconds of a codec: frames and packets against the sender's counters; opened by ffprobe, played by Chromium.
async fn is_recorded_whole(codec: &str) {
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice =
        Sender::join(&browser, &server, ROOM, "Alice", &format!("codec={codec}&width=320&height=180&fps=30")).await;
    let bot = Bot::start(&server.room(ROOM));
    records(&bot, "alice").await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    alice.fall_silent().await;
    let recorded = bot.finish().await;
    sane(&recorded);

    let camera = recorded.track("alice", Source::Camera);
    assert_eq!(camera.codec.name().to_lowercase(), codec);
    let samples = alice.samples("camera").await;
    // The file lacks the key frames that were encoded before its first.
    let missed = samples.last().expect("samples").keys - camera.key_frames;
    let expected = Expected::new(&samples, |s| s.frames, |s| s.keys <= missed);
    let decoded = probe(&recorded.path(camera)).frames;
    println!(
        "{codec}: {decoded} frames decoded of {}..={} encoded; {missed} earlier key frames",
        expected.least, expected.most
    );
    assert!(expected.least > 60, "too few to judge by");
    assert!(expected.off(decoded) <= 0.01);

    let mic = recorded.track("alice", Source::Mic);
    let samples = alice.samples("mic").await;
    let begun = recorded.manifest.started.as_millisecond() + mic.start_ms as i64;
    let expected = Expected::new(&samples, |s| s.packets, |s| s.at < begun);
    let packets = probe(&recorded.path(mic)).packets;
    println!("{codec}: {packets} Opus packets of {}..={} sent", expected.least, expected.most);
    assert!(expected.least > 400, "too few to judge by");
    assert!(expected.off(packets) <= 0.01);

    for track in [camera, mic] {
        let clock = track.clock.as_ref().expect("a clock");
        assert_eq!(clock.basis, Basis::SenderReports, "{}", track.file);
        assert!(track.sync_error_ms.is_some_and(|error| error < 40.0), "{track:#?}");
        let played = play(&browser, &recorded.path(track)).await;
        println!("{}: {played:?}", track.file);
        assert!(played.error.is_none() && played.ended && played.sought, "{}: {played:?}", track.file);
        assert!((played.duration - played.at).abs() < 0.5 && played.duration > 8.0, "{played:?}");
        assert_eq!(played.frames > 60, track.source == Source::Camera, "{played:?}");
    }
    assert!(camera.start_ms.abs_diff(mic.start_ms) < 2000, "{camera:#?} {mic:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_recorded_whole_in_vp8() {
    is_recorded_whole("vp8").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_recorded_whole_in_vp9() {
    is_recorded_whole("vp9").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_recorded_whole_in_h264() {
    is_recorded_whole("h264").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_recorded_whole_in_av1() {
    is_recorded_whole("av1").await;
}

/// When the timeline says that something happened, against when it did.
struct Punctual(Vec<(String, i64)>);

impl Punctual {
    /// `found` is an event's time; it is right anywhere in `during`.
    fn note(&mut self, what: &str, found: i64, during: During) {
        let off = if found < during.0 { found - during.0 } else { (found - during.1).max(0) };
        println!("{what}: {off:+} ms off ({} ms long)", during.1 - during.0);
        self.0.push((what.to_owned(), off));
    }
}

/// All times of the events for which `is` holds.
fn events(recorded: &Recorded, is: impl Fn(&Event) -> bool) -> Vec<i64> {
    recorded.timeline.iter().filter(|e| is(&e.event)).map(|e| e.at.as_millisecond()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_people_who_come_share_and_go_are_told_apart_in_files_and_in_time() {
    let server = TestServer::start().await;
    let browser = Browser::launch_alone().await;
    let alice = Sender::join(&browser, &server, ROOM, "Alice", SMALL).await;
    let bob = Sender::join(&browser, &server, ROOM, "Bob", SMALL).await;
    let bot = Bot::start(&server.room(ROOM));
    records(&bot, "alice").await;
    records(&bot, "bob").await;
    let pause = || tokio::time::sleep(Duration::from_millis(1500));
    pause().await;

    let carol = Sender::join(&browser, &server, ROOM, "Carol", SMALL).await;
    records(&bot, "carol").await;
    let muted = carol.does("await roombot.mute(true)").await;
    let mut shares = Vec::new();
    for round in 1..=2 {
        alice.page.run("await roombot.share(true)").await;
        let file = format!("alice.screen.{round}.");
        bot.until("a screen", |entry| {
            matches!(&entry.event, Event::TrackOn { file: f, .. } if f.starts_with(&file)).then_some(())
        })
        .await;
        pause().await;
        shares.push(alice.does("await roombot.share(false)").await);
        let file = format!("alice.screen.{round}.");
        bot.until("its end", |entry| {
            matches!(&entry.event, Event::TrackOff { file: f, .. } if f.starts_with(&file)).then_some(())
        })
        .await;
    }
    let unmuted = carol.does("await roombot.mute(false)").await;
    let camera_off = bob.does("await roombot.camera(false)").await;
    pause().await;
    let camera_on = bob.does("await roombot.camera(true)").await;
    pause().await;
    let (carol_joined, screens) = (carol.joined_at().await, alice.samples("screen").await);
    let before = crate::support::bot::now();
    bob.page.close().await;
    let closed = (before, crate::support::bot::now());
    bot.until("Bob leaves", |entry| {
        matches!(&entry.event, Event::Left { participant, .. } if participant == "bob").then_some(())
    })
    .await;
    let recorded = bot.finish().await;
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

    let mut punctual = Punctual(Vec::new());
    let mut single = |what: &str, during: During, is: &dyn Fn(&Event) -> bool| {
        let [found] = events(&recorded, is)[..] else { panic!("{what}: {:#?}", recorded.timeline) };
        punctual.note(what, found, during);
    };
    single(
        "Carol joins",
        (carol_joined, carol_joined),
        &|e| matches!(e, Event::Joined { name, .. } if name == "Carol"),
    );
    single("Bob closes the tab", closed, &|e| matches!(e, Event::Left { participant, .. } if participant == "bob"));
    let mic = |p: &str, s: &Source| p == "carol" && *s == Source::Mic;
    single("Carol mutes", muted, &|e| matches!(e, Event::Mute { participant, source } if mic(participant, source)));
    single(
        "Carol unmutes",
        unmuted,
        &|e| matches!(e, Event::Unmute { participant, source } if mic(participant, source)),
    );
    let camera = |p: &str, s: &Source| p == "bob" && *s == Source::Camera;
    single(
        "Bob's camera off",
        camera_off,
        &|e| matches!(e, Event::Mute { participant, source } if camera(participant, source)),
    );
    single(
        "Bob's camera on",
        camera_on,
        &|e| matches!(e, Event::Unmute { participant, source } if camera(participant, source)),
    );
    for (round, unshared) in shares.into_iter().enumerate() {
        let file = format!("alice.screen.{}.webm", round + 1);
        // A share begins with its first picture, which was encoded between two looks at the counter.
        let later = screens.iter().filter(|s| s.frames > 0 && s.at < unshared.0);
        let earlier = if round == 0 {
            0
        } else {
            screens.iter().rfind(|s| s.at < unshared.0 && s.frames == 0).map_or(0, |s| s.at)
        };
        let shown = later.map(|s| s.at).find(|at| *at > earlier).expect("a picture");
        single(
            "a screen is shared",
            (shown - 100, shown),
            &|e| matches!(e, Event::TrackOn { file: f, .. } if *f == file),
        );
        single("a screen is unshared", unshared, &|e| matches!(e, Event::TrackOff { file: f, .. } if *f == file));
    }
    for (what, off) in &punctual.0 {
        assert!(off.abs() <= 200, "{what}: {off} ms off");
    }
    for name in ["alice", "bob", "carol"] {
        let (camera, mic) = (recorded.track(name, Source::Camera), recorded.track(name, Source::Mic));
        assert!(camera.start_ms.abs_diff(mic.start_ms) < 2000, "{camera:#?} {mic:#?}");
        for track in [camera, mic] {
            println!("{}: {:?} ms sync error", track.file, track.sync_error_ms);
            assert!(track.sync_error_ms.is_some_and(|error| error < 40.0), "{track:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_frame_is_recorded_within_a_second_of_joining() {
    let server = TestServer::start().await;
    let browser = Browser::launch_alone().await;
    let alice = Sender::join(&browser, &server, ROOM, "Alice", SMALL).await;
    let bob = Sender::join(&browser, &server, ROOM, "Bob", "camera=0&mic=0").await;
    let sees = "roombot.stats().then((all) => Object.values(all).some((peer) => peer.inbound.some((one) => one.framesDecoded > 3)))";
    bob.page.wait_for(sees, PATIENCE, "Alice already sends").await;
    let mut waits = Vec::new();
    for _ in 0..5 {
        // From the start of the program: all that a user waits for.
        let bot = Bot::start(&server.room(ROOM));
        let started = bot.started;
        waits.push(bot.until("a picture", track_on("alice", Source::Camera)).await - started);
        sane(&bot.finish().await);
        alice.page.wait_for("document.querySelector('#recording').hidden", PATIENCE, "the recorder is gone").await;
    }
    println!("milliseconds from the program's start to the first recorded frame: {waits:?}");
    waits.sort();
    assert!(waits[2] <= 1000, "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_was_off_leaves_a_gap_and_no_splice() {
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = Sender::join(&browser, &server, ROOM, "Alice", SMALL).await;
    let bot = Bot::start(&server.room(ROOM));
    records(&bot, "alice").await;
    let pause = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    pause(2).await;
    let off = alice.does("await roombot.camera(false); await roombot.mute(true)").await;
    pause(3).await;
    let on = alice.does("await roombot.camera(true); await roombot.mute(false)").await;
    pause(3).await;
    alice.fall_silent().await;
    let silent = alice.samples("camera").await.into_iter().rev().skip_while({
        let mut last = None;
        move |s| *last.get_or_insert(s.frames) == s.frames
    });
    let silent = silent.map(|s| s.at).next().expect("a sample");
    let recorded = bot.finish().await;
    sane(&recorded);
    let started = recorded.manifest.started.as_millisecond();
    let (camera, mic) = (recorded.track("alice", Source::Camera), recorded.track("alice", Source::Mic));

    let times = times(&recorded.path(camera));
    let (at, gap) = times.windows(2).map(|w| (w[0], w[1] - w[0])).max_by(|a, b| a.1.total_cmp(&b.1)).expect("frames");
    let (gone, back) = (
        started + camera.start_ms as i64 + (at * 1000.0) as i64,
        started + camera.start_ms as i64 + ((at + gap) * 1000.0) as i64,
    );
    println!("the camera went {:+} ms and came {:+} ms off; a gap of {gap:.3} s", gone - off.0, back - on.1);
    assert!((gone - off.0).abs() < 1000 && (back - on.0) > -100 && back - on.1 < 2000, "{gone} {off:?} {back} {on:?}");
    // The end lies where the wall clock says, so nothing was cut out or stretched.
    let end = started + camera.end_ms as i64;
    println!("the last frame ends {:+} ms off", end - silent);
    assert!((end - silent).abs() < 300, "{end} {silent}");
    let whole = times.last().expect("frames") * 1000.0;
    assert!((whole - (camera.end_ms - camera.start_ms) as f64).abs() < 200.0, "{whole} {camera:#?}");

    // A muted microphone of Chromium goes on sending silence; an hour of it is no gap.
    for track in [camera, mic] {
        let [mute] = track.mutes[..] else { panic!("{track:#?}") };
        let (from, until) = (started + mute.start_ms as i64, started + mute.end_ms.expect("an end") as i64);
        assert!(from >= off.0 - 5 && from <= off.1 + 1000 && until >= on.0 - 5 && until <= on.1 + 1000, "{track:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_may_be_there_first_and_another_one_may_follow() {
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let first = Bot::start(&server.room(ROOM));
    first.until("it has begun", |e| matches!(e.event, Event::RecordingStarted { .. }).then_some(())).await;
    // The newcomer makes the first offer, to a recorder that was there.
    let alice = Sender::join(&browser, &server, ROOM, "Alice", SMALL).await;
    let badge = format!(
        "document.querySelector('#recording').textContent.includes('Recording by {NAME}') && !document.querySelector('#recording').hidden"
    );
    alice.page.wait_for(&badge, PATIENCE, "the badge").await;
    records(&first, "alice").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let first = first.finish().await;
    sane(&first);
    alice.page.wait_for("document.querySelector('#recording').hidden", PATIENCE, "the badge is gone").await;
    let second = Bot::start(&server.room(ROOM));
    records(&second, "alice").await;
    alice.page.wait_for(&badge, PATIENCE, "the badge again").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = second.finish().await;
    sane(&second);
    for recorded in [first, second] {
        assert_eq!(recorded.manifest.tracks.len(), 2);
        for source in [Source::Camera, Source::Mic] {
            let track = recorded.track("alice", source);
            assert!(track.end_ms - track.start_ms > 700, "{track:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_changes_its_size_stays_in_its_file() {
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let mut calls = Vec::new();
    for codec in ["vp8", "vp9", "h264", "av1"] {
        let alice = Sender::join(&browser, &server, codec, "Alice", &format!("codec={codec}&{SMALL}")).await;
        calls.push((codec, alice, Bot::start(&server.room(codec))));
    }
    for (_, _, bot) in &calls {
        records(bot, "alice").await;
    }
    for by in [2.0, 1.0] {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        for (_, alice, _) in &calls {
            let js = format!(
                "for (const pc of connections) for (const one of pc.getSenders()) if (one.track?.kind === 'video') {{
                    const parameters = one.getParameters();
                    parameters.encodings[0].scaleResolutionDownBy = {by};
                    await one.setParameters(parameters);
                }}"
            );
            alice.page.run(&js).await;
        }
        for (codec, _, bot) in &calls {
            let now = if by == 2.0 { (160, 90) } else { (320, 180) };
            let turned = |entry: &Entry, n: usize| {
                matches!(entry.event, Event::Resolution { width, height, .. } if (width, height) == now) && n > 0
            };
            let deadline = std::time::Instant::now() + PATIENCE;
            while !bot
                .timeline()
                .iter()
                .filter(|e| matches!(e.event, Event::Resolution { .. }))
                .enumerate()
                .any(|(n, e)| turned(e, n))
            {
                assert!(std::time::Instant::now() < deadline, "{codec}: {:#?}", bot.timeline());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for (codec, alice, bot) in calls {
        alice.fall_silent().await;
        let recorded = bot.finish().await;
        sane(&recorded);
        let camera = recorded.track("alice", Source::Camera);
        let sizes: Vec<_> = camera.resolutions.iter().map(|r| (r.width, r.height)).collect();
        assert_eq!(sizes, [(320, 180), (160, 90), (320, 180)], "{codec}");
        assert_eq!(alice.samples("camera").await.last().expect("samples").frames, camera.frames, "{codec}");
        let played = play(&browser, &recorded.path(camera)).await;
        println!("{codec}: {played:?}");
        assert!(played.error.is_none() && played.ended && played.sought, "{codec}: {played:?}");
    }
}

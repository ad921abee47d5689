//! Chromium's own streams, through a real room server, recorded by the program: what is on the disk is judged against what the
//! senders' statistics say they sent, and when.

use crate::support::browser::Browser;
use crate::support::needs::{needed, tools};
use crate::support::player::play;
use crate::support::probe::{packets, probe};
use crate::support::sender::{PATIENCE, Sample, Sender};
use crate::support::server::TestServer;
use crate::support::tape::{NAME, Recorded, Tape};
use crate::support::{moment, pause};
use futures_util::future::join_all;
use roombot::recording::manifest::Status;
use roombot::recording::timeline::{Entry, Event};
use roombot::room::clock::Basis;
use roombot::room::media::Source;
use std::time::{Duration, Instant};

/// What a test asks of a camera that is one of several.
pub const SMALL: &str = "width=320&height=180&fps=15";
pub const ROOM: &str = "test";

/// When a participant's source began to be recorded, in milliseconds on the wall clock.
pub fn track_on(participant: &'static str, source: Source) -> impl Fn(&Entry) -> Option<i64> {
    move |entry| match &entry.event {
        Event::TrackOn { participant: p, source: s, .. } if p == participant && *s == source => {
            Some(entry.at.as_millisecond())
        }
        _ => None,
    }
}

/// Waits until somebody's camera and microphone are on the disk.
pub async fn records(tape: &Tape, participant: &'static str) {
    for source in [Source::Camera, Source::Mic] {
        tape.until(participant, track_on(participant, source)).await;
    }
}

/// Complete, without a warning but of what came late; every track whole in ffprobe's eyes, and placed on the session's time.
pub fn sane(recorded: &Recorded) {
    let manifest = &recorded.manifest;
    // On a busy machine a browser may take seconds from saying what it shares to its first picture.
    let warnings: Vec<_> = manifest.warnings.iter().filter(|warning| !warning.ends_with("then it came")).collect();
    assert_eq!((manifest.status, warnings), (Status::Complete, Vec::new()));
    for track in &manifest.tracks {
        assert!(track.finished && track.frames > 0, "{track:#?}");
        // A starved browser drops packets that it has numbered, before they reach a socket; the kernel's counters of drops stand still.
        assert!(track.lost * 10 <= track.packets, "{track:#?}");
        // Without loss only a picture at the very end may be missing: who stops to share may leave it half sent.
        let ticks = track.last_rtp.expect("a last frame") - track.first_rtp.expect("a first one");
        let last_ms = track.start_ms + (ticks * 1000) as u64 / u64::from(track.clock_rate);
        assert!(track.lost > 0 || track.gaps.iter().all(|gap| gap.start_ms + 50 >= last_ms), "{track:#?}");
        let seen = probe(&recorded.path(track));
        assert_eq!((seen.frames, seen.complaints.as_str()), (track.frames, ""), "{}", track.file);
        assert_eq!(seen.codec, track.codec.name().to_lowercase());
        let person = manifest.participants.iter().find(|p| p.key == track.participant).expect("a participant");
        let (from, until) = (person.present[0].start_ms, person.present[0].until(manifest.duration_ms));
        assert!(
            from <= track.start_ms + 500 && track.start_ms < track.end_ms && track.end_ms <= until + 500,
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
    let tape = Tape::start(&server.room(ROOM));
    records(&tape, "alice").await;
    pause(Duration::from_secs(9), "tracks of some length").await;
    alice.fall_silent().await;
    let recorded = tape.finish().await;
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
    needed!(tools(&["ffmpeg", "chromium"]));
    is_recorded_whole("vp8").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_recorded_whole_in_vp9() {
    needed!(tools(&["ffmpeg", "chromium"]));
    is_recorded_whole("vp9").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_recorded_whole_in_h264() {
    needed!(tools(&["ffmpeg", "chromium"]));
    is_recorded_whole("h264").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_recorded_whole_in_av1() {
    needed!(tools(&["ffmpeg", "chromium"]));
    is_recorded_whole("av1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_was_off_leaves_a_gap_and_no_splice() {
    needed!(tools(&["ffmpeg", "chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = Sender::join(&browser, &server, ROOM, "Alice", SMALL).await;
    let tape = Tape::start(&server.room(ROOM));
    records(&tape, "alice").await;
    let pause = |seconds| pause(Duration::from_secs(seconds), "a part of some length");
    pause(2).await;
    let off = alice.does("await roombot.camera(false); await roombot.mute(true)").await;
    pause(3).await;
    let on = alice.does("await roombot.camera(true); await roombot.mute(false)").await;
    pause(3).await;
    alice.fall_silent().await;
    let samples = alice.samples("camera").await;
    let encoded = samples.last().expect("samples").frames;
    let silent = samples.iter().find(|s| s.frames == encoded).expect("a sample").at;
    let recorded = tape.finish().await;
    sane(&recorded);
    let started = recorded.manifest.started.as_millisecond();
    let (camera, mic) = (recorded.track("alice", Source::Camera), recorded.track("alice", Source::Mic));

    let times: Vec<f64> = packets(&recorded.path(camera)).iter().map(|packet| packet.at).collect();
    let (at, gap) = times.windows(2).map(|w| (w[0], w[1] - w[0])).max_by(|a, b| a.1.total_cmp(&b.1)).expect("frames");
    let (gone, back) = (
        started + camera.start_ms as i64 + (at * 1000.0) as i64,
        started + camera.start_ms as i64 + ((at + gap) * 1000.0) as i64,
    );
    println!("the camera went {:+} ms and came {:+} ms off; a gap of {gap:.3} s", gone - off.0, back - on.1);
    assert!((gone - off.0).abs() < 1000 && (back - on.0) > -100 && back - on.1 < 2000, "{gone} {off:?} {back} {on:?}");
    // The last picture lies where the wall clock says: nothing was cut out or stretched.
    let last = started + camera.start_ms as i64 + (times.last().expect("frames") * 1000.0) as i64;
    println!("the last picture lies {:+} ms off", last - silent);
    assert!((last - silent).abs() < 1000, "{last} {silent}");

    // A muted microphone of Chromium goes on sending silence; an hour of it is no gap.
    for track in [camera, mic] {
        let [mute] = track.mutes[..] else { panic!("{track:#?}") };
        let (from, until) = (started + mute.start_ms as i64, started + mute.end_ms.expect("an end") as i64);
        assert!(from >= off.0 - 5 && from <= off.1 + 1000 && until >= on.0 - 5 && until <= on.1 + 1000, "{track:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_may_be_there_first_and_another_one_may_follow() {
    needed!(tools(&["ffmpeg", "chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let first = Tape::start(&server.room(ROOM));
    first.until("it has begun", |e| matches!(e.event, Event::RecordingStarted { .. }).then_some(())).await;
    // The newcomer makes the first offer, to a recorder that was there.
    let alice = Sender::join(&browser, &server, ROOM, "Alice", SMALL).await;
    let badge = format!(
        "document.querySelector('#recording').textContent.includes('Recording by {NAME}') && !document.querySelector('#recording').hidden"
    );
    alice.page.wait_for(&badge, PATIENCE, "the badge").await;
    records(&first, "alice").await;
    pause(Duration::from_secs(1), "a track of some length").await;
    let first = first.finish().await;
    sane(&first);
    alice.page.wait_for("document.querySelector('#recording').hidden", PATIENCE, "the badge is gone").await;
    let second = Tape::start(&server.room(ROOM));
    records(&second, "alice").await;
    alice.page.wait_for(&badge, PATIENCE, "the badge again").await;
    pause(Duration::from_secs(1), "a track of some length").await;
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

/// Waits until the picture is recorded in a new size for the `n`th time.
async fn resized(tape: &Tape, n: usize, size: (u32, u32)) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let is = |e: &Entry| matches!(e.event, Event::Resolution { width, height, .. } if (width, height) == size);
        let sizes: Vec<_> =
            tape.timeline().into_iter().filter(|e| matches!(e.event, Event::Resolution { .. })).collect();
        if sizes.get(n).is_some_and(is) {
            return;
        }
        assert!(Instant::now() < deadline, "{size:?} is not recorded: {sizes:#?}");
        moment().await;
    }
}

async fn stays_in_its_file(codec: &str, server: &TestServer, browser: &Browser) {
    let alice = Sender::join(browser, server, codec, "Alice", &format!("codec={codec}&{SMALL}")).await;
    let tape = Tape::start(&server.room(codec));
    records(&tape, "alice").await;
    for (n, by, size) in [(1, 2, (160, 90)), (2, 1, (320, 180))] {
        pause(Duration::from_secs(1), "pictures of that size").await;
        let js = format!(
            "for (const one of connections.flatMap((pc) => pc.getSenders())) if (one.track?.kind === 'video') {{
                const parameters = one.getParameters();
                parameters.encodings[0].scaleResolutionDownBy = {by};
                await one.setParameters(parameters);
            }}"
        );
        alice.page.run(&js).await;
        resized(&tape, n, size).await;
    }
    pause(Duration::from_secs(1), "pictures of that size").await;
    alice.fall_silent().await;
    let recorded = tape.finish().await;
    sane(&recorded);
    let camera = recorded.track("alice", Source::Camera);
    let sizes: Vec<_> = camera.resolutions.iter().map(|r| (r.width, r.height)).collect();
    assert_eq!(sizes, [(320, 180), (160, 90), (320, 180)], "{codec}");
    let encoded = alice.samples("camera").await.last().expect("samples").clone();
    println!("{codec}: {} frames recorded of {} encoded, in three sizes", camera.frames, encoded.frames);
    // Not one is missing, unless the first key frame was sent before we could hear it. One may be: once the counter was ahead by one
    // though the sequence numbers had no hole, so it was never sent, or was the very last.
    assert!(camera.frames <= encoded.frames && camera.key_frames <= encoded.keys, "{encoded:#?} {camera:#?}");
    assert!(camera.frames + 1 >= encoded.frames || camera.key_frames < encoded.keys, "{encoded:#?} {camera:#?}");
    let played = play(browser, &recorded.path(camera)).await;
    assert!(played.error.is_none() && played.ended && played.sought, "{codec}: {played:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_changes_its_size_stays_in_its_file() {
    needed!(tools(&["ffmpeg", "chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    join_all(["vp8", "vp9", "h264", "av1"].map(|codec| stays_in_its_file(codec, &server, &browser))).await;
}

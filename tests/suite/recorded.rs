//! Chromium's own streams, through a real room server, recorded by the program: what is on the disk is judged against what the
//! senders' statistics say they sent, and when.

use crate::support::bot::{Bot, Recorded};
use crate::support::browser::Browser;
use crate::support::player::play;
use crate::support::probe::probe;
use crate::support::sender::{Sample, Sender};
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
        assert!(track.finished && track.frames > 0 && track.lost == 0 && track.gaps.is_empty(), "{track:#?}");
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

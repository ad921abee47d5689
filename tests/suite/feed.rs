//! `roombot feed` as its user has it: what arrives at the recorder is what lies in the file, bit for bit; what had to be encoded comes
//! whole and answers the wish for a key frame; Chromium gets every picture; and what is asked for wrongly is said in one line.

use crate::support::bot::{self, Bot, Outcome};
use crate::support::browser::{Browser, CONNECTIONS};
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::server::TestServer;
use crate::support::tape::{NAME, Recorded, Tape};
use roombot::recording::manifest::{Status, TrackEntry};
use roombot::recording::timeline::{Entry, Event};
use roombot::room::clock::Basis;
use roombot::room::media::{Codec, Source};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(40);

fn fixture(name: &str) -> String {
    format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn ffmpeg(arguments: &str, path: &Path) {
    let words = format!("-v error -y {arguments}");
    let done = Command::new("ffmpeg").args(words.split_whitespace()).arg(path).status().expect("ffmpeg is installed");
    assert!(done.success(), "ffmpeg {words}");
}

/// Begins to record, and is in the room before anybody is fed.
async fn recorder(room: &str) -> Tape {
    let tape = Tape::start(room);
    tape.until("it has begun", |e| matches!(e.event, Event::RecordingStarted { .. }).then_some(())).await;
    tape
}

fn begins(participant: &'static str, source: Source) -> impl Fn(&Entry) -> Option<()> {
    move |entry| match &entry.event {
        Event::TrackOn { participant: p, source: s, .. } if p == participant && *s == source => Some(()),
        _ => None,
    }
}

/// What `--json` said at the end.
fn said(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    serde_json::from_str(outcome.stdout.trim()).unwrap_or_else(|e| panic!("{e}: {outcome:?}"))
}

/// When each packet of a Matroska file's stream is due, in ms, and what is in it. Delimiters of H.264's access units (type 9) are left
/// out: RTP has the marker bit for that, and nobody records them.
fn contents(path: &Path, stream: &str) -> Vec<(f64, String)> {
    let is_h264 = path.extension().is_some_and(|e| e == "mkv") && stream.starts_with('v');
    let filter = if is_h264 { "-bsf:v filter_units=remove_types=9" } else { "" };
    let arguments = format!("-map 0:{stream} -copyts -c copy {filter} -f framemd5 -");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(path).args(arguments.split_whitespace());
    let output = ffmpeg.output().expect("ffmpeg runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("#tb 0: 1/1000"), "milliseconds: {text} {}", String::from_utf8_lossy(&output.stderr));
    let packets = text.lines().filter(|line| !line.starts_with('#'));
    let packet = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        (fields[2].parse().expect("a time"), fields[5].to_owned())
    };
    packets.map(packet).collect()
}

/// Whole and without loss, as far as the network goes.
fn sound(recorded: &Recorded) {
    assert_eq!((recorded.manifest.status, &recorded.manifest.warnings), (Status::Complete, &Vec::new()));
    for track in &recorded.manifest.tracks {
        assert_eq!((track.lost, track.gaps.len(), track.finished), (0, 0, true), "{track:#?}");
    }
}

/// The file that was fed and what was recorded of it: all from some packet on, and no bit of it changed. Answers with when that packet
/// is due in the file.
fn is_the_rest_of(track: &TrackEntry, recorded: &Recorded, fed: &Path, stream: &str) -> f64 {
    let (file, got) = (contents(fed, stream), contents(&recorded.path(track), stream));
    // What came before the connection was up was sent to nobody.
    let missed = file.len().checked_sub(got.len()).expect("no more than was sent");
    assert!(missed * 2 < file.len(), "{}: {missed} of {} were missed", track.file, file.len());
    let same = file[missed..].iter().zip(&got).filter(|((_, a), (_, b))| a == b).count();
    assert_eq!(same, got.len(), "{} of {} is not what was fed", track.file, fed.display());
    file[missed].0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fits_is_recorded_bit_for_bit_and_in_step() {
    needed!(tools(&["ffmpeg"]));
    let server = TestServer::start().await;
    let room = server.room("exact");
    let tape = recorder(&room).await;
    let people = [("Alice", "alice", "alice.webm"), ("Bob", "bob", "bob.webm"), ("Carol", "carol", "carol.mkv")];
    let feeds: Vec<Bot> = people
        .iter()
        .map(|(name, _, file)| Bot::start(&["feed", &room, &fixture(file), "--as", name, "--only", NAME, "--json"]))
        .collect();
    for feed in feeds {
        let report = said(&feed.ended(PATIENCE).await);
        assert_eq!(report["reason"], "the file is over");
        for track in report["tracks"].as_array().expect("tracks") {
            assert!(track["encoded_from"].is_null() && track["frames"].as_u64() >= Some(240), "{report:#}");
        }
    }
    let recorded = tape.finish().await;
    sound(&recorded);
    for (_, who, file) in people {
        let fed = PathBuf::from(fixture(file));
        let (camera, mic) = (recorded.track(who, Source::Camera), recorded.track(who, Source::Mic));
        let (picture, voice) =
            (is_the_rest_of(camera, &recorded, &fed, "v:0"), is_the_rest_of(mic, &recorded, &fed, "a:0"));
        for track in [camera, mic] {
            assert_eq!(track.clock.as_ref().map(|clock| clock.basis), Some(Basis::SenderReports), "{track:#?}");
            assert!(track.sync_error_ms.is_some_and(|error| error < 40.0), "{track:#?}");
        }
        // They lie to each other as in the file.
        let (apart, in_file) = (camera.start_ms as f64 - mic.start_ms as f64, picture - voice);
        println!("{who}: picture {apart:+} ms after sound, in the file {in_file:+.0}");
        assert!((apart - in_file).abs() < 30.0, "{who}: {apart} ms, in the file {in_file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_here_is_recorded_whole_and_a_newcomer_gets_a_key_frame() {
    needed!(tools(&["ffmpeg"]));
    let folder = tempfile::tempdir().expect("a folder");
    let slides = folder.path().join("slides");
    std::fs::create_dir(&slides).expect("a folder");
    for (name, colour) in [("a.png", "red"), ("b.jpg", "blue")] {
        ffmpeg(&format!("-f lavfi -i color={colour}:size=640x400 -frames:v 1"), &slides.join(name));
    }
    let server = TestServer::start().await;
    let room = server.room("made");
    let first = recorder(&room).await;
    let slides = slides.display().to_string();
    let made =
        ["--video", "pattern:ball,320x180@30", "--audio", "tone:440", "--screen", &slides, "--slide-seconds", "1s"];
    let bot = Bot::start(&[&["feed", &room, "--as", "Bot", "--json"], &made[..]].concat());
    for source in [Source::Camera, Source::Mic, Source::Screen] {
        first.until("the bot", begins("bot", source)).await;
    }
    pause(Duration::from_secs(3), "tracks of some length").await;
    // Nothing but a wish makes a key frame, so the second recorder has pictures only where its own was heard.
    let second = recorder(&room).await;
    for source in [Source::Camera, Source::Mic, Source::Screen] {
        second.until("the bot again", begins("bot", source)).await;
    }
    pause(Duration::from_secs(2), "tracks of some length").await;
    bot.interrupt();
    let report = said(&bot.ended(PATIENCE).await);
    let tracks = report["tracks"].as_array().expect("tracks");
    let track = |source: &str| tracks.iter().find(|t| t["source"] == source).unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!((&track("camera")["codec"], &track("camera")["encoded_from"]), (&"vp8".into(), &"pattern".into()));
    assert_eq!((&track("mic")["codec"], &track("mic")["encoded_from"]), (&"opus".into(), &"tone".into()));
    assert!(track("screen")["key_frames"].as_u64() >= Some(2), "{report:#}");
    for recorded in [first.finish().await, second.finish().await] {
        sound(&recorded);
        for (source, size, rate) in [(Source::Camera, (320, 180), 30.0), (Source::Screen, (1280, 720), 10.0)] {
            let track = recorded.track("bot", source);
            let shown: Vec<_> = track.resolutions.iter().map(|r| (r.width, r.height)).collect();
            assert_eq!((track.codec, shown), (Codec::Vp8, vec![size]));
            let seconds = (track.end_ms - track.start_ms) as f64 / 1000.0;
            let off = track.frames as f64 - seconds * rate;
            assert!(seconds > 1.5 && off.abs() <= 3.0, "{} pictures in {seconds} s", track.frames);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_with_reordered_pictures_and_aac_is_fed_over_and_over() {
    needed!(tools(&["ffmpeg"]));
    let folder = tempfile::tempdir().expect("a folder");
    let film = folder.path().join("film.mp4");
    let picture = "-f lavfi -i testsrc=size=320x180:rate=30:duration=3 -f lavfi -i sine=duration=3";
    ffmpeg(&format!("{picture} -pix_fmt yuv420p -c:v libx264 -bf 3 -c:a aac"), &film);
    let server = TestServer::start().await;
    let room = server.room("film");
    let tape = recorder(&room).await;
    let film = film.display().to_string();
    let feed = Bot::start(&["-v", "feed", &room, &film, "--as", "Film", "--loop", "--for", "9s", "--json"]);
    let outcome = feed.ended(PATIENCE).await;
    let report = said(&outcome);
    assert!(
        outcome.stderr.contains("H.264 is encoded as VP8") && outcome.stderr.contains("AAC is encoded as opus"),
        "{outcome:?}"
    );
    let late: u64 = report["tracks"].as_array().expect("tracks").iter().filter_map(|t| t["late"].as_u64()).sum();
    println!("{late} frames were late: {report}");
    let recorded = tape.finish().await;
    sound(&recorded);
    let mic = recorded.track("film", Source::Mic);
    let sounds = contents(&recorded.path(mic), "a:0");
    let longest = sounds.windows(2).map(|w| w[1].0 - w[0].0).fold(0.0, f64::max);
    // Its AAC is longer than its picture by a part of a packet, so each repetition may begin up to that much later.
    assert!(sounds.len() > 300 && longest <= 65.0, "{} packets, {longest} ms apart at most", sounds.len());
    let camera = recorded.track("film", Source::Camera);
    let pictures = contents(&recorded.path(camera), "v:0");
    let longest = pictures.windows(2).map(|w| w[1].0 - w[0].0).fold(0.0, f64::max);
    assert!(pictures.len() > 180 && longest <= 110.0, "{} pictures, {longest} ms apart at most", pictures.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_are_fed_and_recorded_without_loss() {
    let server = TestServer::start().await;
    let room = server.room("load");
    let tape = recorder(&room).await;
    let load = ["--as", "Load", "--copies", "8", "--only", NAME, "--loop", "--for", "9s", "--json"];
    let report =
        said(&Bot::start(&[&["feed", &room, &fixture("alice.webm")], &load[..]].concat()).ended(PATIENCE).await);
    println!("{report}");
    let recorded = tape.finish().await;
    sound(&recorded);
    assert_eq!(recorded.manifest.tracks.len(), 16);
    for track in &recorded.manifest.tracks {
        let seconds = (track.end_ms - track.start_ms) as f64 / 1000.0;
        let rate = if track.codec == Codec::Opus { 50.0 } else { 30.0 };
        assert!(seconds > 3.0 && (track.frames as f64 - seconds * rate).abs() <= 3.0, "{track:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_nobody_can_begin_with_are_told() {
    needed!(tools(&["ffmpeg"]));
    let folder = tempfile::tempdir().expect("a folder");
    let clip = folder.path().join("clip.webm");
    // Cut in the middle of the first second; a key frame comes with the next one.
    ffmpeg(&format!("-i {} -ss 0.5 -t 1.5 -copyinkf -an -c copy", fixture("alice.webm")), &clip);
    let server = TestServer::start().await;
    let clip = clip.display().to_string();
    let outcome = Bot::start(&["feed", &server.room("cut"), &clip, "--json"]).ended(PATIENCE).await;
    let report = said(&outcome);
    let count = |name: &str| report["tracks"][0][name].as_u64().expect("a number");
    assert!(count("frames").abs_diff(45) <= 1, "{report:#}");
    assert!((count("frames") - count("playable")).abs_diff(15) <= 1, "{report:#}");
    assert_eq!(count("key_frames"), 1, "{report:#}");
    let outcome = Bot::start(&["feed", &server.room("cut"), &clip]).ended(PATIENCE).await;
    assert!(outcome.stdout.contains(" before the first key frame"), "{outcome:?}");
}

/// Reads the number that a picture of [`numbered`] shows, with each new one.
const READ: &str = "(() => {
    const video = document.querySelector('.tile:not(.self) video');
    const eye = document.createElement('canvas');
    [eye.width, eye.height] = [320, 20];
    const context = eye.getContext('2d', { alpha: false, willReadFrequently: true });
    window.numbers = [];
    const look = () => {
        video.requestVideoFrameCallback(look);
        context.drawImage(video, 0, 0, 320, 40, 0, 0, 320, 20);
        const pixels = context.getImageData(0, 10, 320, 1).data;
        let number = 0;
        for (let bit = 0; bit < 10; bit += 1) number |= (pixels[(bit * 32 + 16) * 4] > 127) << bit;
        if (number !== numbers.at(-1)) numbers.push(number);
    };
    video.requestVideoFrameCallback(look);
})()";

/// Pictures that say in ten blocks of black and white which one they are.
fn numbered(path: &Path, seconds: u32) {
    let number = "geq=lum='if(lt(Y,40),255*mod(floor(N/pow(2,floor(X/32))),2),100)':cb=128:cr=128";
    let source = format!("-f lavfi -i color=black:size=320x180:rate=30:duration={seconds} -vf {number}");
    ffmpeg(&format!("{source} -c:v libvpx -b:v 500k -g 30 -deadline realtime"), path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_gets_every_picture() {
    needed!(tools(&["ffmpeg", "chromium"]));
    let folder = tempfile::tempdir().expect("a folder");
    let clip = folder.path().join("numbered.webm");
    let seconds = 10;
    numbered(&clip, seconds);
    let all = u64::from(seconds) * 30;
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let page = browser.page_with(&server.page("numbers", "name=Viewer&auto=1&camera=0&mic=0"), CONNECTIONS).await;
    page.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    let clip = clip.display().to_string();
    let feed = Bot::start(&["feed", &server.room("numbers"), &clip, "--as", "Clip", "--json"]);
    page.wait_for("document.querySelector('.tile:not(.self) video')?.videoWidth", PATIENCE, "a picture").await;
    page.run(READ).await;
    // Asked for until the bot has left, when they are gone with the connection.
    page.run(
        "window.last = null;
         setInterval(async () => {
             for (const connection of connections) for (const one of (await connection.getStats()).values()) {
                 if (one.type === 'inbound-rtp' && one.kind === 'video' && one.framesReceived) last = one;
             }
         }, 50);",
    )
    .await;
    let report = said(&feed.ended(PATIENCE).await);
    assert_eq!(report["tracks"][0]["frames"], all, "{report:#}");
    let numbers: Vec<u64> = page.eval("numbers").await;
    let last: Value = page.eval("last").await;
    let (first, end) = (numbers.first().copied().expect("numbers"), numbers.last().copied().expect("numbers"));
    let received = last["framesReceived"].as_u64().expect("a count");
    println!("{received} of {all} received; {} seen, from {first} to {end}; {last}", numbers.len());
    assert!(numbers.windows(2).all(|w| w[0] < w[1]), "in order: {numbers:?}");
    assert!(first < all / 2 && end + 10 >= all, "{first}..{end}");
    // The statistics are some pictures old, and what came before the first look was received as well.
    assert!(received <= all && received + 10 >= all - first, "{received} of {} from {first} on", all - first);
    assert_eq!(last["packetsLost"].as_i64().unwrap_or(0), 0, "{last}");
    // A page that is starved does not look at every picture that it shows.
    assert!(numbers.len() as u64 * 2 > end - first, "{} seen of {}", numbers.len(), end - first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_fed_is_said_before_anybody_is_disturbed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("letter.mp4"), "Dear reader, this is no film.\n".repeat(100)).expect("written");
    std::fs::write(path("broken.png"), "no picture").expect("written");
    std::fs::create_dir(path("empty")).expect("made");
    std::fs::create_dir(path("slides")).expect("made");
    let alice = fixture("alice.webm");
    // Nobody listens there: whoever gets as far as the room says so, and not this.
    let room = "ws://127.0.0.1:9/rooms/a";
    for (arguments, says) in [
        (vec![path("none.webm")], "cannot open"),
        (vec![path("letter.mp4")], "cannot be read as media"),
        (vec!["--video".into(), "pattern:cat".into()], "`cat` is not one of smpte"),
        (vec!["--video".into(), "pattern:ball,9x9".into()], "is not a whole number from 16"),
        (vec!["--audio".into(), "tone:1".into()], "is not a number from 20.0"),
        (vec!["--screen".into(), path("broken.png")], "cannot read the image"),
        (vec!["--screen".into(), path("empty")], "has no images"),
        (vec![alice.clone(), "--codec".into(), "h265".into()], "one of vp8"),
        (vec![alice.clone(), "--bitrate".into(), "1".into()], "--bitrate"),
        (vec![], "nothing to send"),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let outcome = bot::run(&[&["feed", room], &arguments[..]].concat()).await;
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains(says) && !outcome.stderr.contains("panicked"), "{arguments:?}: {outcome:?}");
    }
    // Each kind of source is opened, alone in its process, before the room turns out not to be there.
    image::RgbImage::new(64, 36).save(path("slides/red.png")).expect("saved");
    let red = path("slides/red.png");
    for arguments in [
        &[&alice[..]][..],
        &["--video", &red],
        &["--screen", &red],
        &["--screen", &path("slides")],
        &["--video", "pattern:ball"],
        &["--screen", "pattern:ball"],
        &["--audio", "tone:440"],
        &["--stamp", "alice"],
    ] {
        let outcome = bot::run(&[&["feed", room], arguments].concat()).await;
        assert_eq!(outcome.code, Some(3), "the room is not there: {arguments:?} {outcome:?}");
    }
}

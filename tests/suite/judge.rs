//! The judge is judged: each fault that is put into stamped media turns exactly its own expectation red, and media without faults is
//! green, whoever made the file.

use super::support::bot;
use super::support::browser::Browser;
use super::support::server::TestServer;
use crate::support::machine;
use crate::support::needs::{needed, tools};
use roombot::container::matroska::TrackFormat;
use roombot::media::{Encoding, Library, MediaSource, Origin};
use roombot::recording::folder::RecordingFolder;
use roombot::recording::manifest::{Manifest, ParticipantEntry, Span, Status, TrackEntry};
use roombot::recording::track::TrackFile;
use roombot::room::media::{Frame, MediaKind, Source};
use roombot::room::participant::Role;
use roombot::verify::verdict::{Report, TargetReport, Verdict, judge};
use roombot::verify::{Format, Job, expect::Expectation, make, target};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What is expected of everybody in these tests.
const EXPECTED: [&str; 9] = [
    "participants == 1",
    "dropped_percent <= 0.5",
    "out_of_order == 0",
    "freezes == 0",
    "blank_percent <= 0.5",
    "unread_percent <= 0.5",
    "marks_garbled == 0",
    "sound_gaps == 0",
    "av_p95_ms <= 45",
];

/// Eight seconds of `name`; made once for all tests.
fn stamped(name: &str) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        for (name, participant) in [("alice", 1), ("bob", 2)] {
            let out = dir.path().join(format!("{name}.webm"));
            let job =
                Job { participant, size: (320, 180), fps: 30, seconds: 8, format: Format::Vp8, kilobits: 500, out };
            make(&Library::default(), &job, |_| Ok(())).unwrap();
        }
        dir
    });
    folder.path().join(format!("{name}.webm"))
}

/// What ffmpeg makes of it.
fn ffmpeg(out: &Path, args: &[&str]) {
    let output = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(args).arg(out).output();
    let output = output.expect("ffmpeg runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn judged(path: &Path, expected: &[&str]) -> TargetReport {
    let expectations: Vec<Expectation> = expected.iter().map(|text| text.parse().unwrap()).collect();
    let names = target::StampNumbers::new();
    judge(&target::read(&Library::default(), path, &names).unwrap(), &expectations, &names, |_| vec![])
}

/// The expectations that are not met.
fn red(path: &Path) -> Vec<String> {
    let judged = judged(path, &EXPECTED);
    assert!(judged.trouble.is_empty() && judged.damage.is_empty(), "{judged:#?}");
    let red = judged.outcomes.into_iter().filter(|outcome| outcome.verdict != Verdict::Pass);
    red.map(|outcome| outcome.expected).collect()
}

/// Alice with a filter over her pictures, or over her sound.
fn spoilt(dir: &Path, filter: &str) -> PathBuf {
    let (alice, out) = (stamped("alice"), dir.join("spoilt.mkv"));
    let mut args =
        vec!["-i", alice.to_str().unwrap(), filter.split_once(' ').unwrap().0, filter.split_once(' ').unwrap().1];
    args.extend(["-c:v", "libx264", "-preset", "ultrafast", "-crf", "30", "-vsync", "passthrough", "-c:a", "libopus"]);
    ffmpeg(&out, &args);
    out
}

#[test]
fn what_is_clean_is_green_whoever_made_it() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let alice = stamped("alice");
    assert_eq!(red(&alice), [""; 0], "ours");
    let alice = alice.to_str().unwrap();
    let makes: [(&str, &[&str]); 4] = [
        ("film.mp4", &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]),
        (
            "small.webm",
            &[
                "-vf",
                "scale=160:90",
                "-c:v",
                "libvpx",
                "-b:v",
                "60k",
                "-deadline",
                "realtime",
                "-c:a",
                "libopus",
                "-b:a",
                "16k",
            ],
        ),
        ("grey.avi", &["-vf", "format=gray", "-c:v", "mjpeg", "-q:v", "12", "-c:a", "pcm_s16le", "-ar", "44100"]),
        ("film.ts", &["-c:v", "mpeg2video", "-b:v", "300k", "-c:a", "mp2", "-ac", "2"]),
    ];
    for (name, how) in makes {
        let out = dir.path().join(name);
        ffmpeg(&out, &[&["-i", alice], how].concat());
        assert_eq!(red(&out), [""; 0], "{name}");
    }
}

#[test]
fn each_fault_turns_its_own_expectation_red() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let faults = [
        ("-vf select='not(between(t\\,2\\,3.99))'", "freezes == 0"),
        ("-vf select='not(eq(mod(n\\,100)\\,50))'", "dropped_percent <= 0.5"),
        // A third of a second of grey instead of pictures.
        ("-vf drawbox=enable='between(n\\,100\\,109)':color=gray:t=fill", "blank_percent <= 0.5"),
        (
            "-vf fps=60,drawbox=enable='between(n\\,201\\,230)*mod(n\\,2)':color=black:x=128:y=56:w=64:h=64:t=fill",
            "unread_percent <= 0.5",
        ),
        ("-af volume=enable='between(t\\,3\\,4)':volume=0", "sound_gaps == 0"),
        // A little higher: as loud as before, and says nothing.
        ("-af afreqshift=shift=70:enable='between(t\\,2.9\\,4.1)'", "marks_garbled == 0"),
    ];
    for (filter, expected) in faults {
        assert_eq!(red(&spoilt(dir.path(), filter)), [expected], "{filter}");
    }
}

#[test]
fn eighty_milliseconds_between_sound_and_picture_are_noticed() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let alice = stamped("alice");
    let alice = alice.to_str().unwrap();
    for late in ["0.08", "-0.08"] {
        let out = dir.path().join("skewed.mkv");
        ffmpeg(
            &out,
            &["-i", alice, "-itsoffset", late, "-i", alice, "-map", "0:v", "-map", "1:a", "-c", "copy", "-copyts"],
        );
        assert_eq!(red(&out), ["av_p95_ms <= 45"], "{late}");
        let is = judged(&out, &[]).participants[0].measures.figures["av_p50_ms"];
        assert!((is - late.parse::<f64>().unwrap() * 1000.0).abs() < 8.0, "{late}: {is}");
    }
}

#[test]
fn a_freeze_costs_on_the_time_line_and_coarse_pictures_cost_everywhere() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let of = |path: &Path| {
        let target = target::read(&Library::default(), path, &target::StampNumbers::new()).unwrap();
        let quality = target.quality(&Library::default(), (320, 180)).unwrap().remove(&1).unwrap();
        let worst = quality.worst.as_ref().unwrap();
        assert_eq!((worst.width, worst.height, worst.received.len()), (320, 180, worst.sent.len()));
        let figures = quality.figures();
        std::array::from_fn(|i| figures[i].1)
    };
    let [psnr, ssim, on_time, on_time_ssim]: [f64; 4] = of(&stamped("alice"));
    assert!(
        psnr > 30.0 && ssim > 0.9 && (psnr - on_time).abs() < 3.0 && ssim - on_time_ssim < 0.1,
        "{psnr} {ssim} {on_time}"
    );
    let [frozen, _, frozen_on_time, _] = of(&spoilt(dir.path(), "-vf select='not(between(t\\,2\\,3.99))'"));
    assert!(frozen - frozen_on_time > 2.0, "{psnr} {frozen} {frozen_on_time}");
    let [coarse, coarse_ssim, ..] = of(&spoilt(dir.path(), "-vf boxblur=4"));
    assert!(psnr - coarse > 4.0 && ssim - coarse_ssim > 0.1, "{psnr} {coarse} {ssim} {coarse_ssim}");
}

#[test]
fn pictures_out_of_order_are_noticed() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(red(&spoilt(dir.path(), "-vf shuffleframes=0|1|2|3|5|4|6|7")), ["out_of_order == 0"]);
}

#[test]
fn somebody_who_should_not_be_there_is_noticed() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let (alice, bob, out) = (stamped("alice"), stamped("bob"), dir.path().join("two.mkv"));
    let filter = "[0:v]scale=640:360[a];[1:v]scale=224:126[b];[a][b]overlay=0:0[v];\
        [0:a][1:a]amix=inputs=2:normalize=0[s]";
    let how = [
        "-filter_complex",
        filter,
        "-map",
        "[v]",
        "-map",
        "[s]",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-c:a",
        "libopus",
    ];
    ffmpeg(&out, &[&["-i", alice.to_str().unwrap(), "-i", bob.to_str().unwrap()], &how[..]].concat());
    assert_eq!(red(&out), ["participants == 1"], "Alice is as she was, and nothing is wrong with Bob");
}

/// Records what camera and microphone give for some seconds, as a page would; the file in hexadecimal.
const RECORD: &str = "(async () => {
    const sound = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 180 }, audio: sound });
    const recorder = new MediaRecorder(stream, { mimeType: 'video/webm;codecs=vp8,opus', videoBitsPerSecond: 500000 });
    const parts = [];
    recorder.ondataavailable = ({ data }) => parts.push(data);
    const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
    recorder.start(500);
    await new Promise((resolve) => setTimeout(resolve, 5000));
    recorder.stop();
    await stopped;
    const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
})()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_browser_has_recorded_is_judged_as_any_other_file() {
    needed!(tools(&["chromium"]));
    let dir = tempfile::tempdir().unwrap();
    let (camera, film) = (dir.path().join("alice.y4m"), dir.path().join("theirs.webm"));
    let (size, out) = ((320, 180), camera.clone());
    let job = Job { participant: 1, size, fps: 30, seconds: 12, format: Format::Raw, kilobits: 0, out };
    make(&Library::default(), &job, |_| Ok(())).unwrap();
    let server = TestServer::start().await;
    let video = format!("use-file-for-fake-video-capture={}", camera.display());
    let audio = format!("use-file-for-fake-audio-capture={}", camera.with_extension("wav").display());
    let browser = Browser::launch_with(&[&video, &audio]).await;
    let page = browser.page(&server.page("film", "camera=0&mic=0")).await;
    let hexadecimal: String = page.eval(RECORD).await;
    let bytes = hexadecimal.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
    let bytes: Vec<u8> = bytes.map(|two| u8::from_str_radix(two, 16).unwrap()).collect();
    std::fs::write(&film, bytes).unwrap();
    let is = judged(
        &film,
        &[
            "participants == 1",
            "frames >= 60",
            "marks >= 5",
            "out_of_order == 0",
            "unread_percent <= 1",
            "marks_garbled <= 1",
            "av_p95_ms <= 250",
        ],
    );
    // A browser that is starved leaves pictures out, so nothing is said of those.
    assert!(is.verdict == Verdict::Pass && is.damage.is_empty(), "{is:#?}");
    assert!(is.files[0].file == "theirs.webm" && is.files[0].sha256.len() == 64, "{:?}", is.files);
}

/// A recording made of stamped files: whose track, of whom it is, and what.
fn recording(parent: &Path, tracks: &[(&str, &str, Source)]) -> PathBuf {
    let start = jiff::Timestamp::UNIX_EPOCH;
    let folder = RecordingFolder::create(parent, "judged", start).unwrap();
    let mut manifest = Manifest::new("judged", "ws://127.0.0.1/rooms/judged", start);
    (manifest.status, manifest.duration_ms) = (Status::Complete, 9000);
    for (index, (owner, whose, source)) in tracks.iter().enumerate() {
        if !manifest.participants.iter().any(|p| p.key == *owner) {
            let present = vec![Span { start_ms: 500, end_ms: Some(9000) }];
            let (key, role) = ((*owner).to_owned(), Role::Participant);
            manifest.participants.push(ParticipantEntry { name: key.clone(), key, ids: vec![], role, present });
        }
        let wants: fn(MediaKind) -> bool =
            if *source == Source::Mic { |kind| kind == MediaKind::Audio } else { |kind| kind == MediaKind::Video };
        let origin = Origin::File(stamped(whose));
        let mut file = MediaSource::open(&Library::default(), &origin, wants, false, &Encoding::default()).unwrap();
        let track = file.tracks()[0].clone();
        let frames: Vec<Frame> = std::iter::from_fn(|| file.next_frame().unwrap()).map(|f| f.frame).collect();
        let format = TrackFormat { codec: track.codec, config: None, size: track.size, channels: 1, name: "x".into() };
        let name = format!("{owner}.{}.{index}.webm", source.word());
        let mut written = TrackFile::create(&folder, &name, format, &frames[0]).unwrap();
        frames.iter().for_each(|frame| written.push(frame).unwrap());
        written.finish().unwrap();
        manifest.tracks.push(TrackEntry::new(&name, owner, *source, track.codec, 800));
    }
    manifest.save(&folder).unwrap();
    folder.path().to_owned()
}

#[test]
fn swapped_tracks_and_a_wrong_participant_of_a_recording_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let expected = [&EXPECTED[1..], &["participants == 2", "wrong == 0", "spread_ms <= 20"]].concat();
    let right = [
        ("alice", "alice", Source::Camera),
        ("alice", "alice", Source::Mic),
        ("bob", "bob", Source::Camera),
        ("bob", "bob", Source::Mic),
    ];
    let is = judged(&recording(dir.path(), &right), &expected);
    assert_eq!(is.verdict, Verdict::Pass, "{is:#?}");
    let figures = &is.participants[0].measures.figures;
    assert!((figures["first_frame_ms"] - 300.0).abs() < 2.0, "{figures:?}");
    let swapped = [("alice", "bob", Source::Camera), right[1], ("bob", "alice", Source::Camera), right[3]];
    // Somebody else altogether.
    let other = [right[0], right[1], ("bob", "alice", Source::Camera), ("bob", "alice", Source::Mic)];
    for (tracks, whose) in [(swapped, &["alice", "bob"][..]), (other, &["bob"])] {
        let is = judged(&recording(dir.path(), &tracks), &expected);
        let red: Vec<_> = is.outcomes.iter().filter(|o| o.verdict != Verdict::Pass).collect();
        let of: Vec<&str> = red.iter().filter_map(|o| o.who.as_deref()).collect();
        assert!(of == whose && red.iter().all(|o| o.expected == "wrong == 0"), "{red:#?}");
    }
    // A track that is in the manifest only is damage.
    let folder = recording(dir.path(), &right);
    std::fs::remove_file(folder.join("tracks/bob.mic.3.webm")).unwrap();
    let is = judged(&folder, &expected);
    assert!(is.verdict == Verdict::Fail && is.damage[0].contains("bob.mic.3.webm"), "{:?}", is.damage);
}

#[test]
fn media_that_stops_before_its_participant_does_is_noticed_and_a_still_screen_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let folder = recording(dir.path(), &[("alice", "alice", Source::Camera), ("alice", "alice", Source::Mic)]);
    let verdict = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = Manifest::load(&folder).unwrap();
        manifest.duration_ms = 60_000;
        manifest.participants[0].present = vec![Span { start_ms: 500, end_ms: Some(60_000) }];
        for track in &mut manifest.tracks {
            (track.end_ms, track.ended_ms) = (8800, Some(9000));
        }
        change(&mut manifest);
        let changed = dir.path().join("changed");
        let _ = std::fs::remove_dir_all(&changed);
        std::fs::create_dir_all(changed.join("tracks")).unwrap();
        for track in &manifest.tracks {
            std::fs::hard_link(folder.join("tracks").join(&track.file), changed.join("tracks").join(&track.file))
                .unwrap();
        }
        std::fs::write(changed.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
        let is = judged(&changed, &["participants == 1"]);
        (is.verdict, is.damage)
    };
    // Unshared, or gone.
    assert_eq!(verdict(&|_| {}), (Verdict::Pass, vec![]));
    let (red, damage) = verdict(&|m| m.tracks[0].ended_ms = Some(30_000));
    assert_eq!(damage, ["alice camera (alice.camera.0.webm) stops at 8.8 s, 21.2 s before its end at 30.0 s"]);
    assert_eq!(red, Verdict::Fail);
    let mute = Span { start_ms: 9000, end_ms: None };
    let muted = verdict(&|m| (m.tracks[0].ended_ms, m.tracks[0].mutes) = (Some(30_000), vec![mute]));
    assert_eq!(muted.0, Verdict::Pass, "{muted:?}");
    assert_eq!(verdict(&|m| m.tracks[1].ended_ms = Some(30_000)).0, Verdict::Fail);
    let still = verdict(&|m| (m.tracks[0].ended_ms, m.tracks[0].source) = (Some(30_000), Source::Screen));
    assert_eq!(still.1, Vec::<String>::new(), "{still:?}");
}

#[test]
fn missing_evidence_fails_and_trouble_leaves_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bob.webm");
    let is = judged(&fixture, &EXPECTED[3..]);
    assert!(
        is.outcomes.iter().all(|o| (o.verdict == Verdict::Fail && o.measured.is_none()) || o.figure == "blank_percent"),
        "{is:#?}"
    );
    let nobody = judged(&stamped("alice"), &["bob.frames >= 1"]);
    assert_eq!(nobody.outcomes[0].verdict, Verdict::Fail);
    let text = dir.path().join("letter.mkv");
    std::fs::write(&text, "I am no film, but a letter.").unwrap();
    assert_eq!(judged(&text, &["participants >= 0"]).verdict, Verdict::Fail);
    let mut target = target::read(&Library::default(), &stamped("alice"), &target::StampNumbers::new()).unwrap();
    target.trouble.push("no decoder".into());
    let open = judge(&target, &["frames >= 1".parse().unwrap()], &target::StampNumbers::new(), |_| vec![]);
    assert_eq!((open.verdict, Report::of(vec![open]).verdict), (Verdict::Inconclusive, Verdict::Inconclusive));
    assert_eq!(Report::of(vec![]).verdict, Verdict::Inconclusive);
}

#[tokio::test]
async fn the_verbs_make_and_judge() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let file = path("eve.mkv");
    let made =
        bot::run(&["stamp", "--name", "eve", "--seconds", "2", "--size", "320x180", "--fps", "15", "--out", &file])
            .await;
    assert_eq!((made.code, made.stdout.trim()), (Some(0), file.as_str()), "{made:?}");
    let again = bot::run(&["stamp", "--name", "eve", "--seconds", "2", "--out", &file]).await;
    assert_eq!(again.code, Some(2), "{again:?}");
    let good = bot::run(&["verify", &file, "--json"]).await;
    let report: serde_json::Value = serde_json::from_str(&good.stdout).unwrap();
    assert_eq!((good.code, &report["verdict"], &report["schema"]), (Some(0), &"pass".into(), &1.into()), "{good:?}");
    assert_eq!(report["targets"][0]["participants"][0]["number"], 5);
    let bad = bot::run(&["verify", &file, "--expect", "eve.frames >= 31", "--expect", "warn: fps >= 60"]).await;
    assert_eq!(bad.code, Some(5), "{bad:?}");
    assert!(bad.stdout.contains("eve.frames >= 31 (is 30)") && bad.stdout.contains("warn"), "{bad:?}");
    let none = bot::run(&["verify", &path("none.mkv")]).await;
    assert_eq!(none.code, Some(2), "{none:?}");
    let odd = bot::run(&["verify", &file, "--expect", "frames >= many"]).await;
    assert_eq!(odd.code, Some(2), "{odd:?}");
}

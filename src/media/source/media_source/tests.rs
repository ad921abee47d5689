//! Files as sources: every frame in order on one clock, with repetitions.

use super::*;
use crate::media::testing::made;
use std::path::PathBuf;
use std::process::Command;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn open(path: &Path, repeat: bool) -> MediaSource {
    opened(path, |_| true, repeat).unwrap()
}

fn opened(path: &Path, wants: fn(MediaKind) -> bool, repeat: bool) -> Result<MediaSource> {
    MediaSource::file(&Library::default(), path, wants, repeat)
}

fn all(source: &mut MediaSource) -> Vec<SourceFrame> {
    std::iter::from_fn(|| source.next_frame().unwrap()).collect()
}

fn of(frames: &[SourceFrame], kind: MediaKind) -> Vec<&SourceFrame> {
    frames.iter().filter(|f| f.kind == kind).collect()
}

/// Packets of a stream as ffprobe counts them.
fn packets(path: &Path, stream: &str) -> usize {
    let words = ["-v", "error", "-count_packets", "-select_streams", stream, "-show_entries", "stream=nb_read_packets"];
    let output =
        Command::new("ffprobe").args(words).args(["-of", "csv=p=0"]).arg(path).output().expect("ffprobe is installed");
    String::from_utf8_lossy(&output.stdout).trim().trim_end_matches(',').parse().unwrap_or(0)
}

#[test]
fn every_frame_of_every_fixture_comes_once_in_order() {
    for (name, codec) in
        [("alice.webm", Codec::Vp8), ("bob.webm", Codec::Vp9), ("carol.mkv", Codec::H264), ("slides.webm", Codec::Vp8)]
    {
        let path = fixture(name);
        let mut source = open(&path, false);
        assert!(source.tracks().iter().any(|t| t.codec == codec && t.size.is_some()), "{name}: {:?}", source.tracks());
        let frames = all(&mut source);
        let (video, audio) = (of(&frames, MediaKind::Video), of(&frames, MediaKind::Audio));
        assert_eq!(video.len(), packets(&path, "v:0"), "{name}");
        assert_eq!(audio.len(), packets(&path, "a:0"), "{name}");
        for track in [&video, &audio] {
            assert!(track.windows(2).all(|w| w[0].frame.rtp_time < w[1].frame.rtp_time), "{name}: times must grow");
        }
        assert!(frames.windows(2).all(|w| w[0].at <= w[1].at), "{name}: merged by time");
        assert!(video[0].frame.key && !video[1].frame.key, "{name}");
        let keys: Vec<u64> = video.iter().filter(|f| f.frame.key).map(|f| f.at.as_secs()).collect();
        assert_eq!(keys, (0..8).collect::<Vec<_>>(), "{name}: a key frame each second");
        assert!(audio.windows(2).all(|w| w[1].frame.rtp_time - w[0].frame.rtp_time == 960), "{name}: 20 ms packets");
    }
}

#[test]
fn h264_comes_as_avc_with_its_configuration() {
    let frames = all(&mut open(&fixture("carol.mkv"), false));
    let first = of(&frames, MediaKind::Video)[0];
    assert_eq!(first.frame.config.as_ref().map(|c| c[0]), Some(1), "avcC version");
    assert_eq!(first.frame.size, Some((640, 360)));
    let mut rest = &first.frame.parts[0][..];
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        rest = &rest[4 + length..];
    }
}

#[test]
fn loudness_tells_who_speaks_when() {
    let speaking = |name: &str| {
        let frames = all(&mut open(&fixture(name), false));
        let audio = of(&frames, MediaKind::Audio);
        let voiced: Vec<f32> =
            audio.iter().filter(|f| f.frame.audio_level.unwrap().voice).map(|f| f.at.as_secs_f32()).collect();
        (voiced[0], voiced[voiced.len() - 1])
    };
    let (alice, bob, carol) = (speaking("alice.webm"), speaking("bob.webm"), speaking("carol.mkv"));
    assert!((0.2..0.6).contains(&alice.0), "{alice:?}");
    assert!(alice.1 < bob.0 && bob.1 < carol.0, "one after the other: {alice:?} {bob:?} {carol:?}");
}

#[test]
fn a_loop_goes_on_without_a_jump_or_a_pause() {
    for kept in [true, false] {
        let mut source = open(&fixture("alice.webm"), true);
        if !kept {
            source.memory = None;
        }
        let frames: Vec<_> = (0..640 * 3).map(|_| source.next_frame().unwrap().unwrap()).collect();
        let (video, audio) = (of(&frames, MediaKind::Video), of(&frames, MediaKind::Audio));
        assert!(audio.windows(2).all(|w| w[1].frame.rtp_time - w[0].frame.rtp_time == 960), "kept: {kept}");
        for pair in video.windows(2) {
            // 30 frames a second in whole milliseconds: 33 or 34 of them.
            let step = pair[1].frame.rtp_time - pair[0].frame.rtp_time;
            assert!((2960..=3070).contains(&step), "{step} at {:?}, kept: {kept}", pair[1].at);
        }
        let third = video.iter().filter(|f| f.frame.key).nth(16).unwrap();
        assert!((third.at.as_secs_f64() - 16.0).abs() < 0.002, "{:?}", third.at);
    }
}

#[test]
fn a_kind_that_is_not_wanted_does_not_come() {
    let path = fixture("alice.webm");
    let audio = |kind| kind == MediaKind::Audio;
    let mut source = opened(&path, audio, false).unwrap();
    let frames = all(&mut source);
    assert_eq!(frames.len(), packets(&path, "a:0"));
    assert!(frames.iter().all(|f| f.kind == MediaKind::Audio));
}

#[test]
fn other_containers_and_codecs_work() {
    let picture = "-f lavfi -i testsrc=size=160x120:rate=10:duration=2";
    for (arguments, name, codec) in [
        ("-c:v libx264 -bf 0 -pix_fmt yuv420p", "x.mp4", Codec::H264),
        ("-c:v libx264 -bf 0 -pix_fmt yuv420p", "x.ts", Codec::H264),
        ("-c:v libaom-av1 -cpu-used 8 -usage realtime", "x.mkv", Codec::Av1),
        ("-c:v libvpx", "x.ivf", Codec::Vp8),
    ] {
        let (_folder, path) = made(&format!("{picture} {arguments}"), name);
        let mut source = open(&path, false);
        assert_eq!(source.tracks()[0].codec, codec, "{name}");
        let frames = all(&mut source);
        assert_eq!(frames.len(), 20, "{name}");
        assert_eq!(frames[0].at, Duration::ZERO, "{name}");
        assert!(frames[0].frame.key, "{name}");
        if codec == Codec::Av1 {
            assert!(frames.iter().all(|f| !f.frame.parts[0].starts_with(&[0x12, 0x00])), "no temporal delimiters");
            assert!(frames[0].frame.config.is_some());
        }
    }
}

#[test]
fn sound_that_begins_late_or_ends_early_holds_nothing_up() {
    let arguments = "-f lavfi -i testsrc=size=64x64:rate=10:duration=9 -itsoffset 5 -f lavfi -i sine=duration=1 -c:v libvpx -c:a libopus";
    let (_folder, path) = made(arguments, "x.webm");
    let frames = all(&mut open(&path, false));
    assert_eq!(of(&frames, MediaKind::Video).len(), 90);
    let audio = of(&frames, MediaKind::Audio);
    assert!((audio[0].at.as_secs_f64() - 5.0).abs() < 0.05, "{:?}", audio[0].at);
}

#[test]
fn what_cannot_be_sent_says_so() {
    let says = |path: &Path, expected: &str| {
        let error = opened(path, |_| true, false).and_then(|mut s| while_frames(&mut s)).expect_err("refused");
        assert!(matches!(error, crate::error::Error::User(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    let folder = tempfile::tempdir().unwrap();
    says(&folder.path().join("none.webm"), "No such file");
    says(folder.path(), "not a file");
    let text = folder.path().join("letter.webm");
    std::fs::write(&text, "Dear reader, this is no film.\n".repeat(100)).unwrap();
    says(&text, "cannot be read as media");
    let empty = folder.path().join("empty.webm");
    std::fs::write(&empty, "").unwrap();
    says(&empty, "cannot be read as media");
    let (_subtitles, path) = made_of_subtitles();
    says(&path, "has no video or audio to send");
}

/// A file with nothing but words.
fn made_of_subtitles() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("x.srt");
    std::fs::write(&words, "1\n00:00:00,000 --> 00:00:02,000\nHello\n").unwrap();
    let (path, arguments) = (folder.path().join("x.mkv"), ["-v", "error", "-i"]);
    let done = Command::new("ffmpeg").args(arguments).arg(&words).args(["-c:s", "srt"]).arg(&path).status().unwrap();
    assert!(done.success());
    (folder, path)
}

fn while_frames(source: &mut MediaSource) -> Result<()> {
    while source.next_frame()?.is_some() {}
    Ok(())
}

#[test]
fn a_file_that_was_cut_short_gives_what_it_has() {
    let whole = std::fs::read(fixture("alice.webm")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.webm");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let frames = all(&mut open(&path, false));
    assert!(of(&frames, MediaKind::Video).len() > 80);
}

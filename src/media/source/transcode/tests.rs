//! Re-encoded tracks: complete, with the right times, and with key frames on request.

use super::*;
use crate::media::testing::made;
use crate::media::{MediaSource, Origin, SourceFrame};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn open(origin: Origin, repeat: bool, encoding: &Encoding) -> MediaSource {
    MediaSource::open(&Library::default(), &origin, |_| true, repeat, encoding).unwrap()
}

fn frames(source: &mut MediaSource, kind: MediaKind, most: usize) -> Vec<SourceFrame> {
    let all = std::iter::from_fn(|| source.next_frame().unwrap());
    all.filter(|frame| frame.kind == kind).take(most).collect()
}

fn generated(name: &str, values: &[(&str, &str)], kind: MediaKind) -> Origin {
    let template = Library::default().get(name).unwrap();
    let values = values.iter().map(|(n, text)| ((*n).to_owned(), template.read(n, text).unwrap())).collect();
    Origin::Generated { template, values, kind }
}

/// The size that a VP8 key frame says (RFC 6386, 9.1).
fn vp8_size(frame: &SourceFrame) -> (u32, u32) {
    let data = frame.frame.parts.concat();
    let side = |at: usize| u32::from(u16::from_le_bytes([data[at], data[at + 1]]) & 0x3fff);
    (side(6), side(8))
}

#[test]
fn each_track_that_fits_is_sent_as_it_is_and_only_the_others_are_encoded() {
    let picture = "-f lavfi -i testsrc=size=320x180:rate=30:duration=2 -f lavfi -i sine=duration=2 -pix_fmt yuv420p";
    let (vp8, h264, opus) = (Codec::Vp8, Codec::H264, Codec::Opus);
    for (arguments, name, video, sound) in [
        ("-c:v libx264 -bf 0 -c:a aac", "x.mp4", (h264, None), (opus, Some("AAC"))),
        ("-c:v libx264 -bf 3 -c:a libopus", "x.mkv", (vp8, Some("H.264")), (opus, None)),
        ("-c:v libx264 -bf 3 -c:a aac", "x.mp4", (vp8, Some("H.264")), (opus, Some("AAC"))),
        (
            "-c:v libx265 -x265-params log-level=none -c:a libmp3lame",
            "x.mkv",
            (vp8, Some("H.265")),
            (opus, Some("MP3")),
        ),
        ("-c:v mjpeg -pix_fmt yuvj420p -c:a flac", "x.mkv", (vp8, Some("image/jpeg")), (opus, Some("FLAC"))),
        ("-c:v mpeg4 -c:a pcm_s16le", "x.avi", (vp8, Some("video/mpeg")), (opus, Some("PCM"))),
        ("-c:v libtheora -c:a libvorbis", "x.ogv", (vp8, Some("video/x-theora")), (opus, Some("Vorbis"))),
    ] {
        let (_folder, path) = made(&format!("{picture} {arguments}"), name);
        let mut source = open(Origin::File(path), false, &Encoding::default());
        let of =
            |kind| source.tracks().iter().find(|t| t.codec.kind() == kind).unwrap_or_else(|| panic!("{arguments}"));
        for (track, (codec, was)) in [(of(MediaKind::Video), video), (of(MediaKind::Audio), sound)] {
            assert_eq!((track.codec, track.encoded_from.as_deref()), (codec, was), "{arguments}");
        }
        let all: Vec<SourceFrame> = std::iter::from_fn(|| source.next_frame().unwrap()).collect();
        let times = |kind| all.iter().filter(move |f| f.kind == kind).map(|f| f.at).collect::<Vec<_>>();
        let (pictures, sounds) = (times(MediaKind::Video), times(MediaKind::Audio));
        assert_eq!(pictures.len(), 60, "{arguments}");
        // Matroska's first picture may lie 25 ms early: where the sound begins first and comes later, GStreamer's demuxer changes its mind.
        let even = |at: &[Duration]| at.windows(2).all(|w| (25..42).contains(&(w[1] - w[0]).as_millis()));
        assert!(even(&pictures[1..]) && (pictures[1] - pictures[0]).as_millis() < 70, "{arguments}: {pictures:?}");
        assert!(sounds.len().abs_diff(100) <= 4, "{arguments}: {}", sounds.len());
        assert!(sounds.windows(2).all(|w| (w[1] - w[0]).as_millis().abs_diff(20) <= 1), "{arguments}: {sounds:?}");
        assert!(
            all.windows(2).all(|w| w[0].at <= w[1].at)
                && all.iter().all(|f| f.kind == MediaKind::Audio || !f.frame.is_empty())
        );
        let level = all.iter().filter(|f| f.kind == MediaKind::Audio).nth(50).and_then(|f| f.frame.audio_level);
        assert!(level.is_some_and(|l| l.voice), "{arguments}: {level:?}");
    }
}

#[test]
fn sound_and_picture_that_are_encoded_keep_their_times() {
    // Half a second of black and silence, then white and a tone, both at once.
    let arguments = "-f lavfi -i color=black:size=160x90:rate=30:duration=0.5 -f lavfi -i color=white:size=160x90:rate=30:duration=1 \
        -f lavfi -i aevalsrc=0:duration=0.5:sample_rate=48000 -f lavfi -i sine=frequency=1000:duration=1:sample_rate=48000 \
        -filter_complex [0][1]concat[v];[2][3]concat=v=0:a=1[a] -map [v] -map [a] -c:v libx264 -bf 2 -c:a aac";
    let (_folder, path) = made(arguments, "x.mp4");
    let mut source = open(Origin::File(path), false, &Encoding::default());
    let all: Vec<SourceFrame> = std::iter::from_fn(|| source.next_frame().unwrap()).collect();
    let loud = all.iter().find(|f| f.frame.audio_level.is_some_and(|l| l.below_overload < 40)).unwrap().at;
    // A cut costs many times what pictures that stand still do.
    let pictures = all.iter().filter(|f| f.kind == MediaKind::Video && f.at > Duration::from_millis(100));
    let white = pictures.max_by_key(|f| f.frame.len()).unwrap().at;
    let off = loud.as_millis().abs_diff(white.as_millis());
    assert!(off <= 40, "sound at {loud:?}, picture at {white:?}");
}

#[test]
fn large_pictures_become_smaller_and_keep_their_shape() {
    for (size, expected) in
        [("1920x1080", (1280, 720)), ("1080x1920", (405, 720)), ("1440x1080", (960, 720)), ("320x200", (320, 200))]
    {
        let (_folder, path) =
            made(&format!("-f lavfi -i testsrc=size={size}:rate=60:duration=0.5 -c:v mjpeg"), "x.mkv");
        let mut source = open(Origin::File(path), false, &Encoding::default());
        let pictures = frames(&mut source, MediaKind::Video, 100);
        let (width, height) = vp8_size(&pictures[0]);
        assert!(width.abs_diff(expected.0) <= 2 && height.abs_diff(expected.1) <= 2, "{size}: {width}x{height}");
        assert!(pictures.len().abs_diff(15) <= 1, "thirty a second: {}", pictures.len());
    }
}

#[test]
fn a_loop_of_what_is_encoded_has_no_jump_and_no_pause() {
    let arguments =
        "-f lavfi -i testsrc=size=160x90:rate=30:duration=2 -f lavfi -i sine=duration=2 -c:v libx264 -bf 2 -c:a aac";
    let (_folder, path) = made(arguments, "x.mp4");
    let mut source = open(Origin::File(path), true, &Encoding::default());
    let mut all = Vec::new();
    while all.len() < 500 {
        all.push(source.next_frame().unwrap().unwrap());
    }
    for (kind, usual) in [(MediaKind::Video, 33), (MediaKind::Audio, 20)] {
        let times: Vec<Duration> = all.iter().filter(|f| f.kind == kind).map(|f| f.at).collect();
        assert!(times.last().is_some_and(|last| last.as_secs() >= 5), "{times:?}");
        for pair in times.windows(2) {
            // AAC is padded to whole packets, so a repetition ends up to 45 ms after its last picture.
            let step = (pair[1] - pair[0]).as_millis();
            assert!(step >= usual / 2 && step <= usual + 60, "{kind:?}: {step} ms at {:?}", pair[1]);
        }
    }
    let keys = all.iter().filter(|f| f.kind == MediaKind::Video && f.frame.key).count();
    assert!((3..=4).contains(&keys), "each repetition begins with a key frame, and no other is one: {keys}");
}

#[test]
fn a_key_frame_comes_when_asked_for_in_every_codec() {
    for codec in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1] {
        let values = [("pattern", "ball"), ("width", "160"), ("height", "90")];
        let encoding = Encoding { codec, ..Encoding::default() };
        let mut source = open(generated("source/pattern", &values, MediaKind::Video), false, &encoding);
        let first = frames(&mut source, MediaKind::Video, 40);
        assert!(first[0].frame.key && first[1..].iter().all(|f| !f.frame.key), "{codec:?}");
        source.ask_key_frame();
        let keys: Vec<usize> = frames(&mut source, MediaKind::Video, 60)
            .iter()
            .enumerate()
            .filter(|(_, f)| f.frame.key)
            .map(|(n, _)| n)
            .collect();
        assert!(matches!(keys[..], [n] if n <= 6), "at once, and once: {codec:?} {keys:?}");
    }
}

#[test]
fn patterns_and_tones_never_end_and_keep_their_rate() {
    let mut ball = open(generated("source/pattern", &[("fps", "25")], MediaKind::Video), false, &Encoding::default());
    let pictures = frames(&mut ball, MediaKind::Video, 100);
    assert_eq!(vp8_size(&pictures[0]), (640, 360));
    assert_eq!(pictures[99].at, Duration::from_millis(99 * 40));
    for name in ["tone", "silence", "noise", "ticks"] {
        let origin = generated(&format!("source/{name}"), &[], MediaKind::Audio);
        let sounds = frames(&mut open(origin, false, &Encoding::default()), MediaKind::Audio, 200);
        assert_eq!(sounds[199].frame.rtp_time, 199 * 960, "{name}");
        let loud = sounds.iter().filter(|f| f.frame.audio_level.is_some_and(|l| l.below_overload < 40)).count();
        match name {
            "silence" => assert_eq!(loud, 0),
            "ticks" => assert!((1..60).contains(&loud), "{loud}"),
            _ => assert!(loud > 190, "{name}: {loud}"),
        }
    }
}

#[test]
fn slides_follow_each_other_once_or_over_and_over() {
    let folder = tempfile::tempdir().unwrap();
    let images: Vec<PathBuf> = [("a.png", 30), ("b.jpg", 200), ("c.webp", 90)]
        .into_iter()
        .map(|(name, grey)| {
            let path = folder.path().join(name);
            image::RgbImage::from_fn(300, 200, |x, y| image::Rgb([grey, (x ^ y) as u8, grey])).save(&path).unwrap();
            path
        })
        .collect();
    let slides = |images: &[PathBuf]| Origin::Slides { images: images.to_vec(), each: Duration::from_secs(1) };
    let mut once = open(slides(&images), false, &Encoding::default());
    let pictures = frames(&mut once, MediaKind::Video, 100);
    assert_eq!((pictures.len(), vp8_size(&pictures[0])), (30, (1280, 720)));
    // Where the slide changes, the picture costs far more than where it stands.
    let mut large: Vec<usize> = (1..30).collect();
    large.sort_by_key(|n| std::cmp::Reverse(pictures[*n].frame.len()));
    large.truncate(2);
    large.sort();
    assert_eq!(large, [10, 20]);
    let mut again = open(slides(&images), true, &Encoding::default());
    assert_eq!(frames(&mut again, MediaKind::Video, 70)[69].at, Duration::from_millis(6900));

    std::fs::write(&images[1], "no picture").unwrap();
    let broken = MediaSource::open(&Library::default(), &slides(&images), |_| true, false, &Encoding::default());
    let error = broken.map(drop).unwrap_err();
    assert!(error.to_string().contains("b.jpg") && matches!(error, crate::error::Error::User(_)), "{error}");
}

#[test]
fn what_fits_is_encoded_too_where_that_is_asked_for() {
    let alice = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/alice.webm");
    let encoding = Encoding { codec: Codec::H264, always: true, bitrate: Some(200_000) };
    let mut source = open(Origin::File(alice), false, &encoding);
    let was: Vec<_> = source.tracks().iter().map(|t| (t.codec, t.encoded_from.clone())).collect();
    assert!(
        was.contains(&(Codec::H264, Some("VP8".into()))) && was.contains(&(Codec::Opus, Some("Opus".into()))),
        "{was:?}"
    );
    let pictures = frames(&mut source, MediaKind::Video, 300);
    assert_eq!(pictures.len(), 240);
    assert!(pictures[0].frame.config.is_some(), "parameter sets");
    let bits = pictures.iter().map(|f| f.frame.len() * 8).sum::<usize>() / 8;
    assert!((100_000..300_000).contains(&bits), "{bits} bits a second");
}

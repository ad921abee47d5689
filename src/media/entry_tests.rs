//! Each entry of this room may be the first use of GStreamer in a process, so each is tried in a process of its own.

use super::*;
use crate::room::media::{Codec, MediaKind};
use image::RgbaImage;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Defines a test for each entry, which only [`every_entry_starts_gstreamer`] runs.
macro_rules! entries {
    ($($name:ident: $body:expr;)*) => {
        $(
            #[test]
            #[ignore = "run alone by every_entry_starts_gstreamer"]
            fn $name() {
                let _ = $body;
            }
        )*
        const ENTRIES: &[&str] = &[$(stringify!($name)),*];
    };
}

entries! {
    canvas: Canvas::new((64, 36)).unwrap();
    caption: super::caption(&library(), (64, 36), vec![0; 64 * 36 * 3], "a", "left", (0, 0)).unwrap();
    check_filter: super::check_filter(&filter()).unwrap();
    check_template: super::check_template(&library().get("source/tone").unwrap()).unwrap();
    count_pictures: super::count_pictures(&library(), &fixture("slides.webm")).unwrap();
    decoder: Decoder::new(&library(), &TrackFormat { codec: Codec::H264, config: Some(vec![1].into()), channels: 0 }).unwrap();
    encoder: Encoder::build(&library(), Codec::Vp8, 100_000).unwrap();
    file_decoder: FileDecoder::open(&library(), &fixture("slides.webm")).unwrap();
    file_writer: FileWriter::create(&library(), "compose/sound-wav", Path::new("/dev/null")).unwrap();
    filter_frames: super::filter_frames(&filter(), [RgbaImage::new(64, 36)], 30).unwrap();
    filter_samples: super::filter_samples(&audio_filter(), &[0.0; 960]).unwrap();
    filter_template: Filter::resolve(&library(), MediaKind::Audio, "echo", &[]).unwrap();
    frame_cost: super::frame_cost(&filter(), &[RgbaImage::new(64, 36)]).unwrap();
    live_decoder: LiveDecoder::start(&library(), Codec::Vp9, |_| ()).unwrap();
    media_file: open(&Origin::File(fixture("alice.webm")));
    generated: open(&Origin::Generated {
        template: library().get("source/tone").unwrap(),
        values: Vec::new(),
        kind: MediaKind::Audio,
    });
    pipeline: Pipeline::build(&library().get("source/tone").unwrap(), &[]).unwrap();
    slides: slide_show();
    sound_cost: super::sound_cost(&audio_filter(), &[0.0; 960]).unwrap();
    synthetic: open(&Origin::Synthetic(Synthetic::Sound(std::sync::Arc::new(|_, count| vec![0; count]))));
    track_filter: TrackFilter::start(
        &library(),
        &TrackFilterConfig { from: Codec::Opus, to: Codec::Opus, filter: audio_filter(), bitrate: 32_000 },
        |_| (),
    )
    .unwrap();
    track_reader: TrackReader::open(&library(), &fixture("alice.webm"), Codec::Vp8).unwrap();
}

#[test]
fn every_entry_starts_gstreamer() {
    let this = std::env::current_exe().unwrap();
    for name in ENTRIES {
        let path = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
        let run = Command::new(&this).args(["--ignored", "--exact", &path]).output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "{name}: {said}");
    }
}

fn library() -> Library {
    Library::default()
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

struct Nothing;

impl FrameFilter for Nothing {
    fn apply(&mut self, _: &mut RgbaImage, _: Duration) {}
}

impl SampleFilter for Nothing {
    fn apply(&mut self, _: &mut [f32], _: Duration) {}
}

fn filter() -> Filter {
    Filter::of("nothing", || Box::new(Nothing))
}

fn audio_filter() -> Filter {
    Filter::of_samples("nothing", || Box::new(Nothing))
}

fn open(origin: &Origin) -> MediaSource {
    MediaSource::open(&library(), origin, |_| true, false, &Encoding::default()).unwrap()
}

fn slide_show() -> MediaSource {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.png");
    image::RgbImage::new(64, 36).save(&path).unwrap();
    open(&Origin::Slides { images: vec![path], each: Duration::from_secs(1) })
}

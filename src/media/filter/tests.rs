//! Finding filters, error messages, and filters in Rust.

use super::*;
use crate::media::{check_filter, filter_frames, filter_samples};
use image::Rgba;

fn resolve(kind: MediaKind, name: &str, values: &[(&str, &str)]) -> Result<Filter> {
    let values: Vec<_> = values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Filter::resolve(&Library::default(), kind, name, &values)
}

/// The message of the user's error that `filter` is.
fn refused(filter: Result<Filter>) -> String {
    let error = filter.and_then(|f| check_filter(&f)).expect_err("it is refused");
    assert!(matches!(error, crate::error::Error::User(_)), "{error}");
    error.to_string()
}

fn written(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.gst");
    std::fs::write(&path, text).unwrap();
    (folder, path.display().to_string())
}

#[test]
fn a_filter_is_found_by_its_name_or_its_file() {
    let filter = resolve(MediaKind::Video, "grey", &[]).unwrap();
    assert_eq!((filter.name(), filter.kind()), ("grey", MediaKind::Video));
    check_filter(&filter).unwrap();
    let (_folder, path) = written(
        "# Mine.\n# @param strength: double = 1.0 (0.0..2.0)\nvideoconvert name=in ! videobalance saturation={strength} name=out",
    );
    let filter = resolve(MediaKind::Video, &path, &[("strength", "0.2")]).unwrap();
    assert_eq!(filter.name(), "mine");
    check_filter(&filter).unwrap();
    check_filter(&resolve(MediaKind::Audio, "none", &[]).unwrap()).unwrap();
}

#[test]
fn what_cannot_be_a_filter_says_who_must_act_and_where() {
    let says = |filter: Result<Filter>, expected: &str| {
        let said = refused(filter);
        assert!(said.contains(expected), "{said}");
    };
    says(resolve(MediaKind::Video, "edgse", &[]), "no video filter `edgse`; known: ");
    says(resolve(MediaKind::Video, "robot", &[]), "`robot` filters audio, not video: --audio robot");
    says(resolve(MediaKind::Video, "nowhere.gst", &[]), "cannot read the pipeline nowhere.gst");
    says(resolve(MediaKind::Audio, "robot", &[("frequency", "1e9")]), "`1e9` is not a number from 10.0 to 1000.0");
    says(resolve(MediaKind::Audio, "robot", &[("loud", "1")]), "no parameter `loud`; it has frequency");
    for (text, expected) in [
        ("# X.\nvideoconvert name=in ! identity", "no element has name=out"),
        ("# X.\nvideoconvert ! identity name=out", "no element has name=in"),
        ("# X.\nvideotestsrc name=in ! identity name=out", "`in` has no free sink pad"),
        ("# X.\nidentity name=in ! fakesink name=out", "`out` has no free src pad"),
        ("# X.\nidentity name=in\n! frobnicate name=out", "mine.gst:3: no element `frobnicate`"),
        ("# X.\nidentity name=in ! audioconvert name=out", "it does not accept video"),
        ("# X.\nidentity name=in ! identity drop-probability=1 ! identity name=out", "it outputs nothing"),
        (
            "# X.\n# @code nothing -> x\nidentity name=in ! identity name=x ! identity name=out",
            "no code `nothing`; known: average-grey",
        ),
        (
            "# X.\n# @code average-grey -> x\nidentity name=in ! videoconvert name=x ! identity name=out",
            "mine.gst:3: `average-grey` needs an element `identity name=x`",
        ),
        (
            "# X.\n# @code ring-modulator -> x\nidentity name=in ! identity name=x ! identity name=out",
            "its code needs a parameter `frequency`",
        ),
    ] {
        let (_folder, path) = written(text);
        says(resolve(MediaKind::Video, &path, &[]), expected);
    }
}

struct Halve;

impl FrameFilter for Halve {
    fn apply(&mut self, frame: &mut RgbaImage, at: Duration) {
        let (width, height) = frame.dimensions();
        *frame = RgbaImage::from_pixel(width / 2, height / 2, Rgba([at.as_millis() as u8, 0, 0, 255]));
    }
}

#[test]
fn rust_code_is_a_filter_and_may_change_the_size() {
    let filter = Filter::of("halve", || Box::new(Halve));
    let frames = filter_frames(&filter, vec![RgbaImage::new(64, 48); 5], 10).unwrap();
    assert_eq!(frames.len(), 5);
    for (index, (at, frame)) in frames.iter().enumerate() {
        assert_eq!(frame.dimensions(), (32, 24));
        assert_eq!((at.as_millis(), frame[(3, 3)][0]), (index as u128 * 100, (index * 100) as u8));
    }
}

struct Louder(f32);

impl SampleFilter for Louder {
    fn apply(&mut self, samples: &mut [f32], _: Duration) {
        samples.iter_mut().for_each(|s| *s *= self.0);
    }
}

#[test]
fn rust_code_filters_sound() {
    let filter = Filter::of_samples("louder", || Box::new(Louder(2.0)));
    assert_eq!(filter_samples(&filter, &[0.25; 9600]).unwrap(), [0.5; 9600]);
}

struct Bad;

impl FrameFilter for Bad {
    fn apply(&mut self, _: &mut RgbaImage, at: Duration) {
        assert!(at < Duration::from_millis(200), "this one is meant");
    }
}

#[test]
fn code_that_panics_is_an_error_and_not_the_end_of_the_process() {
    let filter = Filter::of("bad", || Box::new(Bad));
    let error = filter_frames(&filter, vec![RgbaImage::new(64, 48); 5], 10).unwrap_err().to_string();
    assert!(error.contains("panicked"), "{error}");
}

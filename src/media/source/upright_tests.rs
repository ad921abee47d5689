//! Pictures arrive upright and in shape, whatever the file says about how they are to be shown.

use super::{Encoding, MediaSource, Origin};
use crate::media::testing::made;
use crate::media::{Canvas, Decoded, Decoder, Library, Rect, TrackFormat};
use crate::room::media::MediaKind;
use image::RgbImage;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A corner of each colour, and nothing symmetrical.
const CORNERS: &str = "color=gray:size=320x180:rate=10:duration=1,drawbox=0:0:80:60:red:fill,drawbox=240:0:80:60:green:fill,\
    drawbox=0:120:80:60:blue:fill,drawbox=240:120:80:60:white:fill";

/// The first picture of a source as a receiver sees it, and the codec that it was encoded from.
fn shown(origin: &Origin) -> (RgbImage, Option<String>) {
    let wants: fn(MediaKind) -> bool = |kind| kind == MediaKind::Video;
    let mut source = MediaSource::open(&Library::default(), origin, wants, false, &Encoding::default()).unwrap();
    let track = source.tracks()[0].clone();
    let format = TrackFormat { codec: track.codec, config: None, channels: 0 };
    let first = source.next_frame().unwrap().unwrap().frame;
    let format = TrackFormat { config: first.config.clone(), ..format };
    let mut decoder = Decoder::new(&Library::default(), &format).unwrap();
    decoder.push(first.parts.concat().into(), Duration::ZERO, true).unwrap();
    decoder.end();
    let Decoded::Next(_, picture) = decoder.picture(Duration::from_secs(10)).unwrap() else { panic!("no picture") };
    let (width, height) = picture.size();
    let mut canvas = Canvas::new((width, height)).unwrap();
    canvas.draw(&picture, Rect { x: 0, y: 0, width, height }, true).unwrap();
    (canvas.to_rgb().unwrap(), track.encoded_from)
}

/// The same as ffmpeg shows it.
fn reference(path: &Path) -> RgbImage {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("x.png");
    let mut ffmpeg = Command::new("ffmpeg");
    let done = ffmpeg.args(["-v", "error", "-i"]).arg(path).args(["-frames:v", "1"]).arg(&out).status().unwrap();
    assert!(done.success());
    image::open(out).unwrap().to_rgb8()
}

/// The colours of the corners: red, green, blue or white.
fn corners(picture: &RgbImage) -> String {
    let (right, bottom) = (picture.width() - 9, picture.height() - 9);
    let name = |(x, y)| match picture.get_pixel(x, y).0.map(|value| value > 80) {
        [true, false, false] => 'R',
        [false, true, false] => 'G',
        [false, false, true] => 'B',
        [true, true, true] => 'W',
        _ => '?',
    };
    [(8, 8), (right, 8), (8, bottom), (right, bottom)].map(name).iter().collect()
}

/// Writes the display matrix of the first track of an MP4 file (ISO/IEC 14496-12, 8.3.2): a, b, c, d.
fn turn(path: &Path, [a, b, c, d]: [i32; 4]) {
    let mut file = std::fs::read(path).unwrap();
    let header = file.windows(4).position(|w| w == b"tkhd").unwrap() + 4;
    let matrix = header + if file[header] == 1 { 52 } else { 40 };
    let values = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30];
    for (place, value) in file[matrix..].chunks_exact_mut(4).zip(values) {
        place.copy_from_slice(&value.to_be_bytes());
    }
    std::fs::write(path, file).unwrap();
}

fn film(arguments: &str, name: &str) -> (tempfile::TempDir, PathBuf) {
    made(&format!("-f lavfi -i {CORNERS} -pix_fmt yuv420p {arguments}"), name)
}

#[test]
fn a_film_that_says_how_it_is_turned_is_sent_upright() {
    for (matrix, size, upright) in [
        ([1, 0, 0, 1], (320, 180), "RGBW"),
        ([0, 1, -1, 0], (180, 320), "BRWG"),
        ([-1, 0, 0, -1], (320, 180), "WBGR"),
        ([0, -1, 1, 0], (180, 320), "GWRB"),
        ([-1, 0, 0, 1], (320, 180), "GRWB"),
        ([1, 0, 0, -1], (320, 180), "BWRG"),
        ([0, 1, 1, 0], (180, 320), "RBGW"),
        // GStreamer's demuxer does not tell of [0, -1, -1, 0].
    ] {
        let (_folder, path) = film("-c:v libx264 -bf 0", "x.mp4");
        turn(&path, matrix);
        let want = reference(&path);
        assert_eq!((want.dimensions(), &*corners(&want)), (size, upright), "ffmpeg: {matrix:?}");
        let (picture, was) = shown(&Origin::File(path));
        assert_eq!((picture.dimensions(), &*corners(&picture)), (size, upright), "{matrix:?}");
        // What is upright already is sent as it is.
        assert_eq!(was.is_none(), matrix == [1, 0, 0, 1], "{matrix:?}: {was:?}");
    }
}

#[test]
fn a_film_of_oblong_pixels_is_sent_in_shape() {
    for (arguments, name) in [
        ("-c:v libx264 -bf 0", "x.mp4"),
        ("-c:v libx264 -bf 0", "x.mkv"),
        ("-c:v libvpx", "x.webm"),
        ("-c:v libvpx-vp9", "x.webm"),
        ("-c:v libaom-av1 -cpu-used 8 -usage realtime", "x.mkv"),
    ] {
        let (_folder, path) = film(&format!("-vf setsar=16/11 {arguments}"), name);
        let (picture, was) = shown(&Origin::File(path));
        assert!(was.is_some() && picture.width().abs_diff(465) <= 1, "{arguments}: {:?}", picture.dimensions());
        assert_eq!((picture.height(), &*corners(&picture)), (180, "RGBW"), "{arguments}");
    }
}

/// Where a container's display size is the rounded size of the film, no pixel is worth the encoding.
#[test]
fn a_film_of_nearly_square_pixels_is_sent_as_it_is() {
    let (_folder, path) = film("-vf setsar=161/160 -c:v libx264 -bf 0", "x.mp4");
    assert_eq!(shown(&Origin::File(path)).1, None);
}

/// Receivers decode 8 bits in 4:2:0 of H.264 and VP9, and nothing else for certain.
#[test]
fn a_film_that_browsers_do_not_decode_is_encoded() {
    for arguments in [
        "-pix_fmt yuv444p -c:v libx264 -bf 0",
        "-pix_fmt yuv422p -c:v libx264 -bf 0",
        "-pix_fmt yuv420p10 -c:v libx264 -bf 0",
        "-pix_fmt yuv444p -c:v libvpx-vp9",
        "-pix_fmt yuv420p10 -c:v libvpx-vp9",
    ] {
        let (_folder, path) = film(arguments, "x.mkv");
        let (picture, was) = shown(&Origin::File(path));
        assert!(was.is_some() && corners(&picture) == "RGBW", "{arguments}: {was:?}");
    }
}

#[test]
fn an_animation_moves_in_its_time_and_comes_again() {
    let (_folder, gif) = made("-f lavfi -i testsrc=size=161x121:rate=10:duration=2", "x.gif");
    let (_folder, png) = made("-f lavfi -i testsrc=size=161x121:rate=10:duration=2 -f apng", "x.png");
    let (_folder, webp) = made("-f lavfi -i testsrc=size=161x121:rate=10:duration=2 -c:v libwebp_anim", "x.webp");
    for path in [gif, png, webp] {
        let each = Duration::from_secs(5);
        for origin in [Origin::File(path.clone()), Origin::Slides { images: vec![path.clone()], each }] {
            let library = Library::default();
            let mut once = MediaSource::open(&library, &origin, |_| true, false, &Encoding::default()).unwrap();
            let times: Vec<u128> =
                std::iter::from_fn(|| once.next_frame().unwrap()).map(|frame| frame.at.as_millis()).collect();
            assert_eq!(times, (0..20).map(|n| n * 100).collect::<Vec<_>>(), "{origin:?}");
            let mut again = MediaSource::open(&library, &origin, |_| true, true, &Encoding::default()).unwrap();
            let times: Vec<u128> = (0..45).map(|_| again.next_frame().unwrap().unwrap().at.as_millis()).collect();
            assert_eq!(times, (0..45).map(|n| n * 100).collect::<Vec<_>>(), "{origin:?}");
            assert_eq!(shown(&origin).0.dimensions(), (161, 121));
        }
    }
}

/// Who joins while a picture stands still must not wait for the next one.
#[test]
fn an_animation_that_stands_still_is_sent_ten_times_a_second() {
    let (_folder, path) = film("-vf fps=1 -t 3", "x.gif");
    let mut source =
        MediaSource::open(&Library::default(), &Origin::File(path), |_| true, true, &Encoding::default()).unwrap();
    let times: Vec<u128> = (0..30).map(|_| source.next_frame().unwrap().unwrap().at.as_millis()).collect();
    assert!(times.windows(2).all(|w| (30..=100).contains(&(w[1] - w[0]))), "{times:?}");
}

/// A JPEG file with an Exif block that holds the orientation only (Exif 2.32, 4.6.4).
fn photograph(orientation: u8) -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = film("-frames:v 1 -pix_fmt yuvj420p", "x.jpg");
    let plain = std::fs::read(&path).unwrap();
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    let turned = [&plain[..2], &[0xff, 0xe1], &length[..], &exif[..], &plain[2..]].concat();
    std::fs::write(&path, turned).unwrap();
    (folder, path)
}

#[test]
fn a_photograph_is_shown_upright() {
    for (orientation, upright) in
        [(1, "RGBW"), (2, "GRWB"), (3, "WBGR"), (4, "BWRG"), (5, "RBGW"), (6, "BRWG"), (7, "WGBR"), (8, "GWRB")]
    {
        let (_folder, path) = photograph(orientation);
        let image = crate::media::template::image_file(&path).unwrap();
        assert_eq!(corners(&image::DynamicImage::from(image).to_rgb8()), upright, "{orientation}");
    }
}

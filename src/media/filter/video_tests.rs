//! Video filters: the pixels of their output.

use super::*;
use crate::media::{check_filter, filter_frames};
use image::imageops;
use image::{GenericImageView, Rgba};

const SIZE: (u32, u32) = (320, 180);

fn filter(name: &str, values: &[(&str, &str)]) -> Filter {
    let values: Vec<_> = values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Filter::resolve(&Library::default(), MediaKind::Video, name, &values).unwrap()
}

/// The output for one picture.
fn one(name: &str, values: &[(&str, &str)], picture: &RgbaImage) -> RgbaImage {
    let frames = filter_frames(&filter(name, values), vec![picture.clone(); 2], 30).unwrap();
    assert_eq!(frames.len(), 2, "{name}");
    frames.into_iter().next_back().unwrap().1
}

/// A colourful picture with fine detail: gradients, stripes, a disc, and something in each corner that is nowhere else.
fn scene() -> RgbaImage {
    RgbaImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let (dx, dy) = (f64::from(x) - 160.0, f64::from(y) - 90.0);
        let stripe = if x % 4 < 2 && y < 90 { 60 } else { 0 };
        match (x, y) {
            (0..20, 0..20) => Rgba([255, 0, 0, 255]),
            (300.., 0..20) => Rgba([0, 255, 0, 255]),
            (0..20, 160..) => Rgba([0, 0, 255, 255]),
            _ if dx * dx + dy * dy < 900.0 => Rgba([230, 200, 40, 255]),
            _ => Rgba([(x * 3 / 5) as u8 + stripe, y as u8, 180 - y as u8, 255]),
        }
    })
}

/// The mean difference between the values of two pictures.
fn difference(a: &RgbaImage, b: &RgbaImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

/// The energy of what differs between neighbours: what fine detail there is.
fn detail(picture: &RgbaImage) -> f64 {
    let pairs = picture.enumerate_pixels().filter(|(x, ..)| *x > 0);
    let energy: f64 = pairs.map(|(x, y, p)| f64::from(p[1].abs_diff(picture[(x - 1, y)][1])).powi(2)).sum();
    energy / f64::from(picture.width() * picture.height())
}

fn mean(picture: &RgbaImage) -> f64 {
    let values = picture.pixels().flat_map(|p| [p[0], p[1], p[2]]);
    values.map(f64::from).sum::<f64>() / f64::from(picture.width() * picture.height() * 3)
}

fn same_outside(a: &RgbaImage, b: &RgbaImage, inside: impl Fn(u32, u32) -> bool) -> bool {
    a.enumerate_pixels().all(|(x, y, p)| inside(x, y) || b[(x, y)] == *p)
}

/// A picture in a file of the test's own.
fn saved(picture: &RgbaImage) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    picture.save(&path).unwrap();
    (folder, path.display().to_string())
}

#[test]
fn none_changes_nothing_and_grey_has_no_colour() {
    assert!(one("none", &[], &scene()) == scene());
    let grey = one("grey", &[], &scene());
    for p in grey.pixels() {
        assert!(p[0].abs_diff(p[1]) <= 2 && p[1].abs_diff(p[2]) <= 2, "{p:?}");
    }
    assert!(detail(&grey) > detail(&scene()) / 9.0, "it still shows what was there");
}

#[test]
fn grey_average_is_exact() {
    // Every sum of three values, and what a page's canvas makes of it: a byte array rounds to the nearest.
    let picture = RgbaImage::from_fn(256, 256, |x, y| Rgba([x as u8, y as u8, (x * 7 + y * 13) as u8, 255]));
    let grey = one("grey-average", &[], &picture);
    for (p, g) in picture.pixels().zip(grey.pixels()) {
        let average = ((f64::from(p[0]) + f64::from(p[1]) + f64::from(p[2])) / 3.0).round() as u8;
        assert_eq!(*g, Rgba([average, average, average, 255]), "{p:?}");
    }
}

#[test]
fn invert_mirror_flip_and_rotate_are_exact() {
    let scene = scene();
    let mut negative = scene.clone();
    negative.pixels_mut().for_each(|p| (0..3).for_each(|c| p[c] = 255 - p[c]));
    assert!(one("invert", &[], &scene) == negative);
    assert!(one("mirror", &[], &scene) == imageops::flip_horizontal(&scene));
    assert!(one("flip", &[], &scene) == imageops::flip_vertical(&scene));
    assert!(one("rotate", &[], &scene) == imageops::rotate90(&scene));
    assert!(one("rotate", &[("quarters", "2")], &scene) == imageops::rotate180(&scene));
    assert!(one("rotate", &[("quarters", "3")], &scene) == imageops::rotate270(&scene));
}

#[test]
fn edges_are_where_the_picture_changes_and_nowhere_else() {
    let square = RgbaImage::from_fn(64, 48, |x, y| {
        let inside = (16..48).contains(&x) && (12..36).contains(&y);
        if inside { Rgba([200, 200, 200, 255]) } else { Rgba([20, 20, 20, 255]) }
    });
    let edges = one("edges", &[], &square);
    let near = |v: u32, at: [u32; 2]| at.iter().any(|at| v + 1 == *at || v == *at);
    for (x, y, p) in edges.enumerate_pixels() {
        let (across, down) = (near(x, [16, 48]), near(y, [12, 36]));
        let on_edge = (across && (11..=36).contains(&y)) || (down && (15..=48).contains(&x));
        let (is_bright, value) = (p[0] > 100, p[0]);
        assert!(is_bright == on_edge && (on_edge || value == 0), "{value} at {x},{y}");
        assert!(p[0] == p[1] && p[1] == p[2]);
    }
}

#[test]
fn blur_takes_detail_and_leaves_brightness() {
    let (before, blurred) = (scene(), one("blur", &[], &scene()));
    let much = one("blur", &[("size", "0.1")], &scene());
    assert!(detail(&blurred) < detail(&before) * 0.2, "{} of {}", detail(&blurred), detail(&before));
    assert!(detail(&much) < detail(&blurred) * 0.7, "{} of {}", detail(&much), detail(&blurred));
    for picture in [&blurred, &much] {
        assert!((mean(picture) - mean(&before)).abs() < 3.0, "{} for {}", mean(picture), mean(&before));
    }
}

#[test]
fn pixelate_leaves_blocks_of_one_colour_inside_and_all_as_it_was_outside() {
    let region = [("x", "0.25"), ("y", "0.25"), ("width", "0.5"), ("height", "0.5"), ("block", "0.0625")];
    let result = one("pixelate", &region, &scene());
    let (left, top, right, bottom, block) = (80, 45, 240, 135, 20);
    // The region grows to even rows.
    let (top, bottom) = (top - 1, bottom + 1);
    assert!(same_outside(&result, &scene(), |x, y| (left..right).contains(&x) && (top..bottom).contains(&y)));
    let columns: Vec<u32> =
        (left + 1..right).filter(|x| (top..bottom).any(|y| result[(*x, y)] != result[(*x - 1, y)])).collect();
    assert!(!columns.is_empty() && columns.iter().all(|x| (x - left) % block == 0), "{columns:?}");
    let rows: Vec<u32> =
        (top + 1..bottom).filter(|y| (left..right).any(|x| result[(x, *y)] != result[(x, *y - 1)])).collect();
    assert!(!rows.is_empty() && rows.len() < 6, "{rows:?}");
}

#[test]
fn pixelate_destroys_what_it_covers() {
    // Letters or their negative: after the filter they cannot be told apart, so they cannot be read.
    let letters = |on: u32| {
        RgbaImage::from_fn(SIZE.0, SIZE.1, |x, y| {
            if (x / 2 + y / 2) % 2 == on { Rgba([255; 4]) } else { Rgba([0, 0, 0, 255]) }
        })
    };
    let (a, b) = (one("pixelate", &[], &letters(0)), one("pixelate", &[], &letters(1)));
    assert!(difference(&letters(0), &letters(1)) > 150.0);
    assert!(difference(&a, &b) < 8.0, "{}", difference(&a, &b));
}

#[test]
fn pixelate_covers_all_of_the_region_in_the_pictures_of_a_camera_too() {
    // I420 has its colours at half the size: none of the region's may be seen, none outside may change.
    let values = [("x", "0.3"), ("y", "0.3"), ("width", "0.33"), ("height", "0.33"), ("block", "0.1")];
    let (before, after) = planes(&filter("none", &[]), &filter("pixelate", &values));
    let (width, height) = (SIZE.0 as usize, SIZE.1 as usize);
    let luma = |data: &[u8], x: usize, y: usize| data[y * width + x];
    let chroma = |data: &[u8], x: usize, y: usize| data[width * height + y / 2 * (width / 2) + x / 2];
    let region = (96..202, 54..114);
    for y in 0..height {
        for x in 0..width {
            let inside = region.0.contains(&x) && region.1.contains(&y);
            if !inside {
                assert_eq!(luma(&before, x, y), luma(&after, x, y), "{x},{y}");
                assert_eq!(chroma(&before, x, y), chroma(&after, x, y), "{x},{y}");
            }
        }
    }
    let values: std::collections::BTreeSet<u8> =
        region.1.flat_map(|y| region.0.clone().map(move |x| (x, y))).map(|(x, y)| luma(&after, x, y)).collect();
    assert!(values.len() <= 8, "four by two blocks: {values:?}");
}

/// What two filters make of the scene in I420.
fn planes(one: &Filter, other: &Filter) -> (Vec<u8>, Vec<u8>) {
    let planes = |filter: &Filter| crate::media::offline::planar(filter, &[scene()]).unwrap().remove(0);
    (planes(one), planes(other))
}

#[test]
fn sepia_is_brown_and_keeps_what_is_brighter_brighter() {
    let ramp = RgbaImage::from_fn(256, 16, |x, _| Rgba([x as u8, x as u8, x as u8, 255]));
    let sepia = one("sepia", &[], &ramp);
    let middle = sepia[(128, 8)];
    assert!(middle[0] > middle[1] && middle[1] > middle[2] + 10, "{middle:?}");
    let green: Vec<u8> = (0..256).map(|x| sepia[(x, 8)][1]).collect();
    assert!(green.windows(2).all(|w| w[0] <= w[1]) && green[255] > green[0] + 150, "{green:?}");
    assert!(one("sepia", &[("strength", "0")], &scene()) == scene());
}

#[test]
fn brightness_and_contrast_do_what_they_say() {
    let neutral = one("brightness", &[("brightness", "0.0"), ("contrast", "1.0")], &scene());
    assert!(difference(&neutral, &scene()) < 1.5);
    let bright = one("brightness", &[("brightness", "0.2"), ("contrast", "1.0")], &scene());
    assert!(mean(&bright) > mean(&scene()) + 20.0);
    let grey = one("brightness", &[("brightness", "0.0"), ("contrast", "1.0"), ("saturation", "0.0")], &scene());
    let flat = one("brightness", &[("brightness", "0.0"), ("contrast", "0.3")], &grey);
    let share = detail(&flat) / detail(&grey);
    assert!((0.06..0.12).contains(&share), "the square of 0.3: {share}");
    assert!(grey.pixels().all(|p| p[0].abs_diff(p[2]) <= 2));
}

#[test]
fn chroma_key_shows_the_image_where_the_screen_was_and_nothing_else_of_it() {
    let person = Rgba([210, 160, 130, 255]);
    let disc = |x: u32, y: u32| (f64::from(x) - 160.0).hypot(f64::from(y) - 90.0);
    let behind = RgbaImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgba([(x / 2) as u8, 40, y as u8, 255]));
    let (_folder, path) = saved(&behind);
    for (colour, screen) in [("green", Rgba([30, 200, 40, 255])), ("blue", Rgba([20, 40, 210, 255]))] {
        let picture = RgbaImage::from_fn(SIZE.0, SIZE.1, |x, y| if disc(x, y) < 50.0 { person } else { screen });
        let keyed = one("chroma-key", &[("colour", colour), ("image", &path)], &picture);
        for (x, y, p) in keyed.enumerate_pixels() {
            assert_eq!(*p, if disc(x, y) < 50.0 { person } else { behind[(x, y)] }, "{colour} at {x},{y}");
        }
        let plain = one("chroma-key", &[("colour", colour)], &picture);
        assert!(plain[(5, 5)] == plain[(300, 170)] && plain[(160, 90)] == person);
    }
    // Half screen, half person: no seam of green.
    let seam = RgbaImage::from_pixel(16, 16, Rgba([120, 170, 90, 255]));
    let keyed = one("chroma-key", &[("image", &path)], &seam);
    assert!(keyed[(8, 8)][1] <= keyed[(8, 8)][0] + 2, "{:?}", keyed[(8, 8)]);
}

#[test]
fn text_is_written_as_it_is_and_where_it_belongs() {
    let plain = RgbaImage::from_pixel(SIZE.0, SIZE.1, Rgba([0, 90, 0, 255]));
    let write = |caption: &str| one("text", &[("caption", caption)], &plain);
    let changed = |picture: &RgbaImage| picture.pixels().zip(plain.pixels()).filter(|(a, b)| a != b).count();
    assert_eq!(changed(&write("")), 0);
    let tom = write("Tom");
    assert!(changed(&tom) > 200);
    assert!(same_outside(&tom, &plain, |x, y| y > 90 && (40..280).contains(&x)), "at the bottom, in the middle");
    let bright = |picture: &RgbaImage| picture.pixels().filter(|p| p[0] > 200).count();
    // Markup would be an error, or gone.
    assert!(bright(&write("Tom & <b>Co</b>")) > bright(&tom) * 2);
    let top = one("text", &[("caption", "Tom"), ("down", "top"), ("across", "left")], &plain);
    assert!(changed(&top) > 200 && same_outside(&top, &plain, |x, y| y < 90 && x < 160));
}

#[test]
fn a_caption_that_is_no_line_of_text_is_refused() {
    for caption in ["two\nlines".to_owned(), "a\u{7}".to_owned(), "x".repeat(201)] {
        let values = [("caption".to_owned(), caption)];
        let error = Filter::resolve(&Library::default(), MediaKind::Video, "text", &values).map(drop).unwrap_err();
        assert!(error.to_string().contains("is not a line of at most 200 characters"), "{error}");
    }
}

#[test]
fn the_clock_is_in_its_corner() {
    let plain = RgbaImage::from_pixel(SIZE.0, SIZE.1, Rgba([0, 90, 0, 255]));
    let clock = one("clock", &[], &plain);
    assert!(clock.pixels().filter(|p| p[0] > 200).count() > 100);
    assert!(same_outside(&clock, &plain, |x, y| x > 100 && y < 90));
}

#[test]
fn a_watermark_is_in_its_place_as_strong_as_asked() {
    let logo = RgbaImage::from_fn(64, 32, |x, _| if x < 32 { Rgba([255, 255, 255, 255]) } else { Rgba([0, 0, 0, 0]) });
    let (_folder, path) = saved(&logo);
    let values = [("image", path.as_str()), ("size", "0.2"), ("margin", "0.05"), ("opacity", "0.5")];
    let dark = RgbaImage::from_pixel(SIZE.0, SIZE.1, Rgba([0, 0, 0, 255]));
    let marked = one("watermark", &values, &dark);
    // 64x32 at 16 from the right and the bottom; its left half is half as bright as the logo.
    let (left, top) = (320 - 16 - 64, 180 - 16 - 32);
    assert!(same_outside(&marked, &dark, |x, y| (left..left + 34).contains(&x) && (top..top + 32).contains(&y)));
    let inside = marked.view(left + 2, top + 2, 26, 28);
    assert!(
        inside.pixels().all(|(.., p)| p[0].abs_diff(127) <= 3 && p[1].abs_diff(127) <= 3),
        "{:?}",
        inside.get_pixel(9, 9)
    );
    let error = Filter::resolve(&Library::default(), MediaKind::Video, "watermark", &[]).map(drop).unwrap_err();
    assert!(error.to_string().contains("parameter `image` must be given"), "{error}");
    for (text, expected) in [("nowhere.png", "No such file"), (file!(), "cannot read the image")] {
        let values = [("image".to_owned(), text.to_owned())];
        let error = Filter::resolve(&Library::default(), MediaKind::Video, "watermark", &values).map(drop).unwrap_err();
        assert!(error.to_string().contains(expected) && matches!(error, crate::error::Error::User(_)), "{error}");
    }
}

#[test]
fn picture_in_picture_is_small_in_a_corner_of_an_image() {
    let behind = RgbaImage::from_pixel(64, 36, Rgba([10, 60, 120, 255]));
    let (_folder, path) = saved(&behind);
    let values = [("image", path.as_str()), ("size", "0.5"), ("margin", "0.0"), ("place", "top-left")];
    let result = one("picture-in-picture", &values, &scene());
    let small = imageops::resize(&scene(), 160, 90, imageops::FilterType::Triangle);
    assert!(difference(&result.view(0, 0, 160, 90).to_image(), &small) < 4.0);
    let around = result.enumerate_pixels().filter(|(x, y, _)| *x >= 160 || *y >= 90);
    for (x, y, p) in around {
        let expected = [10u8, 60, 120];
        assert!((0..3).all(|c| p[c].abs_diff(expected[c]) <= 2), "{p:?} at {x},{y}");
    }
    let over_itself = one("picture-in-picture", &[("size", "0.5"), ("margin", "0.0"), ("place", "top-left")], &scene());
    assert!(difference(&over_itself.view(0, 0, 160, 90).to_image(), &small) < 4.0);
    let (right, was) = (over_itself.view(160, 0, 160, 180).to_image(), scene().view(160, 0, 160, 180).to_image());
    assert!((mean(&right) - mean(&was)).abs() < 5.0, "{} for {}", mean(&right), mean(&was));
    assert!(detail(&right) < detail(&was) * 0.1, "{} of {}", detail(&right), detail(&was));
}

/// Ten pictures a second, told apart by their brightness.
fn numbered(count: u8) -> Vec<RgbaImage> {
    (0..count).map(|n| RgbaImage::from_pixel(64, 36, Rgba([n * 10, n * 10, n * 10, 255]))).collect()
}

fn numbers(name: &str, values: &[(&str, &str)], count: u8) -> Vec<u8> {
    let frames = filter_frames(&filter(name, values), numbered(count), 10).unwrap();
    for (index, (at, _)) in frames.iter().enumerate() {
        assert_eq!(at.as_millis(), index as u128 * 100, "{name}: times go on");
    }
    frames.iter().map(|(_, frame)| frame[(30, 20)][0] / 10).collect()
}

#[test]
fn delay_shows_what_was_and_freeze_holds() {
    assert_eq!(numbers("delay", &[("milliseconds", "300")], 8), [0, 0, 0, 0, 1, 2, 3, 4]);
    assert_eq!(numbers("delay", &[("milliseconds", "0")], 4), [0, 1, 2, 3]);
    assert_eq!(numbers("freeze", &[("every", "0.5")], 12), [0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 10, 10]);
    assert_eq!(numbers("freeze", &[], 12), [0; 12]);
}

#[test]
fn every_filter_takes_the_ends_of_every_parameter_and_any_size() {
    ends_run(MediaKind::Video, |filter| {
        check_filter(filter).unwrap();
        for (width, height) in [(33, 19), (2, 2), (1, 1)] {
            let frame = RgbaImage::from_pixel(width, height, Rgba([90, 120, 30, 255]));
            let sizes: Vec<(u32, u32)> =
                filter_frames(filter, vec![frame; 2], 30).unwrap().iter().map(|(_, f)| f.dimensions()).collect();
            let size = (width, height);
            let turned = (height, width);
            let expected = sizes == [size; 2] || filter.name() == "rotate" && sizes == [turned; 2];
            assert!(expected, "{} at {width}x{height}: {sizes:?}", filter.name());
        }
    });
}

/// Calls `try_it` with each filter of `kind`: as it is by default, and with each parameter at each end.
pub(super) fn ends_run(kind: MediaKind, try_it: impl Fn(&Filter)) {
    let folder = if kind == MediaKind::Video { "filter/video/" } else { "filter/audio/" };
    let library = Library::default();
    let mut seen = 0;
    for (name, template) in library.list().unwrap() {
        if !name.starts_with(folder) {
            continue;
        }
        seen += 1;
        let template = template.unwrap();
        let owned = |values: Vec<(&str, Value)>| values.into_iter().map(|(n, v)| (n.to_owned(), v)).collect::<Vec<_>>();
        try_it(&Filter::of_template(kind, template.clone(), owned(template.samples())).unwrap());
        for param in &template.params {
            for end in param.kind.ends() {
                let mut values = template.samples();
                values.retain(|(name, _)| *name != param.name);
                values.push((&param.name, end));
                try_it(&Filter::of_template(kind, template.clone(), owned(values)).unwrap());
            }
        }
    }
    assert!(seen > 10, "{folder} has only {seen} filters");
}

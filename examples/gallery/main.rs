//! Makes `docs/filters.md`: every filter with its help, parameters, a still and what it costs, from the templates and the fixtures.
//! It writes into one folder and joins no room.
//!
//! ```text
//! cargo run --release --example gallery                 # into docs; or name another folder
//! ```

#[allow(dead_code)] // Only a part of it is needed here.
#[path = "../make_fixtures/canvas.rs"]
mod canvas;
#[allow(dead_code)]
#[path = "../make_fixtures/person.rs"]
mod person;
mod spectrogram;

use image::imageops::{FilterType, resize};
use image::{DynamicImage, Rgb, RgbImage, Rgba, RgbaImage};
use roombot::error::{Error, Result};
use roombot::media::{
    Filter, Library, Template, TrackReader, Value, filter_frames, filter_samples, frame_cost, sound_cost,
};
use roombot::room::media::{Codec, MediaKind};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// From where in the fixture the pictures are taken, and how many.
const FROM: Duration = Duration::from_secs(2);
const FRAMES: usize = 30;
/// The same for sound.
const SOUND_FROM: Duration = Duration::from_millis(300);
const SOUND: usize = 2 * 48_000 * 5 / 2;

/// What a still shows in place of a default: filter, parameter, value.
const SHOWN: &[(&str, &str, &str)] = &[
    ("blur", "size", "0.05"),
    ("pixelate", "x", "0.37"),
    ("pixelate", "y", "0.15"),
    ("pixelate", "width", "0.26"),
    ("pixelate", "height", "0.5"),
    ("pixelate", "block", "0.03"),
    ("text", "caption", "Live from the fixture"),
    ("low-pass", "cutoff", "800.0"),
    ("high-pass", "cutoff", "1500.0"),
];

/// What the filters are shown on.
struct Media {
    frames: Vec<RgbaImage>,
    sound: Vec<f32>,
    slide: Arc<RgbaImage>,
    logo: Arc<RgbaImage>,
}

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| "docs".into());
    make(&Library::default(), Path::new(&folder), Path::new("fixtures"))
}

/// Writes `folder/filters.md` and `folder/filters/*.jpg`.
fn make(library: &Library, folder: &Path, fixtures: &Path) -> Result<()> {
    let alice = fixtures.join("alice.webm");
    let media = Media {
        frames: frames(library, &alice, FROM, FRAMES)?,
        sound: sound(library, &alice)?,
        slide: Arc::new(frames(library, &fixtures.join("slides.webm"), FROM, 1)?.remove(0)),
        logo: Arc::new(logo()),
    };
    let stills = folder.join("filters");
    let cannot = |e| Error::machine(format!("cannot write into {}", folder.display())).because(e);
    std::fs::create_dir_all(&stills).map_err(cannot)?;
    let mut page = String::from(HEAD);
    for (kind, title, word) in [(MediaKind::Video, "Pictures", "video"), (MediaKind::Audio, "Sound", "audio")] {
        let (unit, prefix) = (if kind == MediaKind::Video { "picture" } else { "second" }, format!("filter/{word}/"));
        let _ = writeln!(
            page,
            "\n## {title}\n\n| filter | what it does | parameters | CPU ms a {unit} | |\n|---|---|---|---|---|"
        );
        for (name, template) in library.list()?.into_iter().filter(|(name, _)| name.starts_with(&prefix)) {
            let (template, name) = (template?, name.trim_start_matches(&prefix).to_owned());
            let filter = Filter::of_template(kind, template.clone(), shown(&name, &template, &media)?)?;
            let file = format!("{word}-{name}.jpg");
            save(&still(&filter, &media)?, &stills.join(&file))?;
            let cost = cost(&filter, &media)?;
            let parameters = parameters(&template);
            let _ = writeln!(
                page,
                "| `{name}` | {} | {parameters} | {cost:.1} | ![{name}](filters/{file}) |",
                template.help
            );
            println!("{name}");
        }
    }
    std::fs::write(folder.join("filters.md"), page).map_err(cannot)
}

const HEAD: &str = "# Filters

`roombot filter ROOM_URL --video NAME --audio NAME -p PARAMETER=VALUE` applies them; the pipeline texts are in `pipelines/filter/`.
A text of your own (`--video ./mine.gst`) has a first element with `name=in` and a last one with `name=out`, takes raw pictures or stereo
sound, and is checked with `roombot pipelines check mine.gst`. ARCHITECTURE.md (Pipelines) says what a header may declare.

This page and its stills are made by `cargo run --release --example gallery`. Costs are CPU time for 640x360, from I420 to I420, on one core of
the machine that made the page; 30 pictures a second leave 33 ms for each. The stills of sound are spectrograms of the same words: time to the
right, 0 to 6 kHz upwards.
";

/// The values of a still.
fn shown(name: &str, template: &Template, media: &Media) -> Result<Vec<(String, Value)>> {
    let mut values = Vec::new();
    for (_, parameter, text) in SHOWN.iter().filter(|(filter, ..)| *filter == name) {
        values.push(((*parameter).to_owned(), template.read(parameter, text)?));
    }
    match name {
        "watermark" => values.push(("image".into(), Value::Image(media.logo.clone()))),
        "chroma-key" | "picture-in-picture" => values.push(("image".into(), Value::Image(media.slide.clone()))),
        _ => {}
    }
    Ok(values)
}

fn still(filter: &Filter, media: &Media) -> Result<DynamicImage> {
    if filter.kind() == MediaKind::Audio {
        return Ok(spectrogram::draw(&filter_samples(filter, &media.sound)?, (240, 80)).into());
    }
    let frames = match filter.name() {
        "chroma-key" => vec![DynamicImage::from(before_a_green_screen()).to_rgba8()],
        _ => media.frames.clone(),
    };
    let last = filter_frames(filter, frames, 30)?.pop();
    let (_, frame) = last.ok_or_else(|| Error::user(format!("{} shows nothing", filter.name())))?;
    let (width, height) = if frame.width() > frame.height() { (320, 180) } else { (101, 180) };
    Ok(resize(&frame, width, height, FilterType::Triangle).into())
}

/// Alice in front of a green screen: what the chroma key is shown on.
fn before_a_green_screen() -> RgbImage {
    let screen = RgbImage::from_pixel(person::WIDTH, person::HEIGHT, Rgb([38, 178, 74]));
    person::ALICE.draw(&screen, 0.3, 8.0, 0.1)
}

fn cost(filter: &Filter, media: &Media) -> Result<f64> {
    let (cost, seconds) = match filter.kind() {
        MediaKind::Video => (frame_cost(filter, &media.frames)?, 1.0),
        MediaKind::Audio => (sound_cost(filter, &media.sound)?, media.sound.len() as f64 / 96_000.0),
    };
    Ok(cost.as_secs_f64() * 1000.0 / seconds)
}

/// All parameters, as a cell of the page.
fn parameters(template: &Template) -> String {
    let cells = template.params.iter().map(|p| format!("`{}`: {}; {}", p.name, p.kind, p.otherwise()));
    cells.collect::<Vec<_>>().join("<br>")
}

fn frames(library: &Library, path: &Path, from: Duration, count: usize) -> Result<Vec<RgbaImage>> {
    let mut decoder = TrackReader::open(library, path, Codec::Vp8)?;
    let mut frames = Vec::new();
    while let Some((at, picture)) = decoder.picture()? {
        if at >= from {
            frames.push(picture.to_rgba()?);
        }
        if frames.len() == count {
            return Ok(frames);
        }
    }
    Err(Error::user(format!("{} is too short to show filters on", path.display())))
}

fn sound(library: &Library, path: &Path) -> Result<Vec<f32>> {
    let mut decoder = TrackReader::open(library, path, Codec::Opus)?;
    let mut samples = Vec::new();
    while let Some((at, sound)) = decoder.sound()? {
        if at >= SOUND_FROM && samples.len() < SOUND {
            samples.extend(sound);
        }
    }
    Ok(samples)
}

/// A ring with a dot: something to lay over pictures.
fn logo() -> RgbaImage {
    RgbaImage::from_fn(160, 160, |x, y| {
        let away = (f64::from(x) - 79.5).hypot(f64::from(y) - 79.5);
        let cover = |inner: f64, outer: f64| ((away - inner + 1.0).min(outer - away + 1.0)).clamp(0.0, 1.0);
        let cover = cover(58.0, 76.0).max(cover(-2.0, 30.0));
        Rgba([255, 255, 255, (cover * 255.0) as u8])
    })
}

fn save(still: &DynamicImage, path: &Path) -> Result<()> {
    let cannot = |e: &dyn std::fmt::Display| Error::machine(format!("cannot write {}: {e}", path.display()));
    let mut file = std::fs::File::create(path).map_err(|e| cannot(&e))?;
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 75);
    still.to_rgb8().write_with_encoder(encoder).map_err(|e| cannot(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_filter_as_it_is_and_its_still() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        let page = std::fs::read_to_string(docs.join("filters.md")).unwrap();
        let again = "run `cargo run --release --example gallery`";
        let mut bytes = 0;
        for (name, template) in Library::default().list().unwrap() {
            let Some(filter) = name.strip_prefix("filter/") else { continue };
            let template = template.unwrap();
            let short = filter.rsplit('/').next().unwrap();
            let row = format!("| `{short}` | {} | {} |", template.help, parameters(&template));
            assert!(page.contains(&row), "{again}: {row}");
            let still = docs.join("filters").join(filter.replace('/', "-") + ".jpg");
            let size = std::fs::metadata(&still).unwrap_or_else(|e| panic!("{again}: {still:?}: {e}")).len();
            image::open(&still).unwrap();
            bytes += size;
        }
        assert!(bytes > 50_000 && bytes < 400_000, "{bytes} bytes of stills");
    }

    #[test]
    fn what_stills_show_are_parameters_that_there_are() {
        for (name, parameter, text) in SHOWN {
            let template = Library::default().get(&format!("filter/{name}")).unwrap();
            template.read(parameter, text).unwrap();
        }
    }
}

//! Draws and speaks the media files in `fixtures/`. It joins no room.
//!
//! ```text
//! cargo run --example make_fixtures                     # --out DIR: another folder; --stills: also some pictures
//! ```

mod canvas;
mod person;
mod slides;
mod voice;

use clap::Parser;
use image::RgbImage;
use person::{Hair, Look};
use roombot::error::{Error, Result};
use roombot::media::{FileWriter, Library};
use std::path::{Path, PathBuf};
use std::time::Duration;
use voice::Line;

/// Length of every fixture; a multiple of every second that matters, so that they repeat together.
const SECONDS: u32 = 8;
/// How long an encoder may take for the rest, once it has every picture.
const ENCODING: Duration = Duration::from_secs(120);
/// Samples that an Opus encoder puts in front of the sound: left out at the end, so that the packets last whole seconds.
const OPUS_LEAD: usize = 312;

/// Make the people and the slides that the demo and the tests use.
#[derive(Debug, Parser)]
struct Args {
    /// Folder to write into.
    #[arg(long, value_name = "DIR", default_value = "fixtures")]
    out: PathBuf,
    /// Also write some pictures of each file.
    #[arg(long)]
    stills: bool,
}

/// One person's file.
struct Person {
    name: &'static str,
    file: &'static str,
    encoder: &'static str,
    look: Look,
    line: Line,
}

const PEOPLE: [Person; 3] = [
    Person {
        name: "Alice",
        file: "alice.webm",
        encoder: "encode/vp8",
        look: person::ALICE,
        line: Line {
            text: "Good morning! Shall we look at the plan?",
            voice: "en-gb+f3",
            speed: 165,
            pitch: 55,
            from: 0.3,
        },
    },
    Person {
        name: "Bob",
        file: "bob.webm",
        encoder: "encode/vp9",
        look: Look {
            wall: [62, 150, 132],
            skin: [240, 194, 160],
            hair_colour: [62, 48, 42],
            hair: Hair::Short,
            shirt: [66, 84, 128],
            eyes: [84, 110, 150],
            glasses: true,
            beard: true,
            blinks: &[0.7, 2.6, 5.5],
            phase: 0.35,
        },
        line: Line {
            text: "My slides are ready. I'll share them.",
            voice: "en-us+m3",
            speed: 180,
            pitch: 32,
            from: 3.0,
        },
    },
    Person {
        name: "Carol",
        file: "carol.mkv",
        encoder: "encode/h264",
        look: Look {
            wall: [206, 112, 108],
            skin: [150, 98, 70],
            hair_colour: [42, 28, 30],
            hair: Hair::Bun,
            shirt: [64, 160, 158],
            eyes: [92, 58, 36],
            glasses: false,
            beard: false,
            blinks: &[2.0, 4.6, 7.1],
            phase: 0.7,
        },
        line: Line { text: "Wonderful. I like what I see.", voice: "en-us+f2", speed: 185, pitch: 62, from: 5.4 },
    },
];

fn main() -> Result<()> {
    let Args { out, stills } = Args::parse();
    let cannot = |e| Error::user(format!("cannot make the folder {}", out.display())).because(e);
    std::fs::create_dir_all(&out).map_err(cannot)?;
    // The encoders' settings are no pipelines of the program.
    let encoders = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/make_fixtures/pipelines");
    let library = Library::new(Some(&encoders))?;
    for person in &PEOPLE {
        make_person(&library, person, &out, stills)?;
        println!("{}", out.join(person.file).display());
    }
    make_slides(&library, &out, stills)?;
    println!("{}", out.join("slides.webm").display());
    Ok(())
}

fn make_person(library: &Library, person: &Person, out: &Path, stills: bool) -> Result<()> {
    let sound = voice::speak(&person.line, SECONDS as usize)?;
    let mouth = voice::mouth(&sound, person::RATE);
    // No name is in it: films and pages write it there themselves.
    let background = person.look.background();

    let writer = FileWriter::create(library, person.encoder, &out.join(person.file))?;
    let frames = SECONDS * person::RATE;
    for (index, open) in (0..frames).zip(mouth) {
        let picture = person.look.draw(&background, index as f32 / frames as f32, SECONDS as f32, open);
        if stills && index % 40 == 20 {
            still(&picture, &out.join(format!("{}-{index:03}.png", person.name)))?;
        }
        writer.picture(picture.into_raw(), at(index, person::RATE), at(1, person::RATE))?;
        // Sound goes beside the pictures, so that neither waits for the other in the muxer.
        let per_frame = voice::RATE / person::RATE as usize;
        let from = index as usize * per_frame;
        let to = (from + per_frame).min(sound.len() - OPUS_LEAD);
        writer.sound(&sound[from..to], at(index, person::RATE))?;
    }
    writer.finish(ENCODING)
}

fn make_slides(library: &Library, out: &Path, stills: bool) -> Result<()> {
    let writer = FileWriter::create(library, "encode/slides", &out.join("slides.webm"))?;
    let all = slides::all(library)?;
    let (each, frames) = (slides::RATE * slides::STAYS, SECONDS * slides::RATE);
    for index in 0..frames {
        let slide = &all[(index / each) as usize % all.len()];
        let picture = slides::with_progress(slide, index as f32 / frames as f32);
        if stills && index % each == 0 {
            still(&picture, &out.join(format!("slides-{index:03}.png")))?;
        }
        writer.picture(picture.into_raw(), at(index, slides::RATE), at(1, slides::RATE))?;
    }
    writer.finish(ENCODING)
}

fn at(frame: u32, rate: u32) -> Duration {
    Duration::from_secs(frame.into()) / rate
}

fn still(picture: &RgbImage, path: &Path) -> Result<()> {
    picture.save(path).map_err(|e| Error::machine(format!("cannot write {}", path.display())).because(e))
}

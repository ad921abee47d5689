//! A filter of one's own in Rust, run over a recorded file: paints a comic out of every picture and saves the last one.
//!
//! ```text
//! cargo run --example frame_filter -- fixtures/alice.webm comic.jpg
//! ```

use image::{DynamicImage, RgbaImage};
use roombot::error::{Error, Result};
use roombot::media::{Filter, FrameFilter, Library, TrackReader, filter_frames};
use roombot::room::media::Codec;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Few colours, and black lines where one ends. It keeps nothing from one picture to the next; a filter that does has it in here,
/// since each stream gets a filter of its own.
struct Comic {
    /// How many steps of brightness there are of each colour.
    steps: u8,
}

impl FrameFilter for Comic {
    fn apply(&mut self, frame: &mut RgbaImage, _at: Duration) {
        let step = 255 / self.steps.clamp(2, 64);
        for pixel in frame.pixels_mut() {
            for value in &mut pixel.0[..3] {
                *value = (*value / step).saturating_mul(step).saturating_add(step / 2);
            }
        }
        let flat = frame.clone();
        let (width, height) = flat.dimensions();
        for (x, y, pixel) in frame.enumerate_pixels_mut() {
            let (right, below) = (flat[((x + 1).min(width - 1), y)], flat[(x, (y + 1).min(height - 1))]);
            let here = flat[(x, y)];
            if here[1] != right[1] || here[1] != below[1] {
                pixel.0[..3].fill(20);
            }
        }
    }
}

/// The pictures of the first second of a VP8 file.
fn first_second(path: &Path) -> Result<Vec<RgbaImage>> {
    let mut decoder = TrackReader::open(&Library::default(), path, Codec::Vp8)?;
    let mut frames = Vec::new();
    while let Some((at, picture)) = decoder.picture()? {
        if at >= Duration::from_secs(1) {
            break;
        }
        frames.push(picture.to_rgba()?);
    }
    Ok(frames)
}

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let input = arguments.next().unwrap_or_else(|| "fixtures/alice.webm".into());
    let output = arguments.next().unwrap_or_else(|| "comic.jpg".into());

    // The same value goes wherever a built-in filter would go: into a live room, too.
    let filter = Filter::of("comic", || Box::new(Comic { steps: 5 }));
    let filtered = filter_frames(&filter, first_second(&input)?, 30)?;

    let (at, last) = filtered.last().ok_or_else(|| Error::user("the file has no pictures"))?;
    let saved = DynamicImage::from(last.clone()).to_rgb8().save(&output);
    saved.map_err(|e| Error::machine(format!("cannot write {}", output.display())).because(e))?;
    println!("{} pictures, the last of {:.2} s in {}", filtered.len(), at.as_secs_f64(), output.display());
    Ok(())
}

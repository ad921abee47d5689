//! A film's file while it is written: pictures and sound one after the other, then counted, finished and named. It paints and mixes
//! nothing.

use super::format::{Container, Format};
use super::output::Output;
use super::sound::RATE;
use crate::container::Chapter;
use crate::container::mp4;
use crate::error::{Error, Result, write_failed};
use crate::film::layout::Size;
use crate::media::{Canvas, FileWriter, Library, Value, count_pictures};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the end of a film may take: what is under way is encoded.
const ENDING: Duration = Duration::from_secs(600);
/// Seconds from one key frame to the next, at most.
const KEY_EVERY: u32 = 5;

/// A film that is being written.
pub struct Reel {
    library: Library,
    output: Output,
    writer: FileWriter,
    fps: u32,
    /// MP4 is written here, and put in order at the end.
    source: Option<PathBuf>,
    pictures: u64,
    /// Of these.
    left_out: u64,
    samples: i64,
}

impl Reel {
    /// Begins a film.
    ///
    /// # Errors
    /// The user's: a package is missing, or a value is out of range. The machine's: no encoder starts.
    pub fn start(library: &Library, output: Output, format: Format, size: Size, fps: u32) -> Result<Reel> {
        let int = |value: u32| Value::Int(value.into());
        let mut values = vec![
            ("width", int(size.0)),
            ("height", int(size.1)),
            ("fps", int(fps)),
            ("key-every", int(fps * KEY_EVERY)),
        ];
        values.extend(format.values());
        let is_mp4 = format.container == Container::Mp4;
        let source = is_mp4.then(|| output.scratch());
        let path = source.as_deref().unwrap_or(output.part());
        let writer = FileWriter::with(library, format.pipeline(), path, &values, &[])?;
        Ok(Reel { library: library.clone(), output, writer, fps, source, pictures: 0, left_out: 0, samples: 0 })
    }

    /// Begins a film that can be played while it grows, beside the name that it gets at its end: `film.live.mp4`. As HLS into a
    /// folder, too, if one is given: `film.m3u8`.
    ///
    /// # Errors
    /// As [`Reel::start`].
    pub fn live(library: &Library, output: Output, size: Size, fps: u32, hls: Option<&Path>) -> Result<Reel> {
        let int = |value: u32| Value::Int(value.into());
        let values = [("width", int(size.0)), ("height", int(size.1)), ("fps", int(fps)), ("key-every", int(fps * 2))];
        let growing = output.growing()?;
        let writer = match hls {
            None => FileWriter::with(library, "compose/live", &growing, &values, &[])?,
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(|e| write_failed(folder, e))?;
                let text = |name: &str| {
                    folder
                        .join(name)
                        .to_str()
                        .map(str::to_owned)
                        .ok_or_else(|| Error::user("--live-hls must be plain text"))
                };
                let (segments, list) = (text("film.%05d.ts")?, text("film.m3u8")?);
                let texts = [("hls", "location", segments.as_str()), ("hls", "playlist-location", list.as_str())];
                FileWriter::with(library, "compose/live-hls", &growing, &values, &texts)?
            }
        };
        let source = growing;
        Ok(Reel {
            library: library.clone(),
            output,
            writer,
            fps,
            source: Some(source),
            pictures: 0,
            left_out: 0,
            samples: 0,
        })
    }

    /// Begins a file with sound alone.
    ///
    /// # Errors
    /// As [`Reel::start`].
    pub fn of_sound(library: &Library, output: Output, pipeline: &str) -> Result<Reel> {
        let writer = FileWriter::create(library, pipeline, output.part())?;
        Ok(Reel {
            library: library.clone(),
            output,
            writer,
            fps: 0,
            source: None,
            pictures: 0,
            left_out: 0,
            samples: 0,
        })
    }

    /// Says what it is; before anything else.
    pub fn describe(&self, title: &str, recorded: jiff::Timestamp, chapters: &[Chapter]) -> Result<()> {
        let chapters: Vec<_> = chapters.iter().map(|c| (c.from..c.until, c.title.as_str())).collect();
        self.writer.describe(title, recorded, &chapters)
    }

    /// How many pictures a film of this length has.
    pub fn frames_in(&self, lasts: Duration) -> u64 {
        u64::try_from((lasts.as_nanos() * u128::from(self.fps)).div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
    }

    /// When a picture begins.
    pub fn time_of(&self, number: u64) -> Duration {
        Duration::from_nanos((u128::from(number) * 1_000_000_000 / u128::from(self.fps.max(1))) as u64)
    }

    /// Adds the next picture.
    ///
    /// # Errors
    /// The machine's: the encoder or the disk.
    pub fn picture(&mut self, canvas: &mut Canvas) -> Result<()> {
        let (at, next) = (self.time_of(self.pictures), self.time_of(self.pictures + 1));
        self.pictures += 1;
        self.writer.canvas(canvas, at, next - at)
    }

    /// The next picture is not there: the one before stays.
    pub fn leave_out(&mut self) {
        self.pictures += 1;
        self.left_out += 1;
    }

    /// Adds the next sound, left and right in turn.
    ///
    /// # Errors
    /// As [`Reel::picture`].
    pub fn sound(&mut self, samples: &[i16]) -> Result<()> {
        let at = Duration::from_nanos((self.samples as u128 * 1_000_000_000 / RATE as u128) as u64);
        self.samples += (samples.len() / 2) as i64;
        self.writer.stereo(samples, at)
    }

    /// Writes what is under way, counts the pictures, and gives the film its name.
    ///
    /// # Errors
    /// The machine's; ours where pictures are missing.
    pub fn finish(self, chapters: &[Chapter]) -> Result<PathBuf> {
        self.writer.finish(ENDING)?;
        if let Some(source) = &self.source {
            mp4::finish(source, self.output.part(), chapters)?;
        }
        if self.fps > 0 {
            let part = self.output.part();
            let found = if self.source.is_some() { mp4::pictures(part)? } else { count_pictures(&self.library, part)? };
            let wanted = self.pictures - self.left_out;
            if found != wanted {
                return Err(Error::us(format!("the film has {found} pictures, not {wanted}; it was thrown away")));
            }
        }
        let growing = self.source.filter(|source| *source != self.output.scratch());
        let film = self.output.publish()?;
        if let Some(growing) = growing {
            // The film has it all.
            let _ = std::fs::remove_file(growing);
        }
        Ok(film)
    }
}

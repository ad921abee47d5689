//! A recording as one film: scenes over time, painting, mixing, stills. It reads a recording's tracks and manifest and never
//! changes them; it runs as fast as the machine allows and asks no clock.
//!
//! ```text
//! manifest -> scenes -> layout -> stage (pictures of each lane, names, cards) \
//!             tracks -> lanes, mixer ------------------------------------------> encoder -> film.mp4.part -> film.mp4
//! ```

mod lane;
mod output;
mod paint;
mod scenes;
mod sound;
mod stage;

use crate::error::{Error, Result};
use crate::media::{FileWriter, Library, Value, count_pictures};
use crate::record::complete::complete;
use crate::record::folder::{RecordingFolder, Sub, TIMELINE};
use crate::record::manifest::{Manifest, Status};
use crate::record::recover::track_files;
use crate::record::scan::scan;
use crate::record::timeline::{Entry, TimelineReader};
use crate::room::layout::{Policy, SIDES, Size};
use crate::room::media::MediaKind;
use output::Output;
use serde::Serialize;
use sound::{Mixer, RATE};
use stage::Stage;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Pictures a second that a film may have.
pub const RATES: std::ops::RangeInclusive<u32> = 1..=60;
/// The longest film; a manifest that claims more is damaged.
const LONGEST_MS: u64 = 48 * 3600 * 1000;
/// How long the end of a film may take: what is under way is encoded, and the file copied once.
const ENDING: Duration = Duration::from_secs(600);
/// What an AAC encoder puts in front of the sound, in samples, and MP4 as it is written here does not tell players to skip:
/// so much of the session's start (21 ms) is left out instead, and sound and picture lie together.
const PRIMING: i64 = 1024;
/// How often a picture is considered for the poster.
const POSTER_EVERY: Duration = Duration::from_millis(500);

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Job {
    /// The recording's folder.
    pub recording: PathBuf,
    pub policy: Policy,
    /// Even sides within [`SIDES`].
    pub size: Size,
    /// Pictures a second, within [`RATES`].
    pub fps: u32,
    /// The film's file; `film.mp4` in the recording unless said otherwise.
    pub out: Option<PathBuf>,
}

/// How far a film is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub frames: u64,
    pub of: u64,
}

/// A film that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub film: PathBuf,
    /// A picture in which somebody is to be seen, if anybody is.
    pub poster: Option<PathBuf>,
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    pub frames: u64,
    pub duration_ms: u64,
    pub bytes: u64,
    /// How long it took, and how much faster than the meeting that is.
    pub took_ms: u64,
    pub speed: f64,
    /// Of the whole process while the film was made.
    pub cpu_seconds: f64,
    /// Tracks that could not be used, from where and why.
    pub warnings: Vec<String>,
}

/// Makes a film; tells `progress` after every picture.
///
/// # Errors
/// The user's: no recording, one that is still being made or is empty, sides or rates out of range, a missing package. The
/// machine's: the disk. A track that cannot be used is a warning.
pub fn compose(library: &Library, job: &Job, mut progress: impl FnMut(Progress)) -> Result<Summary> {
    check(job)?;
    let manifest = read(&job.recording)?;
    let frames = manifest.duration_ms.saturating_mul(job.fps.into()).div_ceil(1000);
    if frames == 0 || manifest.tracks.is_empty() || manifest.duration_ms > LONGEST_MS {
        let has = if frames == 0 || manifest.tracks.is_empty() { "nothing in it" } else { "no believable length" };
        return Err(Error::user(format!("{}: the recording has {has} to make a film of", job.recording.display())));
    }
    let (started, cpu) = (Instant::now(), cpu_time());
    let output = Output::create(&job.out.clone().unwrap_or_else(|| job.recording.join("film.mp4")))?;
    let writer = encoder(library, job, &output)?;
    let tracks = job.recording.join(Sub::Tracks.word());
    let mut stage = Stage::new(library, &manifest, &tracks, job.size, job.policy)?;
    let is_sound = |track: &&crate::record::manifest::TrackEntry| track.kind == MediaKind::Audio;
    let mut mixer = Mixer::new(manifest.tracks.iter().filter(is_sound).map(|t| (tracks.join(&t.file), t)), PRIMING);
    let mut warnings = Vec::new();
    let mut poster = Poster::default();
    for number in 0..frames {
        let (at, next) = (time_of(number, job.fps), time_of(number + 1, job.fps));
        // Sound goes first: the muxer holds pictures back until it has heard what belongs to them.
        let heard = mixer.mix(library, sample_of(number + 1, job.fps) + PRIMING, |e| warnings.push(warning(at, &e)));
        writer.stereo(&heard, Duration::from_nanos(sample_of(number, job.fps) as u64 * 1_000_000_000 / RATE as u64))?;
        stage.advance(at, |e| warnings.push(warning(at, &e)))?;
        writer.canvas(stage.canvas(), at, next - at)?;
        poster.consider(&stage, at)?;
        progress(Progress { frames: number + 1, of: frames });
    }
    writer.finish(ENDING)?;
    let found = count_pictures(library, output.part())?;
    if found != frames {
        return Err(Error::us(format!("the film has {found} pictures, not {frames}; it was thrown away")));
    }
    let film = output.publish()?;
    let took = started.elapsed();
    Ok(Summary {
        poster: poster.save(&job.recording)?,
        width: job.size.0,
        height: job.size.1,
        fps: job.fps,
        frames,
        duration_ms: manifest.duration_ms,
        bytes: std::fs::metadata(&film).map(|about| about.len()).unwrap_or(0),
        took_ms: took.as_millis() as u64,
        speed: frames as f64 / f64::from(job.fps) / took.as_secs_f64().max(1e-3),
        cpu_seconds: (cpu_time() - cpu).as_secs_f64(),
        warnings,
        film,
    })
}

fn check(job: &Job) -> Result<()> {
    let (width, height) = job.size;
    if [width, height].iter().any(|side| !SIDES.contains(side) || side % 2 == 1) {
        let (least, most) = (SIDES.start(), SIDES.end());
        return Err(Error::user(format!("--size {width}x{height}: both sides must be even, from {least} to {most}")));
    }
    if !RATES.contains(&job.fps) {
        return Err(Error::user(format!("--fps {}: must be from {} to {}", job.fps, RATES.start(), RATES.end())));
    }
    Ok(())
}

/// The manifest; of a recording that was cut short, what its files and timeline add to it.
fn read(recording: &Path) -> Result<Manifest> {
    let mut manifest = Manifest::load(recording)?;
    if manifest.status != Status::Recording {
        return Ok(manifest);
    }
    if RecordingFolder::is_live(recording) {
        let shown = recording.display();
        return Err(Error::user(format!("{shown} is still being recorded: make the film when it has ended")));
    }
    let events: Vec<Entry> = TimelineReader::open(&recording.join(TIMELINE)).map(Iterator::collect).unwrap_or_default();
    let tracks = recording.join(Sub::Tracks.word());
    let mut scans = Vec::new();
    for file in track_files(recording)? {
        // One that cannot be read has no whole header: there is nothing in it.
        scans.extend(scan(&tracks.join(&file)).map(|scan| (file, scan)));
    }
    complete(&mut manifest, &events, &scans);
    Ok(manifest)
}

fn encoder(library: &Library, job: &Job, output: &Output) -> Result<FileWriter> {
    let int = |value: u32| Value::Int(value.into());
    let values = [
        ("width", int(job.size.0)),
        ("height", int(job.size.1)),
        ("fps", int(job.fps)),
        ("key-every", int(job.fps * 5)),
    ];
    let scratch = output.scratch();
    let scratch = scratch.to_str().ok_or_else(|| Error::user("the film's name must be plain text"))?;
    FileWriter::with(library, "compose/film", output.part(), &values, &[("mux", "faststart-file", scratch)])
}

fn warning(at: Duration, error: &Error) -> String {
    format!("from {:.1} s on: {error}", at.as_secs_f64())
}

/// When a picture begins.
fn time_of(number: u64, fps: u32) -> Duration {
    Duration::from_nanos((u128::from(number) * 1_000_000_000 / u128::from(fps)) as u64)
}

/// The first sample of a picture's sound.
fn sample_of(number: u64, fps: u32) -> i64 {
    (i128::from(number) * i128::from(RATE) / i128::from(fps)) as i64
}

fn cpu_time() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID);
    time.map(Duration::from).unwrap_or_default()
}

/// The picture in which most is to be seen, of those that were looked at.
#[derive(Default)]
struct Poster {
    best: Option<(usize, image::RgbImage)>,
    next: Duration,
}

impl Poster {
    fn consider(&mut self, stage: &Stage, at: Duration) -> Result<()> {
        if at < self.next {
            return Ok(());
        }
        self.next = at + POSTER_EVERY;
        let seen = stage.visible()?;
        if seen > self.best.as_ref().map_or(0, |(best, _)| *best) {
            self.best = Some((seen, stage.canvas().to_rgb()?));
        }
        Ok(())
    }

    fn save(self, recording: &Path) -> Result<Option<PathBuf>> {
        let Some((_, picture)) = self.best else { return Ok(None) };
        let folder = recording.join(Sub::Stills.word());
        match std::fs::create_dir(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(output::fault(&folder, e)),
            _ => {}
        }
        let output = Output::create(&folder.join("poster.jpg"))?;
        let mut bytes = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 88);
        picture.write_with_encoder(encoder).map_err(|e| Error::us("the poster cannot be encoded").because(e))?;
        std::fs::write(output.part(), bytes).map_err(|e| output::fault(output.part(), e))?;
        output.publish().map(Some)
    }
}

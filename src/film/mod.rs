//! A recording as one film: scenes over time, painting, mixing, stills, chapters, subtitles. It reads a recording's tracks and
//! manifest and never changes them; it runs as fast as the machine allows and asks no clock.
//!
//! ```text
//! manifest, timeline -> script -> layout -> stage (pictures of each lane, names, cards) \
//!                       tracks -> lanes, mixer --------------------------------------------> encoder -> film.mp4.part -> film.mp4
//! ```

mod captions;
mod each;
mod feed;
mod format;
mod glide;
mod lane;
pub mod layout;
mod live;
mod loudness;
mod output;
mod paint;
mod place;
mod reel;
mod script;
mod sound;
mod source;
mod stage;
mod stills;
mod text;

pub use each::{People, Person, each};
pub use format::{Container, FilmCodec, Format, Quality};
pub use live::follow;
pub use loudness::R128;
pub use stage::Look;
pub use stills::{Slide, Stills};

use crate::error::{Error, Result};
use crate::film::layout::SIDES;
use crate::media::Library;
use crate::recording::folder::Sub;
use crate::recording::timeline::Entry;
use captions::Part;
use output::Output;
use reel::Reel;
use script::Script;
use serde::Serialize;
use sound::{Mixer, RATE};
use stage::Stage;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stills::Album;

/// Pictures a second that a film may have.
pub const RATES: std::ops::RangeInclusive<u32> = 1..=60;
/// Sound that is mixed at once where there are no pictures.
const STEP: Duration = Duration::from_millis(200);

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Job {
    /// The recording's folder.
    pub recording: PathBuf,
    /// The film's file; `film.mp4` (or what its format ends in) in the recording unless said otherwise.
    pub out: Option<PathBuf>,
    /// None: sound alone.
    pub picture: Option<PictureJob>,
    /// The part of the session that is shown.
    pub from: Duration,
    pub until: Option<Duration>,
    /// Participants who are left out, by name or key.
    pub without: Vec<String>,
    /// How loud the film is to be, in LUFS (EBU R 128); as it was, unless said otherwise.
    pub loudness: Option<f64>,
}

/// How a film's pictures are made.
#[derive(Debug, Clone)]
pub struct PictureJob {
    /// Its sides are even and within [`SIDES`].
    pub look: Look,
    /// Pictures a second, within [`RATES`].
    pub fps: u32,
    pub codec: Option<FilmCodec>,
    pub quality: Quality,
    /// Poster, contact sheet and slides beside the film.
    pub stills: bool,
}

/// How far a film is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub done: Duration,
    pub of: Duration,
}

/// A film that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub film: PathBuf,
    pub stills: Stills,
    /// Who speaks and what was written, as WebVTT.
    pub subtitles: Vec<PathBuf>,
    pub chapters: usize,
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
    /// What the loudness was measured to be, in LUFS, where it was to be changed.
    pub loudness: Option<f64>,
    /// Tracks that could not be used, from where and why.
    pub warnings: Vec<String>,
}

/// Makes a film, or its sound alone; tells `progress` after every picture, which may end it: nothing is left then.
///
/// # Errors
/// The user's: no recording or one that is empty, sides, rates or times out of range, a missing package. The machine's: the disk.
/// A track that cannot be used is a warning.
pub fn compose(library: &Library, job: &Job, mut progress: impl FnMut(Progress) -> Result<()>) -> Result<Summary> {
    job.check()?;
    let meter = Meter::start();
    let source = source::read(&job.recording)?;
    let grows = source::is_live(&job.recording);
    let without = source::keys(&source.manifest, &job.without)?;
    let part = job.part(source.manifest.duration_ms)?;
    let script = Script::new(source.manifest, &source.events, without);
    let mut made = Making {
        library,
        job,
        part,
        chapters: captions::chapters(&script, part),
        script,
        tracks: job.recording.join(Sub::Tracks.word()),
        // A recording that grows is taken as it is now.
        warnings: if grows {
            vec!["the recording still goes on: the film ends where it is now".into()]
        } else {
            Vec::new()
        },
    };
    let (gain, loudness) = made.gain(&mut progress)?;
    let (film, frames, stills) = match &job.picture {
        Some(picture) => made.film(picture, gain, &mut progress)?,
        None => (made.sound(gain, &mut progress)?, 0, Stills::default()),
    };
    let subtitles = subtitles(&film, &made.script, &source.events, part)?;
    let lasts = Duration::from_millis(part.until_ms - part.from_ms);
    let (chapters, warnings) = (made.chapters.len(), made.warnings);
    let summary = Summary::of(film, job.picture.as_ref(), frames, lasts, &meter);
    Ok(Summary { stills, subtitles, chapters, loudness, warnings, ..summary })
}

/// Writes who speaks and what was written beside a film.
fn subtitles(film: &Path, script: &Script, events: &[Entry], part: Part) -> Result<Vec<PathBuf>> {
    let texts =
        [("speakers", captions::speakers(script, events, part)), ("chat", captions::chat(script, events, part))];
    let written = texts.into_iter().filter_map(|(kind, text)| Some((kind, text?)));
    written
        .map(|(kind, text)| Output::create(&film.with_extension(format!("{kind}.vtt")))?.write(text.as_bytes()))
        .collect()
}

impl Summary {
    /// What can be said of any film.
    fn of(film: PathBuf, picture: Option<&PictureJob>, frames: u64, lasts: Duration, meter: &Meter) -> Summary {
        let ((width, height), fps) = picture.map_or(((0, 0), 0), |picture| (picture.look.size, picture.fps));
        let took = meter.started.elapsed();
        Summary {
            stills: Stills::default(),
            subtitles: Vec::new(),
            chapters: 0,
            width,
            height,
            fps,
            frames,
            duration_ms: u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX),
            bytes: std::fs::metadata(&film).map(|about| about.len()).unwrap_or(0),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            speed: lasts.as_secs_f64() / took.as_secs_f64().max(1e-3),
            cpu_seconds: (cpu_time() - meter.cpu).as_secs_f64(),
            loudness: None,
            warnings: Vec::new(),
            film,
        }
    }
}

/// What a film costs, from now on.
struct Meter {
    started: Instant,
    cpu: Duration,
}

impl Meter {
    fn start() -> Meter {
        Meter { started: Instant::now(), cpu: cpu_time() }
    }
}

impl Job {
    /// The usual film of a whole recording: 1280x720, the layout that fits, with stills.
    pub fn usual(recording: PathBuf, fps: u32) -> Job {
        let look = Look { size: (1280, 720), ..Look::default() };
        let picture = PictureJob { look, fps, codec: None, quality: Quality::Fast, stills: true };
        let (picture, from, without) = (Some(picture), Duration::ZERO, Vec::new());
        Job { recording, out: None, picture, from, until: None, without, loudness: None }
    }

    fn check(&self) -> Result<()> {
        let Some(picture) = &self.picture else { return Ok(()) };
        let (width, height) = picture.look.size;
        if [width, height].iter().any(|side| !SIDES.contains(side) || side % 2 == 1) {
            let (least, most) = (SIDES.start(), SIDES.end());
            return Err(Error::user(format!(
                "--size {width}x{height}: both sides must be even, from {least} to {most}"
            )));
        }
        if !RATES.contains(&picture.fps) {
            return Err(Error::user(format!(
                "--fps {}: must be from {} to {}",
                picture.fps,
                RATES.start(),
                RATES.end()
            )));
        }
        Ok(())
    }

    fn part(&self, duration_ms: u64) -> Result<Part> {
        let ms = |at: Duration| u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let until_ms = self.until.map_or(duration_ms, ms).min(duration_ms);
        let from_ms = ms(self.from);
        if from_ms >= until_ms {
            let seconds = duration_ms as f64 / 1000.0;
            return Err(Error::user(format!("--from and --to: nothing is left of a recording of {seconds:.1} s")));
        }
        Ok(Part { from_ms, until_ms })
    }
}

/// A film that is being made.
struct Making<'a> {
    library: &'a Library,
    job: &'a Job,
    part: Part,
    script: Script,
    tracks: PathBuf,
    chapters: Vec<crate::container::Chapter>,
    warnings: Vec<String>,
}

impl Making<'_> {
    fn from(&self) -> Duration {
        Duration::from_millis(self.part.from_ms)
    }

    fn lasts(&self) -> Duration {
        Duration::from_millis(self.part.until_ms - self.part.from_ms)
    }

    /// All sound from the film's start on, `priming` samples of it left out.
    fn mixer(&self, priming: i64) -> Mixer {
        let mut mixer = Mixer::new(samples(self.from()) + priming);
        let heard = self.script.manifest.tracks.iter().filter(|track| self.script.is_heard(track));
        heard.for_each(|track| mixer.add(self.tracks.join(&track.file), track, false));
        mixer
    }

    /// What to multiply the sound with, and how loud it is, where that is asked for. Hears all of it.
    fn gain(&self, progress: &mut impl FnMut(Progress) -> Result<()>) -> Result<(f32, Option<f64>)> {
        let Some(target) = self.job.loudness else { return Ok((1.0, None)) };
        let (mut mixer, mut loudness) = (self.mixer(0), loudness::Loudness::default());
        let (mut at, end) = (self.from(), self.from() + self.lasts());
        while at < end {
            at = (at + STEP).min(end);
            // What fails will fail again, and be told then.
            loudness.hear(&mixer.sum(self.library, samples(at), drop));
            progress(Progress { done: Duration::ZERO, of: self.lasts() })?;
        }
        Ok((loudness.gain_to(target), loudness.integrated()))
    }

    fn film(
        &mut self,
        picture: &PictureJob,
        gain: f32,
        progress: &mut impl FnMut(Progress) -> Result<()>,
    ) -> Result<(PathBuf, u64, Stills)> {
        let format = Format::of(picture.codec, self.job.out.as_deref(), picture.quality)?;
        let usual = || self.job.recording.join(format!("film.{}", format.extension()));
        let output = Output::create(&self.job.out.clone().unwrap_or_else(usual))?;
        let mut reel = Reel::start(self.library, output, format, picture.look.size, picture.fps)?;
        let title = picture.look.title.clone().unwrap_or_else(|| self.script.manifest.room.clone());
        reel.describe(&title, self.script.manifest.started, &self.chapters)?;
        let mut stage = Stage::new(self.library, self.script.clone(), self.tracks.clone(), picture.look.clone())?;
        let mut mixer = self.mixer(format.priming());
        mixer.amplify(gain);
        let (from, lasts) = (self.from(), self.lasts());
        let mut album = Album::new(&self.job.recording, from, Some(lasts));
        let frames = reel.frames_in(lasts);
        let together = u64::from(picture.fps / 5).max(1);
        for number in 0..frames {
            let (in_film, next) = (reel.time_of(number), reel.time_of(number + 1));
            let at = from + in_film;
            let seen = from + middle(in_film, next).min(lasts.saturating_sub(Duration::from_millis(1)));
            let warnings = &mut self.warnings;
            // Sound goes first, of some pictures at once: the muxer holds pictures back until it has heard what belongs to them.
            if number.is_multiple_of(together) {
                let heard = reel.time_of((number + together).min(frames));
                let until = samples(from) + samples(heard) + format.priming();
                reel.sound(&mixer.mix(self.library, until, |e| warnings.push(warning(at, &e))))?;
            }
            stage.advance(seen, |e| warnings.push(warning(at, &e)))?;
            reel.picture(stage.canvas())?;
            if picture.stills {
                album.look(&mut stage, &self.script, at)?;
            }
            progress(Progress { done: next.min(lasts), of: lasts })?;
        }
        if picture.stills {
            album.look_behind_title(&mut stage, from + lasts.saturating_sub(Duration::from_millis(1)))?;
        }
        let film = reel.finish(&self.chapters)?;
        let stills = if picture.stills { album.finish(self.library, from)? } else { Stills::default() };
        Ok((film, frames, stills))
    }

    /// Sound alone.
    fn sound(&mut self, gain: f32, progress: &mut impl FnMut(Progress) -> Result<()>) -> Result<PathBuf> {
        let out = self.job.out.clone().unwrap_or_else(|| self.job.recording.join("film.opus"));
        let (pipeline, priming) = format::sound(&out)?;
        let mut reel = Reel::of_sound(self.library, Output::create(&out)?, pipeline)?;
        reel.describe(&self.script.manifest.room, self.script.manifest.started, &[])?;
        let mut mixer = self.mixer(priming);
        mixer.amplify(gain);
        let (from, lasts) = (self.from(), self.lasts());
        let mut done = Duration::ZERO;
        while done < lasts {
            let at = from + done;
            done = (done + STEP).min(lasts);
            let warnings = &mut self.warnings;
            let until = samples(from) + samples(done) + priming;
            reel.sound(&mixer.mix(self.library, until, |e| warnings.push(warning(at, &e))))?;
            progress(Progress { done, of: lasts })?;
        }
        reel.finish(&[])
    }
}

fn warning(at: Duration, error: &Error) -> String {
    format!("from {:.1} s on: {error}", at.as_secs_f64())
}

/// A picture of the film shows what is to be seen in the middle of its time: so nothing is seen more than half a picture too late or
/// too early, and sources that begin with the film's pictures lie far from where they would be missed or seen twice.
fn middle(begins: Duration, ends: Duration) -> Duration {
    begins + ends.saturating_sub(begins) / 2
}

/// The first sample of a time.
fn samples(at: Duration) -> i64 {
    i64::try_from(at.as_nanos() * RATE as u128 / 1_000_000_000).unwrap_or(i64::MAX)
}

/// Of the whole process, in user and kernel.
fn cpu_time() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID);
    time.map(Duration::from).unwrap_or_default()
}

//! A film of a recording that has ended, or of a recording as far as it goes now.

use super::captions::{self, TimeRange};
use super::encoder_output::EncoderOutput;
use super::format::{self, Format};
use super::job::{Job, Progress, VideoOptions};
use super::loudness::Loudness;
use super::scene_plan::ScenePlan;
use super::scene_renderer::SceneRenderer;
use super::snapshot;
use super::sound::{Mixer, RATE};
use super::speech;
use super::stills::{Stills, StillsCollector};
use super::summary::{CostMeter, Summary};
use crate::container::Chapter;
use crate::error::{Error, Result};
use crate::media::Library;
use crate::output::PartFile;
use crate::recording::folder::Subfolder;
use crate::recording::timeline::Entry;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Sound that is mixed at once where there is no video.
const AUDIO_STEP: Duration = Duration::from_millis(200);
/// Before the end of a film, where its last picture is taken.
const INSTANT: Duration = Duration::from_millis(1);

/// Makes a film, or its sound alone. Calls `progress` after every frame; its error ends the film, and nothing is left then.
///
/// # Errors
/// The user's: no recording or an empty one, sizes, rates or times out of range, a missing package. The machine's: the disk.
/// A track that cannot be used is a warning.
pub fn compose(library: &Library, job: &Job, mut progress: impl FnMut(Progress) -> Result<()>) -> Result<Summary> {
    job.check()?;
    let cost = CostMeter::start();
    let recording = snapshot::read(&job.recording)?;
    let is_live = snapshot::is_live(&job.recording);
    let without = snapshot::keys(&recording.manifest, &job.without)?;
    let range = job.time_range(recording.manifest.duration_ms)?;
    let mut plan = ScenePlan::new(recording.manifest, &recording.events, without);
    let tracks = job.recording.join(Subfolder::Tracks.name());
    let events = speech::heard(library, &plan, &recording.events, &tracks, range);
    plan.set_events(&events);
    let mut composer = Composer {
        library,
        job,
        range,
        chapters: captions::chapters(&plan, range),
        plan,
        tracks,
        warnings: if is_live {
            vec!["the recording still goes on: the film ends where it is now".into()]
        } else {
            Vec::new()
        },
    };
    let (gain, loudness) = composer.gain(&mut progress)?;
    let (film, frames, stills) = match &job.video {
        Some(video) => composer.film(video, gain, &mut progress)?,
        None => (composer.sound(gain, &mut progress)?, 0, Stills::default()),
    };
    let subtitles = write_subtitles(&film, &composer.plan, &events, range)?;
    let (chapters, warnings) = (composer.chapters.len(), composer.warnings);
    let summary = Summary::of(film, job.video.as_ref(), frames, range.length(), &cost);
    Ok(Summary { stills, subtitles, chapters, loudness, warnings, ..summary })
}

/// A film that is being made.
struct Composer<'a> {
    library: &'a Library,
    job: &'a Job,
    range: TimeRange,
    plan: ScenePlan,
    tracks: PathBuf,
    chapters: Vec<Chapter>,
    warnings: Vec<String>,
}

impl Composer<'_> {
    /// A mixer of all sound from the film's start on, without its first `priming` samples.
    fn mixer(&self, priming: i64) -> Mixer {
        let mut mixer = Mixer::new(samples(self.range.start()) + priming);
        let audible = self.plan.manifest.tracks.iter().filter(|track| self.plan.is_audible(track));
        audible.for_each(|track| mixer.add(self.tracks.join(&track.file), track, false));
        mixer
    }

    /// The factor that makes the film as loud as wanted, and the measured loudness. Decodes all sound where that is asked for.
    fn gain(&self, progress: &mut impl FnMut(Progress) -> Result<()>) -> Result<(f32, Option<f64>)> {
        let Some(target) = self.job.loudness else { return Ok((1.0, None)) };
        let (mut mixer, mut loudness) = (self.mixer(0), Loudness::new()?);
        let (mut at, end) = (self.range.start(), self.range.start() + self.range.length());
        while at < end {
            at = (at + AUDIO_STEP).min(end);
            // Tracks that fail here fail again when the film is made, and are reported then.
            loudness.add(&mixer.sum(self.library, samples(at), drop))?;
            progress(Progress { done: Duration::ZERO, of: self.range.length() })?;
        }
        Ok((loudness.gain_to(target), loudness.integrated()))
    }

    fn film(
        &mut self,
        video: &VideoOptions,
        gain: f32,
        progress: &mut impl FnMut(Progress) -> Result<()>,
    ) -> Result<(PathBuf, u64, Stills)> {
        let format = Format::of(video.codec, self.job.out.as_deref(), video.quality)?;
        let usual = || self.job.recording.join(format!("film.{}", format.extension()));
        let file = PartFile::create(&self.job.out.clone().unwrap_or_else(usual))?;
        let mut output = EncoderOutput::start(self.library, file, format, video.scene.size, video.fps)?;
        let title = video.scene.title.clone().unwrap_or_else(|| self.plan.manifest.room.clone());
        output.describe(&title, self.plan.manifest.started, &self.chapters)?;
        let mut renderer =
            SceneRenderer::new(self.library, self.plan.clone(), self.tracks.clone(), video.scene.clone())?;
        let mut mixer = self.mixer(format.priming());
        mixer.set_gain(gain);
        let (from, length) = (self.range.start(), self.range.length());
        let mut stills = StillsCollector::new(&self.job.recording, from, Some(length));
        let frames = output.frames_in(length);
        let audio_batch = u64::from(video.fps / 5).max(1);
        for number in 0..frames {
            let (in_film, next) = (output.time_of(number), output.time_of(number + 1));
            let at = from + in_film;
            let shown = from + midpoint(in_film, next).min(length.saturating_sub(INSTANT));
            let warnings = &mut self.warnings;
            // Sound goes first, of some frames at once: the muxer holds video back until it has the sound that belongs to it.
            if number.is_multiple_of(audio_batch) {
                let mixed = output.time_of((number + audio_batch).min(frames));
                let until = samples(from) + samples(mixed) + format.priming();
                output.push_sound(&mixer.mix(self.library, until, |e| warnings.push(warning(at, &e))))?;
            }
            renderer.advance(shown, |e| warnings.push(warning(at, &e)))?;
            output.push_frame(renderer.canvas())?;
            if video.stills {
                stills.look(&mut renderer, &self.plan, at)?;
            }
            progress(Progress { done: next.min(length), of: length })?;
        }
        if video.stills {
            stills.look_behind_title(&mut renderer, from + length.saturating_sub(INSTANT))?;
        }
        let film = output.finish(&self.chapters)?;
        let stills = if video.stills { stills.finish(self.library, from)? } else { Stills::default() };
        Ok((film, frames, stills))
    }

    /// Sound alone.
    fn sound(&mut self, gain: f32, progress: &mut impl FnMut(Progress) -> Result<()>) -> Result<PathBuf> {
        let out = self.job.out.clone().unwrap_or_else(|| self.job.recording.join("film.opus"));
        let (pipeline, priming) = format::audio_pipeline(&out)?;
        let mut output = EncoderOutput::audio_only(self.library, PartFile::create(&out)?, pipeline)?;
        output.describe(&self.plan.manifest.room, self.plan.manifest.started, &[])?;
        let mut mixer = self.mixer(priming);
        mixer.set_gain(gain);
        let (from, length) = (self.range.start(), self.range.length());
        let mut done = Duration::ZERO;
        while done < length {
            let at = from + done;
            done = (done + AUDIO_STEP).min(length);
            let warnings = &mut self.warnings;
            let until = samples(from) + samples(done) + priming;
            output.push_sound(&mixer.mix(self.library, until, |e| warnings.push(warning(at, &e))))?;
            progress(Progress { done, of: length })?;
        }
        output.finish(&[])
    }
}

/// Writes who speaks and the chat as WebVTT beside a film.
pub(super) fn write_subtitles(
    film: &Path,
    plan: &ScenePlan,
    events: &[Entry],
    range: TimeRange,
) -> Result<Vec<PathBuf>> {
    let texts = [("speakers", captions::speakers(plan, events, range)), ("chat", captions::chat(plan, events, range))];
    let present = texts.into_iter().filter_map(|(kind, text)| Some((kind, text?)));
    present
        .map(|(kind, text)| PartFile::create(&film.with_extension(format!("{kind}.vtt")))?.write(text.as_bytes()))
        .collect()
}

/// The warning of a track that fails at `at`.
pub(super) fn warning(at: Duration, error: &Error) -> String {
    format!("from {:.1} s on: {error}", at.as_secs_f64())
}

/// A frame shows what is to be seen in the middle of its time: nothing is shown more than half a frame late or early, and sources
/// whose frames begin with those of the film are not missed or shown twice.
pub(super) fn midpoint(begin: Duration, end: Duration) -> Duration {
    begin + end.saturating_sub(begin) / 2
}

/// The number of the first sample at or after `at`.
pub(super) fn samples(at: Duration) -> i64 {
    i64::try_from(at.as_nanos() * RATE as u128 / 1_000_000_000).unwrap_or(i64::MAX)
}

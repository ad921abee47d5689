//! A film that grows while its meeting is recorded, some seconds behind. It reads what the recorder has written and changes none of it;
//! where the machine is too slow, the film gets fewer frames.

use super::captions::{self, TimeRange};
use super::compose::{midpoint, samples, warning, write_subtitles};
use super::encoder_output::EncoderOutput;
use super::format::{Container, FilmCodec, Format};
use super::job::{Job, Progress};
use super::scene_plan::ScenePlan;
use super::scene_renderer::SceneRenderer;
use super::snapshot::{self, Snapshot};
use super::sound::Mixer;
use super::stills::{Stills, StillsCollector};
use super::summary::{CostMeter, Summary};
use crate::error::{Error, Result};
use crate::media::Library;
use crate::output::PartFile;
use crate::recording::folder::{Subfolder, TIMELINE};
use crate::recording::timeline::{Entry, Event, TimelineWriter};
use std::path::Path;
use std::time::{Duration, Instant};

/// How far the film is behind the meeting: recorders write about twice a second, and late packets have to arrive.
const DELAY: Duration = Duration::from_secs(2);
/// How often manifest and timeline are read.
const REFRESH: Duration = Duration::from_secs(1);
/// How often to look whether the next frame is due.
const POLL: Duration = Duration::from_millis(50);
/// When the film is later than this, every second frame is skipped; later than twice as much, three of four.
const LATE: Duration = Duration::from_secs(2);

/// Follows a recording until it has ended, and makes its film. With `hls`, as HLS into that folder, too.
///
/// # Errors
/// The user's: the recording has ended already, or a package is missing. The machine's: the disk, the encoder.
pub fn follow(
    library: &Library,
    job: &Job,
    hls: Option<&Path>,
    mut progress: impl FnMut(Progress) -> Result<()>,
) -> Result<Summary> {
    job.check()?;
    let cost = CostMeter::start();
    let video = job.video.as_ref().ok_or_else(|| Error::user("a film of sound alone cannot follow a recording"))?;
    let format = Format::of(video.codec, job.out.as_deref(), video.quality)?;
    if format.codec != FilmCodec::H264 || format.container != Container::Mp4 {
        return Err(Error::user("a film that follows a recording is H.264 in MP4"));
    }
    let (mut recording, mut is_live) = wait_for_tracks(&job.recording)?;
    let file = PartFile::create(&job.out.clone().unwrap_or_else(|| job.recording.join("film.mp4")))?;
    let mut output = EncoderOutput::live(library, file, video.scene.size, video.fps, hls)?;
    output.describe(&recording.manifest.room, recording.manifest.started, &[])?;
    let mut plan = ScenePlan::new(recording.manifest.clone(), &recording.events, Vec::new());
    let tracks = job.recording.join(Subfolder::Tracks.name());
    let mut renderer = SceneRenderer::new(library, plan.clone(), tracks.clone(), video.scene.clone())?;
    let mut mixer = Mixer::new(format.priming());
    update_mixer(&mut mixer, &plan, &tracks, is_live);
    renderer.update(plan.clone(), is_live);
    let mut refreshed = Instant::now();
    let mut stills = StillsCollector::new(&job.recording, Duration::ZERO, None);
    let (mut warnings, mut frame_skipper) = (Vec::new(), FrameSkipper::default());
    let timeline = job.recording.join(TIMELINE);
    let mut number = 0;
    loop {
        if is_live && refreshed.elapsed() >= REFRESH {
            refreshed = Instant::now();
            is_live = snapshot::is_live(&job.recording);
            recording = if is_live { snapshot::read_live(&job.recording)? } else { snapshot::read(&job.recording)? };
            plan = ScenePlan::new(recording.manifest.clone(), &recording.events, Vec::new());
            update_mixer(&mut mixer, &plan, &tracks, is_live);
            renderer.update(plan.clone(), is_live);
        }
        let length = Duration::from_millis(recording.manifest.duration_ms);
        let until = if is_live { elapsed(&recording).saturating_sub(DELAY) } else { length };
        let (at, next) = (output.time_of(number), output.time_of(number + 1));
        if (is_live && next > until) || at >= until {
            if !is_live {
                break;
            }
            std::thread::sleep(POLL);
            continue;
        }
        number += 1;
        if let Some(skipped) = frame_skipper.ended_before(at) {
            report_skipped(&timeline, recording.manifest.started, skipped);
        }
        output.push_sound(&mixer.mix(library, samples(next) + format.priming(), |e| warnings.push(warning(at, &e))))?;
        let late = if is_live { until.saturating_sub(next) } else { Duration::ZERO };
        if frame_skipper.skips(number, at, next, late) {
            output.skip_frame();
        } else {
            let shown = midpoint(at, next);
            let shown = if is_live { shown } else { shown.min(length.saturating_sub(Duration::from_millis(1))) };
            renderer.advance(shown, |e| warnings.push(warning(at, &e)))?;
            output.push_frame(renderer.canvas())?;
            if video.stills {
                stills.look(&mut renderer, &plan, at)?;
            }
        }
        progress(Progress { done: next, of: until.max(next) })?;
    }
    if let Some(skipped) = frame_skipper.ended_before(Duration::MAX) {
        report_skipped(&timeline, recording.manifest.started, skipped);
    }
    warnings.extend(frame_skipper.warnings());
    let range = TimeRange { from_ms: 0, until_ms: recording.manifest.duration_ms };
    let chapters = captions::chapters(&plan, range);
    if video.stills {
        let end = Duration::from_millis(range.until_ms.saturating_sub(1));
        stills.look_behind_title(&mut renderer, end)?;
    }
    let film = output.finish(&chapters)?;
    let stills = if video.stills { stills.finish(library, Duration::ZERO)? } else { Stills::default() };
    let subtitles = write_subtitles(&film, &plan, &recording.events, range)?;
    Ok(Summary {
        stills,
        subtitles,
        chapters: chapters.len(),
        warnings,
        ..Summary::of(film, Some(video), number, range.length(), &cost)
    })
}

/// Waits until the recording has a track, or has ended. True where it still goes on.
fn wait_for_tracks(recording: &Path) -> Result<(Snapshot, bool)> {
    if !snapshot::is_live(recording) {
        let shown = recording.display();
        return Err(Error::user(format!("nobody records into {shown}: make its film without --follow")));
    }
    loop {
        let is_live = snapshot::is_live(recording);
        let snapshot = if is_live { snapshot::read_live(recording) } else { snapshot::read(recording) };
        match snapshot {
            Ok(snapshot) => return Ok((snapshot, is_live)),
            Err(error) if !is_live => return Err(error),
            // No track yet, or no manifest.
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// The length of the recording by now.
fn elapsed(recording: &Snapshot) -> Duration {
    let passed = jiff::Timestamp::now().duration_since(recording.manifest.started);
    Duration::try_from(passed).unwrap_or_default()
}

/// Adds new tracks to the mixer, and updates the others.
fn update_mixer(mixer: &mut Mixer, plan: &ScenePlan, tracks: &Path, is_live: bool) {
    let audible = plan.manifest.tracks.iter().filter(|track| plan.is_audible(track));
    for (number, track) in audible.enumerate() {
        let grows = is_live && !track.finished;
        if !mixer.update(number, track, grows) {
            mixer.add(tracks.join(&track.file), track, grows);
        }
    }
}

/// Writes into the timeline that frames were skipped. An error does not end the film: the summary has it, too.
fn report_skipped(timeline: &Path, started: jiff::Timestamp, skipped: SkippedFrames) {
    let ms = |at: Duration| u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
    let SkippedFrames { from, until, frames } = skipped;
    let event = Event::FilmShort { start_ms: ms(from), end_ms: ms(until), pictures: frames };
    let at = jiff::SignedDuration::try_from(until).ok().and_then(|passed| started.checked_add(passed).ok());
    let entry = Entry { t_ms: ms(until), at: at.unwrap_or(started), event };
    if let Err(error) = TimelineWriter::beside(timeline).and_then(|mut timeline| timeline.append(&entry)) {
        tracing::warn!("{error}");
    }
}

/// A part of the film in which frames are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SkippedFrames {
    from: Duration,
    /// The end of the last missing frame.
    until: Duration,
    frames: u64,
}

/// Decides by the film's lateness which frames are skipped, and records which were.
#[derive(Default)]
struct FrameSkipper {
    skipped: Vec<SkippedFrames>,
    /// How many of these [`FrameSkipper::ended_before`] has returned.
    reported: usize,
}

impl FrameSkipper {
    /// Whether frame `number`, shown from `at` until `next`, is skipped.
    fn skips(&mut self, number: u64, at: Duration, next: Duration, late: Duration) -> bool {
        let keep_one_of = if late > 2 * LATE { 4 } else { 2 };
        if late <= LATE || number.is_multiple_of(keep_one_of) {
            return false;
        }
        match self.skipped.last_mut() {
            Some(part) if at <= part.until + LATE => (part.until, part.frames) = (next, part.frames + 1),
            _ => self.skipped.push(SkippedFrames { from: at, until: next, frames: 1 }),
        }
        true
    }

    /// A part that has ended at `at` and was not returned before.
    fn ended_before(&mut self, at: Duration) -> Option<SkippedFrames> {
        let part = self.skipped.get(self.reported).filter(|part| at > part.until + LATE)?;
        self.reported += 1;
        Some(*part)
    }

    fn warnings(&self) -> impl Iterator<Item = String> {
        let warning = |SkippedFrames { from, until, frames }: &SkippedFrames| {
            let (from, until) = (from.as_secs_f64(), until.as_secs_f64());
            format!("from {from:.1} s to {until:.1} s the machine was too slow: {frames} frames were left out")
        };
        self.skipped.iter().map(warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::timeline::TimelineReader;

    #[test]
    fn who_is_late_leaves_pictures_out_and_says_so() {
        let mut skipper = FrameSkipper::default();
        let (second, next) = (Duration::from_secs(1), Duration::from_millis(1033));
        let made = |skipper: &mut FrameSkipper, late| (0..8).filter(|n| !skipper.skips(*n, second, next, late)).count();
        assert_eq!(
            [made(&mut skipper, second), made(&mut skipper, 3 * second), made(&mut skipper, 9 * second)],
            [8, 4, 2]
        );
        assert_eq!(
            skipper.warnings().collect::<Vec<_>>(),
            ["from 1.0 s to 1.0 s the machine was too slow: 10 frames were left out"]
        );
        assert_eq!(skipper.ended_before(3 * second), None, "it may go on");
        let skipped = skipper.ended_before(4 * second).unwrap();
        assert_eq!(skipped, SkippedFrames { from: second, until: next, frames: 10 });
        assert_eq!(skipper.ended_before(Duration::MAX), None, "once is enough");

        let dir = tempfile::tempdir().unwrap();
        let timeline = dir.path().join(TIMELINE);
        report_skipped(&timeline, jiff::Timestamp::UNIX_EPOCH, skipped);
        assert!(!timeline.exists(), "a timeline that is not there is not begun");
        std::fs::write(&timeline, "").unwrap();
        report_skipped(&timeline, jiff::Timestamp::UNIX_EPOCH, skipped);
        let read: Vec<Event> = TimelineReader::open(&timeline).unwrap().map(|entry| entry.event).collect();
        assert_eq!(read, [Event::FilmShort { start_ms: 1000, end_ms: 1033, pictures: 10 }]);
    }
}

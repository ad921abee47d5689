//! A film that grows while its meeting is recorded: the same stage and mixer, some seconds behind. It reads what the recorder has
//! written and touches nothing of it; where the machine is short, the film's frame rate suffers first.

use super::captions::{self, Part};
use super::format::{Container, FilmCodec, Format};
use super::output::Output;
use super::reel::Reel;
use super::script::Script;
use super::sound::Mixer;
use super::source::{self, Source};
use super::stage::Stage;
use super::stills::{Album, Stills};
use super::{Job, Meter, Progress, Summary, middle, samples, subtitles, warning};
use crate::error::{Error, Result};
use crate::media::Library;
use crate::recording::folder::{Sub, TIMELINE};
use crate::recording::timeline::{Entry, Event, TimelineWriter};
use std::path::Path;
use std::time::{Duration, Instant};

/// So far the film is behind the meeting: recorders write about twice a second, and packets are waited for.
const DELAY: Duration = Duration::from_secs(2);
/// How often the recording is looked at.
const LOOK: Duration = Duration::from_secs(1);
const NAP: Duration = Duration::from_millis(50);
/// Later than this, every second picture is left out; later than twice as much, three of four.
const LATE: Duration = Duration::from_secs(2);

/// Follows a recording until it has ended, and makes its film; as HLS into a folder, too, if one is given.
///
/// # Errors
/// The user's: nobody records into it, a package is missing. The machine's: the disk, the encoder.
pub fn follow(
    library: &Library,
    job: &Job,
    hls: Option<&Path>,
    mut progress: impl FnMut(Progress) -> Result<()>,
) -> Result<Summary> {
    job.check()?;
    let meter = Meter::start();
    let picture = job.picture.as_ref().ok_or_else(|| Error::user("a film of sound alone cannot follow a recording"))?;
    let format = Format::of(picture.codec, job.out.as_deref(), picture.quality)?;
    if format.codec != FilmCodec::H264 || format.container != Container::Mp4 {
        return Err(Error::user("a film that follows a recording is H.264 in MP4"));
    }
    let (mut source, mut is_live) = begin(&job.recording)?;
    let output = Output::create(&job.out.clone().unwrap_or_else(|| job.recording.join("film.mp4")))?;
    let mut reel = Reel::live(library, output, picture.look.size, picture.fps, hls)?;
    reel.describe(&source.manifest.room, source.manifest.started, &[])?;
    let mut script = Script::new(source.manifest.clone(), &source.events, Vec::new());
    let tracks = job.recording.join(Sub::Tracks.word());
    let mut stage = Stage::new(library, script.clone(), tracks.clone(), picture.look.clone())?;
    let mut mixer = Mixer::new(format.priming());
    hear(&mut mixer, &script, &tracks, is_live);
    stage.update(script.clone(), is_live);
    let mut looked = Instant::now();
    let mut album = Album::new(&job.recording, Duration::ZERO, None);
    let (mut warnings, mut rate) = (Vec::new(), Rate::default());
    let timeline = job.recording.join(TIMELINE);
    let mut number = 0;
    loop {
        if is_live && looked.elapsed() >= LOOK {
            looked = Instant::now();
            is_live = source::is_live(&job.recording);
            source = if is_live { source::read_live(&job.recording)? } else { source::read(&job.recording)? };
            script = Script::new(source.manifest.clone(), &source.events, Vec::new());
            hear(&mut mixer, &script, &tracks, is_live);
            stage.update(script.clone(), is_live);
        }
        let lasts = Duration::from_millis(source.manifest.duration_ms);
        let until = if is_live { now(&source).saturating_sub(DELAY) } else { lasts };
        let (at, next) = (reel.time_of(number), reel.time_of(number + 1));
        if (is_live && next > until) || at >= until {
            if !is_live {
                break;
            }
            std::thread::sleep(NAP);
            continue;
        }
        number += 1;
        if let Some(short) = rate.over(at) {
            tell(&timeline, source.manifest.started, short);
        }
        reel.sound(&mixer.mix(library, samples(next) + format.priming(), |e| warnings.push(warning(at, &e))))?;
        let late = if is_live { until.saturating_sub(next) } else { Duration::ZERO };
        if rate.leaves_out(number, at, next, late) {
            reel.leave_out();
        } else {
            let seen = middle(at, next);
            let seen = if is_live { seen } else { seen.min(lasts.saturating_sub(Duration::from_millis(1))) };
            stage.advance(seen, |e| warnings.push(warning(at, &e)))?;
            reel.picture(stage.canvas())?;
            if picture.stills {
                album.look(&mut stage, &script, at)?;
            }
        }
        progress(Progress { done: next, of: until.max(next) })?;
    }
    if let Some(short) = rate.over(Duration::MAX) {
        tell(&timeline, source.manifest.started, short);
    }
    warnings.extend(rate.told());
    let part = Part { from_ms: 0, until_ms: source.manifest.duration_ms };
    let chapters = captions::chapters(&script, part);
    if picture.stills {
        let end = Duration::from_millis(part.until_ms.saturating_sub(1));
        album.look_behind_title(&mut stage, end)?;
    }
    let film = reel.finish(&chapters)?;
    let stills = if picture.stills { album.finish(library, Duration::ZERO)? } else { Stills::default() };
    let subtitles = subtitles(&film, &script, &source.events, part)?;
    let lasts = Duration::from_millis(part.until_ms);
    Ok(Summary {
        stills,
        subtitles,
        chapters: chapters.len(),
        warnings,
        ..Summary::of(film, Some(picture), number, lasts, &meter)
    })
}

/// Waits until there is something to be seen or heard, or the recording has ended.
fn begin(recording: &Path) -> Result<(Source, bool)> {
    if !source::is_live(recording) {
        let shown = recording.display();
        return Err(Error::user(format!("nobody records into {shown}: make its film without --follow")));
    }
    loop {
        let is_live = source::is_live(recording);
        let source = if is_live { source::read_live(recording) } else { source::read(recording) };
        match source {
            Ok(source) => return Ok((source, is_live)),
            Err(error) if !is_live => return Err(error),
            // No track yet, or no manifest.
            Err(_) => std::thread::sleep(NAP),
        }
    }
}

/// How long the meeting lasts by now.
fn now(source: &Source) -> Duration {
    let passed = jiff::Timestamp::now().duration_since(source.manifest.started);
    Duration::try_from(passed).unwrap_or_default()
}

/// Gives the mixer the tracks that are new, and what is known of the others.
fn hear(mixer: &mut Mixer, script: &Script, tracks: &Path, is_live: bool) {
    let heard = script.manifest.tracks.iter().filter(|track| script.is_heard(track));
    for (number, track) in heard.enumerate() {
        let grows = is_live && !track.finished;
        if !mixer.update(number, track, grows) {
            mixer.add(tracks.join(&track.file), track, grows);
        }
    }
}

/// Says in the timeline that pictures were left out. The recording is more important than to hear of it: what cannot be written is
/// told in the summary only.
fn tell(timeline: &Path, started: jiff::Timestamp, short: Short) {
    let ms = |at: Duration| u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
    let event = Event::FilmShort { start_ms: ms(short.from), end_ms: ms(short.until), pictures: short.pictures };
    let at = jiff::SignedDuration::try_from(short.until).ok().and_then(|passed| started.checked_add(passed).ok());
    let entry = Entry { t_ms: ms(short.until), at: at.unwrap_or(started), event };
    if let Err(error) = TimelineWriter::beside(timeline).and_then(|mut timeline| timeline.append(&entry)) {
        tracing::warn!("{error}");
    }
}

/// A stretch of the film in which pictures are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Short {
    from: Duration,
    /// Where the last one ends that is missing.
    until: Duration,
    pictures: u64,
}

/// How many pictures are made, by how late the film is; and when there were fewer.
#[derive(Default)]
struct Rate {
    short: Vec<Short>,
    /// How many of these are over.
    told: usize,
}

impl Rate {
    /// Whether picture `number`, seen from `at` until `next`, is left out.
    fn leaves_out(&mut self, number: u64, at: Duration, next: Duration, late: Duration) -> bool {
        let keeps = if late > 2 * LATE { 4 } else { 2 };
        if late <= LATE || number.is_multiple_of(keeps) {
            return false;
        }
        match self.short.last_mut() {
            Some(short) if at <= short.until + LATE => (short.until, short.pictures) = (next, short.pictures + 1),
            _ => self.short.push(Short { from: at, until: next, pictures: 1 }),
        }
        true
    }

    /// A stretch that is over at `at` and was not asked for before.
    fn over(&mut self, at: Duration) -> Option<Short> {
        let short = self.short.get(self.told).filter(|short| at > short.until + LATE)?;
        self.told += 1;
        Some(*short)
    }

    fn told(&self) -> impl Iterator<Item = String> {
        let tell = |Short { from, until, pictures }: &Short| {
            let (from, until) = (from.as_secs_f64(), until.as_secs_f64());
            format!("from {from:.1} s to {until:.1} s the machine was short: {pictures} pictures were left out")
        };
        self.short.iter().map(tell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::timeline::TimelineReader;

    #[test]
    fn who_is_late_leaves_pictures_out_and_says_so() {
        let mut rate = Rate::default();
        let (second, next) = (Duration::from_secs(1), Duration::from_millis(1033));
        let made = |rate: &mut Rate, late| (0..8).filter(|n| !rate.leaves_out(*n, second, next, late)).count();
        assert_eq!([made(&mut rate, second), made(&mut rate, 3 * second), made(&mut rate, 9 * second)], [8, 4, 2]);
        assert_eq!(
            rate.told().collect::<Vec<_>>(),
            ["from 1.0 s to 1.0 s the machine was short: 10 pictures were left out"]
        );
        assert_eq!(rate.over(3 * second), None, "it may go on");
        let short = rate.over(4 * second).unwrap();
        assert_eq!(short, Short { from: second, until: next, pictures: 10 });
        assert_eq!(rate.over(Duration::MAX), None, "once is enough");

        let dir = tempfile::tempdir().unwrap();
        let timeline = dir.path().join(TIMELINE);
        tell(&timeline, jiff::Timestamp::UNIX_EPOCH, short);
        assert!(!timeline.exists(), "a timeline that is not there is not begun");
        std::fs::write(&timeline, "").unwrap();
        tell(&timeline, jiff::Timestamp::UNIX_EPOCH, short);
        let read: Vec<Event> = TimelineReader::open(&timeline).unwrap().map(|entry| entry.event).collect();
        assert_eq!(read, [Event::FilmShort { start_ms: 1000, end_ms: 1033, pictures: 10 }]);
    }
}

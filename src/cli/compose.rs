//! `roombot compose`: a film of a recording, its sound alone, or a file for each participant.

use super::args::{PipelineArgs, size};
use super::say::{say, tell};
use super::work::work;
use crate::error::{Error, Result};
use crate::film::layout::Policy;
use crate::film::{self, FilmCodec, Job, Look, PictureJob, Progress, Quality, Summary};
use crate::media::Library;
use clap::ValueEnum;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much politer than a recorder a film is that follows it (`nice`).
const FOLLOWER: i32 = 10;

/// Make a film of a recording: everybody in one picture, all sound in one, at their true times.
///
/// The tracks stay as they are; a film that is there already is not overwritten, the new one gets a number. Of a recording that
/// still goes on, the film ends where it is now.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot compose recordings/standup-20261122T140500Z              # film.mp4, subtitles and stills beside the tracks
  roombot compose REC --layout speaker --size 1920x1080 --out talk.webm --from 00:10 --to 12:00 --without bob
  roombot compose REC --audio-only --out talk.opus --loudness
  roombot compose REC --each                                       # participants/NAME.mp4 (.webm, .mkv), nothing transcoded")]
pub struct ComposeArgs {
    /// The recording's folder.
    recording: PathBuf,
    /// How the picture is arranged.
    #[arg(long, value_enum, default_value_t = Layout::Auto)]
    layout: Layout,
    /// Width and height of the film in pixels.
    #[arg(long, value_name = "WxH", value_parser = size, default_value = "1280x720")]
    size: (u32, u32),
    /// Pictures a second.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=60))]
    fps: u32,
    /// The codec of the pictures; H.264 unless given, VP9 where the name ends in .webm.
    #[arg(long, value_enum)]
    codec: Option<Codec>,
    /// How much time the encoder takes: `good` is smaller and looks better, for several times the work.
    #[arg(long, value_enum, default_value_t = Encoding::Fast)]
    quality: Encoding,
    /// The film's file (.mp4, .webm, .mkv); film.mp4 in the recording's folder unless given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Begin there, counted from the recording's start (1:30, 00:01:30.5, 90s).
    #[arg(long, value_name = "TIME", value_parser = moment, default_value = "0s", hide_default_value = true)]
    from: Duration,
    /// End there.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Duration>,
    /// Leave somebody out, by name; can be repeated.
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,
    /// Begin with a title.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Show the time since the recording began in a corner.
    #[arg(long)]
    clock: bool,
    /// Let tiles glide to their new places.
    #[arg(long)]
    animate: bool,
    /// Make the sound as loud as that (EBU R 128, LUFS): -23 unless a number is given.
    #[arg(long, value_name = "LUFS", num_args = 0..=1, default_missing_value = "-23", allow_negative_numbers = true,
          value_parser = loudness)]
    loudness: Option<f64>,
    /// Make no stills: poster, contact sheet, slides.
    #[arg(long)]
    no_stills: bool,
    /// Make a file of the sound alone (.opus, .m4a, .wav); film.opus unless --out is given.
    #[arg(long, conflicts_with_all = ["each", "codec", "title", "clock", "animate"])]
    audio_only: bool,
    /// Make a file for each participant with picture and sound, in sync and not transcoded: participants/NAME.mp4
    /// where their codecs go into it, else .webm or .mkv.
    #[arg(long, conflicts_with_all = ["out", "codec", "from", "to", "title", "clock", "animate", "loudness"])]
    each: bool,
    /// Follow a recording that goes on, a few seconds behind, until it ends: film.live.mp4 grows, and becomes film.mp4.
    #[arg(long, conflicts_with_all = ["each", "audio_only", "from", "to", "loudness", "without"])]
    follow: bool,
    /// While it follows, write HLS into this folder, too: film.m3u8 and its segments, for browsers.
    #[arg(long, value_name = "DIR", requires = "follow")]
    live_hls: Option<PathBuf>,
    /// Print one JSON object with the summary.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pipelines: PipelineArgs,
}

/// The layouts as words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// Presentation while a screen is shared, else grid.
    Auto,
    /// Everything in tiles of one size.
    Grid,
    /// Who speaks is large, the others in a strip.
    Speaker,
    /// The shared screen large, faces in a strip, who speaks first.
    Presentation,
    /// One at a time: the shared screen, else who speaks.
    Single,
}

impl From<Layout> for Policy {
    fn from(layout: Layout) -> Policy {
        match layout {
            Layout::Auto => Policy::Auto,
            Layout::Grid => Policy::Grid,
            Layout::Speaker => Policy::Speaker,
            Layout::Presentation => Policy::Presentation,
            Layout::Single => Policy::Single,
        }
    }
}

/// The codecs as words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Codec {
    H264,
    Vp8,
    Vp9,
    Av1,
}

impl From<Codec> for FilmCodec {
    fn from(codec: Codec) -> FilmCodec {
        match codec {
            Codec::H264 => FilmCodec::H264,
            Codec::Vp8 => FilmCodec::Vp8,
            Codec::Vp9 => FilmCodec::Vp9,
            Codec::Av1 => FilmCodec::Av1,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Encoding {
    Fast,
    Good,
}

impl ComposeArgs {
    fn job(self) -> Job {
        let look = Look {
            policy: self.layout.into(),
            size: self.size,
            title: self.title,
            clock: self.clock,
            animate: self.animate,
        };
        let quality = if self.quality == Encoding::Good { Quality::Good } else { Quality::Fast };
        let picture =
            PictureJob { look, fps: self.fps, codec: self.codec.map(Into::into), quality, stills: !self.no_stills };
        Job {
            recording: self.recording,
            out: self.out,
            picture: (!self.audio_only).then_some(picture),
            from: self.from,
            until: self.to,
            without: self.without,
            loudness: self.loudness,
        }
    }
}

/// Makes the film.
///
/// # Errors
/// The user's for a folder that is no recording, or a flag; the machine's where the disk or the encoder fails.
pub async fn run(args: ComposeArgs) -> Result<()> {
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    let json = args.json;
    if args.each {
        return each(args).await;
    }
    let (follows, hls) = (args.follow, args.live_hls.clone());
    let summary = if follows {
        // Capture comes first.
        let _ = rustix::process::nice(FOLLOWER);
        let job = args.job();
        watched(json, move |progress| film::follow(&library, &job, hls.as_deref(), progress)).await?
    } else {
        make(library, args.job(), json).await?
    };
    if json {
        print(&summary)?
    } else {
        report(&summary)
    }
    Ok(())
}

/// Makes a file for each participant.
async fn each(args: ComposeArgs) -> Result<()> {
    let bar = bar(args.json)?;
    let (drawn, json) = (bar.clone(), args.json);
    let made = work(move |stop| {
        film::each(&args.recording, &args.without, |done, of| {
            drawn.set_length(of as u64);
            drawn.set_position(done as u64);
            stop.check()
        })
    });
    let made = made.await;
    bar.finish_and_clear();
    let made = made?;
    if json {
        return print(&made);
    }
    made.warnings.iter().for_each(|warning| tell!("warning: {warning}"));
    for person in &made.participants {
        say!("{}: {:.1} s, {}", person.file.display(), person.duration_ms as f64 / 1000.0, HumanBytes(person.bytes));
    }
    Ok(())
}

fn print(summary: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(summary);
    say!("{}", json.map_err(|e| Error::us("cannot print the summary").because(e))?);
    Ok(())
}

/// Makes the default film of a recording, with progress on a terminal unless `quiet`.
pub(super) async fn film(recording: PathBuf, quiet: bool) -> Result<Summary> {
    make(Library::new(None)?, Job::usual(recording, 30), quiet).await
}

/// What was made, for a person.
pub(super) fn report(summary: &Summary) {
    for warning in &summary.warnings {
        tell!("warning: {warning}");
    }
    let seconds = summary.duration_ms as f64 / 1000.0;
    let (bytes, speed) = (HumanBytes(summary.bytes), summary.speed);
    say!("{}: {seconds:.1} s, {bytes}, made at {speed:.1} x real time", summary.film.display());
    let stills = &summary.stills;
    let slides = stills.index.as_deref().map(|index| (index, format!(" ({} slides)", stills.slides.len())));
    let others = [&stills.poster, &stills.contact_sheet].into_iter().flatten().chain(&summary.subtitles);
    for (path, more) in others.map(|path| (path.as_path(), String::new())).chain(slides) {
        say!("{}{more}", Path::display(path));
    }
}

async fn make(library: Library, job: Job, quiet: bool) -> Result<Summary> {
    watched(quiet, move |progress| film::compose(&library, &job, progress)).await
}

/// Does something with a bar, unless `quiet`, until it is done or Ctrl-C ends it.
async fn watched(
    quiet: bool,
    make: impl FnOnce(&mut dyn FnMut(Progress) -> Result<()>) -> Result<Summary> + Send + 'static,
) -> Result<Summary> {
    let bar = bar(quiet)?;
    let drawn = bar.clone();
    let made = work(move |stop| {
        make(&mut |progress| {
            advance(&drawn, progress);
            stop.check()
        })
    });
    let made = made.await;
    bar.finish_and_clear();
    made
}

/// A bar that is drawn on a terminal only.
fn bar(quiet: bool) -> Result<ProgressBar> {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {eta} left");
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(style.map_err(|e| Error::us("a bad progress bar").because(e))?);
    Ok(bar)
}

fn advance(bar: &ProgressBar, progress: Progress) {
    bar.set_length(u64::try_from(progress.of.as_millis()).unwrap_or(u64::MAX));
    bar.set_position(u64::try_from(progress.done.as_millis()).unwrap_or(u64::MAX));
}

/// A moment of a recording: `90s`, or minutes and seconds, with hours if need be: `1:30`, `00:01:30.5`.
fn moment(text: &str) -> Result<Duration, String> {
    if !text.contains(':') {
        return super::args::duration(text);
    }
    let form = || format!("`{text}` is no moment; write it as 1:30, 00:01:30.5 or 90s");
    let mut seconds = 0.0;
    let parts: Vec<&str> = text.split(':').collect();
    for (index, part) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        let plain = !part.is_empty() && part.chars().all(|c| c.is_ascii_digit() || (is_last && c == '.'));
        let value: f64 = part.parse().ok().filter(|value| plain && (index == 0 || *value < 60.0)).ok_or_else(form)?;
        seconds = seconds * 60.0 + value;
    }
    if parts.len() > 3 || seconds > 366.0 * 24.0 * 3600.0 {
        return Err(form());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A loudness in LUFS that somebody could mean.
fn loudness(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value: &f64| (-60.0..=-5.0).contains(value));
    value.ok_or_else(|| format!("`{text}` is no loudness in LUFS: -60 to -5, -23 for television, -16 for the web"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_players_show_them() {
        for (text, millis) in
            [("1:30", 90_000), ("00:10", 10_000), ("1:02:03.5", 3_723_500), ("90s", 90_000), ("250ms", 250)]
        {
            assert_eq!(moment(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", ":", "1:", "1:60", "1:2:3:4", "-1:30", "1.5:30", "a:b", "1:nan", "90"] {
            assert!(moment(text).is_err(), "{text}");
        }
        assert!(loudness("-23") == Ok(-23.0) && loudness("3").is_err() && loudness("nan").is_err());
    }
}

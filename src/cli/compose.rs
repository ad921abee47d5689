//! `roombot compose`: makes a film of a recording, an audio file, or a file for each participant.

use super::args::{PipelineArgs, size};
use super::cancellable::cancellable;
use super::print::{print_err, print_out};
use crate::error::{Error, Result};
use crate::film::layout::Policy;
use crate::film::{self, FilmCodec, Job, Progress, Quality, SceneOptions, Summary, VideoOptions};
use crate::media::Library;
use clap::ValueEnum;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The niceness of a film that follows its recording: capture has priority.
const FOLLOW_NICENESS: i32 = 10;

/// Make a film of a recording: all participants in one video, with mixed and synchronised audio.
///
/// Tracks are not changed and existing films are not overwritten: a new film gets a number. The film of a running recording ends at the
/// present moment.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot compose recordings/standup-20261122T140500Z              # film.mp4, subtitles and stills beside the tracks
  roombot compose REC --layout speaker --size 1920x1080 --out talk.webm --from 00:10 --to 12:00 --without bob
  roombot compose REC --audio-only --out talk.opus --loudness
  roombot compose REC --each                                       # participants/NAME.mp4 (.webm, .mkv), not re-encoded")]
pub struct ComposeArgs {
    /// The recording's folder.
    recording: PathBuf,
    /// Layout of the video.
    #[arg(long, value_enum, default_value_t = Layout::Auto)]
    layout: Layout,
    /// Video size in pixels.
    #[arg(long, value_name = "WxH", value_parser = size, default_value = "1280x720")]
    size: (u32, u32),
    /// Frames per second.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=60))]
    fps: u32,
    /// Video codec; by default H.264, or VP9 if the file ends in .webm.
    #[arg(long, value_enum)]
    codec: Option<Codec>,
    /// Encoder effort: `good` gives smaller files of better quality but takes several times as long.
    #[arg(long, value_enum, default_value_t = Encoding::Fast)]
    quality: Encoding,
    /// Output file (.mp4, .webm, .mkv); by default film.mp4 in the recording's folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Start of the film, counted from the recording's start (1:30, 00:01:30.5, 90s).
    #[arg(long, value_name = "TIME", value_parser = moment, default_value = "0s", hide_default_value = true)]
    from: Duration,
    /// End of the film.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Duration>,
    /// Leave out a participant, by name; repeatable.
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,
    /// Start with a title card.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Show the elapsed time in a corner.
    #[arg(long)]
    clock: bool,
    /// Animate layout changes.
    #[arg(long)]
    animate: bool,
    /// Normalise the loudness (EBU R 128) to this many LUFS; -23 without a value.
    #[arg(long, value_name = "LUFS", num_args = 0..=1, default_missing_value = "-23", allow_negative_numbers = true,
          value_parser = loudness)]
    loudness: Option<f64>,
    /// Make no still images (poster, contact sheet, slides).
    #[arg(long)]
    no_stills: bool,
    /// Make an audio file only (.opus, .m4a, .wav); film.opus unless --out is given.
    #[arg(long, conflicts_with_all = ["each", "codec", "title", "clock", "animate"])]
    audio_only: bool,
    /// Make one file per participant with video and audio in sync, not re-encoded: participants/NAME.mp4 if the codecs allow it,
    /// else .webm or .mkv.
    #[arg(long, conflicts_with_all = ["out", "codec", "from", "to", "title", "clock", "animate", "loudness"])]
    each: bool,
    /// Follow a running recording, a few seconds behind, until it ends: film.live.mp4 grows and becomes film.mp4.
    #[arg(long, conflicts_with_all = ["each", "audio_only", "from", "to", "loudness", "without"])]
    follow: bool,
    /// With --follow, also write HLS into this folder: film.m3u8 and its segments, for browsers.
    #[arg(long, value_name = "DIR", requires = "follow")]
    live_hls: Option<PathBuf>,
    /// Print a JSON summary.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pipelines: PipelineArgs,
}

/// The layouts that can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// Presentation while a screen is shared, else grid.
    Auto,
    /// Tiles of equal size.
    Grid,
    /// The speaker large, the others in a strip.
    Speaker,
    /// The shared screen large, cameras in a strip, the speaker first.
    Presentation,
    /// One at a time: the shared screen, else the speaker.
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

/// The codecs that can be named.
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
        let scene = SceneOptions {
            policy: self.layout.into(),
            size: self.size,
            title: self.title,
            clock: self.clock,
            animate: self.animate,
        };
        let quality = if self.quality == Encoding::Good { Quality::Good } else { Quality::Fast };
        let video =
            VideoOptions { scene, fps: self.fps, codec: self.codec.map(Into::into), quality, stills: !self.no_stills };
        Job {
            recording: self.recording,
            out: self.out,
            video: (!self.audio_only).then_some(video),
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
/// [`Error::User`]: no recording, or a flag. [`Error::Machine`]: the disk or an encoder failed.
pub async fn run(args: ComposeArgs) -> Result<()> {
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    let json = args.json;
    if args.each {
        return each(args).await;
    }
    let (follows, hls) = (args.follow, args.live_hls.clone());
    let summary = if follows {
        let _ = rustix::process::nice(FOLLOW_NICENESS);
        let job = args.job();
        with_progress(json, move |progress| film::follow(&library, &job, hls.as_deref(), progress)).await?
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
    let (shown, json) = (bar.clone(), args.json);
    let made = cancellable(move |cancel| {
        film::export_participants(&args.recording, &args.without, |done, of| {
            shown.set_length(of as u64);
            shown.set_position(done as u64);
            cancel.check()
        })
    });
    let made = made.await;
    bar.finish_and_clear();
    let made = made?;
    if json {
        return print(&made);
    }
    made.warnings.iter().for_each(|warning| print_err!("warning: {warning}"));
    for person in &made.participants {
        print_out!(
            "{}: {:.1} s, {}",
            person.file.display(),
            person.duration_ms as f64 / 1000.0,
            HumanBytes(person.bytes)
        );
    }
    Ok(())
}

fn print(summary: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(summary);
    print_out!("{}", json.map_err(|e| Error::internal("cannot print the summary").because(e))?);
    Ok(())
}

/// Prints what was made as text.
fn report(summary: &Summary) {
    for warning in &summary.warnings {
        print_err!("warning: {warning}");
    }
    let seconds = summary.duration_ms as f64 / 1000.0;
    let (bytes, speed) = (HumanBytes(summary.bytes), summary.speed);
    print_out!("{}: {seconds:.1} s, {bytes}, made at {speed:.1} x real time", summary.film.display());
    let stills = &summary.stills;
    let slides = stills.index.as_deref().map(|index| (index, format!(" ({} slides)", stills.slides.len())));
    let others = [&stills.poster, &stills.contact_sheet].into_iter().flatten().chain(&summary.subtitles);
    for (path, more) in others.map(|path| (path.as_path(), String::new())).chain(slides) {
        print_out!("{}{more}", Path::display(path));
    }
}

async fn make(library: Library, job: Job, quiet: bool) -> Result<Summary> {
    with_progress(quiet, move |progress| film::compose(&library, &job, progress)).await
}

/// Runs `make` with a progress bar, unless `quiet`; Ctrl-C cancels it.
async fn with_progress(
    quiet: bool,
    make: impl FnOnce(&mut dyn FnMut(Progress) -> Result<()>) -> Result<Summary> + Send + 'static,
) -> Result<Summary> {
    let bar = bar(quiet)?;
    let shown = bar.clone();
    let made = cancellable(move |cancel| {
        make(&mut |progress| {
            advance(&shown, progress);
            cancel.check()
        })
    });
    let made = made.await;
    bar.finish_and_clear();
    made
}

/// A progress bar, visible on a terminal only.
fn bar(quiet: bool) -> Result<ProgressBar> {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {eta} left");
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(style.map_err(|e| Error::internal("bad template of the progress bar").because(e))?);
    Ok(bar)
}

fn advance(bar: &ProgressBar, progress: Progress) {
    bar.set_length(u64::try_from(progress.of.as_millis()).unwrap_or(u64::MAX));
    bar.set_position(u64::try_from(progress.done.as_millis()).unwrap_or(u64::MAX));
}

/// A position in a recording: `90s`, or minutes and seconds, with hours if need be: `1:30`, `00:01:30.5`.
fn moment(text: &str) -> Result<Duration, String> {
    if !text.contains(':') {
        return super::args::duration(text);
    }
    let form = || format!("`{text}` is not a position; write it as 1:30, 00:01:30.5 or 90s");
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

/// A loudness in LUFS, -60 to -5.
fn loudness(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value: &f64| (-60.0..=-5.0).contains(value));
    value.ok_or_else(|| {
        format!("`{text}` is not a loudness in LUFS: -60 to -5, for instance -23 (television) or -16 (web)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_parsed() {
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

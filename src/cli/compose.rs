//! `roombot compose`: a film of a recording.

use super::args::PipelineArgs;
use crate::error::{Error, Result};
use crate::film::{self, Job, Summary};
use crate::media::Library;
use crate::room::layout::{Policy, Size};
use clap::ValueEnum;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::PathBuf;

/// Make a film of a recording: everybody in one picture, all sound in one, at their true times.
///
/// The tracks stay as they are; a film that is there already is not overwritten, the new one gets a number. The recording must
/// have ended.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot compose recordings/standup-20261122T140500Z              # film.mp4 and stills/poster.jpg beside the tracks
  roombot compose REC --layout grid --size 1920x1080 --out talk.mp4")]
pub struct ComposeArgs {
    /// The recording's folder.
    recording: PathBuf,
    /// How the picture is arranged.
    #[arg(long, value_enum, default_value_t = Layout::Auto)]
    layout: Layout,
    /// Width and height of the film in pixels.
    #[arg(long, value_name = "WxH", value_parser = size, default_value = "1280x720")]
    size: Size,
    /// Pictures a second.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=60))]
    fps: u32,
    /// The film's file; film.mp4 in the recording's folder unless given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
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
    /// The shared screen large, faces in a strip.
    Presentation,
}

impl From<Layout> for Policy {
    fn from(layout: Layout) -> Policy {
        match layout {
            Layout::Auto => Policy::Auto,
            Layout::Grid => Policy::Grid,
            Layout::Presentation => Policy::Presentation,
        }
    }
}

/// Makes the film.
///
/// # Errors
/// The user's for a folder that is no recording, or a flag; the machine's where the disk or the encoder fails.
pub fn run(args: ComposeArgs) -> Result<()> {
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    let job =
        Job { recording: args.recording, policy: args.layout.into(), size: args.size, fps: args.fps, out: args.out };
    let summary = make(&library, &job, args.json)?;
    if args.json {
        let json = serde_json::to_string_pretty(&summary);
        println!("{}", json.map_err(|e| Error::us("cannot print the summary").because(e))?);
    } else {
        tell(&summary);
    }
    Ok(())
}

/// Makes the default film of a recording, with progress on a terminal unless `quiet`.
pub(super) fn film(recording: PathBuf, quiet: bool) -> Result<Summary> {
    let job = Job { recording, policy: Policy::Auto, size: (1280, 720), fps: 30, out: None };
    make(&Library::new(None)?, &job, quiet)
}

/// What was made, for a person.
pub(super) fn tell(summary: &Summary) {
    for warning in &summary.warnings {
        eprintln!("warning: {warning}");
    }
    let seconds = summary.duration_ms as f64 / 1000.0;
    let (bytes, speed) = (HumanBytes(summary.bytes), summary.speed);
    println!("{}: {seconds:.1} s, {bytes}, made at {speed:.1} x real time", summary.film.display());
    if let Some(poster) = &summary.poster {
        println!("{}", poster.display());
    }
}

fn make(library: &Library, job: &Job, quiet: bool) -> Result<Summary> {
    // Drawn on a terminal only.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {eta} left");
    bar.set_style(style.map_err(|e| Error::us("a bad progress bar").because(e))?);
    let made = film::compose(library, job, |progress| {
        bar.set_length(progress.of);
        bar.set_position(progress.frames);
    });
    bar.finish_and_clear();
    made
}

/// A picture's size as `1280x720`.
pub(super) fn size(text: &str) -> Result<Size, String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.ok_or_else(|| format!("`{text}` is no size; write it as 1280x720"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("1280x720"), Ok((1280, 720)));
        for text in ["1280", "x", "1280x", "-2x4", "1280x720x2"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}

//! `roombot stamp`: makes a media file in which every frame and half second of audio carries a readable ID.

use super::args::{PipelineArgs, duration, size};
use super::cancellable::cancellable;
use super::print::print_out;
use crate::error::{Error, Result};
use crate::media::Library;
use crate::verify::stamp::number_of;
use crate::verify::{Format, Job, files, make};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Make a test file in which every frame and half second of audio carries a readable ID, for `roombot verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot stamp --name alice --seconds 30 --size 1280x720 --fps 30 --out alice.webm
  roombot stamp --name bob --codec h264 --kilobits 300 --out bob.mkv
  roombot stamp --name carol --seconds 20 --out carol.y4m     # and carol.wav, for a browser's fake camera and microphone

The file's extension selects the format: .webm (VP8 or VP9), .mkv (H.264), .y4m (raw video, with the audio in a .wav file).
docs/stamp.md describes the stamps.")]
pub struct StampArgs {
    /// The participant's name.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The number in the stamp, 0 to 255; by default the position of the name's first letter in the alphabet (alice is 1).
    #[arg(long, value_name = "N")]
    number: Option<u8>,
    /// Duration in whole seconds, or as 30s, 2m.
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "30")]
    seconds: Duration,
    /// Width and height in pixels.
    #[arg(long, value_name = "WxH", value_parser = size, default_value = "1280x720")]
    size: (u32, u32),
    /// Frames per second.
    #[arg(long, value_name = "N", default_value_t = 30)]
    fps: u32,
    /// Video codec; by default the one of the file's extension.
    #[arg(long, value_enum)]
    codec: Option<Codec>,
    /// Video bitrate in kbit/s.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(20..=50_000))]
    kilobits: u32,
    /// Output file. An existing file is not overwritten.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    pipelines: PipelineArgs,
}

/// The codecs that can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Codec {
    Vp8,
    Vp9,
    H264,
}

/// Makes the file.
///
/// # Errors
/// [`Error::User`]: flags and files. [`Error::Machine`]: the disk or an encoder failed.
pub async fn run(args: StampArgs) -> Result<()> {
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    let job = Job {
        participant: args.number.unwrap_or_else(|| number_of(&args.name)),
        size: args.size,
        fps: args.fps,
        seconds: u32::try_from(args.seconds.as_secs()).unwrap_or(u32::MAX),
        format: format(&args.out, args.codec)?,
        kilobits: args.kilobits,
        out: args.out.clone(),
    };
    // Visible on a terminal only.
    let bar = ProgressBar::with_draw_target(
        Some(u64::from(job.seconds.saturating_mul(job.fps))),
        ProgressDrawTarget::stderr(),
    );
    // An existing file must not be removed after a failure.
    let created: Vec<PathBuf> = files(&job).into_iter().filter(|file| !file.exists()).collect();
    let shown = bar.clone();
    let made = cancellable(move |cancel| {
        make(&library, &job, |frames| {
            shown.set_position(frames.into());
            cancel.check()
        })
    });
    let made =
        made.await.inspect_err(|_| created.iter().for_each(|file| std::fs::remove_file(file).unwrap_or_default()));
    bar.finish_and_clear();
    for file in made? {
        print_out!("{}", file.display());
    }
    Ok(())
}

/// The format, by the file's extension and the codec.
fn format(out: &Path, codec: Option<Codec>) -> Result<Format> {
    let ending = out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match (ending.as_str(), codec) {
        ("webm", None | Some(Codec::Vp8)) => Ok(Format::Vp8),
        ("webm", Some(Codec::Vp9)) => Ok(Format::Vp9),
        ("mkv", None | Some(Codec::H264)) => Ok(Format::H264),
        ("y4m", None) => Ok(Format::Raw),
        ("webm" | "mkv" | "y4m", Some(codec)) => {
            let codec = format!("{codec:?}").to_uppercase();
            Err(Error::user(format!(
                "{codec} cannot be written to .{ending}: use .webm for VP8 and VP9, .mkv for H264"
            )))
        }
        _ => Err(Error::user(format!("{}: the file must end in .webm, .mkv or .y4m", out.display()))),
    }
}

/// A duration in whole seconds, with or without unit; at least 1 s, at most 4 h.
fn seconds(text: &str) -> Result<Duration, String> {
    let length = text.parse().map(Duration::from_secs).or_else(|_| duration(text))?;
    let possible = length.subsec_nanos() == 0 && (1..=4 * 3600).contains(&length.as_secs());
    if possible { Ok(length) } else { Err(format!("`{text}`: the duration must be whole seconds, at most four hours")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_and_codecs_go_together() {
        let of = |name: &str, codec| format(Path::new(name), codec).ok();
        assert_eq!(of("a.webm", None), Some(Format::Vp8));
        assert_eq!(of("a.WEBM", Some(Codec::Vp9)), Some(Format::Vp9));
        assert_eq!(of("a.b.mkv", Some(Codec::H264)), Some(Format::H264));
        assert_eq!(of("a.y4m", None), Some(Format::Raw));
        for (name, codec) in
            [("a.mkv", Some(Codec::Vp8)), ("a.webm", Some(Codec::H264)), ("a.mp4", None), ("webm", None)]
        {
            assert_eq!(of(name, codec), None, "{name}");
        }
    }

    #[test]
    fn lengths_are_whole_seconds() {
        assert_eq!(seconds("30"), Ok(Duration::from_secs(30)));
        assert_eq!(seconds("2m"), Ok(Duration::from_secs(120)));
        for text in ["0", "1.5s", "-3", "5h", "x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}

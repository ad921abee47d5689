//! `roombot filter`: sends everybody's tracks back to them through a filter.

use super::bot_run::{self, BotArgs, FilterChoice};
use crate::error::{Error, Result};

/// Send everybody's video and audio back to them through a filter.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot filter ws://127.0.0.1:8080/rooms/standup --video edges --audio reverb --only Alice
  roombot filter ws://127.0.0.1:8080/rooms/standup --video ./my-filters/sepia.gst -p strength=0.8
  roombot filter ws://127.0.0.1:8080/rooms/standup --audio robot --audio-param frequency=60 --to all

`roombot pipelines list filter` lists the filters, `roombot pipelines show filter/video/edges` the parameters of one. Commands on stdin, or \
in the room's chat after \"bot:\", change the filter while it runs: `filter sepia`, `audio off`, `help`.")]
pub struct FilterArgs {
    /// The bot's name in the room.
    #[arg(long = "as", value_name = "NAME", default_value = "Filter")]
    name: String,
    /// Video filter: its name, or a pipeline file that ends in .gst.
    #[arg(long, value_name = "NAME|FILE.gst")]
    video: Option<String>,
    /// Audio filter: its name, or a pipeline file that ends in .gst.
    #[arg(long, value_name = "NAME|FILE.gst")]
    audio: Option<String>,
    /// Parameter of the video filter; repeatable.
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE", value_parser = parameter, requires = "video")]
    params: Vec<(String, String)>,
    /// Parameter of the audio filter; repeatable.
    #[arg(long = "audio-param", value_name = "KEY=VALUE", value_parser = parameter, requires = "audio")]
    audio_params: Vec<(String, String)>,
    #[command(flatten)]
    common: BotArgs,
}

/// Runs until the time is up, the room ends or the user stops it.
///
/// # Errors
/// [`Error::User`], before it joins: flags, filters, missing packages. [`Error::Room`].
pub async fn run(args: FilterArgs) -> Result<()> {
    if args.video.is_none() && args.audio.is_none() {
        return Err(Error::user("name a filter with --video or --audio; `roombot pipelines list filter` lists them"));
    }
    let video = args.video.as_deref().map(|name| FilterChoice { name, values: &args.params });
    let audio = args.audio.as_deref().map(|name| FilterChoice { name, values: &args.audio_params });
    bot_run::run(&args.name, &args.common, video, audio, false).await
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not a parameter; write it as key=value")),
    }
}

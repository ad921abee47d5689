//! `roombot filter`: gives everybody their own tracks back through a filter.

use super::give_back::{self, GiveBack, Wanted};
use crate::error::{Error, Result};

/// Give everybody their own picture and sound back through a filter.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot filter ws://127.0.0.1:8080/rooms/standup --video edges --audio reverb --only Alice
  roombot filter ws://127.0.0.1:8080/rooms/standup --video ./my-filters/sepia.gst -p strength=0.8
  roombot filter ws://127.0.0.1:8080/rooms/standup --audio robot --audio-param frequency=60 --to all

`roombot pipelines list` names the filters, `roombot pipelines show filter/video/edges` the parameters of one. Commands on stdin, and \
in the room's chat behind \"bot:\", change the filter while everything runs: `filter sepia`, `audio off`, `help`.")]
pub struct FilterArgs {
    /// The name under which the room sees us.
    #[arg(long = "as", value_name = "NAME", default_value = "Filter")]
    name: String,
    /// Filter of pictures: its name, or a file of your own that ends in .gst.
    #[arg(long, value_name = "NAME|FILE.gst")]
    video: Option<String>,
    /// Filter of sound: its name, or a file of your own that ends in .gst.
    #[arg(long, value_name = "NAME|FILE.gst")]
    audio: Option<String>,
    /// A parameter of the filter of pictures; repeatable.
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE", value_parser = parameter, requires = "video")]
    params: Vec<(String, String)>,
    /// A parameter of the filter of sound; repeatable.
    #[arg(long = "audio-param", value_name = "KEY=VALUE", value_parser = parameter, requires = "audio")]
    audio_params: Vec<(String, String)>,
    #[command(flatten)]
    common: GiveBack,
}

/// Filters until the time is over, the room ends or it is told to stop.
///
/// # Errors
/// The user's for flags, filters and packages that are missing, before anything is joined; the room's where it refuses or goes
/// away.
pub async fn run(args: FilterArgs) -> Result<()> {
    if args.video.is_none() && args.audio.is_none() {
        return Err(Error::user("name a filter with --video or --audio; `roombot pipelines list` shows them"));
    }
    let video = args.video.as_deref().map(|name| Wanted { name, values: &args.params });
    let audio = args.audio.as_deref().map(|name| Wanted { name, values: &args.audio_params });
    give_back::run(&args.name, &args.common, video, audio, false).await
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is no parameter; write it as key=value")),
    }
}

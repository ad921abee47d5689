//! `roombot echo`: sends everybody's camera, microphone, screen, chat and files back to them, unchanged.

use super::bot_run::{self, BotArgs};
use crate::error::Result;

/// Send everybody's video, audio, chat and files back to them, to check what arrives.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot echo ws://127.0.0.1:8080/rooms/standup
  roombot echo ws://127.0.0.1:8080/rooms/standup --only Alice --codec h264 --for 5m --json
  echo 'filter edges' | roombot echo ws://127.0.0.1:8080/rooms/standup

Video and audio are decoded and re-encoded at a bitrate that the receiver's network can carry. Chat goes back to its author, a file to \
its sender. Commands are read from stdin, and from the room's chat if they start with \"bot:\"; `help` lists them. Stops on Ctrl-C, `quit`, \
--for, or when the room closes.")]
pub struct EchoArgs {
    /// The bot's name in the room.
    #[arg(long = "as", value_name = "NAME", default_value = "Echo")]
    name: String,
    #[command(flatten)]
    common: BotArgs,
}

/// Runs until the time is up, the room ends or the user stops it.
///
/// # Errors
/// [`Error::User`](crate::error::Error::User), before it joins: flags, missing packages. [`Error::Room`](crate::error::Error::Room).
pub async fn run(args: EchoArgs) -> Result<()> {
    bot_run::run(&args.name, &args.common, None, None, true).await
}

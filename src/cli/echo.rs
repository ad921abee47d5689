//! `roombot echo`: gives everybody their own camera, microphone and screen back, as they were, and their chat and files.

use super::give_back::{self, GiveBack};
use crate::error::Result;

/// Give everybody their own picture and sound back, to see and hear what arrives.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot echo ws://127.0.0.1:8080/rooms/standup
  roombot echo ws://127.0.0.1:8080/rooms/standup --only Alice --codec h264 --for 5m --json
  echo 'filter edges' | roombot echo ws://127.0.0.1:8080/rooms/standup

Chat goes back to who wrote it, a file to who sent it. Pictures and sound are decoded and encoded anew, so that they suit the network to their receiver. Commands are read from stdin, \
and from the room's chat where they begin with \"bot:\"; `help` names them. Ends with Ctrl-C, `quit`, --for or the room.")]
pub struct EchoArgs {
    /// The name under which the room sees us.
    #[arg(long = "as", value_name = "NAME", default_value = "Echo")]
    name: String,
    #[command(flatten)]
    common: GiveBack,
}

/// Echoes until the time is over, the room ends or it is told to stop.
///
/// # Errors
/// The user's for flags and packages that are missing, before anything is joined; the room's where it refuses or goes away.
pub async fn run(args: EchoArgs) -> Result<()> {
    give_back::run(&args.name, &args.common, None, None, true).await
}

//! `roombot view`: plays recordings in a browser, until Ctrl-C.

use super::browser;
use super::print::print_out;
use super::runtime::interrupted;
use crate::error::Result;
use crate::server::reachable;
use crate::viewer::Viewer;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Play recordings in the browser: the film or the tracks in sync, with chat, slides, files and timeline.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot view recordings/standup-20261122T140500Z    # opens the browser
  roombot view recordings                             # a list with search
  roombot view recordings --no-open --listen 127.0.0.1:8090

The recordings can be read by everybody who can reach the address: with the default, by users of this machine. Nothing is changed. \
Stop it with Ctrl-C.")]
pub struct ViewArgs {
    /// A recording's folder, or a folder with recordings.
    folder: PathBuf,
    /// Address and port to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Do not open a browser.
    #[arg(long)]
    no_open: bool,
    /// Print the address as one JSON line instead of text.
    #[arg(long)]
    json: bool,
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// [`Error::User`](crate::error::Error::User): the folder or the address. [`Error::Machine`](crate::error::Error::Machine): it failed later.
pub async fn run(args: ViewArgs) -> Result<()> {
    let stop = interrupted()?;
    let viewer = Viewer::bind(args.listen, args.folder).await?;
    let url = format!("http://{}{}", reachable(viewer.local_addr()), viewer.path());
    if args.json {
        print_out!("{}", serde_json::json!({ "url": url }));
    } else {
        print_out!("Open {url} in a browser. Stop with Ctrl-C.");
    }
    if !args.no_open {
        browser::open(&url);
    }
    viewer.run(stop).await
}

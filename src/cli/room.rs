//! `roombot room`: runs a room server until Ctrl-C.

use super::print::print_out;
use super::runtime::interrupted;
use crate::error::Result;
use crate::server::{RoomServer, RoomServerConfig, parse_ice_server, reachable};
use crate::signal::IceServer;
use crate::signal::protocol::limits;
use std::net::SocketAddr;
use std::num::NonZeroUsize;

/// Run a room server: signalling and a web page to join rooms.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot room                                      # open http://127.0.0.1:8080/rooms/standup in a browser
  roombot room --listen 0.0.0.0:8080 --token s3cret --ice-server turn:user:pass@turn.example.org
  roombot room --whip --whep                        # also accept OBS and FFmpeg, and serve viewers

A room exists while somebody is in it. Browsers allow camera and microphone on https:// pages and on localhost only: for other hosts, \
put a TLS proxy in front. Stop it with Ctrl-C.")]
pub struct RoomArgs {
    /// Address and port to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Token that participants need to join (?token=… in the page's URL).
    #[arg(long)]
    token: Option<String>,
    /// STUN or TURN server for all participants: stun:host[:port], turn:user:pass@host[:port][?transport=tcp]; repeatable.
    #[arg(long = "ice-server", value_name = "URL", value_parser = ice_server)]
    ice_servers: Vec<IceServer>,
    /// Maximum number of participants per room.
    #[arg(long, value_name = "N", default_value_t = limits::ROOM_MEMBERS.try_into().unwrap_or(NonZeroUsize::MIN))]
    max_members: NonZeroUsize,
    /// Maximum number of sockets per address, 0 for any number; connections from this machine (a proxy) do not count.
    #[arg(long, value_name = "N", default_value_t = limits::SOCKETS_PER_ADDRESS)]
    sockets_per_address: usize,
    /// Accept publishers over WHIP (OBS, FFmpeg, GStreamer): POST /whip/ROOM?name=NAME.
    #[arg(long)]
    whip: bool,
    /// Serve viewers over WHEP: POST /whep/ROOM/PARTICIPANT, or /whep/ROOM for the first participant with video.
    #[arg(long)]
    whep: bool,
    /// Print the URLs as one JSON line instead of text.
    #[arg(long)]
    json: bool,
}

fn ice_server(text: &str) -> Result<IceServer, String> {
    parse_ice_server(text).map_err(|e| e.to_string())
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// [`Error::User`](crate::error::Error::User): the port is not available. [`Error::Machine`](crate::error::Error::Machine): it failed later.
pub async fn run(args: RoomArgs) -> Result<()> {
    let mut config = RoomServerConfig::new(args.listen);
    config.token = args.token;
    config.ice_servers = args.ice_servers;
    config.limits.room_members = args.max_members.get();
    config.limits.sockets_per_address = args.sockets_per_address;
    (config.whip, config.whep) = (args.whip, args.whep);
    let server = RoomServer::bind(config).await?;
    let address = reachable(server.local_addr());
    let (page, rooms) = (format!("http://{address}/"), format!("ws://{address}/rooms/"));
    if args.json {
        let at = |on: bool, what: &str| on.then(|| format!("{page}{what}/"));
        let (whip, whep) = (at(args.whip, "whip"), at(args.whep, "whep"));
        print_out!("{}", serde_json::json!({ "url": page, "rooms": rooms, "whip": whip, "whep": whep }));
    } else {
        print_out!("Open {page}rooms/standup in a browser (any room name works). Stop with Ctrl-C.");
        if args.whip {
            print_out!("WHIP: send to {page}whip/standup?name=Camera");
        }
        if args.whep {
            print_out!("WHEP: watch {page}whep/standup or {page}whep/standup/NAME");
        }
    }
    server.run(interrupted()?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_opened_at_loopback() {
        let opened = |address: &str| reachable(address.parse().expect("an address")).to_string();
        assert_eq!(opened("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(opened("[::]:1"), "[::1]:1");
        assert_eq!(opened("192.0.2.1:80"), "192.0.2.1:80");
    }
}

//! VideoRooms of Janus 1.x: an SFU. We join as a publisher, which tells us who joins and leaves; one connection of a second handle receives
//! what all others send, one of the first handle sends our tracks. Knows nothing of media.

mod address;
mod handshake;
mod participants;
mod policy;
mod room;
mod subscriber;
mod subscriber_sdp;
mod wire;

use super::connector::{Keepalive, RoomInfo, RoomProtocol, start};
use super::signaller::{JoinAs, Link, Signaller};
use crate::error::Result;
use address::ParsedUrl;
use async_trait::async_trait;
use handshake::JoinRequest;
use policy::participant_policy;

/// A room of such a server: `janus+ws://host:port/ROOM`, or `janus+wss://…`; what is before ROOM in the path belongs to the server.
#[derive(Debug, Clone)]
pub struct JanusRoom(ParsedUrl);

impl JanusRoom {
    /// Reads the URL; nothing is connected yet. `?pin=…` is the room's, `?token=…` the room's or the server's, `?apisecret=…` the
    /// server's; `?substream=0` receives a lower simulcast layer.
    ///
    /// # Errors
    /// The user must act: not a URL, or no room in it.
    pub fn new(url: &str) -> Result<JanusRoom> {
        ParsedUrl::parse(url).map(JanusRoom)
    }
}

#[async_trait]
impl Signaller for JanusRoom {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let ParsedUrl { address, mut secrets, substream, ice_servers } = self.0.clone();
        secrets.token = how.token.or(secrets.token);
        let info = RoomInfo { room: address.name.clone(), ice_servers, policy: participant_policy() };
        let mut room = room::Room::new(JoinRequest { address, secrets, display_name: how.name }, how.role, substream);
        let socket = room.connect().await.map_err(|failed| failed.error)?;
        Ok(start(socket, room, info, Keepalive::default()))
    }
}

//! The configuration of a room server: address, token, ICE servers, limits. Values only.

use crate::signal::IceServer;
use crate::signal::protocol::limits;
use std::net::SocketAddr;
use std::time::Duration;

/// The configuration of a room server.
#[derive(Debug, Clone)]
pub struct RoomServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The token that is required to join, if any.
    pub token: Option<String>,
    /// ICE servers for every member.
    pub ice_servers: Vec<IceServer>,
    /// What members may use.
    pub limits: Limits,
    /// Whether to offer WHIP endpoints (sending).
    pub whip: bool,
    /// Whether to offer WHEP endpoints (receiving).
    pub whep: bool,
}

impl RoomServerConfig {
    /// Open to everybody who reaches `listen`, without ICE servers, with the default limits.
    pub fn new(listen: SocketAddr) -> Self {
        Self { listen, token: None, ice_servers: Vec::new(), limits: Limits::default(), whip: false, whep: false }
    }
}

/// Limits for members. The defaults are those of [`limits`].
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Messages a second from one member, averaged over ten seconds.
    pub messages_per_second: u32,
    /// Members of one room.
    pub room_members: usize,
    /// Rooms of the server.
    pub rooms: usize,
    /// Characters of a display name.
    pub name_chars: usize,
    /// Track labels of one member.
    pub tracks: usize,
    /// Messages in the queue of one member.
    pub queue_messages: usize,
    /// Bytes in the queue of one member.
    pub queue_bytes: usize,
    /// Time between two pings.
    pub ping: Duration,
    /// Silence after which a member counts as lost.
    pub silence: Duration,
    /// How long a membership is kept after its socket was lost.
    pub resume: Duration,
    /// Sockets of one address; those of this machine are not counted. 0 is any number.
    pub sockets_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: limits::MESSAGE_BYTES,
            messages_per_second: limits::MESSAGES_PER_SECOND,
            room_members: limits::ROOM_MEMBERS,
            rooms: limits::ROOMS,
            name_chars: limits::NAME_CHARS,
            tracks: limits::TRACKS,
            queue_messages: limits::QUEUE_MESSAGES,
            queue_bytes: limits::QUEUE_BYTES,
            ping: Duration::from_secs(limits::PING_SECONDS),
            silence: Duration::from_secs(limits::SILENCE_SECONDS),
            resume: Duration::from_secs(limits::RESUME_SECONDS),
            sockets_per_address: limits::SOCKETS_PER_ADDRESS,
        }
    }
}

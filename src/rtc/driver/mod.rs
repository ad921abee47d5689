//! Everything that names the `webrtc` and `rtc` crates: the connection, its interceptors, its sockets. No type of theirs leaves it.

mod bandwidth;
mod channel;
mod compound;
mod engine;
mod nack_generator;
mod outbox;
mod peer;
mod sdp;
mod send;
mod sender_report;
mod socket;
mod tap;

pub use channel::{ChannelSpec, ChannelTaker, DataChannel, LARGEST_MESSAGE, Message};
pub use peer::{CHAT_CHANNEL, ChannelRequest, Peer, PeerConfig, PeerEvent, PeerState, RemoteTrack, is_here, readable};
pub use send::{OutboundTrack, Subscription};
pub use socket::{Wake, receive_buffer};

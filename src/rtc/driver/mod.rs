//! Everything that names the `webrtc` and `rtc` crates: the connection, its interceptors, its runtime. No type of theirs leaves it.

mod bandwidth;
pub(crate) mod channel;
mod compound;
mod descriptions;
mod engine;
mod nack_generator;
mod packet_queues;
mod peer;
mod placement;
mod rtx;
mod runtime;
mod sender_report;
mod tap;
mod text_queue;
mod track_sender;
mod wire;

pub use channel::{ChannelSpec, DataChannel, IncomingChannels, MAX_MESSAGE_SIZE, Message};
pub use peer::{ChannelRequest, Peer, check_description};

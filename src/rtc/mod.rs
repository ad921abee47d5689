//! One WebRTC connection to one participant: media in and out, data channels, negotiation. Only `driver` names the `webrtc` and `rtc`
//! crates, and no type of theirs leaves it, so nobody outside can notice which driver moves the packets.

#![deny(missing_docs)]

mod candidates;
pub mod congestion;
mod driver;
pub mod feedback;
mod header_extensions;
mod inbox;
pub mod media;
mod negotiation;
mod payload_types;
mod peer;
mod publisher;
mod sections;
pub mod subscriber;
mod transport;

pub use congestion::BandwidthEstimate;
pub use driver::{
    ChannelRequest, ChannelSpec, DataChannel, IncomingChannels, MAX_MESSAGE_SIZE, Message, Peer, check_description,
};
pub use inbox::{Inbound, Inbox, due};
pub use peer::{CHAT_CHANNEL, PeerConfig, PeerEvent, PeerState, RemoteTrack};
pub use publisher::{OutboundTrack, Subscription};
pub use transport::{Impairment, ImpairmentPeriod, Wake, is_local_address, receive_buffer};

//! One WebRTC connection to one participant: media in and out, data channels, negotiation. Only `driver` names the `webrtc` and `rtc`
//! crates, and no type of theirs leaves it, so nobody outside can notice which driver moves the packets.

pub mod congestion;
mod driver;
pub mod feedback;
mod inbox;
pub mod media;
mod negotiation;
pub mod subscriber;
mod transport;

pub use congestion::BandwidthEstimate;
pub use driver::{
    CHAT_CHANNEL, ChannelRequest, ChannelSpec, ChannelTaker, DataChannel, LARGEST_MESSAGE, Message, OutboundTrack,
    Peer, PeerConfig, PeerEvent, PeerState, RemoteTrack, Subscription, Wake, is_here, readable, receive_buffer,
};
pub use inbox::{Inbound, Inbox, due};
pub use transport::{Impairment, Trouble};

//! One WebRTC connection to one participant. The only room that names the `webrtc` and `rtc` crates; no type of theirs
//! leaves it, so nobody outside can notice which driver moves the packets.

mod channel;
mod compound;
mod congestion;
mod engine;
mod impair;
mod inbox;
mod negotiation;
mod outbox;
mod pace;
pub mod packetize;
mod path;
mod peer;
pub mod receive;
mod sdp;
mod send;
mod socket;
mod steady;
mod taken;
mod tap;
mod wakeup;
mod window;

pub use channel::{ChannelSpec, ChannelTaker, DataChannel, LARGEST_MESSAGE, Message};
pub use impair::{Impairment, Trouble};
pub use inbox::{Inbound, Inbox, due};
pub use path::Path;
pub use peer::{CHAT_CHANNEL, ChannelRequest, Peer, PeerConfig, PeerEvent, PeerState, RemoteTrack, is_here, readable};
pub use send::{OutboundTrack, Subscription};
pub use socket::{Wake, receive_buffer};

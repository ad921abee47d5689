//! How a connection to one participant is configured, and what it reports. It names no library.

use crate::room::description::{IceServer, Signal};
pub use crate::room::media::RemoteTrack;
use crate::room::participant::ParticipantId;
pub use crate::room::policy::PeerState;
use crate::room::policy::{NegotiationPolicy, OfferRequest};
use crate::rtc::driver::channel::IncomingChannels;
use crate::rtc::transport::impair::Impairment;
use crate::rtc::transport::socket::Wake;

/// Label of the channel that the first offer always carries, so that there is something to negotiate; chat goes over it.
pub const CHAT_CHANNEL: &str = "chat";

/// How to connect to one participant.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The participant at the other end; every event carries it.
    pub peer: ParticipantId,
    /// Whether we are the polite side ([`crate::signal::is_polite`]).
    pub polite: bool,
    /// Whether we make the first offer.
    pub first_offer: bool,
    /// How connections are made in this room; who offers and who is polite is given above.
    pub policy: NegotiationPolicy,
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
    /// Use no path but those over TURN servers (W3C WebRTC `iceTransportPolicy: "relay"`).
    pub relay_only: bool,
    /// When the driver is woken.
    pub wake: Wake,
    /// Bytes of packets that may wait; none: [`crate::rtc::Inbox::MAX_BYTES`].
    pub inbox_bytes: Option<usize>,
    /// Whether to estimate the bandwidth of the path: for those who encode what they send, and can adapt it.
    pub measure: bool,
    /// An emulated bad network, for tests.
    pub impairment: Option<Impairment>,
    /// Where the participant's data channels go. None: they are closed.
    pub channels: Option<IncomingChannels>,
}

/// What a connection reports.
#[derive(Debug, Clone)]
pub enum PeerEvent {
    /// To be sent to the participant.
    Signal(Signal),
    /// To be asked of the participant, who makes the offers.
    OfferRequest(OfferRequest),
    /// The connection's state has changed.
    State(PeerState),
    /// ICE is connected; the DTLS handshake follows.
    IceConnected,
    /// Packets of this stream arrive in the inbox from now on (some may be there already).
    Track(RemoteTrack),
    /// The sender took the track away. Streams of it that are in the inbox are still good.
    TrackEnded {
        /// Its id (`a=msid`).
        track: String,
        /// Its streams.
        ssrcs: Vec<u32>,
    },
    /// A description could not be applied, by us or by the participant, who says why. What it changed does not come about; a connection that
    /// was not established will not be, and a new one has to be made.
    Refused(String),
    /// The participant closes the connection, over which nothing of ours comes, and begins anew; they say why.
    Anew(String),
    /// The participant goes on with another certificate, and this connection has nobody at its other end: it is to be closed, and another
    /// one made.
    Replaced {
        /// What has happened.
        why: String,
        /// Their offer for the other one follows ([`PeerEvent::ForSuccessor`]). Otherwise they were told that both begin anew.
        offers: bool,
    },
    /// After [`PeerEvent::Replaced`]: for the other connection.
    ForSuccessor(Signal),
    /// Something went wrong that the connection survives.
    Warning(String),
}

//! Signalling: how to join a kind of room and exchange descriptions and candidates there. Knows nothing of media.
//!
//! Each kind of room is one file or folder with one type that implements [`Signaller`]. [`for_url`] chooses it by the URL's scheme.
//! Rooms over WebSockets share one connector (heartbeat, reconnect with backoff); an adapter talks to the client over the two channels of a
//! [`Link`].

#![deny(missing_docs)]

mod adapters;
mod address;
mod backoff;
mod connector;
pub mod deepstream;
mod ice;
pub mod janus;
pub mod memory;
pub mod names;
pub mod protocol;
mod signaller;
mod simple_peer;
pub mod socketio;
mod websocket;
pub mod whep;
pub mod whip;
pub mod whip_whep;
pub mod ws;

pub use crate::room::description::{Candidate, Description, IceServer, Signal};
pub use crate::room::policy::{NegotiationPolicy, OfferRequest};
pub use adapters::for_url;
pub use address::{public_url, room_name};
pub use ice::parse_ice_server;
pub use protocol::{is_polite, makes_first_offer};
pub use signaller::{JoinAs, Link, SignalCommand, SignalEvent, Signaller};

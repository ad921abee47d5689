//! What is asked of a relay and what it answers. Values only.

use crate::error::Result as RoomResult;
use crate::signal::Signaller;
use crate::signal::whip_whep::fragment::Fragment;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Who waits for what becomes of a PATCH.
pub(super) type Reply = oneshot::Sender<Result<Patched, Refused>>;

/// How a room of that name is joined.
pub type Door = Arc<dyn Fn(&str) -> RoomResult<Box<dyn Signaller>> + Send + Sync>;

/// Limits of a relay.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub publishers: usize,
    pub viewers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { publishers: 64, viewers: 256 }
    }
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq)]
pub enum Refused {
    /// The session description cannot be used.
    Offer(String),
    /// The description is valid but cannot be served.
    Unfit(String),
    /// The room refused.
    Room(String),
    /// No participant of that name sends media.
    NothingSent,
    /// The limit of sessions is reached.
    Full(String),
    /// The machine is overloaded.
    Busy(String),
    /// There is no such session.
    Gone,
    /// The request names another ICE session than the current one.
    Stale,
    /// An answer without an offer of ours.
    Unasked,
    /// Too many requests.
    TooFast,
}

/// A session that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Unguessable: whoever knows it may change and end the session.
    pub id: String,
    pub etag: String,
    pub sdp: String,
    /// `sdp` is a counter-offer that needs an answer.
    pub counter_offer: bool,
}

/// The result of a PATCH.
#[derive(Debug)]
pub enum Patched {
    /// Accepted, without a body.
    Taken,
    /// ICE was restarted.
    Restarted { fragment: String, etag: String },
}

/// What a session is asked.
pub(super) enum Request {
    Patch { wanted: String, fragment: Fragment, reply: Reply },
    Answer { sdp: String, reply: oneshot::Sender<Result<(), Refused>> },
    End,
}

pub(super) type Requests = mpsc::Receiver<Request>;

/// A request for a new session.
#[derive(Debug)]
pub struct Call {
    /// The client's session description.
    pub offer: String,
    /// Our address as the client reached it.
    pub near: Option<IpAddr>,
    /// They proved in the way of RFC 6750 (2.1) that they may; so they must for everything that they request of their session.
    pub bearer: bool,
}

//! Requests to a relay, and its answers. Values only.

use crate::error::Result as RoomResult;
use crate::signal::Signaller;
use crate::signal::whip_whep::fragment::Fragment;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Receives the result of a PATCH.
pub(super) type Reply = oneshot::Sender<Result<PatchOutcome, RequestError>>;

/// How a room of that name is joined.
pub type RoomFactory = Arc<dyn Fn(&str) -> RoomResult<Box<dyn Signaller>> + Send + Sync>;

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
pub enum RequestError {
    /// The session description cannot be used.
    Offer(String),
    /// The description is valid but cannot be served.
    Unsupported(String),
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
    /// An answer, but we have made no offer.
    UnexpectedAnswer,
    /// Too many requests.
    TooManyRequests,
}

/// A session that has begun.
#[derive(Debug)]
pub struct NewSession {
    /// Unguessable: whoever knows it may change and end the session.
    pub id: String,
    pub etag: String,
    pub sdp: String,
    /// `sdp` is a counter-offer that needs an answer.
    pub counter_offer: bool,
}

/// The result of a PATCH.
#[derive(Debug)]
pub enum PatchOutcome {
    /// Accepted, without a body.
    Accepted,
    /// ICE was restarted.
    Restarted { fragment: String, etag: String },
}

/// A request to a session.
pub(super) enum Request {
    Patch { wanted: String, fragment: Fragment, reply: Reply },
    Answer { sdp: String, reply: oneshot::Sender<Result<(), RequestError>> },
    End,
}

pub(super) type Requests = mpsc::Receiver<Request>;

/// A request for a new session.
#[derive(Debug)]
pub struct SessionRequest {
    /// The client's session description.
    pub offer: String,
    /// Our address as the client reached it.
    pub near: Option<IpAddr>,
    /// They proved in the way of RFC 6750 (2.1) that they may; so they must for everything that they request of their session.
    pub bearer: bool,
}

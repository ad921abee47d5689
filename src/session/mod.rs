//! One actor per room: the only place where signalling, connections and recording meet.

use crate::error::Result;
use crate::rtc::OutboundTrack;
use crate::signal::{JoinAs, Signaller};

/// What a session does in its room.
#[derive(Default)]
pub struct SessionConfig {
    /// Tracks that are published from the start.
    pub publish: Vec<OutboundTrack>,
    /// Connect only to participants with one of these names; empty: to all.
    pub only: Vec<String>,
}

/// A room that was joined. Dropping it leaves at once; [`Session::leave`] leaves politely.
pub struct Session {}

impl Session {
    /// Joins, and connects to everybody who is there and to everybody who comes.
    pub async fn join(_room: &dyn Signaller, _how: JoinAs, _config: SessionConfig) -> Result<Session> {
        unimplemented!("written by the owner of session/")
    }
    /// Publishes one more track in mid-call (renegotiates with every peer).
    pub async fn publish(&self, _track: OutboundTrack) {}
    /// Takes a published track away again, named by its stream id (renegotiates with every peer).
    pub async fn unpublish(&self, _stream: &str) {}
    /// Waits until the session has ended by itself (room closed, connection to the server lost for good): why.
    pub async fn ended(&mut self) -> String {
        String::new()
    }
    /// Leaves politely: says goodbye, closes every connection.
    pub async fn leave(self) {}
}

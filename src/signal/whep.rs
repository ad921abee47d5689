//! Receiving from a WHEP endpoint (draft-ietf-wish-whep): `whep+http://host/path` or `whep+https://…`. Sends nothing.

use super::address::room_name;
use super::signaller::{JoinAs, Link, Signaller};
use super::whip_whep::endpoint::Endpoint;
use super::whip_whep::session;
use crate::error::Result;
use crate::room::media::Direction;
use crate::room::policy::{DataChannels, FirstOffer, MediaSections, NegotiationPolicy, Renegotiation};
use async_trait::async_trait;

/// A WHEP endpoint.
#[derive(Debug, Clone)]
pub struct WhepRoom {
    endpoint: Endpoint,
    room: String,
}

impl WhepRoom {
    /// Reads the URL; nothing is connected yet. `?token=…` is the bearer token, unless [`JoinAs::token`] is set.
    ///
    /// # Errors
    /// The user must act: that is no such URL.
    pub fn new(url: &str) -> Result<WhepRoom> {
        Ok(WhepRoom { endpoint: Endpoint::new(url)?, room: room_name(url) })
    }
}

#[async_trait]
impl Signaller for WhepRoom {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let policy = NegotiationPolicy {
            first_offer: FirstOffer::Us,
            polite: Some(true),
            trickle: false,
            audio: MediaSections::Preallocated(Direction::RecvOnly),
            video: MediaSections::Preallocated(Direction::RecvOnly),
            renegotiation: Renegotiation::IceRestart,
            channels: DataChannels::None,
            chat_by_room: false,
            sfu: None,
        };
        session::join(&self.endpoint, how.token.as_deref(), self.room.clone(), policy).await
    }
}

//! Sending to a WHIP endpoint (RFC 9725): `whip+http://host/path` or `whip+https://…`. Receives nothing.

use super::address::room_name;
use super::signaller::{JoinAs, Link, Signaller};
use super::whip_whep::endpoint::Endpoint;
use super::whip_whep::session;
use crate::error::Result;
use crate::room::media::Direction;
use crate::room::policy::{DataChannels, FirstOffer, MediaSections, NegotiationPolicy, Renegotiation};
use async_trait::async_trait;

/// A WHIP endpoint.
#[derive(Debug, Clone)]
pub struct WhipRoom {
    endpoint: Endpoint,
    room: String,
}

impl WhipRoom {
    /// Reads the URL; nothing is connected yet. `?token=…` is the bearer token, unless [`JoinAs::token`] is set.
    ///
    /// # Errors
    /// The user must act: that is no such URL.
    pub fn new(url: &str) -> Result<WhipRoom> {
        Ok(WhipRoom { endpoint: Endpoint::new(url)?, room: room_name(url) })
    }
}

#[async_trait]
impl Signaller for WhipRoom {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let mut endpoint = self.endpoint.clone();
        // WHIP has no display names; our own server accepts them in the query. A URL with a query is not changed: it may be signed.
        if endpoint.url.query().is_none() {
            endpoint.url.query_pairs_mut().append_pair("name", &how.name);
        }
        let policy = NegotiationPolicy {
            first_offer: FirstOffer::Us,
            polite: Some(true),
            trickle: false,
            audio: MediaSections::PerTrack(Direction::SendOnly),
            video: MediaSections::PerTrack(Direction::SendOnly),
            renegotiation: Renegotiation::IceRestart,
            channels: DataChannels::None,
            chat_by_room: false,
            sfu: None,
        };
        session::join(&endpoint, how.token.as_deref(), self.room.clone(), policy).await
    }
}

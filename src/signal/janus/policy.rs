//! The two connections to a Janus room, and how each is negotiated. Values only.

use crate::room::media::Direction;
use crate::room::participant::ParticipantId;
use crate::room::policy::{DataChannels, FirstOffer, MediaSections, NegotiationPolicy, Renegotiation};

/// The connection that receives what the others send.
pub(super) fn subscriber_id() -> ParticipantId {
    ParticipantId("janus-subscriber".to_owned())
}

/// The connection that sends our tracks.
pub(super) fn publisher_id() -> ParticipantId {
    ParticipantId("janus-publisher".to_owned())
}

/// Participants have no connection of their own: their media comes over the subscriber's.
pub(super) fn participant_policy() -> NegotiationPolicy {
    NegotiationPolicy { sfu: Some(subscriber_id()), channels: DataChannels::None, ..NegotiationPolicy::default() }
}

pub(super) fn subscriber_policy() -> NegotiationPolicy {
    NegotiationPolicy {
        first_offer: FirstOffer::Them,
        polite: Some(true),
        audio: MediaSections::None,
        video: MediaSections::None,
        renegotiation: Renegotiation::Request,
        channels: DataChannels::None,
        ..NegotiationPolicy::default()
    }
}

pub(super) fn publisher_policy() -> NegotiationPolicy {
    NegotiationPolicy {
        first_offer: FirstOffer::Us,
        polite: Some(false),
        audio: MediaSections::PerTrack(Direction::SendOnly),
        video: MediaSections::PerTrack(Direction::SendOnly),
        channels: DataChannels::None,
        ..NegotiationPolicy::default()
    }
}

//! The two connections to a Janus room, and how each is negotiated. Values only.

use crate::room::participant::ParticipantId;
use crate::room::policy::{Changes, Channels, FirstOffer, NegotiationPolicy, Section, Way};

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
    NegotiationPolicy { sfu: Some(subscriber_id()), channels: Channels::Never, ..NegotiationPolicy::default() }
}

pub(super) fn subscriber_policy() -> NegotiationPolicy {
    NegotiationPolicy {
        first_offer: FirstOffer::Them,
        polite: Some(true),
        audio: Section::Never,
        video: Section::Never,
        changes: Changes::Ask,
        channels: Channels::Never,
        ..NegotiationPolicy::default()
    }
}

pub(super) fn publisher_policy() -> NegotiationPolicy {
    NegotiationPolicy {
        first_offer: FirstOffer::Us,
        polite: Some(false),
        audio: Section::Published(Way::Send),
        video: Section::Published(Way::Send),
        channels: Channels::Never,
        ..NegotiationPolicy::default()
    }
}

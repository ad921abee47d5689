//! How a connection is made in a kind of room: who offers first, what an offer has in it, what may change later. A pure value that
//! the room's adapter gives; the connection keeps to it.

use crate::room::media::{Direction, MediaKind};
use crate::room::participant::ParticipantId;
use serde::{Deserialize, Serialize};

/// The media stream id of sections that a bot of ours reserves for tracks that it may send later (`MediaSections::Preallocated`). That they
/// say that it sends is no promise of media.
pub const RESERVED_STREAM: &str = "roombot";

/// Who makes the first offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstOffer {
    /// As in our own rooms: who was there first, but never a recorder.
    #[default]
    ByRole,
    /// We do.
    Us,
    /// The other side does.
    Them,
}

/// The media sections of one kind that our descriptions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaSections {
    /// None of ours: tracks of that kind are not sent on this connection. What they offer is accepted.
    None,
    /// One for each track that we send.
    PerTrack(Direction),
    /// As members of a mesh have them: one for each track that we send, the first of a kind both ways and any other, as that of a screen,
    /// one way; and our first offer has one on which we receive in any case, which spares them an offer of their own.
    #[default]
    Mesh,
    /// The same, but our first offer has one in any case. A sending one is reserved for a track that is published later, which then
    /// needs no negotiation.
    Preallocated(Direction),
}

impl MediaSections {
    /// Whether a track of ours goes out on this connection.
    pub fn sends(self) -> bool {
        self.direction().sends()
    }
    /// The direction of such a section, as we see it.
    pub fn direction(self) -> Direction {
        match self {
            MediaSections::None => Direction::RecvOnly,
            MediaSections::Mesh => Direction::SendRecv,
            MediaSections::PerTrack(direction) | MediaSections::Preallocated(direction) => direction,
        }
    }
}

/// How changes on our side are settled after the first offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Renegotiation {
    /// We offer again.
    #[default]
    Offer,
    /// We request an offer of the other side ([`OfferRequest`]).
    Request,
    /// Not at all: what the first exchange did not settle is left out. Their further offers are answered.
    Never,
    /// The same, but we may restart ICE (RFC 8445 9).
    IceRestart,
}

/// Which data channels there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataChannels {
    /// As many as are needed, each with its name; the first offer of ours has one for chat.
    #[default]
    Named,
    /// A single one, opened by who offers first, whatever its name. A further one would replace it.
    Single {
        /// It carries chat.
        chat: bool,
        /// It carries files.
        files: bool,
    },
    /// None of ours; theirs are accepted.
    None,
}

/// How connections are made. The default is the policy of our own rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiationPolicy {
    /// Who makes the first offer.
    pub first_offer: FirstOffer,
    /// Whether we are the polite side (W3C WebRTC 10.7); none: by the two ids.
    pub polite: Option<bool>,
    /// Whether our candidates follow the description one by one; otherwise they are all in it.
    pub trickle: bool,
    /// Sections for audio.
    pub audio: MediaSections,
    /// Sections for video.
    pub video: MediaSections,
    /// What may change later, and how.
    pub renegotiation: Renegotiation,
    /// Which data channels there are.
    pub channels: DataChannels,
    /// Chat goes through the room itself ([`crate::signal::SignalCommand::Chat`]), not over a channel.
    pub chat_by_room: bool,
    /// Whose connection brings their media, where it is not theirs: a server's that forwards what everybody sends. No connection is made to
    /// them; their labels name the streams that are theirs, now.
    pub sfu: Option<ParticipantId>,
}

impl Default for NegotiationPolicy {
    fn default() -> Self {
        NegotiationPolicy {
            first_offer: FirstOffer::ByRole,
            polite: None,
            trickle: true,
            audio: MediaSections::default(),
            video: MediaSections::default(),
            renegotiation: Renegotiation::Offer,
            channels: DataChannels::Named,
            chat_by_room: false,
            sfu: None,
        }
    }
}

impl NegotiationPolicy {
    /// The sections of this kind.
    pub fn sections(&self, kind: MediaKind) -> MediaSections {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
        }
    }
    /// Whether files go over the channels.
    pub fn has_files(&self) -> bool {
        matches!(self.channels, DataChannels::Named | DataChannels::Single { files: true, .. })
    }
    /// Whether chat goes anywhere.
    pub fn has_chat(&self) -> bool {
        self.chat_by_room || matches!(self.channels, DataChannels::Named | DataChannels::Single { chat: true, .. })
    }
}

/// What one side requests of the side that makes the offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferRequest {
    /// Another offer: something has changed.
    Renegotiate,
    /// An offer with one more section, for a track that is to be sent to it.
    AddMedia(MediaKind),
    /// An ICE restart.
    IceRestart,
}

/// Where a connection stands (W3C `RTCPeerConnectionState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerState {
    /// Nothing has begun.
    New,
    /// ICE or DTLS is at work.
    Connecting,
    /// Media and data flow.
    Connected,
    /// The path is interrupted, and may come back by itself.
    Disconnected,
    /// No path was found, or it was lost.
    Failed,
    /// The connection is closed.
    Closed,
}

impl PeerState {
    /// The state's word in W3C WebRTC.
    pub fn word(self) -> &'static str {
        match self {
            PeerState::New => "new",
            PeerState::Connecting => "connecting",
            PeerState::Connected => "connected",
            PeerState::Disconnected => "disconnected",
            PeerState::Failed => "failed",
            PeerState::Closed => "closed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_say_whether_we_send() {
        assert!(MediaSections::default().sends() && MediaSections::Preallocated(Direction::SendOnly).sends());
        assert!(!MediaSections::None.sends() && !MediaSections::Preallocated(Direction::RecvOnly).sends());
        assert!(NegotiationPolicy::default().has_chat());
        assert!(!NegotiationPolicy { channels: DataChannels::None, ..NegotiationPolicy::default() }.has_chat());
        assert!(
            NegotiationPolicy { channels: DataChannels::None, chat_by_room: true, ..NegotiationPolicy::default() }
                .has_chat()
        );
    }
}

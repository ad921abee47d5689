//! How a connection is made in a kind of room: who offers first, what an offer has in it, what may change later. A pure value that
//! the room's adapter gives; the connection keeps to it.

use crate::room::media::MediaKind;
use crate::room::participant::ParticipantId;
use serde::{Deserialize, Serialize};

/// Who makes the first offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstOffer {
    /// As in our own rooms: who was there first, but never a recorder.
    #[default]
    ByRole,
    Us,
    Them,
}

/// The way of media in a section of a description, as we see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    #[default]
    Both,
    Send,
    Receive,
}

/// What our descriptions have of one kind of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Nothing of ours: tracks of that kind are not sent on this connection. What they offer is taken.
    Never,
    /// One for each track that we send.
    Published(Way),
    /// The same, but one is in our first offer in any case. A sending one keeps a place for a track that is published later, which
    /// then needs no negotiation.
    Always(Way),
}

impl Default for Section {
    fn default() -> Self {
        Section::Published(Way::Both)
    }
}

impl Section {
    /// Whether a track of ours goes out on this connection.
    pub fn sends(self) -> bool {
        matches!(self, Section::Published(way) | Section::Always(way) if way != Way::Receive)
    }
    pub fn way(self) -> Way {
        match self {
            Section::Never => Way::Receive,
            Section::Published(way) | Section::Always(way) => way,
        }
    }
}

/// What we may do when something of ours changes in mid-call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Changes {
    /// Offer again.
    #[default]
    Offer,
    /// Ask them to offer again ([`Ask`]).
    Ask,
    /// Nothing: what the first exchange did not settle is left out. Their further offers are answered.
    Never,
    /// The same, but for other network paths (RFC 8445, ICE restart).
    Paths,
}

/// Which data channels there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channels {
    /// As many as are wanted, each with its name; the first offer of ours has one for chat.
    #[default]
    Named,
    /// A single one, opened by who offers first, whatever its name. A further one would take its place.
    One { chat: bool, files: bool },
    /// None of ours; theirs are taken.
    Never,
}

/// How connections are made. The default is the policy of our own rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiationPolicy {
    pub first_offer: FirstOffer,
    /// Whether we are the polite side (W3C WebRTC 10.7); none: by the two ids.
    pub polite: Option<bool>,
    /// Whether our candidates follow the description one by one; otherwise they are all in it.
    pub trickle: bool,
    pub audio: Section,
    pub video: Section,
    pub changes: Changes,
    pub channels: Channels,
    /// Chat goes through the room itself ([`crate::signal::SignalCommand::Say`]), not over a channel.
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
            audio: Section::default(),
            video: Section::default(),
            changes: Changes::Offer,
            channels: Channels::Named,
            chat_by_room: false,
            sfu: None,
        }
    }
}

impl NegotiationPolicy {
    pub fn section(&self, kind: MediaKind) -> Section {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
        }
    }
    /// Whether files go over the channels.
    pub fn has_files(&self) -> bool {
        matches!(self.channels, Channels::Named | Channels::One { files: true, .. })
    }
    /// Whether chat goes anywhere.
    pub fn has_chat(&self) -> bool {
        self.chat_by_room || matches!(self.channels, Channels::Named | Channels::One { chat: true, .. })
    }
}

/// What one side asks of the side that makes the offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// To offer again: something has changed.
    Offer,
    /// To offer one more section, for a track that is to be sent to it.
    Section(MediaKind),
    /// To look for other network paths.
    Paths,
}

/// Where a connection stands (W3C `RTCPeerConnectionState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerState {
    New,
    Connecting,
    Connected,
    Disconnected,
    Failed,
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
    fn a_section_says_whether_we_send() {
        assert!(Section::default().sends() && Section::Always(Way::Send).sends());
        assert!(!Section::Never.sends() && !Section::Always(Way::Receive).sends());
        assert!(NegotiationPolicy::default().has_chat());
        assert!(!NegotiationPolicy { channels: Channels::Never, ..NegotiationPolicy::default() }.has_chat());
        assert!(
            NegotiationPolicy { channels: Channels::Never, chat_by_room: true, ..NegotiationPolicy::default() }
                .has_chat()
        );
    }
}

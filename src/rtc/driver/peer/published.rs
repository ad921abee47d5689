//! Tracks of ours on a connection, and the transceivers that are reserved for them where a room negotiates only once. What a room allows
//! is decided by its policy.

use crate::room::media::{Codec, Direction, MediaKind, Source};
use crate::room::participant::TrackLabel;
use crate::room::policy::{MediaSections, OfferRequest, RESERVED_STREAM};
use crate::rtc::driver::engine::library_kind;
use crate::rtc::driver::peer::actor::Actor;
use crate::rtc::driver::peer::state::ReservedTransceiver;
use crate::rtc::driver::track_sender::{TrackSender, local_track};
use crate::rtc::peer::PeerEvent;
use crate::rtc::publisher::OutboundTrack;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverId, RTCRtpTransceiverInit};
use rtc::shared::error::Error;
use std::sync::Arc;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::rtp_transceiver::RtpSender;

/// A track gets so many sections of its own, should they cease to receive in one after the other.
const MAX_MOVES: u32 = 4;

impl Actor {
    /// Prepares the sections that our first description has in any case.
    pub(crate) async fn reserve_transceivers(&mut self) {
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let MediaSections::Preallocated(direction) = self.policy.sections(kind) else { continue };
            if self.published.senders.iter().any(|sender| sender.track.label().kind == kind) {
                continue;
            }
            if direction == Direction::RecvOnly {
                if self.first_offer {
                    self.add_receiver(kind).await;
                }
                continue;
            }
            let (stream, source) = (RESERVED_STREAM.into(), Source::default_for(kind));
            let label = TrackLabel { stream, kind, source, muted: false };
            let codec = if kind == MediaKind::Audio { Codec::Opus } else { Codec::Vp8 };
            let (local, ssrc) = local_track(&OutboundTrack::new(label, codec));
            if let Some(sender) = self.add_track(local.clone(), kind, direction, false).await {
                self.published.reserved.push(ReservedTransceiver { kind, local, sender, ssrc, in_use: false });
            }
        }
    }

    /// Before an offer, where sections are as in a mesh: those of ours that are new and go one way say so. A peer that answers `sendrecv` to
    /// all that is offered so would seem to send. Our first offer gets one to receive on for each kind.
    pub(crate) async fn fit_sections(&mut self) {
        let transceivers = self.connection.get_transceivers().await;
        for kind in [MediaKind::Audio, MediaKind::Video] {
            if self.policy.sections(kind) != MediaSections::Mesh {
                continue;
            }
            let mut receives = self.received.shared().lock().receives(kind);
            for sender in self.published.senders.iter().filter(|sender| sender.track.label().kind == kind) {
                let id = RTCRtpTransceiverId::from(sender.sender.id());
                let Some(transceiver) = transceivers.iter().find(|transceiver| transceiver.id() == id) else {
                    continue;
                };
                if matches!(transceiver.mid().await, Ok(Some(_))) {
                    continue;
                }
                let screen = matches!(sender.track.label().source, Source::Screen | Source::ScreenAudio);
                if !receives && !screen {
                    receives = true;
                } else if let Err(e) = transceiver.set_direction(RTCRtpTransceiverDirection::Sendonly).await {
                    tracing::debug!(peer = %self.peer, "a direction: {e}");
                }
            }
            if !receives
                && self.first_offer
                && !self.remote_candidates.described()
                && self.offers_to_receive.insert(kind)
            {
                self.add_receiver(kind).await;
            }
        }
    }

    /// Adds a section on which we receive.
    pub(crate) async fn add_receiver(&mut self, kind: MediaKind) {
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            streams: vec![],
            send_encodings: vec![],
        };
        if let Err(e) = self.connection.add_transceiver_from_kind(library_kind(kind), Some(init)).await {
            self.warn(format!("no further track can be received: {e}")).await;
        }
    }

    /// Whether the library may choose the section of a track of this kind: it takes any in which nothing of ours is sent.
    async fn may_share(&self, kind: MediaKind) -> bool {
        for transceiver in self.connection.get_transceivers().await {
            let Ok(None) = transceiver.sender().await else { continue };
            let Ok(Some(mid)) = transceiver.mid().await else { continue };
            if self.descriptions.room(&mid).is_some_and(|room| room.kind == kind && room.only_theirs) {
                return false;
            }
        }
        true
    }

    /// `own`: in a section that nothing else is in.
    async fn add_track(
        &mut self,
        local: Arc<TrackLocalStaticRTP>,
        kind: MediaKind,
        direction: Direction,
        own: bool,
    ) -> Option<Arc<dyn RtpSender>> {
        // Who answers with sections of their own sends in theirs and receives in ours.
        let one_way = self.received.shared().lock().sections.is_one_way();
        let own = own || one_way || !self.may_share(kind).await;
        let added = async {
            let local = local as Arc<dyn TrackLocal>;
            let sender = match own {
                false => self.connection.add_track(local).await?,
                true => {
                    let transceiver = self.connection.add_transceiver_from_track(local, None).await?;
                    transceiver.sender().await?.ok_or(Error::ErrRTPSenderNotExisted)?
                }
            };
            if direction == Direction::SendOnly {
                for transceiver in self.connection.get_transceivers().await {
                    if transceiver.id() == RTCRtpTransceiverId::from(sender.id()) {
                        transceiver.set_direction(RTCRtpTransceiverDirection::Sendonly).await?;
                    }
                }
            }
            Ok::<_, Error>(sender)
        };
        match added.await {
            Ok(sender) => Some(sender),
            Err(e) => {
                self.warn(format!("a track of ours cannot be sent: {e}")).await;
                None
            }
        }
    }

    pub(crate) async fn publish(&mut self, track: OutboundTrack) {
        let (kind, source) = (track.label().kind, track.label().source);
        let sections = self.policy.sections(kind);
        if !sections.sends() {
            return;
        }
        let capture_times = self.published.capture_times.clone();
        let reserved = self.published.reserved.iter_mut().find(|reserved| reserved.kind == kind && !reserved.in_use);
        if let Some(reserved) = reserved {
            reserved.in_use = true;
            let (local, sender) = (reserved.local.clone(), reserved.sender.clone());
            let mut sender = TrackSender::start(track, local, sender, reserved.ssrc, capture_times);
            sender.set_connected(self.connected);
            let warning = sender.apply_negotiated(self.received.shared()).await;
            self.published.senders.push(sender);
            if let Some(warning) = warning {
                self.warn(warning).await;
            }
            return;
        }
        if !self.negotiation.may_add_track() {
            return self.warn(format!("this room accepts no {} of ours during the call", source.word())).await;
        }
        self.publish_in(track, 0).await;
    }

    /// Publishes a track for which no section is reserved. `moves`: sections in which it had no room.
    async fn publish_in(&mut self, track: OutboundTrack, moves: u32) {
        let (kind, capture_times) = (track.label().kind, self.published.capture_times.clone());
        let (local, ssrc) = local_track(&track);
        let direction = self.policy.sections(kind).direction();
        let Some(sender) = self.add_track(local.clone(), kind, direction, moves > 0).await else { return };
        let negotiated = !self.negotiation.requests_sections() || self.has_section(&sender).await;
        let mut sender = TrackSender::start(track, local, sender, ssrc, capture_times);
        sender.moves = moves;
        sender.set_connected(self.connected);
        self.published.senders.push(sender);
        if negotiated {
            self.negotiation.changed();
        } else {
            self.report(PeerEvent::OfferRequest(OfferRequest::AddMedia(kind))).await;
        }
    }

    /// Both descriptions are in force, theirs last if they have `offered`: a track of ours whose section has no room for it, because they
    /// only send there, or do not use it, gets a section of its own. One that they have refused there stays as it is.
    pub(crate) async fn find_room(&mut self, offered: bool) {
        let transceivers = self.connection.get_transceivers().await;
        let mut homeless = Vec::new();
        for (index, sender) in self.published.senders.iter().enumerate() {
            let id = RTCRtpTransceiverId::from(sender.sender.id());
            let Some(transceiver) = transceivers.iter().find(|transceiver| transceiver.id() == id) else { continue };
            let Ok(Some(mid)) = transceiver.mid().await else { continue };
            let is_reserved = self.published.reserved.iter().any(|reserved| reserved.ssrc == sender.ssrc);
            if self.descriptions.room(&mid).is_some_and(|room| !room.free) && !is_reserved {
                homeless.push(index);
            }
        }
        for index in homeless.into_iter().rev() {
            let sender = &mut self.published.senders[index];
            if sender.moves >= if offered { MAX_MOVES } else { 1 } || !self.negotiation.may_add_track() {
                if !std::mem::replace(&mut sender.refused, true) {
                    let source = sender.track.label().source.word();
                    self.warn(format!("they do not take our {source}")).await;
                }
                continue;
            }
            let sender = self.published.senders.remove(index);
            let (track, moves) = (sender.track.clone(), sender.moves + 1);
            if let Err(e) = self.connection.remove_track(&sender.sender).await {
                tracing::debug!(peer = %self.peer, "a track that has no room: {e}");
            }
            sender.stop();
            self.publish_in(track, moves).await;
        }
    }

    /// Whether there is a section for the track already.
    async fn has_section(&self, sender: &Arc<dyn RtpSender>) -> bool {
        for transceiver in self.connection.get_transceivers().await {
            if transceiver.id() == RTCRtpTransceiverId::from(sender.id()) {
                return matches!(transceiver.mid().await, Ok(Some(_)));
            }
        }
        false
    }

    /// Stops sending the tracks of a stream, of one kind if one is given.
    pub(crate) async fn unpublish(&mut self, stream: &str, kind: Option<MediaKind>) {
        let matches = |label: &TrackLabel| label.stream == stream && kind.is_none_or(|kind| kind == label.kind);
        let senders = std::mem::take(&mut self.published.senders);
        let (removed, kept): (Vec<_>, Vec<_>) = senders.into_iter().partition(|s| matches(s.track.label()));
        self.published.senders = kept;
        for sender in removed {
            let mut reserved = self.published.reserved.iter_mut();
            if let Some(reserved) = reserved.find(|reserved| reserved.ssrc == sender.ssrc) {
                reserved.in_use = false;
                sender.stop();
                continue;
            }
            if let Err(e) = self.connection.remove_track(&sender.sender).await {
                self.warn(format!("a track of ours cannot be removed: {e}")).await;
            }
            sender.stop();
            self.negotiation.changed();
        }
    }
}

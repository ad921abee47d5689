//! Tracks of ours on a connection, and the sections that are kept for them where a room negotiates only once. It decides nothing
//! about the room: its policy does.

use crate::room::media::{Codec, MediaKind, Source};
use crate::room::participant::TrackLabel;
use crate::room::policy::{Ask, Changes, Section, Way};
use crate::rtc::driver::engine::library_kind;
use crate::rtc::driver::peer::PeerEvent;
use crate::rtc::driver::peer::actor::Actor;
use crate::rtc::driver::send;
use crate::rtc::driver::send::{OutboundTrack, Sending};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverId, RTCRtpTransceiverInit};
use std::sync::Arc;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::rtp_transceiver::RtpSender;

/// The stream of tracks that are published later.
const KEPT: &str = "roombot";

/// A section that is kept for a track of ours.
pub(crate) struct ReservedTransceiver {
    kind: MediaKind,
    local: Arc<TrackLocalStaticRTP>,
    sender: Arc<dyn RtpSender>,
    ssrc: u32,
    taken: bool,
}

impl Actor {
    /// Prepares the sections that the first description of ours has in any case.
    pub(crate) async fn keep_places(&mut self, first_offer: bool) {
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let Section::Always(way) = self.policy.section(kind) else { continue };
            if self.sending.iter().any(|sending| sending.track.label().kind == kind) {
                continue;
            }
            if way == Way::Receive {
                if first_offer {
                    self.take_one_more(kind).await;
                }
                continue;
            }
            let label = TrackLabel { stream: KEPT.into(), kind, source: Source::default_for(kind), muted: false };
            let codec = if kind == MediaKind::Audio { Codec::Opus } else { Codec::Vp8 };
            let (local, ssrc) = send::local_track(&OutboundTrack::new(label, codec));
            if let Some(sender) = self.add(local.clone(), way).await {
                self.places.push(ReservedTransceiver { kind, local, sender, ssrc, taken: false });
            }
        }
    }

    /// One more section on which we receive.
    pub(crate) async fn take_one_more(&mut self, kind: MediaKind) {
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            streams: vec![],
            send_encodings: vec![],
        };
        if let Err(e) = self.connection.add_transceiver_from_kind(library_kind(kind), Some(init)).await {
            self.warn(format!("nothing more can be taken: {e}")).await;
        }
    }

    async fn add(&mut self, local: Arc<TrackLocalStaticRTP>, way: Way) -> Option<Arc<dyn RtpSender>> {
        let added = async {
            let sender = self.connection.add_track(local as Arc<dyn TrackLocal>).await?;
            if way == Way::Send {
                for transceiver in self.connection.get_transceivers().await {
                    if transceiver.id() == RTCRtpTransceiverId::from(sender.id()) {
                        transceiver.set_direction(RTCRtpTransceiverDirection::Sendonly).await?;
                    }
                }
            }
            rtc::shared::error::Result::Ok(sender)
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
        let section = self.policy.section(kind);
        if !section.sends() {
            return;
        }
        if let Some(place) = self.places.iter_mut().find(|place| place.kind == kind && !place.taken) {
            place.taken = true;
            let (local, sender) = (place.local.clone(), place.sender.clone());
            let mut sending = Sending::start(track, local, sender, place.ssrc, self.taken.clone());
            sending.set_connected(self.connected);
            let refused = if self.remote_described { sending.settle().await } else { None };
            self.sending.push(sending);
            if let Some(warning) = refused {
                self.warn(warning).await;
            }
            return;
        }
        if self.begun && matches!(self.policy.changes, Changes::Never | Changes::Paths) {
            return self.warn(format!("this room takes no {} of ours in mid-call", source.word())).await;
        }
        let (local, ssrc) = send::local_track(&track);
        let Some(sender) = self.add(local.clone(), section.way()).await else { return };
        let mut placed = true;
        if self.begun && self.policy.changes == Changes::Ask {
            placed = self.has_section(&sender).await;
        }
        let sending = Sending::start(track, local, sender, ssrc, self.taken.clone());
        sending.set_connected(self.connected);
        self.sending.push(sending);
        if placed {
            self.negotiation.changed();
        } else {
            self.tell(PeerEvent::Ask(Ask::Section(kind))).await;
        }
    }

    /// Whether the track goes out in a section that there is already.
    async fn has_section(&self, sender: &Arc<dyn RtpSender>) -> bool {
        for transceiver in self.connection.get_transceivers().await {
            if transceiver.id() == RTCRtpTransceiverId::from(sender.id()) {
                return matches!(transceiver.mid().await, Ok(Some(_)));
            }
        }
        false
    }

    pub(crate) async fn unpublish(&mut self, stream: &str, kind: Option<MediaKind>) {
        let meant = |label: &TrackLabel| label.stream == stream && kind.is_none_or(|kind| kind == label.kind);
        let (gone, kept) = std::mem::take(&mut self.sending).into_iter().partition(|s| meant(s.track.label()));
        self.sending = kept;
        let gone: Vec<Sending> = gone;
        for sending in gone {
            if let Some(place) = self.places.iter_mut().find(|place| place.ssrc == sending.ssrc) {
                place.taken = false;
                sending.stop();
                continue;
            }
            if let Err(e) = self.connection.remove_track(&sending.sender).await {
                self.warn(format!("a track of ours cannot be taken away: {e}")).await;
            }
            sending.stop();
            self.negotiation.changed();
        }
    }
}

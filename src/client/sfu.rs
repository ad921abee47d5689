//! Rooms with an SFU: the connections to the server, and which participant each of their streams belongs to. Consumers see participants with
//! an inbox each, as in a full mesh.

use crate::client::{Actor, IncomingMedia, Member, RoomEvent};
use crate::room::event::ConnectionId;
use crate::room::participant::{ParticipantId, TrackLabel};
use crate::room::policy::{FirstOffer, NegotiationPolicy};
use crate::rtc::{BandwidthEstimate, Inbound, Inbox, OutboundTrack, Peer, PeerEvent, RemoteTrack};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Connections to the room's server.
pub(crate) struct SfuConnections {
    all: HashMap<ParticipantId, SfuConnection>,
    /// Bandwidth of the path on which we send.
    path: watch::Sender<BandwidthEstimate>,
}

impl Default for SfuConnections {
    fn default() -> Self {
        SfuConnections { all: HashMap::new(), path: watch::channel(BandwidthEstimate::UNKNOWN).0 }
    }
}

struct SfuConnection {
    policy: NegotiationPolicy,
    /// None until there is something to send, if we offer: an offer without media sections is invalid.
    peer: Option<Peer>,
    /// Received streams and their owners.
    streams: HashMap<u32, (RemoteTrack, Option<ParticipantId>)>,
}

impl SfuConnections {
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.all.values().filter_map(|sfu| sfu.peer.as_ref())
    }
    pub fn peer(&self, id: &ParticipantId) -> Option<&Peer> {
        self.all.get(id).and_then(|sfu| sfu.peer.as_ref())
    }
    /// The connection that carries the media of participants with this policy.
    pub fn of(&self, policy: &NegotiationPolicy) -> Option<&Peer> {
        policy.sfu.as_ref().and_then(|id| self.peer(id))
    }
}

impl Actor {
    /// Opens a connection to the server.
    pub(crate) async fn sfu(&mut self, id: ParticipantId, policy: NegotiationPolicy) {
        self.remove_sfu_connection(&id).await;
        let waits = policy.first_offer == FirstOffer::Us;
        self.sfu.all.insert(id.clone(), SfuConnection { policy, peer: None, streams: HashMap::new() });
        if !waits || !self.sent().is_empty() {
            self.connect_sfu(&id).await;
        }
    }

    /// Everything that we send to anybody.
    fn sent(&self) -> Vec<OutboundTrack> {
        let own = self.members.values().filter(|member| member.inbox.is_some()).flat_map(|member| &member.own);
        self.publish.iter().chain(own).cloned().collect()
    }

    async fn connect_sfu(&mut self, id: &ParticipantId) {
        let publish = self.sent();
        let Some(sfu) = self.sfu.all.get(id) else { return };
        let offers = sfu.policy.first_offer == FirstOffer::Us;
        let config = self.peer_config(id, offers, sfu.policy.clone());
        match Peer::connect(config, publish, self.peer_events.clone()).await {
            Ok(peer) => {
                if offers {
                    let (mut path, shown) = (peer.bandwidth(), self.sfu.path.clone());
                    tokio::spawn(async move {
                        while path.changed().await.is_ok() {
                            shown.send_replace(*path.borrow_and_update());
                        }
                    });
                }
                if let Some(sfu) = self.sfu.all.get_mut(id) {
                    sfu.peer = Some(peer);
                }
            }
            Err(e) => tracing::warn!("{id}: {e}"),
        }
    }

    /// Sends one more track over the SFU.
    pub(crate) async fn publish_to_sfu(&mut self, track: OutboundTrack) {
        let ids: Vec<ParticipantId> = self.sfu.all.keys().cloned().collect();
        for id in ids {
            match self.sfu.all.get(&id) {
                Some(SfuConnection { peer: Some(peer), .. }) => peer.publish(track.clone()).await,
                Some(_) => self.connect_sfu(&id).await,
                None => {}
            }
        }
    }

    /// Removes a connection to the server, if `id` names one.
    pub(crate) async fn remove_sfu_connection(&mut self, id: &ParticipantId) {
        let Some(sfu) = self.sfu.all.remove(id) else { return };
        for (track, owner) in sfu.streams.into_values() {
            if let Some(owner) = owner {
                self.track_removed(owner, vec![track.ssrc]).await;
            }
        }
        if let Some(peer) = sfu.peer {
            let inbox = peer.inbox();
            peer.close().await;
            self.tell_unowned(inbox.unowned(true)).await;
        }
    }

    /// Tells what the room's server sent that belongs to nobody.
    pub(crate) async fn look_at_sfu(&self) {
        for peer in self.sfu.peers() {
            self.tell_unowned(peer.inbox().unowned(false)).await;
        }
    }

    async fn tell_unowned(&self, dropped: Vec<Inbound>) {
        for counted in dropped {
            if let Inbound::Dropped { ssrc, reason, packets, bytes, first, last } = counted {
                self.tell(RoomEvent::Unowned { ssrc, reason: reason.word(), packets, bytes, first, last }).await;
            }
        }
    }

    pub(crate) async fn close_sfu_connections(&mut self) {
        let ids: Vec<ParticipantId> = self.sfu.all.keys().cloned().collect();
        for id in ids {
            self.remove_sfu_connection(&id).await;
        }
    }

    /// Makes an inbox for a participant whose media an SFU forwards.
    pub(crate) async fn attach(&self, id: &ParticipantId, connection: ConnectionId) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::with_capacity(self.inbox_bytes.unwrap_or(Inbox::MAX_BYTES)));
        let media = IncomingMedia { inbox: inbox.clone(), bandwidth: self.sfu.path.subscribe() };
        self.tell(RoomEvent::ConnectionOpened { id: id.clone(), connection, media }).await;
        inbox
    }

    /// A participant behind the SFU has left; stops what was sent for them.
    pub(crate) async fn detach(&mut self, id: &ParticipantId, gone: &Member) {
        self.assign_streams().await;
        for (peer, inbox) in self.sfu.peers().filter_map(|peer| Some((peer, gone.inbox.as_ref()?))) {
            peer.inbox().take_back(inbox);
        }
        let (own, connection) = (&gone.own, gone.connection);
        for track in own {
            let TrackLabel { stream, kind, .. } = track.label();
            for peer in self.sfu.peers() {
                peer.unpublish_kind(stream, Some(*kind)).await;
            }
        }
        self.tell(RoomEvent::ConnectionClosed { id: id.clone(), connection }).await;
    }

    /// Handles an event of a connection. Events of an SFU connection are reported for the participants that they concern.
    pub(crate) async fn peer_event(&mut self, id: ParticipantId, event: PeerEvent) {
        let Some(sfu) = self.sfu.all.get_mut(&id) else {
            return self.member_event(id, event).await;
        };
        match event {
            PeerEvent::Track(track) => {
                let before = sfu.streams.insert(track.ssrc, (track, None));
                if let Some((track, Some(owner))) = before {
                    self.track_removed(owner, vec![track.ssrc]).await;
                }
                self.assign_streams().await;
            }
            PeerEvent::TrackEnded { ssrcs, .. } => {
                for (track, owner) in ssrcs.iter().filter_map(|ssrc| sfu.streams.remove(ssrc)).collect::<Vec<_>>() {
                    if let Some(owner) = owner {
                        self.track_removed(owner, vec![track.ssrc]).await;
                    }
                }
            }
            PeerEvent::State(_) | PeerEvent::IceConnected => {
                let via_sfu = self.members.iter().filter(|(_, member)| member.policy.sfu.as_ref() == Some(&id));
                for id in via_sfu.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
                    self.member_event(id, event.clone()).await;
                }
            }
            // It is no participant's.
            PeerEvent::Refused(warning)
            | PeerEvent::Anew(warning)
            | PeerEvent::Replaced { why: warning, .. }
            | PeerEvent::Warning(warning) => {
                tracing::warn!("{id}: {warning}");
            }
            PeerEvent::Signal(_) | PeerEvent::ForSuccessor(_) | PeerEvent::OfferRequest(_) => {}
        }
    }

    /// Assigns each stream of each SFU connection to its current owner, by their labels.
    pub(crate) async fn assign_streams(&mut self) {
        let mut news = Vec::new();
        for (id, sfu) in &mut self.sfu.all {
            let Some(peer) = &sfu.peer else { continue };
            for (track, owner) in sfu.streams.values_mut() {
                let theirs = |label: &TrackLabel| label.stream == track.stream && label.kind == track.kind();
                let now = self.members.iter().find(|(_, member)| {
                    member.policy.sfu.as_ref() == Some(id) && member.participant.tracks.iter().any(theirs)
                });
                let inbox = now.and_then(|(_, member)| member.inbox.clone());
                let now = now.map(|(id, _)| id.clone()).filter(|_| inbox.is_some());
                if *owner == now {
                    continue;
                }
                if let Some(before) = owner.take() {
                    news.push((before, None, track.ssrc));
                }
                peer.inbox().hand_on(track.ssrc, inbox);
                if let Some(now) = &now {
                    news.push((now.clone(), Some(track.clone()), track.ssrc));
                }
                *owner = now;
            }
        }
        for (id, added, ssrc) in news {
            match added {
                Some(track) => self.member_event(id, PeerEvent::Track(track)).await,
                None => self.track_removed(id, vec![ssrc]).await,
            }
        }
    }

    async fn track_removed(&self, id: ParticipantId, ssrcs: Vec<u32>) {
        let Some(connection) = self.members.get(&id).map(|member| member.connection) else { return };
        self.tell(RoomEvent::TrackRemoved { id, connection, ssrcs }).await;
    }

    /// Reports an event of a member's connection.
    async fn member_event(&mut self, id: ParticipantId, event: PeerEvent) {
        let Some(connection) = self.members.get(&id).map(|member| member.connection) else { return };
        let event = match event {
            PeerEvent::State(state) => RoomEvent::ConnectionState { id, state },
            PeerEvent::IceConnected => RoomEvent::PathFound { id },
            PeerEvent::Track(track) => RoomEvent::TrackAdded { id, connection, track },
            PeerEvent::TrackEnded { ssrcs, .. } => RoomEvent::TrackRemoved { id, connection, ssrcs },
            PeerEvent::Refused(text) => return self.refused(id, text, false).await,
            PeerEvent::Anew(text) => return self.refused(id, text, true).await,
            PeerEvent::Replaced { why, offers } => return self.replaced(id, why, offers).await,
            PeerEvent::ForSuccessor(signal) => return self.to_successor(&id, signal).await,
            PeerEvent::Warning(text) => RoomEvent::Warning { id, text },
            PeerEvent::Signal(_) | PeerEvent::OfferRequest(_) => return,
        };
        self.tell(event).await;
    }
}

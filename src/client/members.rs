//! Members of the room and the connection to each: handling of signalling events.

use crate::client::media_watch::{MediaWatch, Seen, Stuck};
use crate::client::{Actor, IncomingMedia, Member, RoomEvent};
use crate::room::description::Signal;
use crate::room::event::ConnectionId;
use crate::room::participant::{Participant, ParticipantId, Role, is_called};
use crate::room::policy::{FirstOffer, NegotiationPolicy};
use crate::rtc::{Peer, PeerConfig};
use crate::signal::{SignalCommand, SignalEvent, is_polite, makes_first_offer};
use crate::transfer::text_rate::{Allowed, MAX_TEXT};
use std::time::Instant;
use tokio::sync::mpsc;

impl Actor {
    pub(crate) async fn signal(&mut self, event: SignalEvent) {
        match event {
            SignalEvent::Joined(participant) => self.joined(participant, true, self.policy.clone()).await,
            SignalEvent::JoinedWith { who, policy } => self.joined(who, true, policy).await,
            SignalEvent::Calling { who, policy } => self.called(who, policy).await,
            SignalEvent::Answered { id, name } => self.answered(&id, name).await,
            SignalEvent::SfuConnection { id, policy } => self.sfu(id, policy).await,
            SignalEvent::Left { id, reason } => self.left(&id, reason).await,
            SignalEvent::Tracks { id, tracks } => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.participant.tracks.clone_from(&tracks);
                    self.tell(RoomEvent::Labels { id, tracks }).await;
                    self.assign_streams().await;
                }
            }
            SignalEvent::Signal { from, signal } => match self.peer(&from) {
                Some(peer) => peer.signal(signal).await,
                None => tracing::debug!("a signal from {from}, who is not connected to us"),
            },
            SignalEvent::OfferRequested { from, request } => {
                if let Some(peer) = self.peer(&from) {
                    peer.on_request(request).await;
                }
            }
            SignalEvent::Chat { from: id, text } => {
                let allowance = &mut self.room_texts;
                match allowance.take(std::time::Instant::now()) {
                    Allowed::Yes if text.len() <= MAX_TEXT => {
                        self.tell(RoomEvent::Chat { id, text }).await;
                    }
                    Allowed::FirstRefused => {
                        let text = "texts come too fast; some are left out".to_owned();
                        self.tell(RoomEvent::Warning { id, text }).await;
                    }
                    _ => {}
                }
            }
            SignalEvent::Warning { id, text } => {
                self.tell(RoomEvent::Warning { id, text }).await;
            }
            SignalEvent::IceServers(servers) => self.ice_servers = servers,
            SignalEvent::Reconnecting { cause, .. } => {
                self.tell(RoomEvent::Reconnecting { cause }).await;
            }
            SignalEvent::Resumed { me, peers } => self.resumed(me, peers).await,
            SignalEvent::Closed(_) => {}
        }
    }

    /// Signalling is back. With our old id connections go on; with a new id everybody is connected anew.
    async fn resumed(&mut self, me: ParticipantId, peers: Vec<Participant>) {
        let renamed = me != self.me;
        let gone: Vec<ParticipantId> =
            self.members.keys().filter(|id| renamed || !peers.iter().any(|p| p.id == **id)).cloned().collect();
        for id in gone {
            self.left(&id, "left".to_owned()).await;
        }
        self.me = me;
        for participant in peers {
            match self.members.get_mut(&participant.id) {
                Some(member) => {
                    let (id, tracks) = (participant.id.clone(), participant.tracks.clone());
                    member.participant = participant;
                    if let Some(peer) = &member.peer {
                        peer.resend().await;
                    }
                    if !member.unconfirmed {
                        self.tell(RoomEvent::Labels { id, tracks }).await;
                        self.assign_streams().await;
                    }
                }
                None => self.joined(participant, !renamed, self.policy.clone()).await,
            }
        }
        self.tell(RoomEvent::Resumed).await;
    }

    pub(crate) async fn joined(&mut self, participant: Participant, after_us: bool, policy: NegotiationPolicy) {
        let id = participant.id.clone();
        let wanted = self.wanted(&participant);
        self.tell(RoomEvent::Joined(participant.clone())).await;
        let via_sfu = policy.sfu.is_some();
        let connection = self.new_connection();
        let inbox = if wanted && via_sfu { Some(self.attach(&id, connection).await) } else { None };
        let peer = if wanted && !via_sfu { self.connect(&participant, after_us, policy.clone()).await } else { None };
        if let Some(peer) = &peer {
            self.attached(&id, connection, peer).await;
        }
        let (unconfirmed, own, state) = (false, Vec::new(), MediaWatch::default());
        self.keep(Member { participant, connection, peer, policy, own, after_us, state, unconfirmed, inbox }).await;
        if via_sfu {
            self.assign_streams().await;
        }
    }

    /// Whether we connect to them.
    fn wanted(&self, participant: &Participant) -> bool {
        (self.only.is_empty() || self.only.iter().any(|only| is_called(&participant.name, only)))
            && !(self.role == Role::Recorder && participant.role == Role::Recorder)
    }

    async fn keep(&mut self, member: Member) {
        let id = member.participant.id.clone();
        let Some(old) = self.members.insert(id.clone(), member) else { return };
        if let Some(peer) = old.peer {
            peer.close().await;
            if !old.unconfirmed {
                self.tell(RoomEvent::ConnectionClosed { id, connection: old.connection }).await;
            }
        }
    }

    async fn attached(&self, id: &ParticipantId, connection: ConnectionId, peer: &Peer) {
        let media = IncomingMedia { inbox: peer.inbox(), bandwidth: peer.bandwidth() };
        self.tell(RoomEvent::ConnectionOpened { id: id.clone(), connection, media }).await;
    }

    /// Connects to somebody who may not be there; they become a member once they answer.
    async fn called(&mut self, participant: Participant, policy: NegotiationPolicy) {
        let peer = self.connect(&participant, true, policy.clone()).await;
        let connection = self.new_connection();
        let (after_us, unconfirmed, state) = (true, true, MediaWatch::default());
        let (own, inbox) = (Vec::new(), None);
        self.keep(Member { participant, connection, peer, policy, own, after_us, state, unconfirmed, inbox }).await;
    }

    /// A called participant has answered.
    async fn answered(&mut self, id: &ParticipantId, name: String) {
        let Some(member) = self.members.get_mut(id) else { return };
        (member.unconfirmed, member.participant.name) = (false, name);
        let participant = member.participant.clone();
        let wanted = self.wanted(&participant);
        self.tell(RoomEvent::Joined(participant)).await;
        let Some(member) = self.members.get_mut(id) else { return };
        match member.peer.take() {
            Some(peer) if wanted => {
                let connection = member.connection;
                self.attached(id, connection, &peer).await;
                if let Some(member) = self.members.get_mut(id) {
                    member.peer = Some(peer);
                }
            }
            Some(peer) => peer.close().await,
            None => {}
        }
    }

    /// A description of theirs or of ours was refused. What was never established does not come about by itself: it is begun anew, as both
    /// sides do it then. `silent`: so is one that stands, over which nothing comes.
    pub(crate) async fn refused(&mut self, id: ParticipantId, text: String, silent: bool) {
        self.tell(RoomEvent::Warning { id: id.clone(), text }).await;
        self.begin_anew(id, silent).await;
    }

    async fn begin_anew(&mut self, id: ParticipantId, silent: bool) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.peer.is_none() || !member.state.renew(silent) {
            return;
        }
        self.renew(id, false).await;
    }

    /// They go on with another certificate: the old connection leads nowhere. `offers`: an offer of theirs for the new one follows.
    pub(crate) async fn replaced(&mut self, id: ParticipantId, why: String, offers: bool) {
        self.tell(RoomEvent::Warning { id: id.clone(), text: why }).await;
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.state.replaced() {
            return self.renew(id, offers).await;
        }
        let (peer, connection) = (member.peer.take(), member.connection);
        if let Some(peer) = peer {
            peer.close().await;
            self.tell(RoomEvent::ConnectionClosed { id: id.clone(), connection }).await;
        }
        let text = "that was once too often; nothing more is received of them".to_owned();
        self.tell(RoomEvent::Warning { id, text }).await;
    }

    /// A signal for the connection that has taken the place of another.
    pub(crate) async fn to_successor(&self, id: &ParticipantId, signal: Signal) {
        if let Some(peer) = self.members.get(id).and_then(|member| member.peer.as_ref()) {
            peer.signal(signal).await;
        }
    }

    /// Closes the connection to somebody and makes another one.
    async fn renew(&mut self, id: ParticipantId, they_offer: bool) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let (participant, mut policy, after_us) = (member.participant.clone(), member.policy.clone(), member.after_us);
        if they_offer {
            policy.first_offer = FirstOffer::Them;
        }
        let (unconfirmed, own, before) = (member.unconfirmed, member.own.clone(), member.connection);
        if let Some(peer) = member.peer.take() {
            peer.close().await;
        }
        if !unconfirmed {
            self.tell(RoomEvent::ConnectionClosed { id: id.clone(), connection: before }).await;
        }
        let connection = self.new_connection();
        let peer = self.connect(&participant, after_us, policy).await;
        if let Some(peer) = &peer {
            for track in own {
                peer.publish(track).await;
            }
            if !unconfirmed {
                self.attached(&id, connection, peer).await;
            }
        }
        if let Some(member) = self.members.get_mut(&id) {
            (member.peer, member.connection) = (peer, connection);
        }
    }

    /// Tells of connections that are not made although the participant has media, or that bring none of it, and begins them anew.
    pub(crate) async fn look_at_connections(&mut self, room: &mpsc::Sender<SignalCommand>) {
        self.look_at_sfu().await;
        let now = Instant::now();
        let mut stuck = Vec::new();
        for (id, member) in self.members.iter_mut().filter(|(_, member)| !member.unconfirmed) {
            let Some(peer) = &member.peer else { continue };
            let Participant { role, tracks, .. } = &member.participant;
            // A bot may send what it labels to others.
            let is_sender = *role != Role::Recorder && !(*role == Role::Bot && member.state.is_established());
            let expects = is_sender && tracks.iter().any(|label| !label.muted);
            // Only in our own rooms a refusal reaches the other side, which begins anew by it.
            let may_renew = member.policy == NegotiationPolicy::default();
            let seen = Seen { expects, heard: peer.inbox().has_heard(), busy: peer.transfers(), may_renew };
            stuck.extend(member.state.look(seen, now).map(|stuck| (id.clone(), stuck)));
        }
        for (id, stuck) in stuck {
            match stuck {
                Stuck::Tell(text) => self.tell(RoomEvent::NothingComes { id, text }).await,
                Stuck::Ask(text) => {
                    self.tell(RoomEvent::NothingComes { id: id.clone(), text }).await;
                    if let Some(peer) = self.peer(&id) {
                        peer.restart_ice().await;
                    }
                }
                Stuck::Renew(text) => {
                    let signal = Signal::Refused(text.clone());
                    let _ = room.send(SignalCommand::Signal { to: id.clone(), signal }).await;
                    self.tell(RoomEvent::NothingComes { id: id.clone(), text }).await;
                    self.begin_anew(id, false).await;
                }
                Stuck::RenewSilent(text) => {
                    let signal = Signal::Anew(text.clone());
                    let _ = room.send(SignalCommand::Signal { to: id.clone(), signal }).await;
                    self.tell(RoomEvent::NothingComes { id: id.clone(), text }).await;
                    self.begin_anew(id, true).await;
                }
            }
        }
    }

    async fn connect(&self, participant: &Participant, after_us: bool, policy: NegotiationPolicy) -> Option<Peer> {
        let first_offer = match policy.first_offer {
            FirstOffer::ByRole => makes_first_offer(self.role, participant.role, after_us),
            FirstOffer::Us => true,
            FirstOffer::Them => false,
        };
        let config = self.peer_config(&participant.id, first_offer, policy);
        match Peer::connect(config, self.publish.clone(), self.peer_events.clone()).await {
            Ok(peer) => Some(peer),
            Err(e) => {
                self.tell(RoomEvent::Warning { id: participant.id.clone(), text: e.to_string() }).await;
                None
            }
        }
    }

    pub(crate) fn peer_config(&self, id: &ParticipantId, first_offer: bool, policy: NegotiationPolicy) -> PeerConfig {
        PeerConfig {
            peer: id.clone(),
            polite: policy.polite.unwrap_or_else(|| is_polite(&self.me, id)),
            first_offer,
            policy,
            ice_servers: self.ice_servers.clone(),
            relay_only: self.relay_only,
            wake: self.wake,
            inbox_bytes: self.inbox_bytes,
            measure: self.measure,
            impairment: self.impairment.clone(),
            channels: Some(self.channels.clone()),
        }
    }

    /// The connection to somebody, or to the room's server.
    fn peer(&self, id: &ParticipantId) -> Option<&Peer> {
        self.members.get(id).and_then(|member| member.peer.as_ref()).or_else(|| self.sfu.peer(id))
    }

    async fn left(&mut self, id: &ParticipantId, reason: String) {
        self.remove_sfu_connection(id).await;
        if let Some(member) = self.members.get(id) {
            let unconfirmed = member.unconfirmed;
            self.disconnect(id).await;
            if !unconfirmed {
                self.tell(RoomEvent::Left { id: id.clone(), reason }).await;
            }
        }
    }

    pub(crate) async fn disconnect(&mut self, id: &ParticipantId) {
        let Some(member) = self.members.remove(id) else { return };
        if member.inbox.is_some() {
            self.detach(id, &member).await;
        }
        if let Some(peer) = member.peer {
            peer.close().await;
            if !member.unconfirmed {
                self.tell(RoomEvent::ConnectionClosed { id: id.clone(), connection: member.connection }).await;
            }
        }
    }
}

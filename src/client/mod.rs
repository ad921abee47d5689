//! A client of a room: one actor that joins signalling, connections and data channels. It knows no recorder, bot or judge.
//!
//! The actor owns the list of who is there and one [`Peer`] for each; everybody else sees [`RoomEvent`]s and sends commands.

mod command;
pub mod event;
mod handle;
mod key_frames;
mod labels;
mod media_watch;
mod members;
mod sfu;
mod transfers;

pub use command::ChatDelivery;
pub use event::{IncomingMedia, RoomEvent, RoomObserver};
pub use handle::{Handle, KeyFrameRequester};
pub(crate) use key_frames::KeyFrameForwarder;
pub use transfers::{FileDestination, FileSend, IncomingFiles, Outcome, Progress, Sending, SharedFile};

use crate::error::Result;
use crate::room::end::EndReason;
use crate::room::event::ConnectionId;
use crate::room::media::MediaKind;
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use crate::room::policy::{DataChannels, NegotiationPolicy};
use crate::rtc::{CHAT_CHANNEL, Impairment, Inbox, IncomingChannels, OutboundTrack, Peer, PeerEvent, Wake};
use crate::signal::{IceServer, JoinAs, Link, SignalCommand, SignalEvent, Signaller};
use crate::transfer::text_rate::TextRateLimit;
use command::{Command, OpenChannel};
use media_watch::MediaWatch;
use sfu::SfuConnections;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long leaving may take.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(1500);
/// How often it is looked whether connections are made.
const LOOK: Duration = Duration::from_secs(1);

/// How a client joins and behaves.
#[derive(Default)]
pub struct ClientConfig {
    /// Tracks that are published from the start.
    pub publish: Vec<OutboundTrack>,
    /// Connect only to participants with one of these names; empty: to all.
    pub only: Vec<String>,
    /// Use no path but those over TURN servers.
    pub relay_only: bool,
    /// When connections are woken by packets.
    pub wake: Wake,
    /// Bytes of packets of one connection that may wait; none: [`Inbox::MAX_BYTES`].
    pub inbox_bytes: Option<usize>,
    /// Whether to measure what the paths to participants carry.
    pub measure: bool,
    /// An emulated network (loss, delay, reordering by a seed), as scenarios ask for. None: the real one.
    pub impairment: Option<Impairment>,
    /// Where files go that participants send. None: files are refused.
    pub files: Option<IncomingFiles>,
    /// Receives every event (policy Block). None: events are dropped.
    pub observer: Option<mpsc::Sender<RoomEvent>>,
}

/// A room that was joined. Dropping it leaves at once; [`Client::leave`] leaves politely.
pub struct Client {
    me: ParticipantId,
    room: String,
    present: Vec<ParticipantId>,
    commands: mpsc::Sender<Command>,
    /// Why the session ended, once it has.
    ended: watch::Receiver<Option<EndReason>>,
}

impl Client {
    /// Joins, and connects to everybody who is or will be in the room.
    pub async fn join(room: &dyn Signaller, how: JoinAs, config: ClientConfig) -> Result<Client> {
        let role = how.role;
        let link = room.join(how).await?;
        let (me, name) = (link.me.clone(), link.room.clone());
        let present = link.peers.iter().map(|participant| participant.id.clone()).collect();
        let (commands, command_rx) = mpsc::channel(256);
        let (ended_tx, ended) = watch::channel(None);
        tokio::spawn(async move {
            let cause = Actor::new(&link, role, config).run(link, command_rx).await;
            ended_tx.send_replace(Some(cause));
        });
        Ok(Client { me, room: name, present, commands, ended })
    }
    /// Our id in the room.
    pub fn me(&self) -> &ParticipantId {
        &self.me
    }
    /// Who was in the room when we joined.
    pub fn present(&self) -> &[ParticipantId] {
        &self.present
    }
    /// The room's name, as the room gives it.
    pub fn room(&self) -> &str {
        &self.room
    }
    /// Publishes one more track in mid-call (renegotiates with every peer).
    pub async fn publish(&self, track: OutboundTrack) {
        let _ = self.commands.send(Command::Publish(track)).await;
    }
    /// Takes a published track away again, named by its stream id (renegotiates with every peer).
    pub async fn unpublish(&self, stream: &str) {
        let _ = self.commands.send(Command::Unpublish(stream.to_owned(), None)).await;
    }
    /// A handle for those who act in the room but do not own it.
    pub fn handle(&self) -> Handle {
        Handle::of(&self.commands)
    }
    /// A handle that asks for key frames.
    pub fn key_frame_requester(&self) -> KeyFrameRequester {
        KeyFrameRequester::of(&self.commands)
    }
    /// Looks for new network paths to a participant, or to everybody.
    pub async fn restart_ice(&self, id: Option<&ParticipantId>) {
        let _ = self.commands.send(Command::RestartIce(id.cloned())).await;
    }
    /// Sends a chat message to one participant, or to everybody in the room. It is not stored for participants who join later.
    /// The returned delivery may be dropped.
    pub async fn say(&self, to: Option<&ParticipantId>, text: &str) -> ChatDelivery {
        let (reply, said) = oneshot::channel();
        let _ = self.commands.send(Command::Say(to.cloned(), text.to_owned(), reply)).await;
        said.await.unwrap_or_default()
    }
    /// Waits until the client has ended by itself (room closed, connection to the server lost for good); returns why.
    pub async fn ended(&mut self) -> EndReason {
        match self.ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(EndReason::Left),
            Err(_) => EndReason::Internal { detail: "the client's task is gone".to_owned() },
        }
    }
    /// Sends a file to one participant. It resumes over connections that break, and ends when the participant has it or refuses it.
    pub fn send_file(&self, to: &ParticipantId, file: FileSend) -> Sending {
        transfers::start(self.commands.downgrade(), to.clone(), file)
    }
    /// Leaves the room and closes every connection.
    pub async fn leave(mut self) {
        let _ = self.commands.send(Command::Leave).await;
        let _ = tokio::time::timeout(2 * LEAVE_TIMEOUT, self.ended()).await;
    }
}

struct Member {
    participant: Participant,
    /// The connection that carries their media; a new connection gets a new id.
    connection: ConnectionId,
    peer: Option<Peer>,
    policy: NegotiationPolicy,
    /// Tracks that are sent to them only, or, over an SFU, on their behalf.
    own: Vec<OutboundTrack>,
    /// They joined after us.
    after_us: bool,
    /// Whether their connection comes about.
    state: MediaWatch,
    /// They were called and have not answered; no event names them yet.
    unconfirmed: bool,
    /// Where their packets arrive, if an SFU forwards them.
    inbox: Option<Arc<Inbox>>,
}

struct Actor {
    me: ParticipantId,
    role: Role,
    only: Vec<String>,
    relay_only: bool,
    wake: Wake,
    inbox_bytes: Option<usize>,
    measure: bool,
    impairment: Option<Impairment>,
    ice_servers: Vec<IceServer>,
    /// The room's negotiation policy, unless the adapter gives a participant another.
    policy: NegotiationPolicy,
    /// Rate limit of chat that comes through the room server.
    room_texts: TextRateLimit,
    publish: Vec<OutboundTrack>,
    /// Stream and kind of what is labelled as muted.
    muted: HashSet<(String, MediaKind)>,
    observer: Option<mpsc::Sender<RoomEvent>>,
    channels: IncomingChannels,
    members: HashMap<ParticipantId, Member>,
    /// Connections to the room's server, where it carries the media.
    sfu: SfuConnections,
    /// The number of the next connection.
    next_connection: u64,
    peer_events: mpsc::Sender<(ParticipantId, PeerEvent)>,
    /// None once `run` has it.
    peer_rx: Option<mpsc::Receiver<(ParticipantId, PeerEvent)>>,
}

impl Actor {
    fn new(link: &Link, role: Role, config: ClientConfig) -> Self {
        let (peer_events, peer_rx) = mpsc::channel(1024);
        Self {
            me: link.me.clone(),
            role,
            only: config.only,
            relay_only: config.relay_only,
            wake: config.wake,
            inbox_bytes: config.inbox_bytes,
            measure: config.measure,
            impairment: config.impairment,
            ice_servers: link.ice_servers.clone(),
            policy: link.policy.clone(),
            room_texts: TextRateLimit::default(),
            publish: config.publish,
            muted: HashSet::new(),
            channels: transfers::read_channels(config.files, config.observer.clone()),
            observer: config.observer,
            members: HashMap::new(),
            sfu: SfuConnections::default(),
            next_connection: 1,
            peer_events,
            peer_rx: Some(peer_rx),
        }
    }

    /// Runs until the client ends; returns why.
    async fn run(mut self, mut link: Link, mut commands: mpsc::Receiver<Command>) -> EndReason {
        let Some(mut peer_rx) = self.peer_rx.take() else {
            return EndReason::Internal { detail: "started twice".to_owned() };
        };
        if !self.publish.is_empty() {
            let _ = link.commands.send(SignalCommand::Tracks(self.labels())).await;
        }
        for participant in std::mem::take(&mut link.peers) {
            self.joined(participant, false, self.policy.clone()).await;
        }
        let mut looks = tokio::time::interval(LOOK);
        let cause = loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Leave) | None => break EndReason::Left,
                    Some(command) => self.command(command, &link.commands).await,
                },
                event = link.events.recv() => match event {
                    Some(SignalEvent::Closed(reason)) => break reason,
                    Some(event) => self.signal(event).await,
                    None => break EndReason::Internal { detail: "the connection to the room ended".to_owned() },
                },
                Some((id, event)) = peer_rx.recv() => match event {
                    PeerEvent::Signal(signal) => {
                        let _ = link.commands.send(SignalCommand::Signal { to: id, signal }).await;
                    }
                    PeerEvent::OfferRequest(request) => {
                        let _ = link.commands.send(SignalCommand::RequestOffer { to: id, request }).await;
                    }
                    event => {
                        if let Some(member) = self.members.get_mut(&id) {
                            member.state.on_event(&event);
                        }
                        if let PeerEvent::State(state) = event {
                            let _ = link.commands.send(SignalCommand::Peer { id: id.clone(), state }).await;
                        }
                        if self.members.get(&id).is_none_or(|member| !member.unconfirmed) {
                            self.peer_event(id, event).await;
                        }
                    }
                },
                _ = looks.tick() => self.look_at_connections(&link.commands).await,
            }
        };
        let _ = link.commands.send(SignalCommand::Leave).await;
        let ids: Vec<ParticipantId> = self.members.keys().cloned().collect();
        for id in ids {
            self.disconnect(&id).await;
        }
        self.close_sfu_connections().await;
        // The adapter ends once it has said goodbye. Who is gone before that stays in the room for as long as a lost socket
        // may come back, and their next visit is somebody else's.
        let goodbye = async { while link.events.recv().await.is_some() {} };
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, goodbye).await;
        cause
    }

    /// The labels of everything that we publish to anybody.
    fn labels(&self) -> Vec<TrackLabel> {
        let own = self.members.values().flat_map(|member| &member.own);
        labels::of(self.publish.iter().chain(own).map(OutboundTrack::label), &self.muted)
    }

    fn new_connection(&mut self) -> ConnectionId {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        connection
    }

    async fn tell(&self, event: RoomEvent) {
        if let Some(observer) = &self.observer {
            let _ = observer.send(event).await;
        }
    }

    async fn command(&mut self, command: Command, room: &mpsc::Sender<SignalCommand>) {
        match command {
            Command::Publish(track) => {
                self.publish.push(track.clone());
                let _ = room.send(SignalCommand::Tracks(self.labels())).await;
                for peer in self.members.values().filter_map(|m| m.peer.as_ref()) {
                    peer.publish(track.clone()).await;
                }
                self.publish_to_sfu(track).await;
            }
            Command::PublishTo(id, track) => {
                let reached = |member: &&mut Member| member.peer.is_some() || member.inbox.is_some();
                let Some(member) = self.members.get_mut(&id).filter(reached) else { return };
                member.own.push(track.clone());
                // First what it is, then the track.
                let _ = room.send(SignalCommand::Tracks(self.labels())).await;
                match self.members.get(&id).and_then(|m| m.peer.as_ref()) {
                    Some(peer) => peer.publish(track).await,
                    // What a server carries goes to everybody.
                    None => self.publish_to_sfu(track).await,
                }
            }
            Command::Mute(stream, kind, muted) => {
                let key = (stream, kind);
                if if muted { self.muted.insert(key) } else { self.muted.remove(&key) } {
                    let _ = room.send(SignalCommand::Tracks(self.labels())).await;
                }
            }
            Command::Unpublish(stream, kind) => {
                let stays = |label: &TrackLabel| label.stream != stream || kind.is_some_and(|kind| kind != label.kind);
                self.publish.retain(|track| stays(track.label()));
                self.members.values_mut().for_each(|m| m.own.retain(|track| stays(track.label())));
                self.muted.retain(|(muted, of)| *muted != stream || kind.is_some_and(|kind| kind != *of));
                let _ = room.send(SignalCommand::Tracks(self.labels())).await;
                for peer in self.members.values().filter_map(|m| m.peer.as_ref()).chain(self.sfu.peers()) {
                    peer.unpublish_kind(&stream, kind).await;
                }
            }
            Command::KeyFrame(id, ssrc) => {
                let Some(member) = self.members.get(&id) else { return };
                if let Some(peer) = member.peer.as_ref().or_else(|| self.sfu.of(&member.policy)) {
                    peer.request_key_frame(ssrc);
                }
            }
            Command::RestartIce(id) => {
                for (_, member) in self.members.iter().filter(|(at, _)| id.as_ref().is_none_or(|id| id == *at)) {
                    if let Some(peer) = &member.peer {
                        peer.restart_ice().await;
                    }
                }
            }
            Command::Say(to, text, reply) => {
                let mut said = ChatDelivery::default();
                let meant = |id: &ParticipantId| to.as_ref().is_none_or(|to| to == id);
                let through_room: Vec<_> = self
                    .members
                    .iter()
                    .filter(|(id, m)| meant(id) && m.policy.chat_by_room)
                    .map(|(id, _)| id)
                    .collect();
                if !through_room.is_empty() {
                    let _ = room.send(SignalCommand::Chat { to: to.clone(), text: text.clone() }).await;
                    for id in through_room {
                        let (arrived, answer) = oneshot::channel();
                        let _ = arrived.send(());
                        said.0.push((id.clone(), answer));
                    }
                }
                for (id, member) in self.members.iter().filter(|(id, _)| meant(id)) {
                    if let Some(peer) = &member.peer
                        && !member.unconfirmed
                        && matches!(
                            member.policy.channels,
                            DataChannels::Named | DataChannels::Single { chat: true, .. }
                        )
                        && !member.policy.chat_by_room
                    {
                        said.0.push((id.clone(), peer.send_text(CHAT_CHANNEL, &text).await));
                    }
                }
                let _ = reply.send(said);
            }
            Command::OpenChannel(open) => self.open_channel(open).await,
            Command::Leave => {}
        }
    }

    async fn open_channel(&self, OpenChannel { to, name, spec, reply }: OpenChannel) {
        let by_name = || self.members.values().find(|m| Some(&m.participant.name) == name.as_ref());
        let member = self.members.get(&to).or_else(by_name);
        let opened =
            match member.and_then(|m| m.peer.as_ref().map(|peer| (peer, &m.participant.name, m.policy.has_files()))) {
                Some((peer, name, true)) => Some((Some(peer.open_channel(spec).await), name.clone())),
                Some((_, name, false)) => Some((None, name.clone())),
                None => None,
            };
        let _ = reply.send(opened);
    }
}

//! The connection's actor: one loop takes commands and the library's callbacks, and reports events. What to do about a description is
//! decided by `negotiation`, about candidates by `candidates`.

use crate::room::description::Signal;
use crate::room::media::{MediaKind, RemoteTrack};
use crate::room::participant::ParticipantId;
use crate::room::policy::{NegotiationPolicy, OfferRequest, PeerState};
use crate::rtc::candidates::{LocalCandidates, RemoteCandidates};
use crate::rtc::driver::channel;
use crate::rtc::driver::channel::ChannelSpec;
use crate::rtc::driver::descriptions::Descriptions;
use crate::rtc::driver::peer::callbacks::Callback;
use crate::rtc::driver::peer::received::{ReceivedTracks, watch_track};
use crate::rtc::driver::peer::state::{ChannelReply, ConnectionChannels, PublishedTracks};
use crate::rtc::driver::text_queue::Text;
use crate::rtc::negotiation::Negotiation;
use crate::rtc::peer::PeerEvent;
use crate::rtc::publisher::OutboundTrack;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{PeerConnection, RTCPeerConnectionState};

/// What the handle asks of the connection.
pub(crate) enum Command {
    Signal(Signal),
    Request(OfferRequest),
    Publish(OutboundTrack),
    Unpublish(String, Option<MediaKind>),
    KeyFrame(u32),
    Text(String, Text),
    OpenChannel(ChannelSpec, ChannelReply),
    RestartIce,
    Resend,
    Close,
}

/// What the actor reads.
pub(crate) struct Inputs {
    pub commands: mpsc::Receiver<Command>,
    pub callbacks: mpsc::UnboundedReceiver<Callback>,
    /// SSRCs of ours for which the peer requests a key frame.
    pub key_frame_requests: mpsc::UnboundedReceiver<u32>,
    /// Streams that no description names.
    pub placed: mpsc::UnboundedReceiver<RemoteTrack>,
}

/// The connection's actor: it alone calls the library's connection.
pub(crate) struct Actor {
    pub(crate) connection: Arc<dyn PeerConnection>,
    pub(crate) peer: ParticipantId,
    events: mpsc::Sender<(ParticipantId, PeerEvent)>,
    callbacks: mpsc::UnboundedSender<Callback>,
    /// We make the first offer.
    pub(crate) first_offer: bool,
    pub(crate) policy: NegotiationPolicy,
    pub(crate) negotiation: Negotiation,
    /// Our offer that is out.
    pub(crate) unanswered_offer: Option<String>,
    /// Their last offer, and how often it was repeated.
    pub(crate) last_offer: Option<(String, u32)>,
    pub(crate) descriptions: Descriptions,
    /// Kinds of media for which our first offer has a section to receive on only.
    pub(crate) offers_to_receive: HashSet<MediaKind>,
    /// Descriptions that were refused, by either side.
    pub(crate) refusals: u32,
    pub(crate) local_candidates: LocalCandidates,
    pub(crate) remote_candidates: RemoteCandidates,
    pub(crate) channels: ConnectionChannels,
    pub(crate) received: ReceivedTracks,
    pub(crate) published: PublishedTracks,
    pub(crate) connected: bool,
    /// They have begun another connection: what they say is for that one.
    pub(crate) replaced: bool,
}

impl Actor {
    /// `outputs`: whose connection it is, where its events go, and where its own tasks report. `role`: whether we are polite, whether we
    /// make the first offer, and how this room negotiates.
    pub(crate) fn new(
        connection: Arc<dyn PeerConnection>,
        outputs: (ParticipantId, mpsc::Sender<(ParticipantId, PeerEvent)>, mpsc::UnboundedSender<Callback>),
        role: (bool, bool, NegotiationPolicy),
        channels: ConnectionChannels,
        received: ReceivedTracks,
        published: PublishedTracks,
    ) -> Self {
        let ((peer, events, callbacks), (polite, first_offer, policy)) = (outputs, role);
        Self {
            connection,
            peer,
            events,
            callbacks,
            first_offer,
            negotiation: Negotiation::new(polite, policy.renegotiation),
            policy,
            unanswered_offer: None,
            last_offer: None,
            descriptions: Descriptions::new(received.payload_types()),
            offers_to_receive: HashSet::new(),
            refusals: 0,
            local_candidates: LocalCandidates::default(),
            remote_candidates: RemoteCandidates::default(),
            channels,
            received,
            published,
            connected: false,
            replaced: false,
        }
    }

    /// Runs until the handle is closed or dropped.
    pub(crate) async fn run(mut self, publish: Vec<OutboundTrack>, inputs: Inputs) {
        let Inputs { mut commands, mut callbacks, mut key_frame_requests, mut placed } = inputs;
        for track in publish {
            self.publish(track).await;
        }
        self.reserve_transceivers().await;
        if self.first_offer {
            self.open_first_channel().await;
            self.negotiation.changed();
            self.negotiate().await;
        }
        loop {
            let (gathering, retry) = (at(self.local_candidates.deadline()), at(self.negotiation.retry_at()));
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Close) | None => break,
                    Some(command) => self.on_command(command).await,
                },
                Some(callback) = callbacks.recv() => self.on_callback(callback).await,
                () = retry => {
                    let step = self.negotiation.retry();
                    self.take_step(step).await;
                }
                () = gathering => {
                    let descriptions = self.local_candidates.release();
                    self.send_descriptions(descriptions).await;
                }
                Some(remote) = placed.recv() => {
                    self.received.add_placed(&remote);
                    self.report(PeerEvent::Track(remote)).await;
                }
                Some(ssrc) = key_frame_requests.recv() => self.published.on_key_frame_request(ssrc),
            }
        }
        self.published.stop();
        if let Err(e) = self.connection.close().await {
            tracing::debug!(peer = %self.peer, "closing: {e}");
        }
    }

    pub(crate) async fn report(&self, event: PeerEvent) {
        let _ = self.events.send((self.peer.clone(), event)).await;
    }
    pub(crate) async fn warn(&self, message: String) {
        self.report(PeerEvent::Warning(message)).await;
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Signal(signal) if self.replaced => self.report(PeerEvent::ForSuccessor(signal)).await,
            Command::Signal(Signal::Description(description)) => {
                if let Err(e) = self.on_description(description).await {
                    self.refuse(&e).await;
                }
                self.negotiate().await;
            }
            Command::Signal(Signal::Candidate(candidate)) => self.on_candidate(candidate).await,
            Command::Signal(Signal::Refused(why)) => self.on_refused(&why).await,
            Command::Signal(Signal::Anew(why)) => self.on_anew(&why).await,
            Command::Request(request) => self.on_request(request).await,
            Command::Publish(track) => {
                self.publish(track).await;
                self.negotiate_unless_first().await;
            }
            Command::Unpublish(stream, kind) => {
                self.unpublish(&stream, kind).await;
                self.negotiate_unless_first().await;
            }
            Command::KeyFrame(ssrc) => self.received.request_key_frame(ssrc).await,
            Command::Text(label, text) => self.send_text(label, text).await,
            Command::OpenChannel(spec, reply) => self.open_channel(spec, reply),
            Command::RestartIce => self.restart_ice().await,
            Command::Resend => {
                // Where candidates do not trickle, the adapter knows what has arrived.
                if let Some(sdp) = self.unanswered_offer.clone().filter(|_| self.policy.trickle) {
                    self.send_offer(sdp).await;
                }
            }
            Command::Close => {}
        }
    }

    /// Before the first description of a peer that makes the first offer, ours would only be glare.
    async fn negotiate_unless_first(&mut self) {
        if self.first_offer || self.remote_candidates.described() {
            self.negotiate().await;
        }
    }

    async fn on_callback(&mut self, callback: Callback) {
        match callback {
            Callback::Candidate(event) => self.on_local_candidate(&event).await,
            Callback::Gathered if self.policy.trickle => {
                self.report(PeerEvent::Signal(Signal::Candidate(None))).await;
            }
            Callback::Gathered => {
                let descriptions = self.local_candidates.complete();
                self.send_descriptions(descriptions).await;
            }
            Callback::State(state) => self.on_state(peer_state(state)).await,
            Callback::IceConnected => self.report(PeerEvent::IceConnected).await,
            Callback::Track(track) => {
                tokio::spawn(watch_track(track, self.callbacks.clone()));
            }
            Callback::Open { track, ssrc, rid } => self.on_stream(track, ssrc, rid).await,
            Callback::Ended { track } => {
                let ssrcs = self.received.remove(&track);
                self.report(PeerEvent::TrackEnded { track, ssrcs }).await;
            }
            Callback::Associated => {
                self.channels.associated = true;
                self.open_text_channels().await;
            }
            Callback::Channel(channel) => self.on_channel(channel).await,
        }
    }

    async fn on_state(&mut self, state: PeerState) {
        self.connected = state == PeerState::Connected;
        // A path that is doubted or sought anew (ICE restart) may still carry: stopping would lose what is sent meanwhile, beyond
        // repair, and what follows up to the next key frame.
        match state {
            PeerState::Connected => self.published.set_connected(true),
            PeerState::Connecting | PeerState::Disconnected => {}
            PeerState::New | PeerState::Failed | PeerState::Closed => self.published.set_connected(false),
        }
        self.report(PeerEvent::State(state)).await;
        if self.connected && !self.channels.associated {
            let (connection, callbacks) = (self.connection.clone(), self.callbacks.clone());
            tokio::spawn(async move {
                if channel::associated(connection.as_ref()).await {
                    let _ = callbacks.send(Callback::Associated);
                }
            });
        }
        if state == PeerState::Failed {
            self.restart_ice().await;
        }
        if self.connected {
            self.negotiation.connected();
            self.negotiate_unless_first().await;
        }
    }

    async fn on_stream(&mut self, track: Arc<dyn TrackRemote>, ssrc: u32, rid: Option<String>) {
        let rid = rid.or_else(|| self.received.shared().lock().sections.layer(ssrc));
        match self.received.add(track, ssrc, rid).await {
            Ok(Some(remote)) => self.report(PeerEvent::Track(remote)).await,
            Ok(None) => {}
            Err(warning) => self.warn(warning).await,
        }
    }
}

/// Waits for a deadline, if there is one.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn peer_state(state: RTCPeerConnectionState) -> PeerState {
    match state {
        RTCPeerConnectionState::Connecting => PeerState::Connecting,
        RTCPeerConnectionState::Connected => PeerState::Connected,
        RTCPeerConnectionState::Disconnected => PeerState::Disconnected,
        RTCPeerConnectionState::Failed => PeerState::Failed,
        RTCPeerConnectionState::Closed => PeerState::Closed,
        _ => PeerState::New,
    }
}

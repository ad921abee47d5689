//! The connection's actor: it owns the library's connection, and is the only one that calls it.
//!
//! Handlers of the library are awaited inside its driver, so they only forward ([`Handler`]); one loop decides.

use super::engine;
use super::impair::Impairment;
use super::inbox::Inbox;
use super::negotiation::{Kind, Negotiation, Verdict};
use super::sdp;
use super::send::{self, OutboundTrack, Sending};
use super::socket::{MediaRuntime, SocketStats, Wake};
use super::texts::{Allowed, TextAllowance};
use crate::error::{Error, Result};
use crate::room::exchange::{Candidate, Description, IceServer, Signal};
use crate::room::media::{Codec, MediaKind};
use crate::room::people::ParticipantId;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::peer_connection::configuration::{RTCConfigurationBuilder, RTCIceServer, RTCIceTransportPolicy};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit, RTCIceGatheringState,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder,
};

/// Candidates that are taken with and after each description; later ones are dropped. Each would be probed with packets.
const MAX_CANDIDATES: usize = 256;
/// Data channels that are read; what comes on later ones is never taken.
const MAX_CHANNELS: usize = 64;
/// At least this long between two key-frame requests for one stream.
const KEY_FRAME_PAUSE: Duration = Duration::from_millis(400);
/// At least this long between two ICE restarts.
const RESTART_PAUSE: Duration = Duration::from_secs(4);
/// Label of the channel that the first offer always carries, so that there is something to negotiate.
const CHAT_CHANNEL: &str = "chat";

/// How to connect to one participant.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The participant at the other end; every event carries it.
    pub peer: ParticipantId,
    /// Whether we are the polite side ([`crate::signal::is_polite`]).
    pub polite: bool,
    /// Whether we make the first offer.
    pub first_offer: bool,
    pub ice_servers: Vec<IceServer>,
    /// Use no path but those over TURN servers (W3C WebRTC `iceTransportPolicy: "relay"`).
    pub relay_only: bool,
    pub wake: Wake,
    /// A bad network, for tests.
    pub impairment: Option<Impairment>,
}

/// Where the connection stands (W3C `RTCPeerConnectionState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A stream of packets that the participant sends: known from its first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTrack {
    pub ssrc: u32,
    pub codec: Codec,
    /// Media stream id (`a=msid`).
    pub stream: String,
    /// Track id (`a=msid`).
    pub track: String,
    pub channels: u16,
}

impl RemoteTrack {
    pub fn kind(&self) -> MediaKind {
        self.codec.kind()
    }
}

/// What a connection tells its session.
#[derive(Debug, Clone)]
pub enum PeerEvent {
    /// To be carried to the participant.
    Signal(Signal),
    State(PeerState),
    /// Packets of this stream arrive in the inbox from now on (some may be there already).
    Track(RemoteTrack),
    /// The sender took the track away. Streams of it that are in the inbox are still good.
    TrackEnded {
        track: String,
        ssrcs: Vec<u32>,
    },
    /// A text message on a data channel, at most 64 KiB of UTF-8.
    Text {
        channel: String,
        text: String,
    },
    /// Something went wrong that the connection survives.
    Warning(String),
}

enum Command {
    Signal(Signal),
    Publish(OutboundTrack),
    Unpublish(String),
    KeyFrame(u32),
    RestartIce,
    Resend,
    Close,
}

/// What the library's callbacks forward. Unbounded: each is caused by one local or remote negotiation step or track, and both
/// have limits; media never comes this way.
enum Callback {
    Candidate(RTCPeerConnectionIceEvent),
    Gathered,
    State(RTCPeerConnectionState),
    Track(Arc<dyn TrackRemote>),
    Open { track: Arc<dyn TrackRemote>, ssrc: u32 },
    Ended { track: String },
    Channel(Arc<dyn DataChannel>),
}

struct Handler(mpsc::UnboundedSender<Callback>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let _ = self.0.send(Callback::Candidate(event));
    }
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.0.send(Callback::Gathered);
        }
    }
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let _ = self.0.send(Callback::State(state));
    }
    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.0.send(Callback::Channel(channel));
    }
    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.0.send(Callback::Track(track));
    }
}

/// A connection to one participant. Dropping it closes it.
pub struct Peer {
    commands: mpsc::Sender<Command>,
    inbox: Arc<Inbox>,
    stats: Arc<SocketStats>,
}

impl Peer {
    /// Opens sockets and starts the connection's actor. Events go to `events` (policy Block: the actor waits), each with the
    /// participant's id.
    pub async fn connect(
        config: PeerConfig,
        publish: Vec<OutboundTrack>,
        events: mpsc::Sender<(ParticipantId, PeerEvent)>,
    ) -> Result<Peer> {
        let inbox = Arc::new(Inbox::default());
        let stats = Arc::new(SocketStats::default());
        let (callbacks, callback_rx) = mpsc::unbounded_channel();
        let (key_frames, key_frame_rx) = mpsc::unbounded_channel();
        let (commands, command_rx) = mpsc::channel(256);

        let failed = |e: rtc::shared::error::Error| Error::machine("cannot open a WebRTC connection").because(e);
        let mut media = engine::media_engine().map_err(failed)?;
        let registry = engine::interceptors(&mut media, inbox.clone(), key_frames).map_err(failed)?;
        let settings = SettingEngineBuilder::new()
            .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(262_144))
            .with_include_loopback_candidate(true)
            // A pair that works is good enough: the default waits a second for a better one than a peer-reflexive pair.
            .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
            .with_srflx_acceptance_min_wait(Some(Duration::ZERO))
            .with_relay_acceptance_min_wait(config.relay_only.then_some(Duration::ZERO))
            .build();
        let ice_servers = config
            .ice_servers
            .iter()
            .map(|server| RTCIceServer {
                urls: server.urls.clone(),
                username: server.username.clone().unwrap_or_default(),
                credential: server.credential.clone().unwrap_or_default(),
            })
            .collect();
        let policy = if config.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
        let configuration =
            RTCConfigurationBuilder::default().with_ice_servers(ice_servers).with_ice_transport_policy(policy).build();
        let connection = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(media)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_data_channel_send_buffer_limit(4 << 20)
            .with_handler(Arc::new(Handler(callbacks.clone())))
            .with_runtime(Arc::new(MediaRuntime {
                wake: config.wake,
                stats: stats.clone(),
                impairment: config.impairment.clone(),
            }))
            .with_udp_addrs(local_addresses())
            .build()
            .await
            .map_err(failed)?;

        let actor = Actor {
            connection: Arc::new(connection),
            negotiation: Negotiation::new(config.polite),
            unanswered: None,
            peer: config.peer,
            events,
            callbacks,
            remote_described: false,
            pending_candidates: Vec::new(),
            candidates: 0,
            channels: 0,
            texts: Arc::default(),
            tracks: HashMap::new(),
            sending: Vec::new(),
            connected: false,
            key_frame_asked: HashMap::new(),
            restarted: None,
        };
        tokio::spawn(actor.run(config.first_offer, publish, command_rx, callback_rx, key_frame_rx));
        Ok(Peer { commands, inbox, stats })
    }

    /// Where this connection's packets arrive.
    pub fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }
    /// Hands over a description or candidate from the participant.
    pub async fn signal(&self, signal: Signal) {
        let _ = self.commands.send(Command::Signal(signal)).await;
    }
    /// Sends one more track (renegotiates).
    pub async fn publish(&self, track: OutboundTrack) {
        let _ = self.commands.send(Command::Publish(track)).await;
    }
    /// Takes a track away again, named by its stream id (renegotiates).
    pub async fn unpublish(&self, stream: &str) {
        let _ = self.commands.send(Command::Unpublish(stream.to_owned())).await;
    }
    /// Asks the sender of `ssrc` for a key frame (PLI, RFC 4585 6.3.1). Never waits; requests that come too fast are one.
    pub fn request_key_frame(&self, ssrc: u32) {
        let _ = self.commands.try_send(Command::KeyFrame(ssrc));
    }
    /// Finds new network paths (RFC 8445, ICE restart).
    pub async fn restart_ice(&self) {
        let _ = self.commands.send(Command::RestartIce).await;
    }
    /// Sends an offer that is still unanswered again: what was under way may have been lost with the socket.
    pub async fn resend(&self) {
        let _ = self.commands.send(Command::Resend).await;
    }
    /// Datagrams and bytes received so far, of whatever kind.
    pub fn received(&self) -> (u64, u64) {
        (self.stats.datagrams.load(Relaxed), self.stats.bytes.load(Relaxed))
    }
    /// Closes the connection; the participant is told (DTLS close-notify).
    pub async fn close(self) {
        let _ = self.commands.send(Command::Close).await;
    }
}

/// Addresses to gather host candidates on: every interface's, without link-local ones; loopback too (for peers on this
/// machine), but over IPv4 only.
fn local_addresses() -> Vec<SocketAddr> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unspecified() && (ip.segments()[0] & 0xffc0) != 0xfe80,
    };
    let mut found: Vec<SocketAddr> = nix::ifaddrs::getifaddrs()
        .into_iter()
        .flatten()
        .filter_map(|interface| {
            let address = interface.address?;
            match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
                (_, Some(v6)) => Some(IpAddr::V6(v6.ip())),
                _ => None,
            }
        })
        .filter(usable)
        .map(|ip| SocketAddr::new(ip, 0))
        .collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        found.push(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0));
    }
    found
}

struct Actor {
    connection: Arc<dyn PeerConnection>,
    negotiation: Negotiation,
    /// Our offer that is out.
    unanswered: Option<String>,
    peer: ParticipantId,
    events: mpsc::Sender<(ParticipantId, PeerEvent)>,
    callbacks: mpsc::UnboundedSender<Callback>,
    remote_described: bool,
    pending_candidates: Vec<RTCIceCandidateInit>,
    /// Taken since the last description.
    candidates: usize,
    channels: usize,
    texts: Arc<TextAllowance>,
    /// Streams that arrive, and the library's track of each.
    tracks: HashMap<u32, (String, Arc<dyn TrackRemote>)>,
    sending: Vec<Sending>,
    connected: bool,
    key_frame_asked: HashMap<u32, Instant>,
    restarted: Option<Instant>,
}

impl Actor {
    async fn run(
        mut self,
        first_offer: bool,
        publish: Vec<OutboundTrack>,
        mut commands: mpsc::Receiver<Command>,
        mut callbacks: mpsc::UnboundedReceiver<Callback>,
        mut key_frames: mpsc::UnboundedReceiver<u32>,
    ) {
        for track in publish {
            self.publish(track).await;
        }
        if first_offer {
            match self.connection.create_data_channel(CHAT_CHANNEL, None).await {
                Ok(channel) => self.read_channel(channel),
                Err(e) => self.warn(format!("no data channel: {e}")).await,
            }
            self.negotiation.changed();
            self.negotiate().await;
        }
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Close) | None => break,
                    Some(command) => self.command(command, first_offer).await,
                },
                Some(callback) = callbacks.recv() => self.callback(callback).await,
                Some(ssrc) = key_frames.recv() => {
                    if let Some(sending) = self.sending.iter().find(|s| s.ssrc == ssrc) {
                        sending.track.ask_key_frame();
                    }
                }
            }
        }
        for sending in self.sending.drain(..) {
            sending.stop();
        }
        if let Err(e) = self.connection.close().await {
            tracing::debug!(peer = %self.peer, "closing: {e}");
        }
    }

    async fn tell(&self, event: PeerEvent) {
        let _ = self.events.send((self.peer.clone(), event)).await;
    }
    async fn warn(&self, message: String) {
        self.tell(PeerEvent::Warning(message)).await;
    }

    async fn command(&mut self, command: Command, first_offer: bool) {
        match command {
            Command::Signal(Signal::Description(description)) => {
                if let Err(e) = self.describe(description).await {
                    self.warn(format!("their session description was refused: {e}")).await;
                }
                self.negotiate().await;
            }
            Command::Signal(Signal::Candidate(candidate)) => self.candidate(candidate).await,
            Command::Publish(track) => {
                self.publish(track).await;
                self.negotiate_unless_waiting(first_offer).await;
            }
            Command::Unpublish(stream) => {
                self.unpublish(&stream).await;
                self.negotiate_unless_waiting(first_offer).await;
            }
            Command::KeyFrame(ssrc) => self.ask_key_frame(ssrc).await,
            Command::RestartIce => self.restart_ice().await,
            Command::Resend => {
                if let Some(sdp) = self.unanswered.clone() {
                    self.offer(sdp).await;
                }
            }
            Command::Close => {}
        }
    }

    /// Before the first description of a peer who makes the first offer, ours would only be glare.
    async fn negotiate_unless_waiting(&mut self, first_offer: bool) {
        if first_offer || self.remote_described {
            self.negotiate().await;
        }
    }

    async fn callback(&mut self, callback: Callback) {
        match callback {
            Callback::Candidate(event) => {
                if let Some(candidate) = self.local_candidate(&event).await {
                    self.tell(PeerEvent::Signal(Signal::Candidate(Some(candidate)))).await;
                }
            }
            Callback::Gathered => self.tell(PeerEvent::Signal(Signal::Candidate(None))).await,
            Callback::State(state) => {
                let state = match state {
                    RTCPeerConnectionState::Connecting => PeerState::Connecting,
                    RTCPeerConnectionState::Connected => PeerState::Connected,
                    RTCPeerConnectionState::Disconnected => PeerState::Disconnected,
                    RTCPeerConnectionState::Failed => PeerState::Failed,
                    RTCPeerConnectionState::Closed => PeerState::Closed,
                    _ => PeerState::New,
                };
                self.connected = state == PeerState::Connected;
                for sending in &self.sending {
                    sending.set_connected(self.connected);
                }
                self.tell(PeerEvent::State(state)).await;
                if state == PeerState::Failed {
                    self.restart_ice().await;
                }
            }
            Callback::Track(track) => {
                let callbacks = self.callbacks.clone();
                tokio::spawn(async move {
                    let id = track.track_id().await;
                    while let Some(event) = track.poll().await {
                        match event {
                            TrackRemoteEvent::OnOpen(init) => {
                                let _ = callbacks.send(Callback::Open { track: track.clone(), ssrc: init.ssrc });
                            }
                            TrackRemoteEvent::OnEnded => break,
                            _ => {}
                        }
                    }
                    let _ = callbacks.send(Callback::Ended { track: id });
                });
            }
            Callback::Open { track, ssrc } => self.opened(track, ssrc).await,
            Callback::Ended { track } => {
                let ssrcs: Vec<u32> =
                    self.tracks.iter().filter(|(_, (id, _))| *id == track).map(|(ssrc, _)| *ssrc).collect();
                self.tracks.retain(|_, (id, _)| *id != track);
                self.tell(PeerEvent::TrackEnded { track, ssrcs }).await;
            }
            Callback::Channel(channel) => self.read_channel(channel),
        }
    }

    async fn opened(&mut self, track: Arc<dyn TrackRemote>, ssrc: u32) {
        let Some(described) = track.codec(ssrc).await else {
            return self.warn(format!("a stream without a codec (SSRC {ssrc}) is ignored")).await;
        };
        let Some(codec) = Codec::from_mime(&described.mime_type) else {
            return self.warn(format!("codec {} cannot be recorded", described.mime_type)).await;
        };
        let id = track.track_id().await;
        let remote = RemoteTrack {
            ssrc,
            codec,
            stream: track.stream_id().await,
            track: id.clone(),
            channels: described.channels,
        };
        // The library opens a stream anew after each negotiation; that is no news.
        if self.tracks.insert(ssrc, (id.clone(), track)).is_none_or(|(known, _)| known != id) {
            self.tell(PeerEvent::Track(remote)).await;
        }
    }

    /// Takes what comes on a data channel, so that it never backs up into the driver; texts go to the session.
    fn read_channel(&mut self, channel: Arc<dyn DataChannel>) {
        use webrtc::data_channel::DataChannelEvent;
        self.channels += 1;
        if self.channels > MAX_CHANNELS {
            return;
        }
        let (events, peer, texts) = (self.events.clone(), self.peer.clone(), self.texts.clone());
        tokio::spawn(async move {
            let label = channel.label().await.unwrap_or_default();
            while let Some(event) = channel.poll().await {
                let DataChannelEvent::OnMessage(message) = event else { continue };
                if !message.is_string || message.data.len() > 64 * 1024 {
                    continue;
                }
                let Ok(text) = String::from_utf8(message.data.to_vec()) else { continue };
                let event = match texts.take(Instant::now()) {
                    Allowed::Yes => PeerEvent::Text { channel: label.clone(), text },
                    Allowed::FirstRefused => PeerEvent::Warning("texts come too fast; some are left out".to_owned()),
                    Allowed::No => continue,
                };
                if events.send((peer.clone(), event)).await.is_err() {
                    break;
                }
            }
        });
    }

    /// The library leaves the section empty; everything is bundled, so it is the first one.
    async fn local_candidate(&self, event: &RTCPeerConnectionIceEvent) -> Option<Candidate> {
        let init = event.candidate.to_json().ok()?;
        if init.candidate.is_empty() {
            return None;
        }
        let local = self.connection.local_description().await;
        let mid = local.as_ref().and_then(|d| d.sdp.lines().find_map(|line| line.strip_prefix("a=mid:")));
        Some(Candidate {
            candidate: init.candidate,
            sdp_mid: Some(mid.unwrap_or("0").to_owned()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        })
    }

    async fn negotiate(&mut self) {
        if !self.negotiation.begin_offer() {
            return;
        }
        let offered = async {
            let offer = self.connection.create_offer(None).await?;
            self.connection.set_local_description(offer.clone()).await?;
            rtc::shared::error::Result::Ok(offer.sdp)
        };
        match offered.await {
            Ok(sdp) => {
                let sdp = sdp::with_every_codec(&sdp);
                self.unanswered = Some(sdp.clone());
                self.offer(sdp).await;
            }
            Err(e) => {
                self.negotiation.offer_failed();
                self.warn(format!("no offer could be made: {e}")).await;
            }
        }
    }

    async fn offer(&self, sdp: String) {
        self.tell(PeerEvent::Signal(Signal::Description(Description { kind: "offer".into(), sdp }))).await;
    }

    async fn describe(&mut self, description: Description) -> rtc::shared::error::Result<()> {
        let kind = match description.kind.as_str() {
            "offer" => Kind::Offer,
            "answer" => Kind::Answer,
            other => return Err(rtc::shared::error::Error::Other(format!("unknown type {other:?}"))),
        };
        if description.sdp.matches("\na=candidate:").count() > MAX_CANDIDATES {
            return Err(rtc::shared::error::Error::Other("it has too many candidates".to_owned()));
        }
        let session = session_description(&description)?;
        let verdict = self.negotiation.received(kind);
        if matches!(verdict, Verdict::Conclude | Verdict::RollbackThenAnswer) {
            self.unanswered = None;
        }
        match verdict {
            Verdict::Ignore | Verdict::Stale => Ok(()),
            Verdict::Conclude => {
                let applied = self.connection.set_remote_description(session).await;
                match applied {
                    Ok(()) => self.described().await,
                    Err(_) => self.rollback().await?,
                }
                applied
            }
            Verdict::RollbackThenAnswer => {
                self.rollback().await?;
                self.answer(session).await
            }
            Verdict::Answer => self.answer(session).await,
        }
    }

    async fn rollback(&self) -> rtc::shared::error::Result<()> {
        let rollback = Description { kind: "rollback".into(), sdp: String::new() };
        self.connection.set_local_description(session_description(&rollback)?).await
    }

    async fn answer(&mut self, offer: RTCSessionDescription) -> rtc::shared::error::Result<()> {
        self.connection.set_remote_description(offer).await?;
        let answer = self.connection.create_answer(None).await?;
        self.connection.set_local_description(answer.clone()).await?;
        self.described().await;
        let description = Description { kind: "answer".into(), sdp: answer.sdp };
        self.tell(PeerEvent::Signal(Signal::Description(description))).await;
        Ok(())
    }

    /// A remote description is in force: candidates that came before it, and payload types that it settled.
    async fn described(&mut self) {
        if std::mem::replace(&mut self.remote_described, true) {
            self.candidates = 0;
        }
        for candidate in std::mem::take(&mut self.pending_candidates) {
            self.add_candidate(candidate).await;
        }
        for sending in &mut self.sending {
            sending.settle().await;
        }
    }

    async fn candidate(&mut self, candidate: Option<Candidate>) {
        let Some(candidate) = candidate else { return };
        if candidate.candidate.is_empty() {
            return;
        }
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_m_line_index,
            username_fragment: candidate.username_fragment,
            ..Default::default()
        };
        self.candidates += 1;
        if self.candidates > MAX_CANDIDATES {
            if self.candidates == MAX_CANDIDATES + 1 {
                self.warn(format!("they have more than {MAX_CANDIDATES} network addresses; the others are not tried"))
                    .await;
            }
        } else if self.remote_described {
            self.add_candidate(init).await;
        } else {
            self.pending_candidates.push(init);
        }
    }

    async fn add_candidate(&self, candidate: RTCIceCandidateInit) {
        if let Err(e) = self.connection.add_ice_candidate(candidate).await
            && !self.negotiation.ignoring()
        {
            tracing::debug!(peer = %self.peer, "a candidate was refused: {e}");
        }
    }

    async fn publish(&mut self, track: OutboundTrack) {
        let local = send::local_track(&track);
        let ssrc = local.1;
        match self.connection.add_track(local.0.clone() as Arc<dyn TrackLocal>).await {
            Ok(sender) => {
                let sending = Sending::start(track, local.0, sender, ssrc);
                sending.set_connected(self.connected);
                self.sending.push(sending);
                self.negotiation.changed();
            }
            Err(e) => self.warn(format!("a track of ours cannot be sent: {e}")).await,
        }
    }

    async fn unpublish(&mut self, stream: &str) {
        let (gone, kept) =
            std::mem::take(&mut self.sending).into_iter().partition(|s| s.track.label().stream == stream);
        self.sending = kept;
        let gone: Vec<Sending> = gone;
        for sending in gone {
            if let Err(e) = self.connection.remove_track(&sending.sender).await {
                self.warn(format!("a track of ours cannot be taken away: {e}")).await;
            }
            sending.stop();
            self.negotiation.changed();
        }
    }

    async fn ask_key_frame(&mut self, ssrc: u32) {
        let Some((_, track)) = self.tracks.get(&ssrc) else { return };
        let now = Instant::now();
        if self.key_frame_asked.get(&ssrc).is_some_and(|last| now.duration_since(*last) < KEY_FRAME_PAUSE) {
            return;
        }
        self.key_frame_asked.insert(ssrc, now);
        let request = PictureLossIndication { sender_ssrc: 0, media_ssrc: ssrc };
        if let Err(e) = track.write_rtcp(vec![Box::new(request)]).await {
            tracing::debug!(peer = %self.peer, "asking for a key frame: {e}");
        }
    }

    async fn restart_ice(&mut self) {
        let now = Instant::now();
        if self.restarted.is_some_and(|last| now.duration_since(last) < RESTART_PAUSE) {
            return;
        }
        self.restarted = Some(now);
        match self.connection.restart_ice().await {
            Ok(()) => {
                self.negotiation.changed();
                self.negotiate().await;
            }
            Err(e) => self.warn(format!("ICE cannot be restarted: {e}")).await,
        }
    }
}

/// The library parses SDP while deserialising, and has no other way in.
fn session_description(description: &Description) -> rtc::shared::error::Result<RTCSessionDescription> {
    serde_json::to_value(description)
        .and_then(serde_json::from_value)
        .map_err(|e| rtc::shared::error::Error::Other(e.to_string()))
}
